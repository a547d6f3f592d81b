// The lab itself, with the engine alone: what every other suite stands on.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  addresses,
  Background,
  Capture,
  createLab,
  enginesToTest,
  type Lab,
  root,
  run,
  until,
} from "./lib/index.js";
import { Peer } from "./reachability/peer.js";

describe.each(enginesToTest())("lab with engine %s alone", (kind) => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createLab({ kind });
    await lab.engine.images("busybox", "nginx", "redis", "iperf3");
  }, 120_000);
  afterAll(() => lab?.dispose(), 60_000);

  it("joins its hosts: each reaches the others, addresses unchanged", async () => {
    const server = lab.internet.agent("serve.mjs", ["--http", 8000], lab.disposers);
    await server.waitFor(/ready/);
    for (const from of ["client", "host", "neighbour"] as const) {
      const seen = await lab[from].ask<{ address: string }>("get.mjs", [
        `http://${addresses.internet}:8000/`,
      ]);
      expect(seen.address).toBe(addresses[from]);
    }
  });

  it("hears a peer's answer to its end, however long and whatever its pieces end with", async () => {
    const page = "}".repeat(300_000);
    const serve = `import("node:http").then(({ createServer }) =>
      createServer((_, to) => to.end("}".repeat(${page.length}))).listen(8100, () => console.log("ready")))`;
    await lab.internet.spawn([process.execPath, "-e", serve], { disposers: lab.disposers }).waitFor(/ready/);
    const peer = await Peer.start(lab.client, [], lab.disposers);
    const question = { protocol: "http", host: `http://${addresses.internet}:8100/` } as const;
    expect(await peer.ask([question])).toEqual([page]);
  });

  it("runs the engine that was asked for", async () => {
    const { stdout } = await lab.engine.docker(["version", "--format", "{{.Server.APIVersion}}"]);
    const minor = Number(stdout.trim().split(".")[1]);
    if (kind === "20.10") expect(minor).toBe(41);
    else expect(minor).toBeGreaterThanOrEqual(52);
  });

  it("publishes a port of nginx, which sees the client's own address", async () => {
    const nginx = await lab.engine.run("nginx", { name: "web", publish: ["8080:80"] });
    const load = await lab.client.ask("http-load.mjs", [
      `http://${addresses.host}:8080/logged`,
      100,
      "fresh",
      4,
    ]);
    expect(load).toMatchObject({ ok: 100, failed: 0 });
    const { stdout } = await nginx.exec(["cat", "/run/access.log"]);
    const sources = stdout
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[0]);
    expect(sources).toHaveLength(100);
    expect(new Set(sources)).toEqual(new Set([addresses.client]));
    await nginx.remove();
  });

  it("masquerades what a container sends, captured at the server", async () => {
    const server = lab.internet.agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], lab.disposers);
    await server.waitFor(/ready/);
    const capture = await Capture.start(lab.internet, { filter: "port 7000", disposers: lab.disposers });
    const container = await lab.engine.run("busybox");
    const tcp = await container.namespace.ask<{ source: string }>("tcp.mjs", [addresses.internet, 7000, 100]);
    expect(tcp.source.split(" ")[0]).toBe(addresses.host);
    const udp = await container.namespace.ask<{ received: number }>("udp.mjs", [
      addresses.internet,
      7000,
      5,
      5,
      60,
    ]);
    expect(udp.received).toBe(5);
    const packets = await capture.stop();
    expect(packets.length).toBeGreaterThan(10);
    expect(packets.filter((packet) => packet.includes(`${container.address()}.`))).toEqual([]);
    await container.remove();
  });

  it("runs redis and iperf3", async () => {
    const redis = await lab.engine.run("redis", { publish: ["6379:6379"] });
    const iperf = await lab.engine.run("iperf3", { publish: ["5201:5201", "5201:5201/udp"] });
    await until("redis answers", async () => {
      const ask = ["busybox", "nc", "-w", "1", addresses.host, "6379"];
      return (await lab.client.exec(ask, { input: "PING\r\nQUIT\r\n", mayFail: true })).stdout.includes(
        "+PONG",
      );
    });
    const measure = ["iperf3", "-c", addresses.host, "-n", "1M", "--json"];
    const { stdout } = await lab.client.exec(measure);
    expect(JSON.parse(stdout).end.sum_sent.bytes).toBeGreaterThanOrEqual(1_000_000);
    await Promise.all([redis.remove(), iperf.remove()]);
  });

  it("restarts its engine; without live-restore that stops the containers", async () => {
    const container = await lab.engine.run("busybox");
    await lab.engine.stopDockerd();
    await lab.engine.startDockerd();
    const { stdout } = await lab.engine.docker(["inspect", "--format", "{{.State.Running}}", container.id]);
    expect(stdout.trim()).toBe("false");
  });

  it("leaves nothing behind", async () => {
    await lab.dispose();
    expect(leftOf(lab.id)).toEqual([]);
  });
});

describe("npm run lab", () => {
  const [kind = "20.10"] = enginesToTest();

  // SIGKILL: only the janitor is left to take it down.
  it.each(["SIGINT", "SIGKILL"] as const)(
    "tells how to use it, and leaves nothing after %s",
    async (signal) => {
      const owner = new Background([process.execPath, join(root, "scripts/lab.mjs"), "--engine", kind]);
      await owner.waitFor(/^ready$/m, { timeout: 90_000 });
      const [, id = ""] = await owner.waitFor(/The lab is up: (fwl-\w+),/);
      const [, request = ""] = await owner.waitFor(/a request +(\S.*)\n/);
      expect((await run(["sh", "-c", request.replace("curl", "curl -s")])).stdout).toContain("fairway");
      expect(leftOf(id)).not.toEqual([]);
      await owner.stop(signal, 30_000);
      await until("nothing left", () => leftOf(id).length === 0, { timeout: 30_000 });
    },
    120_000,
  );
});

/** What still exists of a lab: namespaces, mounts, processes, its directory. */
function leftOf(id: string): string[] {
  const dir = join(tmpdir(), id);
  const namespaces = readdirSync("/var/run/netns").filter((name) => name.startsWith(id));
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(id));
  const commands = readdirSync("/proc").flatMap((pid) => {
    try {
      return /^\d+$/.test(pid) ? [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")] : [];
    } catch {
      return []; // It has ended meanwhile.
    }
  });
  const processes = commands.filter((command) => command.includes(`${dir}/`));
  return [...namespaces, ...mounts, ...processes, ...(existsSync(dir) ? [dir] : [])];
}
