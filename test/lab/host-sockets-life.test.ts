// Processes of the host that dial published ports while the host lives: containers are replaced, rules come and go, the daemon
// dies, others listen.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { countedSockets, type DialAnswer, grownSockets } from "./host-sockets.js";
import { addresses, agent, createLab, Fairway, fairwayCleanup, type Lab, run, until } from "./lib/index.js";
import { onEveryEngine, type Stage } from "./suite.js";

const subnet = "172.30.0";
/** Of the network of containers that are replaced. */
const gateway = `${subnet}.1`;

async function serve(
  lab: Lab,
  name: string,
  options: { ip?: string; publish?: string[]; network?: string } = {},
) {
  const container = await lab.engine.run("busybox", { name, ...options });
  const server = container.namespace.agent("serve.mjs", ["--tcp", 7000, "--udp", 7000], lab.disposers);
  await server.waitFor(/ready/);
  return container;
}

const dial = async (lab: Pick<Lab, "host">, ...dials: string[]) =>
  lab.host.ask<DialAnswer[]>("dial.mjs", dials);
const calls = (lab: Lab) => join(lab.dir, "socket-calls");

onEveryEngine(
  "host sockets on a living host",
  {
    images: ["busybox"],
    fairway: false,
    before: async (lab) => {
      await run(["cc", "-O1", "-Wall", "-D_GNU_SOURCE", "-o", calls(lab), agent("socket-calls.c")]);
      await lab.engine.createNetwork("swap", "--subnet", `${subnet}.0/24`);
      await serve(lab, "web", { publish: ["7100:7000", "7100:7000/udp", "127.0.0.1:7101:7000"] });
    },
  },
  (stage: Pick<Stage, "lab">) => {
    let fairway: Fairway;
    const led = async (traffic: () => Promise<unknown>) => {
      const before = await countedSockets(fairway);
      await traffic();
      return grownSockets(before, await countedSockets(fairway));
    };
    /** The bridge's gateway, which docker-proxy dials from. */
    const proxied = { source: "172.17.0.1", peer: "127.0.0.1 7100", local: "127.0.0.1" };

    it("a connected UDP socket finds the next container, and never the one that has the last one's address", async () => {
      const { lab } = stage;
      const replaced = async (port: number, name: string) => {
        const publish = [`${port}:7000/udp`];
        const first = await serve(lab, `${name}-first`, { network: "swap", ip: `${subnet}.10`, publish });
        if (fairway !== undefined) await fairway.knows(`${name}-first`);
        const go = join(lab.dir, `${name}-go`);
        const asked = `udp4 connect=127.0.0.1,${port} send receive peer wait=${go} send receive send receive peer local`;
        const socket = lab.host.spawn([calls(lab), ...asked.split(" ")], { disposers: lab.disposers });
        await socket.waitFor(/waiting/);
        if (fairway !== undefined) expect((await countedSockets(fairway)).get("fast")).toBe(1);
        await first.remove();
        // Answers nothing: what comes to it is lost.
        const intruder = await lab.engine.run("busybox", {
          name: `${name}-intruder`,
          network: "swap",
          ip: `${subnet}.10`,
        });
        const next = await serve(lab, `${name}-next`, { network: "swap", ip: `${subnet}.11`, publish });
        if (fairway !== undefined) await fairway.knows(`${name}-next`);
        await writeFile(go, "");
        await socket.exited;
        await Promise.all([intruder.remove(), next.remove()]);
        const lines = socket.stdout.trim().split("\n");
        // What was sent while nobody was there may have told so.
        return lines.filter((line) => !line.includes("ECONNREFUSED")).slice(-3);
      };
      const alone = await replaced(7300, "alone");
      expect(alone).toEqual([
        `received ${gateway} from 127.0.0.1 7300`,
        "peer 127.0.0.1 7300",
        "local 127.0.0.1",
      ]);
      fairway = await lab.fairway();
      expect(await replaced(7300, "fast")).toEqual(alone);
    }, 120_000);

    it("what a container dials is its own affair; a container on the host's network is the host", async () => {
      const { lab } = stage;
      await fairway.knows("web");
      const other = await lab.engine.run("busybox", { name: "other" });
      const own = await led(async () =>
        expect(await dial({ host: other.namespace }, "tcp,127.0.0.1,7100")).toEqual([
          { error: "ECONNREFUSED" },
        ]),
      );
      expect(own).toEqual({});
      const host = await lab.engine.run("busybox", { name: "hostnet", network: "host" });
      const path = await led(async () => {
        const { stdout } = await host.exec(["sh", "-c", "echo | nc -w 2 127.0.0.1 7100"]);
        expect(stdout.split(" ")[0]).toBe(proxied.source);
      });
      expect(path).toEqual({ fast: 1 });
      await Promise.all([other.remove(), host.remove()]);
    });

    it("docker-proxy is not in the way: it has no part in the connection", async () => {
      const { lab } = stage;
      const proxy = (await proxies(lab)).find(({ command }) => command.includes("-host-port 7101 "));
      /** Of docker-proxy's, while a process of the host has one open. */
      const connections = async (name: string, bind: string[]) => {
        const go = join(lab.dir, `${name}-go`);
        const asked = ["tcp4", ...bind, "connect=127.0.0.1,7101", "receive", `wait=${go}`];
        const socket = lab.host.spawn([calls(lab), ...asked], { disposers: lab.disposers });
        await socket.waitFor(/waiting/);
        expect(socket.stdout).toContain(`received ${proxied.source}`);
        const { stdout } = await lab.host.exec(["ss", "-Htnp", "state", "established"]);
        await writeFile(go, "");
        await socket.exited;
        return stdout.split("\n").filter((line) => line.includes(`pid=${proxy?.pid},`)).length;
      };
      // One to the process and one to the container.
      expect(await connections("bound", ["bind=127.0.0.1,0"])).toBe(2);
      expect(await connections("free", [])).toBe(0);
    }, 60_000);

    it("whoever listens where docker-proxy does not any more is who is reached", async () => {
      const { lab } = stage;
      const proxy = (await proxies(lab)).find(({ command }) => command.includes("-host-port 7101 "));
      await run(["kill", "-9", String(proxy?.pid)]);
      const refused = await led(async () =>
        until("nobody listens", async () => {
          const [answer] = await dial(lab, "tcp,127.0.0.1,7101");
          return answer?.error === "ECONNREFUSED";
        }),
      );
      expect(refused.no_proxy).toBeGreaterThan(0);
      const own = lab.host.agent("serve.mjs", ["--tcp", 7101], lab.disposers);
      await own.waitFor(/ready/);
      expect(await dial(lab, "tcp,127.0.0.1,7101")).toEqual([
        { source: "127.0.0.1", peer: "127.0.0.1 7101", local: "127.0.0.1" },
      ]);
      await own.stop();
    });

    it("a rule of the user's holds from the moment that it is noticed, and then the engine's way is taken", async () => {
      const { lab } = stage;
      const none = async () => (await countedSockets(fairway)).size === 0;
      const rule = "-d 127.0.0.1 -p tcp --dport 7100 -j REJECT".split(" ");
      const away = await dial(lab, "tcp,127.0.0.1,7100");
      expect(away).toEqual([proxied]);
      await lab.host.exec(["iptables", "-A", "OUTPUT", ...rule]);
      await until("the rule is noticed", none);
      expect(await dial(lab, "tcp,127.0.0.1,7100")).toEqual([{ error: "ECONNREFUSED" }]);
      expect(fairway.log).toMatch(/a rule of yours may concern them \(filter: -A OUTPUT/);
      await lab.host.exec(["iptables", "-D", "OUTPUT", ...rule]);
      await until("the rule is gone", async () => !(await none()));
      expect(await led(async () => expect(await dial(lab, "tcp,127.0.0.1,7100")).toEqual(away))).toEqual({
        fast: 1,
      });
    });

    it("a rule for another device's packets concerns nobody here", async () => {
      const { lab } = stage;
      await lab.host.exec([
        "iptables",
        "-A",
        "INPUT",
        "-i",
        "eth0",
        "-p",
        "tcp",
        "--dport",
        "9",
        "-j",
        "DROP",
      ]);
      const before = fairway.log.length;
      // The same tables, read after it: what they say of the rule is in what the next change makes of it.
      const noticed = ["OUTPUT", "-o", "lo", "-p", "tcp", "--dport", "9", "-j", "DROP"];
      await lab.host.exec(["iptables", "-A", ...noticed]);
      await until("the second rule is noticed", async () => (await countedSockets(fairway)).size === 0);
      expect(fairway.log.slice(before)).not.toMatch(/-i eth0/);
      await lab.host.exec(["iptables", "-D", ...noticed]);
      await until("it is gone", async () => (await countedSockets(fairway)).size > 0);
      expect(await led(() => dial(lab, "tcp,127.0.0.1,7100"))).toEqual({ fast: 1 });
      await lab.host.exec([
        "iptables",
        "-D",
        "INPUT",
        "-i",
        "eth0",
        "-p",
        "tcp",
        "--dport",
        "9",
        "-j",
        "DROP",
      ]);
    });

    it("without the daemon: goes on, and leads nobody to a container that has another's address", async () => {
      const { lab } = stage;
      const publish = ["7310:7000"];
      const first = await serve(lab, "first", { network: "swap", ip: `${subnet}.20`, publish });
      await fairway.knows("first");
      const before = await countedSockets(fairway);
      const answer = await dial(lab, "tcp,127.0.0.1,7310", `tcp,${addresses.host},7310`);
      await fairway.stop("SIGKILL");
      expect(await dial(lab, "tcp,127.0.0.1,7310", `tcp,${addresses.host},7310`)).toEqual(answer);
      await first.remove();
      const intruder = await lab.engine.run("busybox", {
        name: "intruder",
        network: "swap",
        ip: `${subnet}.20`,
      });
      const next = await serve(lab, "next", { network: "swap", ip: `${subnet}.21`, publish });
      expect(await dial(lab, "tcp,127.0.0.1,7310", `tcp,${addresses.host},7310`)).toEqual(answer);
      fairway = await lab.fairway();
      await fairway.knows("next");
      expect(grownSockets(before, await countedSockets(fairway))).toEqual({ fast: 4, stale: 2 });
      expect(await led(() => dial(lab, "tcp,127.0.0.1,7310"))).toEqual({ fast: 1 });
      await Promise.all([intruder.remove(), next.remove()]);
    }, 60_000);

    it("two hosts on one machine don't disturb each other, and one may be cleaned up", async () => {
      const { lab } = stage;
      const second = await createLab({ kind: lab.engine.kind });
      try {
        await second.engine.images("busybox");
        await second.engine.createNetwork("own", "--subnet", "172.31.0.0/24");
        await serve(second, "web", { network: "own", publish: ["7100:7000", "7100:7000/udp"] });
        const other = await second.fairway();
        await other.knows("web");
        const dials = ["tcp,127.0.0.1,7100", "udp,127.0.0.1,7100", "udp-connected,127.0.0.1,7100"];
        const sources = async (at: Lab) => new Set((await dial(at, ...dials)).map(({ source }) => source));
        const here = await led(async () => {
          const before = await countedSockets(other);
          expect(await sources(second)).toEqual(new Set(["172.31.0.1"]));
          expect(await sources(lab)).toEqual(new Set([proxied.source]));
          expect(grownSockets(before, await countedSockets(other))).toEqual({ fast: 3 });
        });
        expect(here).toEqual({ fast: 3 });
        await other.stop();
        await fairwayCleanup(second);
        expect(await sources(second)).toEqual(new Set(["172.31.0.1"]));
        expect(await led(async () => expect(await sources(lab)).toEqual(new Set([proxied.source])))).toEqual({
          fast: 3,
        });
      } finally {
        await second.dispose();
      }
    }, 120_000);

    it("switched off it is not there, and cleanup leaves nothing and breaks no connection", async () => {
      const { lab } = stage;
      const go = join(lab.dir, "cleanup-go");
      const asked = `udp4 connect=127.0.0.1,7100 send receive wait=${go} send receive`;
      const socket = lab.host.spawn([calls(lab), ...asked.split(" ")], { disposers: lab.disposers });
      await socket.waitFor(/waiting/);
      const links = async () => {
        const { stdout } = await run(["ls", join(lab.bpffs, "fairway", "links")], { mayFail: true });
        return stdout.split("\n").filter((name) => name.startsWith("host_"));
      };
      expect(await links()).toHaveLength(10);
      await fairway.stop();
      const { stdout } = await fairway.cleanup();
      expect(stdout).toContain("host_connect_ipv4");
      expect(await links()).toEqual([]);
      expect((await run(["ls", lab.bpffs])).stdout).not.toContain("fairway");
      await writeFile(go, "");
      await socket.exited;
      expect(socket.stdout.match(/received 172\.17\.0\.1/g)).toHaveLength(2);
      expect(await dial(lab, "tcp,127.0.0.1,7100")).toEqual([proxied]);
      fairway = await Fairway.start(lab, { args: ["--host-sockets", "off"] });
      await fairway.knows("web");
      expect(await links()).toEqual([]);
      expect(await dial(lab, "tcp,127.0.0.1,7100")).toEqual([proxied]);
    }, 60_000);
  },
);

/** The docker-proxy processes of a lab's engine. */
async function proxies(lab: Lab): Promise<{ pid: number; command: string }[]> {
  const { stdout } = await run(["ip", "netns", "pids", lab.host.name]);
  const found = await Promise.all(
    stdout
      .split("\n")
      .filter(Boolean)
      .map(async (pid) => {
        const { stdout: line } = await run(["cat", `/proc/${pid}/cmdline`], { mayFail: true });
        return { pid: Number(pid), command: line.replaceAll("\0", " ") };
      }),
  );
  return found.filter(({ command }) => /docker-proxy /.test(command));
}
