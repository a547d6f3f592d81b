// Who sends whom how much within a network that asks for it (fairway.matrix): for each pair of containers what both of them have counted
// themselves, to the packet and the byte, on both paths and in both families; nothing of other networks, and nothing of who is gone.

import { isDeepStrictEqual } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import type { LoadAnswer } from "./answers.js";
import { families } from "./families.js";
import { type Container, type Fairway, type Metrics, type Namespace, until } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

const names = ["one", "two", "three"] as const;
type Name = (typeof names)[number];
/** Who sends to whom. */
const pairs = names.flatMap((from) => names.flatMap((to) => (from === to ? [] : [{ from, to }])));
const patience = { timeout: 30_000, every: 300 };
/** What leaves has its Ethernet header at netfilter's hook, what arrives has not. */
const LINK_HEADER = { receive: 0, transmit: 14 } as const;

interface Counter {
  readonly packets: number;
  readonly bytes: number;
}
/** By "FROM TO". */
type Matrix = Readonly<Record<string, Counter>>;

interface Link {
  readonly address: string;
}

const macOf = async ({ namespace }: Container): Promise<string> => {
  const [link] = await namespace.ip<Link[]>("link", "show", "eth0");
  if (link === undefined) throw new Error("no eth0");
  return link.address;
};

/** Counts what a container exchanges with each of the others at its own device, by MAC: unicast IP frames. */
async function countAt(
  container: Container,
  others: ReadonlyMap<string, string>,
  own: string,
): Promise<void> {
  const { namespace } = container;
  // So that a packet is a packet: GSO packets are one at a device, and as many as their segments in fairway's counters.
  await namespace.exec(["ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off"]);
  const chain = (direction: "receive" | "transmit") => {
    const rules = [...others].map(([name, mac]) => {
      const [from, to] = direction === "receive" ? [mac, own] : [own, mac];
      return `ether saddr ${from} ether daddr ${to} meta protocol { ip, ip6 } counter name ${direction}_${name}`;
    });
    const hook = direction === "receive" ? "ingress" : "egress";
    return `chain ${direction} { type filter hook ${hook} device eth0 priority 0; ${rules.join("; ")}; }`;
  };
  const counters = [...others.keys()].flatMap((name) => [
    `counter receive_${name} {}`,
    `counter transmit_${name} {}`,
  ]);
  const table = `table netdev pairs {\n${[...counters, chain("receive"), chain("transmit")].join("\n")}\n}\n`;
  await namespace.exec(["nft", "-f", "-"], { input: table });
}

async function countersAt({ namespace }: Container): Promise<Map<string, Counter>> {
  const { stdout } = await namespace.exec(["nft", "-j", "list", "counters"]);
  const listed = (JSON.parse(stdout) as { nftables: { counter?: Counter & { name: string } }[] }).nftables;
  return new Map(
    listed.flatMap(({ counter }) => {
      if (counter === undefined) return [];
      const header = counter.name.startsWith("receive") ? LINK_HEADER.receive : LINK_HEADER.transmit;
      const { packets, bytes } = counter;
      return [[counter.name, { packets, bytes: bytes - packets * header }] as const];
    }),
  );
}

/** As fairway has it. */
function matrixOf(metrics: Metrics, network = "team"): Matrix {
  const packets = metrics.find("fairway_network_pair_packets_total", { network });
  return Object.fromEntries(
    packets.map(({ labels, value }) => {
      const { from = "", to = "" } = labels;
      const bytes = metrics.sum("fairway_network_pair_bytes_total", { network, from, to });
      return [`${from} ${to}`, { packets: value, bytes }];
    }),
  );
}

const none: Counter = { packets: 0, bytes: 0 };

