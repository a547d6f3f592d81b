// The kernel's conntrack and the flow tables agree: every entry is there while it is needed and gone when it is not.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { UdpAnswer } from "./answers.js";
import { listFlows } from "./flow-table.js";
import { addresses, type Container, type Lab, type Namespace, run, sleep, until } from "./lib/index.js";
import { datagrams, serveLive, stream } from "./streams.js";
import { onEveryEngine } from "./suite.js";

/** Seconds: conntrack's, made short before fairway reads them. */
const timeouts = {
  udp_timeout: 2,
  udp_timeout_stream: 4,
  tcp_timeout_syn_sent: 3,
  tcp_timeout_syn_recv: 3,
  tcp_timeout_fin_wait: 3,
  tcp_timeout_time_wait: 3,
} as const;
/**
 * How much later than conntrack's an idle entry of the flow tables may go: the sweep leaves it for five seconds, and takes its
 * turns by how long they are on this machine.
 */
const sweepMs = 30_000;
/** A flow entry looks after its conntrack entry once a second. */
const syncMs = 2000;

const port = { short: 7000, stream: 7001, datagrams: 7002, silent: 7003, halfOpen: 7004 } as const;

/** agree.mjs */
interface Agreement {
  readonly rounds: number;
  readonly compared: number;
  readonly mostFlows: number;
  readonly mostIdle: number;
  readonly missing: readonly unknown[];
}

