// Rules that a user wrote hold for new connections, whenever they were written; the engine's own cost nothing.

import { expect, it } from "vitest";
import type { LoadAnswer, TcpAnswer } from "./answers.js";
import {
  connect,
  expectRefused,
  expectStopped,
  lastMoved,
  port,
  serve as serveEcho,
} from "./firewall-holds.js";
import {
  addresses,
  enginesToTest,
  type Fairway,
  fairwayCommand,
  fairwayPlaces,
  fastShare,
  type Lab,
  sleep,
  until,
} from "./lib/index.js";
import { serveLive, stream } from "./streams.js";
import { onEveryEngine, type Stage } from "./suite.js";

const warning = "connections_filtered";
const page = `http://${addresses.host}:8080/page`;

/** And one that serves pages. */
async function serve(lab: Lab): Promise<void> {
  await lab.engine.run("nginx", { name: "web", publish: ["8080:80"] });
  await serveEcho(lab);
}

const iptables = (lab: Lab, ...args: string[]) => lab.host.exec(["iptables", ...args]);

const filtered = async (fairway: Fairway) =>
  (await fairway.metrics()).sum("fairway_slow_path_packets_total", { reason: "filtered" });

const warnings = async (fairway: Fairway) =>
  (await fairway.metrics()).sum("fairway_plan_warnings", { code: warning });

/** Connects again and again until it is refused; the milliseconds from the call to the first one that was. */
async function refusedAfter(lab: Lab): Promise<number> {
  const begin = performance.now();
  for (;;) {
    const started = performance.now() - begin;
    const answer = await connect(lab, "client");
    if (answer.error === "TIMEOUT") return started;
    expect(answer).toMatchObject({ echoed: true });
    if (started > 10_000) throw new Error("it was served for 10 s");
  }
}

/** Connections made by the programs: not one packet waits for the kernel's rules. */
async function expectMade({ lab, fairway }: Stage): Promise<void> {
  expect(await warnings(fairway)).toBe(0);
  const before = await filtered(fairway);
  const taken = await fairway.pathTaken("web", async () => {
    const load = await lab.client.ask<LoadAnswer>("http-load.mjs", [page, 300, "fresh", 4]);
    expect(load).toMatchObject({ ok: 300, failed: 0 });
  });
  expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.99);
  expect(await filtered(fairway)).toBe(before);
}

const refused = ["DOCKER-USER", "-s", addresses.client, "-j", "DROP"];

onEveryEngine(
  "rules of the user's",
  {
    images: ["busybox", "nginx"],
    before: async (lab) => {
      await serve(lab);
      await iptables(lab, "-I", ...refused);
    },
  },
  (stage) => {
    it("hold from the first packet: the client is refused, others are served, and fast once established", async () => {
      const { lab, fairway } = stage;
      await fairway.knows("echo");
      await expectRefused(lab, fairway);
      expect(await filtered(fairway)).toBeGreaterThan(2);
    });

    it("are named by fairway status, its log and a metric", async () => {
      const { lab, fairway } = stage;
      const rule = `go fast once established: a rule of yours may concern them (filter: -A DOCKER-USER -s ${addresses.client}/32 -j DROP)`;
      const { stdout } = await fairwayCommand(lab, ["status", ...fairwayPlaces(lab)]);
      expect(stdout).toContain(rule);
      expect(fairway.log.split(rule)).toHaveLength(2);
      expect(await warnings(fairway)).toBe(1);
    });

    it("hold for what a container opens to the outside", async () => {
      const { lab, fairway } = stage;
      const rule = ["DOCKER-USER", "-p", "tcp", "-d", addresses.internet, "--dport", "7999", "-j", "REJECT"];
      await iptables(lab, "-I", ...rule);
      const { namespace } = await lab.engine.container("echo");
      const open = (to: number) =>
        namespace.ask<TcpAnswer>("tcp.mjs", [addresses.internet, to, 30_000_000, 20_000]);
      expect(await open(7999)).toEqual({ error: "ECONNREFUSED" });
      const taken = await fairway.pathTaken("echo", async () =>
        expect(await open(port.echo)).toMatchObject({ echoed: true }),
      );
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
      await iptables(lab, "-D", ...rule);
    });

    it("are gone within two seconds when they are removed: connections are made again", async () => {
      const { lab } = stage;
      await iptables(lab, "-D", ...refused);
      await sleep(2000);
      expect(await connect(lab, "client")).toMatchObject({ echoed: true });
      await expectMade(stage);
    });

    it("hold within two seconds when they are added", async () => {
      const { lab } = stage;
      for (let round = 0; round < 2; round++) {
        await iptables(lab, "-I", ...refused);
        expect(await refusedAfter(lab)).toBeLessThan(2000);
        expect(await connect(lab, "neighbour")).toMatchObject({ echoed: true });
        await iptables(lab, "-D", ...refused);
        await sleep(1500);
        expect(await connect(lab, "client")).toMatchObject({ echoed: true });
      }
    });

    it("stop within a second what is open when they are added, and let it go on when they are removed", async () => {
      const { lab, kind } = stage;
      const ms = await expectStopped(
        lab,
        () => iptables(lab, "-I", ...refused),
        () => iptables(lab, "-D", ...refused),
      );
      console.info(`engine ${kind}: a rule in DOCKER-USER stopped an open transfer after ${ms} ms`);
      await sleep(1500);
    });

    it("hold when they are nftables', and those for the host's own packets don't matter", async () => {
      const { lab, fairway } = stage;
      const nft = (...command: string[]) => lab.host.exec(["nft", command.join(" ")]);
      await nft("add table inet mine");
      await nft("add chain inet mine in { type filter hook input priority 0; }");
      await nft("add rule inet mine in ip saddr", addresses.client, "tcp dport 9 drop");
      await sleep(2000);
      await expectMade(stage);
      await nft("add chain inet mine forwarded { type filter hook forward priority 0; }");
      await sleep(1500);
      await expectMade(stage);
      await nft("add rule inet mine forwarded ip saddr", addresses.client, "drop");
      expect(await refusedAfter(lab)).toBeLessThan(2000);
      expect(await warnings(fairway)).toBe(1);
      await nft("delete table inet mine");
      await sleep(1500);
      await expectMade(stage);
    });

    it("don't count on the fast path with trust-firewall: ignore, and that is told", async () => {
      const { lab } = stage;
      await iptables(lab, "-I", ...refused);
      await until("it is refused", async () => (await connect(lab, "client")).error === "TIMEOUT");
      await stage.fairway.stop();
      const ignoring = await lab.fairway({ args: ["--trust-firewall", "ignore"] });
      const taken = await ignoring.pathTaken("echo", async () =>
        expect(await connect(lab, "client", 1_000_000, 20_000)).toMatchObject({ echoed: true }),
      );
      expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
      const rule = `don't count on the fast path (trust-firewall: ignore), though one may concern its connections (filter: -A DOCKER-USER -s ${addresses.client}/32 -j DROP)`;
      expect(ignoring.log).toContain(rule);
      expect((await fairwayCommand(lab, ["status", ...fairwayPlaces(lab)])).stdout).toContain(rule);
      expect((await ignoring.metrics()).sum("fairway_firewall_ignored", {})).toBe(1);
      await ignoring.stop();
      // The next one goes by them again.
      await lab.fairway();
      await until("it is refused", async () => (await connect(lab, "client")).error === "TIMEOUT");
    });
  },
);