onEveryEngine(
  "traffic matrix",
  {
    images: ["busybox"],
    oneEngine: true,
    ipv6: true,
    fairway: false,
    before: async ({ engine, disposers }) => {
      const ipv6 = (number: number) => ["--ipv6", "--subnet", `fd00:7ea:${number}::/64`];
      await engine.createNetwork("team", "--label", "fairway.matrix=true", ...ipv6(1));
      await engine.createNetwork("plain", "--label", "fairway.matrix=ture", ...ipv6(2));
      for (const [name, network] of [
        ...names.map((name) => [name, "team"] as const),
        ["four", "plain"] as const,
        ["five", "plain"] as const,
      ]) {
        const { namespace } = await engine.run("busybox", { name, network });
        await namespace.agent("serve.mjs", ["--http", 8000, "--udp", 7000], disposers).waitFor(/ready/);
      }
    },
  },
  (stage) => {
    let fairway: Fairway | undefined;
    afterAll(() => fairway?.stop());
    const container = (name: string): Promise<Container> => stage.lab.engine.container(name);
    const daemon = (): Fairway => {
      if (fairway === undefined) throw new Error("no fairway");
      return fairway;
    };

    /**
     * What the receiver of each pair has counted, and whether the sender has counted the same: but for pairs with TCP, whose packets are
     * larger at a sender's device than on the wire.
     */
    const peers = async (): Promise<{ matrix: Matrix; agreed: boolean }> => {
      const at = new Map(
        await Promise.all(
          names.map(async (name) => [name, await countersAt(await container(name))] as const),
        ),
      );
      const counted = pairs.map(({ from, to }) => {
        const received = at.get(to)?.get(`receive_${from}`);
        const sent = at.get(from)?.get(`transmit_${to}`);
        if (sent === undefined || received === undefined)
          throw new Error(`nothing counted of ${from}, ${to}`);
        const tcp = from === "one" && to === "three";
        return { pair: `${from} ${to}`, received, agreed: tcp || isDeepStrictEqual(sent, received) };
      });
      return {
        matrix: Object.fromEntries(counted.map(({ pair, received }) => [pair, received])),
        agreed: counted.every(({ agreed }) => agreed),
      };
    };
    const beginCounting = async (which: readonly Name[] = names) => {
      const macs = new Map<string, string>();
      for (const name of names) macs.set(name, await macOf(await container(name)));
      for (const name of which) {
        const others = new Map([...macs].filter(([other]) => other !== name));
        await countAt(await container(name), others, macs.get(name) ?? "");
      }
    };
    const minus = (later: Matrix, earlier: Matrix): Matrix =>
      Object.fromEntries(
        pairs.map(({ from, to }) => {
          const [a, b] = [later[`${from} ${to}`] ?? none, earlier[`${from} ${to}`] ?? none];
          return [`${from} ${to}`, { packets: a.packets - b.packets, bytes: a.bytes - b.bytes }];
        }),
      );
    /** Both counts at a moment when nothing is on its way. */
    const settled = async (): Promise<{ peers: Matrix; fairway: Matrix }> => {
      let found: { peers: Matrix; fairway: Matrix } | undefined;
      await until("nothing is on its way, and both ends have counted the same", async () => {
        const before = await peers();
        const metrics = await daemon().metrics();
        const after = await peers();
        found = { peers: after.matrix, fairway: matrixOf(metrics) };
        return after.agreed && isDeepStrictEqual(before, after);
      });
      if (found === undefined) throw new Error("unreachable");
      return found;
    };
    const echo = async (from: Namespace, to: string, count: number): Promise<void> => {
      const { sent, received } = await from.ask<{ sent: number; received: number }>("echoes.mjs", [
        to,
        7000,
        count,
        300,
      ]);
      expect({ sent, received }).toEqual({ sent: count, received: count });
    };

    describe.each(["fast", "slow"] as const)("on the %s path", (path) => {
      it("begins", async () => {
        const { lab } = stage;
        if (path === "slow") {
          await fairway?.stop();
          await fairway?.cleanup();
          // A rule of the user's is in the bridge's way.
          const table = "table bridge own {\nchain f {\ntype filter hook forward priority 0\ncounter\n}\n}\n";
          await lab.host.exec(["nft", "-f", "-"], { input: table });
        }
        fairway = await lab.fairway();
        for (const name of [...names, "four", "five"]) await fairway.knows(name);
        if (path === "fast") await beginCounting();
      }, 60_000);

      it.each(families)(
        "$name: every pair's is what both have counted",
        async (family) => {
          const [one, two, three] = await Promise.all(names.map(container));
          if (one === undefined || two === undefined || three === undefined) throw new Error("unreachable");
          const before = await settled();
          const taken = await daemon().pathTaken("two", async () => {
            await echo(one.namespace, family.of(two), 200);
            await echo(two.namespace, family.of(three), 300);
            const url = `http://${family.quote(family.of(one))}:8000/bytes/50000`;
            const pages = await three.namespace.ask<LoadAnswer>("http-load.mjs", [url, 20, "fresh", 2]);
            expect(pages).toMatchObject({ ok: 20, bytes: 20 * 50_000 });
            await three.namespace.exec(["busybox", "ping", family.flag, "-c", "3", family.of(two)]);
          });
          expect(taken.receive[path]).toBeGreaterThanOrEqual(500);
          const counted = async () => {
            const now = await settled();
            return { peers: minus(now.peers, before.peers), fairway: minus(now.fairway, before.fairway) };
          };
          await until(
            "fairway's are the peers'",
            async () => {
              const { peers, fairway } = await counted();
              return isDeepStrictEqual(peers, fairway);
            },
            patience,
          ).catch(() => undefined);
          const { peers: own, fairway: matrix } = await counted();
          expect(matrix).toEqual(own);
          expect(matrix["one two"]?.packets).toBeGreaterThanOrEqual(200);
          expect(matrix["two three"]?.packets).toBeGreaterThanOrEqual(303);
          expect(matrix["one three"]?.bytes).toBeGreaterThan(20 * 50_000);
        },
        60_000,
      );

      it("has none of a network that does not ask for it", async () => {
        const [four, five] = [await container("four"), await container("five")];
        for (const family of families) await echo(four.namespace, family.of(five), 50);
        const metrics = await daemon().metrics();
        expect(
          metrics.sum("fairway_endpoint_receive_packets_total", { container: "five" }),
        ).toBeGreaterThanOrEqual(50);
        expect(matrixOf(metrics, "plain")).toEqual({});
        expect(metrics.sum("fairway_network_pair_uncounted_packets_total")).toBe(0);
      });
    });

    it("tells once of a label that is none, with the network's name", () => {
      const told = daemon().log.match(/network plain: label fairway\.matrix: .*ture.* is not true or false/g);
      expect(told).toHaveLength(1);
    });

    it("forgets a container that is gone at once, and counts the one that comes anew from nothing", async () => {
      const { engine, disposers } = stage.lab;
      expect(Object.keys(matrixOf(await daemon().metrics())).sort()).toEqual(
        pairs.map(({ from, to }) => `${from} ${to}`).sort(),
      );
      await engine.docker(["stop", "-t", "1", "two"]);
      await until(
        "two is forgotten",
        async () =>
          (await daemon().metrics()).find("fairway_endpoint_info", { container: "two" }).length === 0,
      );
      const without = await daemon().metrics();
      expect(Object.keys(matrixOf(without)).sort()).toEqual(["one three", "three one"]);
      await until(
        "the map has no more",
        async () => (await daemon().metrics()).sum("fairway_map_entries", { map: "pairs" }) === 2,
        patience,
      );

      await engine.docker(["start", "two"]);
      await daemon().knows("two");
      const [one, two] = [await container("one"), await container("two")];
      await two.namespace.agent("serve.mjs", ["--http", 8000, "--udp", 7000], disposers).waitFor(/ready/);
      const before = matrixOf(await daemon().metrics());
      // It may have spoken already, but of what its predecessor had sent there is nothing.
      for (const pair of ["one two", "two one", "two three", "three two"])
        expect(before[pair]?.packets ?? 0, pair).toBeLessThan(50);
      for (const name of names) {
        const { namespace } = await container(name);
        await namespace.exec(["nft", "delete", "table", "netdev", "pairs"], { mayFail: true });
      }
      await beginCounting();
      const begun = await settled();
      await echo(one.namespace, two.address(), 120);
      await until(
        "fairway's are the peers'",
        async () => {
          const now = await settled();
          return isDeepStrictEqual(minus(now.peers, begun.peers), minus(now.fairway, begun.fairway));
        },
        patience,
      ).catch(() => undefined);
      const now = await settled();
      expect(minus(now.fairway, begun.fairway)).toEqual(minus(now.peers, begun.peers));
      expect(minus(now.fairway, begun.fairway)["one two"]?.packets).toBeGreaterThanOrEqual(120);
    }, 90_000);

    it("counts nothing when the network is made anew without the label", async () => {
      const { engine, disposers } = stage.lab;
      await engine.remove(...names);
      await until("they are forgotten", async () =>
        isDeepStrictEqual(matrixOf(await daemon().metrics()), {}),
      );
      await engine.docker(["network", "rm", "team"]);
      await engine.createNetwork("team");
      for (const name of ["one", "two"]) {
        const { namespace } = await engine.run("busybox", { name, network: "team" });
        await namespace.agent("serve.mjs", ["--udp", 7000], disposers).waitFor(/ready/);
        await daemon().knows(name);
      }
      await echo((await container("one")).namespace, (await container("two")).address(), 50);
      const metrics = await daemon().metrics();
      expect(
        metrics.sum("fairway_endpoint_receive_packets_total", { container: "two" }),
      ).toBeGreaterThanOrEqual(50);
      expect(metrics.find("fairway_network_pair_packets_total")).toEqual([]);
    }, 60_000);
  },
);