/** connections.mjs */
interface ConnectionsAnswer {
  readonly ok: number;
  readonly failed: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** reconnect.mjs */
interface ReconnectAnswer {
  readonly ms: readonly number[];
  readonly errors: readonly string[];
}

/** Lines of `conntrack -L` that match; the tool's own filters know one tuple only. */
async function conntrack(host: Namespace, pattern: RegExp): Promise<string[]> {
  const { stdout } = await host.exec(["conntrack", "-L"]);
  return stdout.split("\n").filter((line) => pattern.test(line));
}

/** The seconds that a line of `conntrack -L` has left. */
const secondsLeft = (line: string) => Number(/^\S+ +\d+ (\d+)/.exec(line)?.[1]);

/** A container that answers at published ports, and one that asks. */
async function makeServer(lab: Lab, name: string): Promise<Container> {
  const publish = Object.values(port).flatMap((number) => [`${number}:${number}`, `${number}:${number}/udp`]);
  const server = await lab.engine.run("busybox", { name, publish });
  await serve(lab, server.namespace);
  return server;
}

async function serve({ disposers }: Lab, at: Namespace): Promise<void> {
  await Promise.all([
    at.agent("serve.mjs", ["--tcp", port.short, "--udp", port.short], disposers).waitFor(/ready/),
    serveLive("stream", at, port.stream, disposers),
    serveLive("datagrams", at, port.datagrams, disposers),
  ]);
}

const reconnect = (from: Namespace, to: string, localPort: number, how: "fin" | "rst") =>
  from.ask<ReconnectAnswer>("reconnect.mjs", [to, port.stream, localPort, 5, how]);

onEveryEngine(
  "conntrack and the flow tables",
  {
    images: ["busybox"],
    oneEngine: true,
    before: async (lab) => {
      for (const [name, value] of Object.entries(timeouts))
        await lab.host.sysctl(`net.netfilter.nf_conntrack_${name}`, value);
      await makeServer(lab, "server");
      await lab.engine.run("busybox", { name: "asker" });
      await serve(lab, lab.internet);
    },
  },
  (stage) => {
    const asker = async () => (await stage.lab.engine.container("asker")).namespace;

    it("agree while thousands of connections come and go, and what is closed ends soon", async () => {
      const { lab, fairway } = stage;
      await fairway.knows("server");
      await fairway.knows("asker");
      const judge = lab.host.agent("agree.mjs", [join(lab.bpffs, "fairway", "maps"), syncMs], lab.disposers);
      await judge.waitFor(/ready/);
      const load = (from: Namespace, to: string) =>
        from.ask<ConnectionsAnswer>("connections.mjs", [to, port.short, 1500, 40]);
      const answers = await Promise.all([
        load(lab.client, addresses.host),
        load(await asker(), addresses.internet),
      ]);
      for (const answer of answers) expect(answer).toEqual({ ok: 1500, failed: 0, errors: {} });
      const closed = await conntrack(lab.host, /^tcp .*dport=7000 /);
      expect(closed.length).toBeGreaterThan(500);
      expect(closed.filter((line) => secondsLeft(line) > 120)).toEqual([]);
      // The datagrams' entries end, and the idle ones of the flow tables after them.
      await sleep(timeouts.udp_timeout * 1000 + 500);
      expect(await conntrack(lab.host, /^udp .*dport=7000 /)).toEqual([]);
      const idle = () => listFlows(lab).filter((flow) => /^\d+ 17 .*\.7000\b/.test(flow));
      await until("so do the flow tables'", () => idle().length === 0, { timeout: sweepMs });
      judge.kill("SIGUSR1");
      await judge.exited;
      const agreement = JSON.parse(judge.stdout.trim().split("\n").at(-1) ?? "") as Agreement;
      const said = JSON.stringify(agreement);
      expect(agreement.missing, said).toEqual([]);
      expect(agreement.mostFlows, said).toBeGreaterThan(1000);
      expect(agreement.rounds, said).toBeGreaterThan(20);
    }, 120_000);

    it.each(["fin", "rst"] as const)(
      "a connection's ports are free again at once, closed by %s",
      async (how) => {
        const { lab } = stage;
        const both = await Promise.all([
          reconnect(lab.client, addresses.host, 6000, how),
          reconnect(await asker(), addresses.internet, 6000, how),
        ]);
        for (const { ms, errors } of both) {
          expect(errors).toEqual([]);
          expect(ms).toHaveLength(5);
          // A SYN that nobody answered would be sent again after a second.
          expect(Math.max(...ms), JSON.stringify(both)).toBeLessThan(950);
        }
      },
    );

    it("an idle talk ends, one that goes on does not", async () => {
      const { lab } = stage;
      const inside = await asker();
      // Once a second: slower than most, and within the time that an entry has.
      const busy = await Promise.all([
        datagrams(lab.client, { host: addresses.host, port: port.datagrams }, 1000, lab.disposers),
        datagrams(inside, { host: addresses.internet, port: port.datagrams }, 1000, lab.disposers),
      ]);
      const idle = await lab.client.ask<UdpAnswer>("udp.mjs", [addresses.host, port.short, 3, 10, 50, 6100]);
      expect(idle.received).toBe(3);
      const ofIdle = () => conntrack(lab.host, /^udp .*sport=6100 dport=7000 /);
      expect(await ofIdle()).toHaveLength(1);
      await until("the idle one's entry is gone", async () => (await ofIdle()).length === 0, {
        timeout: (timeouts.udp_timeout_stream + 1) * 1000,
      });
      await until("its flow entries are gone", () => !listFlows(lab).some((flow) => flow.includes(".6100")), {
        timeout: sweepMs,
      });
      expect(await conntrack(lab.host, /^udp .*dport=7002 .*ASSURED/)).toHaveLength(2);
      for (const talk of busy) {
        const answer = await talk.end();
        expect(answer.toServer, JSON.stringify(answer)).toMatchObject({ lost: 0, repeated: 0 });
        expect(answer.toClient, JSON.stringify(answer)).toMatchObject({ lost: 0, repeated: 0 });
      }
    }, 60_000);

    it("a connection that never came up, or was closed on one side only, ends when conntrack says so", async () => {
      const { lab } = stage;
      const server = await lab.engine.container("server");
      const rule = ["INPUT", "-p", "tcp", "--dport", `${port.silent}`, "-j", "DROP"];
      await server.namespace.exec(["iptables", "-A", ...rule]);
      const node = (at: Namespace, code: string) =>
        at.spawn([process.execPath, "-e", `const net = require("net");${code}`], {
          disposers: lab.disposers,
        });
      const listen = `net.createServer({ allowHalfOpen: true }, (s) => s.on("error", () => {}).resume())`;
      const listener = node(
        server.namespace,
        `${listen}.listen(${port.halfOpen}, () => console.log("ready"))`,
      );
      await listener.waitFor(/ready/);
      const silent = node(
        lab.client,
        `net.connect({ host: "${addresses.host}", port: ${port.silent}, localPort: 6200 }).on("error", () => {});
         setTimeout(() => process.exit(), 500)`,
      );
      const half = node(
        lab.client,
        `const s = net.connect({ host: "${addresses.host}", port: ${port.halfOpen}, localPort: 6201, allowHalfOpen: true },
           () => s.end("that is all"));
         setInterval(() => {}, 1000)`,
      );
      const entries = () => conntrack(lab.host, /^tcp .*sport=620[01] /);
      const flows = () => listFlows(lab).filter((flow) => /\.620[01]\b/.test(flow));
      await until("both are known", async () => (await entries()).length === 2);
      expect(flows().length).toBeGreaterThanOrEqual(2);
      await silent.exited;
      await until("conntrack has ended them", async () => (await entries()).length === 0, {
        timeout: 10_000,
      });
      await until("so have the flow tables", () => flows().length === 0, { timeout: sweepMs }).catch(
        (error: Error) => expect(flows(), error.message).toEqual([]),
      );
      await half.stop("SIGKILL");
      await listener.stop();
    }, 60_000);

    it("nothing is left of a container that was removed", async () => {
      const { lab, fairway } = stage;
      const publish = ["7100:7100", "7100:7100/udp"];
      const short = await lab.engine.run("busybox", { name: "short", publish });
      const server = short.namespace.agent("serve.mjs", ["--tcp", 7100, "--udp", 7100], lab.disposers);
      await server.waitFor(/ready/);
      await fairway.knows("short");
      const asked = [
        lab.client.agent("busy.mjs", ["tcp", addresses.host, 7100, 20, "X"], lab.disposers),
        lab.client.agent("busy.mjs", ["udp", addresses.host, 7100, 20, "X"], lab.disposers),
        short.namespace.agent("busy.mjs", ["tcp", addresses.internet, port.short, 20, "X"], lab.disposers),
        short.namespace.agent("busy.mjs", ["udp", addresses.internet, port.short, 20, "X"], lab.disposers),
      ];
      for (const one of asked) await one.waitFor(/ready/);
      const address = short.address();
      const ofIt = new RegExp(`=${address.replaceAll(".", "\\.")} `);
      const flowsOfIt = () => listFlows(lab).filter((flow) => flow.includes(address));
      expect((await conntrack(lab.host, ofIt)).length).toBeGreaterThanOrEqual(4);
      expect(flowsOfIt().length).toBeGreaterThanOrEqual(8);
      await short.remove();
      await until("conntrack forgets it", async () => (await conntrack(lab.host, ofIt)).length === 0, {
        timeout: 3000,
      });
      await until("the flow tables forget it", () => flowsOfIt().length === 0, { timeout: 3000 });
      for (const one of asked) await one.stop();
    });

    // The limit is the machine's, not the namespace's: the table is filled instead.
    it("a full conntrack refuses new connections, as the kernel does, and established ones go on", async () => {
      const { lab, fairway } = stage;
      const live = await stream(
        "download",
        lab.client,
        { host: addresses.host, port: port.stream },
        2_000_000,
        undefined,
        lab.disposers,
      );
      const talk = await datagrams(
        await asker(),
        { host: addresses.internet, port: port.datagrams },
        50,
        lab.disposers,
      );
      const max = Number(await lab.host.sysctl("net.netfilter.nf_conntrack_max"));
      const file = join(lab.dir, "full.conntrack");
      /** Adds entries of nobody's from number `from` on, until the table takes no more. */
      const fill = async (from: number, count: number) => {
        const lines = Array.from({ length: count }, (_, i) => {
          const source = `198.19.${Math.floor((from + i) / 60_000)}.1`;
          const number = 1000 + ((from + i) % 60_000);
          return `-I -p udp -s ${source} -d 198.19.200.1 --sport ${number} --dport 9 -t 600 -u SEEN_REPLY,ASSURED\n`;
        });
        await writeFile(file, lines.join(""));
        await lab.host.exec(["conntrack", "-R", file], { mayFail: true, timeout: 90_000 });
      };
      await fill(0, max);
      // What ended meanwhile has left room. One SYN each: no room may come to be before it is sent again.
      const attempt = async (number: number, from: Namespace, to: string) => {
        await fill(max + number * 3000, 3000);
        expect(Number(await lab.host.sysctl("net.netfilter.nf_conntrack_count"))).toBeGreaterThanOrEqual(
          max - 1,
        );
        return from.ask<{ error?: string }>("tcp.mjs", [to, port.short, 100, 800]);
      };
      expect(await attempt(0, lab.client, addresses.host)).toEqual({ error: "TIMEOUT" });
      expect(await attempt(1, await asker(), addresses.internet)).toEqual({ error: "TIMEOUT" });
      await live.moves(2000);
      await talk.moves(2000);
      await run(["ip", "netns", "exec", lab.host.name, "conntrack", "-D", "-d", "198.19.200.1"], {
        mayFail: true,
      });
      expect(await live.end()).toEqual({ bytes: expect.any(Number), exact: true });
      const talked = await talk.end();
      expect(talked.toServer).toMatchObject({ lost: 0, repeated: 0 });
      expect(talked.toClient).toMatchObject({ lost: 0, repeated: 0 });
      // The host's own page could not be asked for meanwhile.
      const metrics = await fairway.metrics();
      const refused = (container: string) =>
        metrics.sum("fairway_slow_path_packets_total", { container, reason: "conntrack_failed" });
      expect(refused("server")).toBeGreaterThan(0);
      expect(refused("asker")).toBeGreaterThan(0);
    }, 180_000);
  },
);
