// Every published port's counters are what the container itself has counted of that port, to the packet and the byte: on the fast path, for
// connections that a firewall of the user's decides and fairway learns, and on the slow path, in both families.

import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LoadAnswer, TcpAnswer } from "./answers.js";
import { type Family, families } from "./families.js";
import { type Container, type Fairway, type Metrics, pathCounts, until } from "./lib/index.js";
import { fairwayPortCounts, PeerCounts, type Port, type PortCounts } from "./peer-counts.js";
import { onEveryEngine } from "./suite.js";

const DATAGRAMS = 2000;
const CONNECTIONS = 60;
const PAGE = 200_000;
/** Of the container, and as they are published; the last has nobody who listens. */
const ports = [
  { proto: "udp", port: 7000, published: 17000 },
  { proto: "tcp", port: 8000, published: 18000 },
  { proto: "tcp", port: 8001, published: 18001 },
  { proto: "tcp", port: 9999, published: 19999 },
] as const satisfies readonly (Port & { published: number })[];
const patience = { timeout: 30_000, every: 300 };
/** A rule that lets everything pass, in the way of what is routed. */
const FOREIGN = "table inet own {\nchain f {\ntype filter hook forward priority 0\ncounter\n}\n}\n";

type Counted = Readonly<Record<string, PortCounts>>;

onEveryEngine(
  "published ports' counters against the container's own",
  {
    images: ["busybox"],
    oneEngine: true,
    ipv6: true,
    fairway: false,
    before: async ({ engine, disposers }) => {
      await engine.createNetwork("team", "--ipv6", "--subnet", "fd00:7ea:1::/64");
      const publish = ports.map(({ proto, port, published }) => `${published}:${port}/${proto}`);
      const server = await engine.run("busybox", { name: "server", network: "team", publish });
      const serve = async (...args: (string | number)[]) =>
        (await server.namespace.agent("serve.mjs", args, disposers)).waitFor(/ready/);
      await serve("--http", 8000, "--udp", 7000);
      await serve("--http", 8001);
    },
  },
  (stage) => {
    let fairway: Fairway | undefined;
    let server: Container;
    let own: PeerCounts;
    beforeAll(async () => {
      server = await stage.lab.engine.container("server");
      own = await PeerCounts.start(server, stage.lab.disposers, ports);
    }, 60_000);
    afterAll(() => fairway?.stop());

    const metrics = async (): Promise<Metrics> => (await fairway?.metrics()) ?? never();
    const ofFairway = (from: Metrics, family: Family): Counted =>
      Object.fromEntries(
        ports.map(({ proto, port, published }) => {
          const any = family.name === "IPv4" ? `0.0.0.0:${published}` : `[::]:${published}`;
          return [`${proto} ${port}`, fairwayPortCounts(from, "server", proto, any)];
        }),
      );
    const ofContainer = async (): Promise<Counted> => {
      const counted: Record<string, PortCounts> = {};
      for (const port of ports) counted[`${port.proto} ${port.port}`] = await own.readPort(port);
      return counted;
    };
    /** What they have counted since. */
    const less = (now: Counted, then: Counted): Counted =>
      Object.fromEntries(
        Object.entries(now).map(([name, counts]) => {
          const minus = (direction: "receive" | "transmit") => ({
            packets: counts[direction].packets - (then[name]?.[direction].packets ?? 0),
            bytes: counts[direction].bytes - (then[name]?.[direction].bytes ?? 0),
          });
          return [name, { receive: minus("receive"), transmit: minus("transmit") }];
        }),
      );

    /** Returns how many datagrams went there and how many came back. */
    const load = async (family: Family): Promise<{ sent: number; received: number }> => {
      const { client } = stage.lab;
      const to = family.addresses.host;
      const udp = await client.ask<{ sent: number; received: number }>(
        "echoes.mjs",
        [to, 17000, DATAGRAMS, 300],
        120_000,
      );
      for (const [port, pages] of [
        [18000, CONNECTIONS],
        [18001, 5],
      ] as const) {
        const url = `http://${family.quote(to)}:${port}/bytes/${PAGE}`;
        for (const kind of ["fresh", "keep"] as const)
          expect(await client.ask<LoadAnswer>("http-load.mjs", [url, pages, kind, 4], 120_000)).toMatchObject(
            { ok: pages },
          );
      }
      expect(await client.ask<TcpAnswer>("tcp.mjs", [to, 19999, 1])).toEqual({ error: "ECONNREFUSED" });
      return udp;
    };

    describe.each([
      { path: "fast", args: [] },
      { path: "learned", args: [] },
      { path: "slow", args: ["--uplink", "away"] },
    ])("$path", ({ path, args }) => {
      it("begins", async () => {
        const { lab } = stage;
        await fairway?.stop();
        if (path === "learned") await lab.host.exec(["nft", "-f", "-"], { input: FOREIGN });
        if (path === "slow") {
          await fairway?.cleanup();
          await lab.host.exec(["nft", "delete", "table", "inet", "own"]);
          // Nothing comes in by what fairway takes for its uplink.
          await lab.host.exec(["ip", "link", "add", "away", "type", "veth", "peer", "name", "away1"]);
          await lab.host.exec(["ip", "link", "set", "away", "up"]);
        }
        fairway = await lab.fairway({ args });
        await fairway.knows("server");
      }, 60_000);

      it.each(families)(
        "$name",
        async (family) => {
          let [before, peerBefore] = [ofFairway(await metrics(), family), await ofContainer()];
          await until(
            "nothing moves",
            async () => {
              [before, peerBefore] = [ofFairway(await metrics(), family), await ofContainer()];
              return isDeepStrictEqual(await ofContainer(), peerBefore);
            },
            patience,
          );
          const taken = pathCounts(await metrics(), "server");
          const udp = await load(family);
          let [counted, peer]: [Counted, Counted] = [{}, {}];
          await until(
            "fairway's counts are the container's",
            async () => {
              counted = less(ofFairway(await metrics(), family), before);
              peer = less(await ofContainer(), peerBefore);
              return isDeepStrictEqual(counted, peer);
            },
            patience,
          ).catch(() => undefined);
          expect(counted).toEqual(peer);
          // The client's own count.
          expect(counted["udp 7000"]?.receive.packets).toBe(udp.sent);
          expect(counted["udp 7000"]?.transmit.packets).toBe(udp.received);
          expect(udp.received).toBe(DATAGRAMS);
          // A SYN, and the RST that refuses it.
          expect(counted["tcp 9999"]).toMatchObject({ receive: { packets: 1 }, transmit: { packets: 1 } });
          expect(counted["tcp 8000"]?.transmit.bytes).toBeGreaterThan(2 * CONNECTIONS * PAGE);

          const after = pathCounts(await metrics(), "server");
          const on = (way: "fast" | "slow") =>
            (["receive", "transmit"] as const).map(
              (direction) => after[direction][way] - taken[direction][way],
            );
          const [fast, slow] = [on("fast"), on("slow")];
          const total = fast.map((packets, at) => packets + (slow[at] ?? 0));
          if (path === "slow") expect(fast).toEqual([0, 0]);
          else
            expect(Math.min(...fast.map((packets, at) => packets / (total[at] ?? 0)))).toBeGreaterThan(0.5);
          if (path === "learned") expect(Math.min(...slow)).toBeGreaterThan(CONNECTIONS);
        },
        300_000,
      );
    });

    it("has counted GSO packets among them", () => expect(own.extraSegments).toBeGreaterThan(1000));
  },
);

function never(): never {
  throw new Error("no fairway");
}
