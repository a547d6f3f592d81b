// Real programs through published ports and from containers to the outside, in both families: all of it on the fast path.

import { describe, expect, it } from "vitest";
import type { LoadAnswer, QuicAnswer, ResolveAnswer } from "./answers.js";
import { type Family, families } from "./families.js";
import { agent, type Lab, type Namespace } from "./lib/index.js";
import { onEveryEngine, type Stage } from "./suite.js";

/** What dnsmasq answers for `name`; the text is too long for a datagram. */
const zone = { name: "peer.example", ipv4: "198.51.100.7", ipv6: "2001:db8:7::7", text: 2000 } as const;

const quicPort = 4433;

/** Programs that serve in a namespace: dnsmasq on port 53, iperf3 on 5201, quic.mjs. */
async function serve(place: Namespace, { disposers }: Lab): Promise<void> {
  const strings = Array.from({ length: zone.text / 250 }, () => "t".repeat(250));
  const dnsmasq = place.spawn(
    [
      ...["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"],
      ...["--pid-file=", "--cache-size=0", "--log-queries"],
      `--host-record=${zone.name},${zone.ipv4},${zone.ipv6}`,
      `--txt-record=${[zone.name, ...strings].join(",")}`,
    ],
    { disposers },
  );
  await dnsmasq.waitFor(/started/, { stream: "stderr" });
  const iperf3 = place.spawn(["iperf3", "--server", "--forceflush"], { disposers });
  await iperf3.waitFor(/listening/);
  const quic = place.spawn([process.execPath, agent("quic.mjs"), "serve", `${quicPort}`], { disposers });
  await quic.waitFor(/ready/);
}

/** What iperf3 measured, as far as it is read here. */
interface Measured {
  readonly error?: string;
  readonly end: Readonly<Record<string, { bytes: number; lost_packets?: number; packets?: number }>>;
}

/** iperf3's ways, and the sums of its report that say what the receivers got. */
const measurements: readonly { args: readonly string[]; sums: readonly string[] }[] = [
  { args: [], sums: ["sum_received"] },
  { args: ["--reverse"], sums: ["sum_received"] },
  { args: ["--parallel", "4"], sums: ["sum_received"] },
  { args: ["--bidir"], sums: ["sum_received", "sum_received_bidir_reverse"] },
  { args: ["--udp", "--bitrate", "100M"], sums: ["sum"] },
  { args: ["--udp", "--bitrate", "100M", "--reverse"], sums: ["sum"] },
];