/** With what else an engine may write rules for. */
const stock = (stage: Stage) => {
  it("are not taken for the user's, whatever networks and containers come and go", async () => {
    const { lab, fairway } = stage;
    const { engine } = lab;
    await fairway.knows("web");
    await engine.createNetwork("named", "-o", "com.docker.network.bridge.name=fwlnamed");
    await engine.createNetwork("closed", "--internal");
    await engine.createNetwork("sourced", "-o", `com.docker.network.host_ipv4=${addresses.host}`);
    await engine.createNetwork("quiet", "-o", "com.docker.network.bridge.enable_icc=false");
    const publish = ["7200:7200", "127.0.0.1:7201:7201", `${addresses.host}:7202:7202/udp`];
    for (const network of ["named", "closed", "sourced", "quiet"])
      await engine.run("busybox", { name: network, network, publish: network === "named" ? publish : [] });
    await fairway.knows("quiet", "quiet");
    await sleep(1500);
    await expectMade(stage);
    await engine.remove("named", "closed", "sourced", "quiet");
    for (const network of ["named", "closed", "sourced", "quiet"])
      await engine.docker(["network", "rm", network]);
    await sleep(1500);
    await expectMade(stage);
    expect(await filtered(fairway)).toBe(0);
    expect(fairway.log).not.toContain("a rule of yours");
  }, 60_000);
};

const options = { images: ["busybox", "nginx"], before: serve } as const;
onEveryEngine("the engine's own rules", options, (stage) => {
  stock(stage);

  // This one takes them out itself for some milliseconds whenever it makes a network.
  if (stage.kind === "20.10")
    it("keep networks apart again as soon as the engine has put them back", async () => {
      const { lab, fairway } = stage;
      const { engine, disposers } = lab;
      const jump = ["FORWARD", "-j", "DOCKER-ISOLATION-STAGE-1"];
      for (const network of ["one", "two"]) {
        await engine.createNetwork(network);
        await engine.run("busybox", { name: network, network });
        await fairway.knows(network, network);
      }
      const [left, right] = [await engine.container("one"), await engine.container("two")];
      await serveLive("stream", right.namespace, port.download, disposers);
      await iptables(lab, "-D", ...jump);
      const to = { host: right.address(), port: port.download };
      const live = await stream("download", left.namespace, to, 4_000_000, undefined, disposers);
      const isFast = async () => (await fairway.pathTaken("one", () => live.moves())).receive.fast > 0;
      await until("it was learned", isFast);
      await iptables(lab, "-I", ...jump);
      await lastMoved(live);
    });
});
onEveryEngine(
  "the engine's own rules without docker-proxy",
  { ...options, oneEngine: true, userlandProxy: false },
  stock,
);
if (enginesToTest().includes("29"))
  onEveryEngine(
    "the engine's own rules in nftables",
    { ...options, oneEngine: true, daemonJson: { "firewall-backend": "nftables" } },
    (stage) => {
      it("are there, and none of iptables'", async () => {
        const { stdout } = await stage.lab.host.exec(["nft", "list", "tables", "ip"]);
        expect(stdout.trim()).toBe("table ip docker-bridges");
      });
      stock(stage);
    },
  );
