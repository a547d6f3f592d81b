// Every counter of a container is the container's own count, to the packet and the byte: on both paths, in both families, for UDP and
// TCP that comes from outside, goes outside and stays within a network.
//
// FAIRWAY_COUNTS_PACKETS=1000000: so many packets in all; without it as many as take a few seconds.

import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import type { LoadAnswer, TcpAnswer } from "./answers.js";
import { type Family, families } from "./families.js";
import { type Container, type Fairway, type Namespace, pathCounts, until } from "./lib/index.js";
import { type Counts, fairwayCounts, PeerCounts, since } from "./peer-counts.js";
import { onEveryEngine } from "./suite.js";

/** Of datagrams, there and back, that are asked for: two ways, two families, three loads. TCP's packets come on top. */
const packets = Number(process.env.FAIRWAY_COUNTS_PACKETS ?? 20_000);
const datagrams = Math.ceil(packets / (2 * 2 * 3 * 2));
/** As many connections, with a page each that makes GSO packets. */
const connections = Math.min(400, Math.ceil(datagrams / 40));
const PAGE = 200_000;
const patience = { timeout: 30_000, every: 300 };
const names = ["server", "mate"] as const;

onEveryEngine(
  "counters against the peer's own",
  {
    images: ["busybox"],
    oneEngine: true,
    ipv6: true,
    fairway: false,
    before: async ({ engine, internet, disposers }) => {
      await engine.createNetwork("team", "--ipv6", "--subnet", "fd00:7ea:1::/64");
      const publish = ["7000:7000/udp", "8000:8000", "9999:9999"];
      const server = await engine.run("busybox", { name: "server", network: "team", publish });
      await engine.run("busybox", { name: "mate", network: "team" });
      for (const place of [server.namespace, internet])
        await place.agent("serve.mjs", ["--http", 8000, "--udp", 7000], disposers).waitFor(/ready/);
    },
  },
  (stage) => {
    let fairway: Fairway | undefined;
    let sent = 0;
    const peers = new Map<string, PeerCounts>();
    afterAll(() => fairway?.stop());

    const container = (name: string): Promise<Container> => stage.lab.engine.container(name);

    /** Datagrams that are answered, pages by a connection each, and one that is refused. Returns how many were refused. */
    const load = async (from: Namespace, to: string, family: Family): Promise<number> => {
      const udp = await from.ask<{ sent: number; received: number }>(
        "echoes.mjs",
        [to, 7000, datagrams, 300],
        300_000,
      );
      expect(udp.received).toBeGreaterThan(udp.sent * 0.99);
      sent += udp.sent + udp.received;
      const url = `http://${family.quote(to)}:8000/bytes/${PAGE}`;
      const pages = await from.ask<LoadAnswer>("http-load.mjs", [url, connections, "fresh", 4], 300_000);
      expect(pages).toMatchObject({ ok: connections, bytes: connections * PAGE });
      expect(await from.ask<TcpAnswer>("tcp.mjs", [to, 9999, 1])).toEqual({ error: "ECONNREFUSED" });
      return 1;
    };

    /** Both containers', as the peers have counted and as fairway has, since the last time; once nothing moves any more. */
    const compare = async (before: Map<string, { peer: Counts; fairway: Counts }>, refused: number) => {
      const now = new Map<string, { peer: Counts; fairway: Counts }>();
      const look = async () => {
        const metrics = await fairway?.metrics();
        if (metrics === undefined) throw new Error("no fairway");
        for (const name of names) {
          const own = await peers.get(name)?.read();
          if (own === undefined) throw new Error(`nothing counted of ${name}`);
          now.set(name, { peer: own, fairway: fairwayCounts(metrics, name) });
        }
      };
      const both = (name: string) => {
        const [then, at] = [before.get(name), now.get(name)];
        if (at === undefined) throw new Error(`nothing of ${name}`);
        if (then === undefined) return at;
        const peer = since(then.peer, at.peer);
        // Its TCP knows of no connection that it refuses; that was asked for, and a SYN has come.
        const opened = peer.receive.opened + (name === "server" ? refused : 0);
        return {
          peer: { ...peer, receive: { ...peer.receive, opened } },
          fairway: since(then.fairway, at.fairway),
        };
      };
      await until(
        "fairway's counts are the peers'",
        async () => {
          await look();
          return names.every((name) => isDeepStrictEqual(both(name).fairway, both(name).peer));
        },
        patience,
      ).catch(() => undefined);
      for (const name of names) expect(both(name).fairway, name).toEqual(both(name).peer);
      return now;
    };

    /** A place to compare from: nothing moves between the two readings. */
    const begin = async () => {
      const before = new Map<string, { peer: Counts; fairway: Counts }>();
      await until(
        "nothing moves",
        async () => {
          const first = await fairway?.metrics();
          for (const name of names) {
            const own = await peers.get(name)?.read();
            if (own !== undefined && first !== undefined)
              before.set(name, { peer: own, fairway: fairwayCounts(first, name) });
          }
          const second = await fairway?.metrics();
          if (first === undefined || second === undefined) return false;
          return names.every((name) =>
            isDeepStrictEqual(fairwayCounts(first, name), fairwayCounts(second, name)),
          );
        },
        patience,
      );
      return before;
    };

    describe.each(["fast", "slow"] as const)("on the %s path", (path) => {
      it("begins", async () => {
        const { lab } = stage;
        if (path === "slow") {
          await fairway?.stop();
          await fairway?.cleanup();
          // Nothing comes in by what fairway takes for its uplink, and a rule of the user's is in the bridge's way.
          await lab.host.exec(["ip", "link", "add", "away", "type", "veth", "peer", "name", "away1"]);
          await lab.host.exec(["ip", "link", "set", "away", "up"]);
          const table = "table bridge own {\nchain f {\ntype filter hook forward priority 0\ncounter\n}\n}\n";
          await lab.host.exec(["nft", "-f", "-"], { input: table });
        }
        fairway = await lab.fairway({ args: path === "slow" ? ["--uplink", "away"] : [] });
        for (const name of names) {
          await fairway.knows(name);
          if (!peers.has(name)) peers.set(name, await PeerCounts.start(await container(name), lab.disposers));
        }
      }, 60_000);

      it.each(families)(
        "$name",
        async (family) => {
          const { lab } = stage;
          const before = await begin();
          const taken = pathCounts((await fairway?.metrics()) ?? never(), "server");
          const [server, mate] = await Promise.all(names.map(container));
          if (server === undefined || mate === undefined) throw new Error("unreachable");
          await load(lab.client, family.addresses.host, family);
          await load(server.namespace, family.addresses.internet, family);
          await load(mate.namespace, family.of(server, "team"), family);
          await compare(before, 2);
          const after = pathCounts((await fairway?.metrics()) ?? never(), "server");
          const other = path === "fast" ? "slow" : "fast";
          for (const direction of ["receive", "transmit"] as const) {
            const all = after[direction][path] - taken[direction][path];
            expect(all, direction).toBeGreaterThan(4 * datagrams);
            expect(after[direction][other] - taken[direction][other], direction).toBeLessThan(all / 10);
          }
        },
        900_000,
      );
    });

    it("has seen as many packets as were asked for, GSO packets among them", () => {
      expect(sent).toBeGreaterThan(packets * 0.99);
      expect([...peers.values()].every(({ extraSegments }) => extraSegments > 100)).toBe(true);
      if (process.env.FAIRWAY_COUNTS_PACKETS !== undefined) console.log(`${sent} datagrams`);
    });
  },
);

function never(): never {
  throw new Error("no fairway");
}