/** Datagrams that a namespace's sockets had no room for, because their program was not awake. */
async function overflowed(places: readonly Namespace[]): Promise<number> {
  const counts = await Promise.all(
    places.map(async (place) => {
      const { stdout } = await place.exec(["nstat", "-asz", "UdpRcvbufErrors", "Udp6RcvbufErrors"]);
      return [...stdout.matchAll(/^Udp\S+ +(\d+)/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

/** Measures each way; the server takes one client at a time. */
async function measure(from: Namespace, { flag }: Family, to: string, server: Namespace): Promise<void> {
  for (const { args, sums } of measurements) {
    const megabytes = args.includes("--udp") ? 4 : 40;
    // Both ways at once ends with the faster one, so there it is enough that the other gets on.
    const least = args.includes("--bidir") ? 1_000_000 : megabytes * 250_000;
    const command = ["iperf3", "-c", to, flag, "--json", "--bytes", `${megabytes}M`, ...args];
    const before = await overflowed([from, server]);
    const { stdout } = await from.exec(command, { timeout: 20_000 });
    const excused = (await overflowed([from, server])) - before;
    const { error, end } = JSON.parse(stdout) as Measured;
    const what = args.join(" ");
    expect(error, what).toBeUndefined();
    for (const name of sums) {
      const sum = end[name];
      // What the sender has sent but the receiver has not read when the test ends is left out.
      expect(sum?.bytes, `${what} ${name}`).toBeGreaterThan(least);
      if (args.includes("--udp")) expect(sum?.lost_packets, `${what}: lost`).toBeLessThanOrEqual(excused);
    }
  }
}

/**
 * Both protocols: addresses by UDP, the text by TCP. As often as makes ARP's and neighbour discovery's packets, which go through the kernel too, few
 * among all.
 */
async function resolve(from: Namespace, to: string, port: number): Promise<void> {
  for (let round = 0; round < 10; round += 1) {
    const answer = await from.ask<ResolveAnswer>("resolve.mjs", [to, port, zone.name]);
    expect(answer).toEqual({ ipv4: [zone.ipv4], ipv6: [zone.ipv6], text: zone.text });
  }
}

/** Many flows at once; each changes its port twice. Every message and every answer arrives, and `seenAs` is all the server sees. */
async function quic(from: Namespace, to: string, seenAs: string): Promise<void> {
  const flows = 50;
  const answer = await from.ask<QuicAnswer>("quic.mjs", ["ask", to, quicPort, flows, 10, 1200, 2]);
  const { sources, ...counts } = answer;
  const all = flows * 3 * 10;
  expect(counts).toEqual({ sent: all, echoed: all, wrong: 0, pushed: all, stray: 0 });
  expect(new Set(sources).size).toBe(flows * 3);
  expect(new Set(sources.map((source) => source.split(" ")[0]))).toEqual(new Set([seenAs]));
}

onEveryEngine(
  "real peers",
  {
    images: ["busybox", "nginx", "redis"],
    ipv6: true,
    before: async (lab) => {
      const { engine, internet } = lab;
      const [server] = await Promise.all([
        engine.run("busybox", {
          name: "server",
          publish: [
            ...["5300:53", "5300:53/udp", "5201:5201", "5201:5201/udp"],
            `${quicPort}:${quicPort}/udp`,
          ],
        }),
        engine.run("nginx", { name: "web", publish: ["8080:80"] }),
        engine.run("redis", { name: "store", publish: ["6379:6379"] }),
        engine.run("busybox", { name: "inside" }),
      ]);
      await Promise.all([serve(server.namespace, lab), serve(internet, lab)]);
    },
  },
  (stage) => {
    describe.each(families)("$name", (family) => {
      const published = family.addresses.host;
      const outside = family.addresses.internet;

      it("nginx: pages by new and kept connections, a large file", async () => {
        const { lab } = stage;
        const web = await lab.engine.container("web");
        await web.exec(["sh", "-c", "> /run/access.log"]);
        const url = `http://${family.quote(published)}:8080`;
        await fast(stage, "web", async () => {
          for (const kind of ["fresh", "keep"]) {
            const load = await lab.client.ask<LoadAnswer>("http-load.mjs", [`${url}/logged`, 500, kind, 8]);
            expect(load).toMatchObject({ ok: 500, failed: 0, errors: {} });
          }
          const get = ["curl", "-sS", "-g", "-o", "/dev/null", "-w", "%{size_download}", "-r", "0-49999999"];
          expect((await lab.client.exec([...get, `${url}/large`])).stdout).toBe("50000000");
        });
        const { stdout } = await web.exec(["cat", "/run/access.log"]);
        const sources = stdout
          .trim()
          .split("\n")
          .map((line) => line.split(" ")[0]);
        expect(sources).toHaveLength(1000);
        expect(new Set(sources)).toEqual(new Set([family.addresses.client]));
      });

      it("redis: many connections, pipelined commands, a large value", async () => {
        const { client } = stage.lab;
        const at = ["-h", published, "-p", "6379"];
        await fast(stage, "store", async () => {
          for (const pipeline of ["1", "16"]) {
            const args = ["-c", "20", "-n", "5000", "-P", pipeline, "-t", "set,get,lrange_100", "--csv"];
            const { stdout, stderr } = await client.exec(["redis-benchmark", ...at, ...args]);
            expect(stdout.match(/^"(SET|GET|LRANGE_100 .*?)"/gm), stdout + stderr).toHaveLength(3);
          }
          const value = "0123456789abcdef".repeat(256 * 1024);
          const cli = async (input: string | undefined, ...args: string[]) =>
            (
              await client.exec(["redis-cli", ...at, ...args], input === undefined ? {} : { input })
            ).stdout.trim();
          expect(await cli(value, "-x", "set", "large")).toBe("OK");
          expect((await cli(undefined, "get", "large")) === value).toBe(true);
          const source = `addr=${family.quote(family.addresses.client)}:`;
          expect(await cli(undefined, "client", "list")).toContain(source);
        });
      });

      it("iperf3 to a published port: TCP and UDP, parallel, reverse, both ways at once", async () => {
        await fast(stage, "server", async () => {
          const server = (await stage.lab.engine.container("server")).namespace;
          await measure(stage.lab.client, family, published, server);
        });
      });

      it("iperf3 from a container to the outside", async () => {
        await fast(stage, "inside", async () =>
          measure(await inside(stage), family, outside, stage.lab.internet),
        );
      });

      it("DNS at a published port and from a container, by UDP and by TCP", async () => {
        const { lab } = stage;
        await fast(stage, "server", () => resolve(lab.client, published, 5300));
        await fast(stage, "inside", async () => resolve(await inside(stage), outside, 53));
        const list = ["conntrack", "-L", "-p", "tcp", "-f", family.name.toLowerCase()];
        for (const port of ["5300", "53"]) {
          const { stdout } = await lab.host.exec([...list, "--orig-port-dst", port]);
          expect(stdout, `by TCP to port ${port}`).toContain(`dport=${port}`);
        }
      });

      it("datagrams as QUIC's at a published port and from a container: many flows, which change their port", async () => {
        const { client } = stage.lab;
        await fast(stage, "server", () => quic(client, published, family.addresses.client));
        await fast(stage, "inside", async () => quic(await inside(stage), outside, published));
      });
    });
  },
);

const inside = async ({ lab }: Stage): Promise<Namespace> => (await lab.engine.container("inside")).namespace;

/** Runs some traffic of a container's: fast, but for a few packets that wait for a neighbour or go through the kernel for conntrack. */
async function fast({ fairway }: Stage, name: string, traffic: () => Promise<void>): Promise<void> {
  await fairway.knows(name);
  const { receive, transmit } = await fairway.pathTaken(name, traffic);
  const slow = receive.slow + transmit.slow;
  const all = receive.fast + transmit.fast + slow;
  expect(slow, JSON.stringify({ receive, transmit })).toBeLessThanOrEqual(3 + all / 50);
}
