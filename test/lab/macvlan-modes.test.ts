// macvlan's modes with fairway running: each keeps what it promises. bridge: containers of one parent reach each other. private:
// never, even where the switch would send their frames back. vepa: by the switch. passthru: the parent is its one container's. Where
// a network asks for it the host and its containers reach each other; nothing else changes, with fairway, after it, and without it.

import { beforeAll, expect, it } from "vitest";
import { addAddresses, cableToLan, subnetArguments } from "./cables.js";
import { type Answers, Crowd, differences, memberOf, reached } from "./crowd.js";
import { families } from "./families.js";
import { addresses, addresses6, type Lab } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";

/** A network for each mode, on a parent of its own; its number is its subnet's. */
const networks = [
  { mode: "bridge", number: 1, containers: ["bridge1", "bridge2"], host: false },
  { mode: "private", number: 2, containers: ["private1", "private2"], host: true },
  { mode: "vepa", number: 3, containers: ["vepa1", "vepa2"], host: true },
  { mode: "passthru", number: 4, containers: ["passthru"], host: true },
] as const;
/** The neighbour's last part in each. */
const gateway = 3;
/** Docker has a network "bridge" already. */
const networkOf = (mode: string) => `lan-${mode}`;

async function createNetworks(lab: Lab): Promise<void> {
  for (const { mode, number, containers, host } of networks) {
    const parent = `eth${number}`;
    await cableToLan(lab, parent, mode === "vepa" || mode === "private");
    await addAddresses(lab.neighbour, "eth0", number, gateway);
    const network = networkOf(mode);
    await lab.engine.createNetwork(
      network,
      ...["-d", "macvlan", "-o", `parent=${parent}`, "-o", `macvlan_mode=${mode}`],
      ...["--label", `fairway.host=${host}`, ...subnetArguments(number, gateway)],
    );
    for (const name of containers) await lab.engine.run("busybox", { name, network });
  }
}

const startCrowd = async (lab: Lab): Promise<Crowd> => {
  const names = networks.flatMap(({ containers }) => containers);
  const containers = await Promise.all(names.map((name) => lab.engine.container(name)));
  const machines = (["host", "neighbour"] as const).map((name) => ({
    name,
    namespace: lab[name],
    places: { "": { IPv4: addresses[name], IPv6: addresses6[name] } },
  }));
  return Crowd.start([...machines, ...containers.map(memberOf)], lab.disposers);
};

onEveryEngine(
  "macvlan's modes",
  { images: ["busybox"], ipv6: true, oneEngine: true, before: createNetworks, fairway: false },
  (stage) => {
    let crowd: Crowd;
    let alone: Answers;
    let expected: Answers;

    beforeAll(async () => {
      const { lab } = stage;
      crowd = await startCrowd(lab);
      alone = await crowd.ask();
      const changed = new Map(alone);
      for (const family of families) {
        for (const name of ["private1", "private2", "vepa1", "vepa2"]) {
          const own = family.of(await lab.engine.container(name));
          changed.set(`host -> ${name}, ${family.name} tcp`, family.addresses.host);
          changed.set(`${name} -> host, ${family.name} tcp`, own);
          changed.set(`host -> ${name}, ${family.name} ping`, "answered");
          changed.set(`${name} -> host, ${family.name} ping`, "answered");
        }
      }
      expected = changed;
    });

    it("are what they promise, with the engine alone", () => {
      const both = (a: string, b: string) => [`${a} -> ${b}`, `${b} -> ${a}`];
      const outside = networks.flatMap(({ containers }) =>
        containers.flatMap((name) => both("neighbour", name)),
      );
      const within = [...both("bridge1", "bridge2"), ...both("vepa1", "vepa2")];
      const expected = [...both("host", "neighbour"), ...outside, ...within];
      expect(new Set(reached(alone))).toEqual(new Set(expected));
    });

    it("are the same with fairway, but for the host and those whose networks ask for it", async () => {
      const fairway = await stage.lab.fairway();
      for (const { mode, containers } of networks) await fairway.knows(containers[0], networkOf(mode));
      expect(differences(expected, await crowd.askAgain(expected))).toEqual([]);
      const metrics = await fairway.metrics();
      for (const { mode, number, containers } of networks) {
        const labels = { driver: "macvlan", driver_mode: mode, bridge: `eth${number}` };
        const named = metrics.find("fairway_endpoint_info", labels).map(({ labels }) => labels.container);
        expect(named.sort()).toEqual([...containers]);
        // Each was reached from outside by now, and has answered.
        for (const container of containers)
          for (const direction of ["receive", "transmit"])
            expect(
              metrics.sum(`fairway_endpoint_${direction}_packets_total`, { container, path: "slow" }),
            ).toBeGreaterThan(0);
      }
      // By the switch and back, or from one to the other within the parent: each is counted at both ends.
      for (const [from, to] of [
        ["vepa1", "vepa2"],
        ["bridge1", "bridge2"],
      ] as const) {
        const { namespace } = await stage.lab.engine.container(from);
        const address = (await stage.lab.engine.container(to)).address();
        const ping = ["busybox", "ping", "-c", "20", "-i", "0.02", address];
        const taken = await fairway.pathTaken(to, async () => {
          const own = await fairway.pathTaken(from, () => namespace.exec(ping));
          for (const way of [own.transmit.slow, own.receive.slow]) expect(way).toBeGreaterThanOrEqual(20);
        });
        for (const way of [taken.transmit.slow, taken.receive.slow]) expect(way).toBeGreaterThanOrEqual(20);
      }
      await fairway.stop();
      expect(differences(expected, await crowd.askAgain(expected))).toEqual([]);
      await fairway.cleanup();
      await forgetNeighbours(stage.lab);
      expect(differences(alone, await crowd.askAgain(alone))).toEqual([]);
    });
  },
);

/** What the host has learned of containers is no way to them any more. */
async function forgetNeighbours(lab: Lab): Promise<void> {
  await lab.host.exec(["ip", "neigh", "flush", "all"]);
}
