// The daemon may die, be removed and come back while connections run; none breaks, and none reaches the wrong container.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addressOf, type DownloadAnswer, type LoadAnswer, type UdpAnswer } from "./answers.js";
import {
  addresses,
  type Background,
  Capture,
  type Container,
  createLab,
  enginesToTest,
  type Fairway,
  fairwayCleanup,
  type Lab,
  run,
  sleep,
  until,
} from "./lib/index.js";

/** Ids of kernel objects. */
type Ids = Record<"prog" | "map" | "link", readonly number[]>;

const bpftool = async <T>(...args: string[]) =>
  JSON.parse((await run(["bpftool", "-j", ...args])).stdout || "[]") as T;

/**
 * The ids of everything of fairway's that the kernel holds: what is pinned in the lab's bpffs and the maps that the programs use.
 * Ids and not names: other labs on the machine may have a fairway of their own.
 */
async function kernelObjects(lab: Lab): Promise<Ids> {
  const ids = { prog: new Set<number>(), map: new Set<number>(), link: new Set<number>() };
  for (const entry of await readdir(lab.bpffs, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    for (const kind of ["prog", "map", "link"] as const) {
      const { code, stdout } = await run(["bpftool", "-j", kind, "show", "pinned", path], { mayFail: true });
      if (code !== 0) continue; // Pinned, but of another kind.
      const shown = JSON.parse(stdout) as { id: number; map_ids?: number[]; prog_id?: number };
      ids[kind].add(shown.id);
      for (const map of shown.map_ids ?? []) ids.map.add(map);
      if (shown.prog_id !== undefined) ids.prog.add(shown.prog_id);
    }
  }
  return { prog: [...ids.prog], map: [...ids.map], link: [...ids.link] };
}

/** Those of some ids that the kernel still has. */
async function stillThere(kind: keyof Ids, ids: readonly number[]): Promise<number[]> {
  const all = await bpftool<{ id: number }[]>(kind, "show");
  return all.map(({ id }) => id).filter((id) => ids.includes(id));
}

/** Bytes per second of the downloads: busy, and not all that the machine can do. */
const rate = 40_000_000;

describe.each(enginesToTest())("the daemon comes and goes, engine %s", (kind) => {
  let lab: Lab;
  let fairway: Fairway;
  let reader: Container;
  let servers: Background[];
  beforeAll(async () => {
    lab = await createLab({ kind });
    await lab.engine.run("nginx", { name: "web", publish: ["8080:80"] });
    const sender = await lab.engine.run("busybox", { name: "sender", publish: ["8000:8000"] });
    reader = await lab.engine.run("busybox", { name: "reader" });
    servers = [sender.namespace, lab.internet].map((place) =>
      place.agent("serve.mjs", ["--http", 8000], lab.disposers),
    );
    for (const server of servers) await server.waitFor(/ready/);
  }, 120_000);
  afterAll(() => lab?.dispose(), 60_000);

  /**
   * Does something while a client downloads from a published port and a container from a server outside. Both downloads must go on
   * afterwards, to an end that their servers make only then.
   */
  async function duringDownloads(disturb: () => Promise<unknown>): Promise<void> {
    const { client, disposers } = lab;
    const running = [
      client.agent("download.mjs", [`http://${addresses.host}:8000/stream?rate=${rate}`], disposers),
      reader.namespace.agent(
        "download.mjs",
        [`http://${addresses.internet}:8000/stream?rate=${rate}`],
        disposers,
      ),
    ];
    for (const one of running) await one.waitFor(/started/, { stream: "stderr" });
    await sleep(500);
    await disturb();
    await sleep(500);
    for (const one of running) expect(one.stdout, "the disturbance came too late").toBe("");
    for (const server of servers) server.kill("SIGUSR1");
    for (const one of running) await one.exited;
    const [fromPublished, fromOutside] = running.map((one) => JSON.parse(one.stdout) as DownloadAnswer);
    const whole = { bytes: expect.any(Number), ms: expect.any(Number) };
    expect(fromPublished, "from the published port").toEqual(whole);
    expect(fromOutside, "from outside").toEqual(whole);
    expect(fromPublished?.bytes).toBeGreaterThan(rate / 4);
    expect(fromOutside?.bytes).toBeGreaterThan(rate / 4);
  }

  it("adopts connections that are older than fairway", async () => {
    await duringDownloads(async () => {
      fairway = await lab.fairway();
      await fairway.knows("web");
    });
  }, 60_000);

  it("carries on after kill -9 of the daemon, without a daemon, and is adopted by the next one", async () => {
    const load = [`http://${addresses.host}:8080/page`, 200, "fresh", 2] as const;
    await duringDownloads(async () => {
      await fairway.stop("SIGKILL");
      const answer = await lab.client.ask<LoadAnswer>("http-load.mjs", load);
      expect(answer).toMatchObject({ ok: 200, failed: 0 });
    });
    const names = async () => (await readdir(join(lab.bpffs, "fairway"), { recursive: true })).sort();
    const pinned = await names();
    expect(pinned.length).toBeGreaterThan(0);
    await duringDownloads(async () => {
      fairway = await lab.fairway();
      await fairway.knows("web");
    });
    expect(await names()).toEqual(pinned);
    const taken = await fairway.pathTaken("web", () => lab.client.ask("http-load.mjs", load));
    expect(taken.receive.fast).toBeGreaterThan(400);
  }, 60_000);

  it("leaves the datapath when it is ended by SIGTERM", async () => {
    expect(await fairway.stop("SIGTERM")).toBe(0);
    expect(existsSync(join(lab.bpffs, "fairway"))).toBe(true);
    const answer = await lab.client.ask<LoadAnswer>("http-load.mjs", [
      `http://${addresses.host}:8080/page`,
      50,
      "keep",
      2,
    ]);
    expect(answer).toMatchObject({ ok: 50 });
    fairway = await lab.fairway();
  });

  it("is gone without a trace after cleanup, and connections go on", async () => {
    const ours = await kernelObjects(lab);
    for (const kind of ["prog", "map", "link"] as const) expect(ours[kind].length, kind).toBeGreaterThan(0);
    await duringDownloads(async () => {
      await fairway.stop();
      await fairway.cleanup();
    });
    expect(existsSync(join(lab.bpffs, "fairway"))).toBe(false);
    // The kernel frees them a moment after the last reference is gone.
    const left = () =>
      Promise.all((["prog", "map", "link"] as const).map((kind) => stillThere(kind, ours[kind])));
    await until("nothing of fairway in the kernel", async () => (await left()).flat().length === 0, {
      timeout: 5000,
    }).catch(async (error: Error) => expect(await left(), error.message).toEqual([[], [], []]));
    expect(await lab.host.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal")).toBe("0");
    await fairwayCleanup(lab); // Nothing left to do is no error.
  }, 60_000);

  it("is started and cleaned up again and again during one download", async () => {
    await duringDownloads(async () => {
      for (let i = 0; i < 2; i++) {
        fairway = await lab.fairway();
        await fairway.stop();
        await fairway.cleanup();
      }
    });
  }, 60_000);
});

/** The first of many, so that a failure can be read. */
const few = (packets: readonly string[]) => packets.slice(0, 5);

describe.each(enginesToTest())("an address changes hands, engine %s", (kind) => {
  let lab: Lab;
  let fairway: Fairway;
  beforeAll(async () => {
    lab = await createLab({ kind });
    await lab.engine.images("busybox");
    await lab.engine.createNetwork("fixed", "--subnet", "172.31.0.0/24");
    await lab.internet.agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], lab.disposers).waitFor(/ready/);
    fairway = await lab.fairway();
  }, 120_000);
  afterAll(() => lab?.dispose(), 60_000);

  const networks = [
    ["a fixed address on a user's network", "fixed", "172.31.0.50"],
    ["the address that the engine reuses on the default network", "bridge", undefined],
  ] as const;

  it.each(networks)(
    "%s: the new container gets none of the old one's packets",
    async (_, network, ip) => {
      const place = { network, ...(ip && { ip }) };
      const first = await lab.engine.run("busybox", {
        name: `${network}-first`,
        ...place,
        publish: ["7000:7000", "7000:7000/udp"],
      });
      const friend = await lab.engine.run("busybox", { name: `${network}-friend`, network });
      await first.namespace
        .agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], lab.disposers)
        .waitFor(/ready/);
      await fairway.knows(first.name, network);
      const address = first.address(network);

      // Towards it by its published ports and from a container beside it, and answers to what it sends outside: all kept busy.
      const flows = [
        lab.client.agent("busy.mjs", ["udp", addresses.host, 7000, 2, "OLD"], lab.disposers),
        lab.client.agent("busy.mjs", ["tcp", addresses.host, 7000, 2, "OLD"], lab.disposers),
        friend.namespace.agent("busy.mjs", ["udp", address, 7000, 2, "OLD"], lab.disposers),
        friend.namespace.agent("busy.mjs", ["tcp", address, 7000, 2, "OLD"], lab.disposers),
      ];
      for (const flow of flows) await flow.waitFor(/ready/);
      const answers = lab.internet.agent("answer.mjs", [7100], lab.disposers);
      await answers.waitFor(/ready/);
      const asked = first.namespace.agent(
        "busy.mjs",
        ["udp", addresses.internet, 7100, 2, "OLD"],
        lab.disposers,
      );
      await asked.waitFor(/ready/);
      const taken = await fairway.pathTaken(first.name, () => sleep(500), network);
      expect(taken.receive.fast, JSON.stringify(taken)).toBeGreaterThan(300);

      await first.stop();
      await first.remove();
      const second = await lab.engine.run("busybox", {
        name: `${network}-second`,
        ...place,
        publish: ["7200:7200/udp"],
      });
      expect(second.address(network)).toBe(address);
      const capture = await Capture.start(second.namespace, {
        device: "any",
        filter: "ip",
        disposers: lab.disposers,
      });
      await fairway.knows(second.name, network);
      // The client and the server outside go on. The container beside it addresses whoever has the address now, rightly, and its
      // kernel would go on with what was unsent after its programs have ended: it goes, network namespace and all.
      for (const flow of flows.slice(2)) await flow.stop();
      await friend.remove();
      await sleep(300);
      const quietFrom = capture.packets.length;
      await sleep(1500);
      const strays = capture.packets.slice(quietFrom).filter((packet) => /\.7[01]00\b/.test(packet));
      expect(few(strays)).toEqual([]);
      const fromOutside = capture.packets.filter(
        (packet) => packet.includes(addresses.client) || packet.includes(addresses.internet),
      );
      expect(few(fromOutside)).toEqual([]);
      expect(flows[0]?.running && flows[1]?.running && answers.running).toBe(true);

      // It is no dead end: what is really for the new container arrives.
      await second.namespace.agent("serve.mjs", ["--udp", 7200], lab.disposers).waitFor(/ready/);
      const udp = await lab.client.ask<UdpAnswer>("udp.mjs", [addresses.host, 7200, 20, 2, 50]);
      expect(udp.answers.map(addressOf)).toEqual([addresses.client]);
      expect(
        (await capture.stop()).filter((packet) => packet.includes(addresses.client)).length,
      ).toBeGreaterThan(20);
      for (const flow of [...flows, answers, asked]) await flow.stop();
      await second.remove();
    },
    60_000,
  );
});
