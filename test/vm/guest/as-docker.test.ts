// Networks of every kind on parents: who reaches whom with the engine alone, with fairway, with its daemon stopped, and cleaned up.
// fairway adds what labels ask for and nothing else; stopped, that stays; cleaned up, all is as the engine made it.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addAddresses, addressesIn, subnetArguments } from "../../lab/cables.js";
import { type Answers, Crowd, differences, type Member, memberOf } from "../../lab/crowd.js";
import { families } from "../../lab/families.js";
import { addresses, addresses6, createLab, type Fairway, joinByVeth, type Lab } from "../../lab/lib/index.js";
import { makesConnections } from "../../lab/parents.js";
import { ip } from "../../lab/ways.js";

/** The neighbour's last part in the networks that have a gateway. */
const gateway = 3;
const routed = ["--subnet", "192.168.0.0/24", "--subnet", "2001:db8:a0::/64"];
const routedToo = ["--subnet", "192.168.1.0/24", "--subnet", "2001:db8:a1::/64"];

/** A network on each kind of parent; the lab's own LAN is the first's, the others have a cable to the neighbour each. */
const networks = [
  {
    name: "l3",
    options: ["ipvlan", "parent=eth0", "ipvlan_mode=l3"],
    args: ["--label", "fairway.masquerade=true", "--ipv6", ...routed, ...routedToo],
    containers: {
      one: ["--ip", "192.168.0.10", "--ip6", "2001:db8:a0::10"],
      two: ["--ip", "192.168.1.10", "--ip6", "2001:db8:a1::10"],
    },
  },
  {
    name: "l3s",
    options: ["ipvlan", "parent=eth3", "ipvlan_mode=l3s"],
    args: subnetArguments(3),
    containers: { routed: [] },
  },
  {
    name: "l2",
    options: ["ipvlan", "parent=eth2"],
    args: subnetArguments(2, gateway),
    containers: { flat1: [], flat2: [] },
  },
  {
    name: "own",
    options: ["macvlan", "parent=eth1"],
    args: ["--label", "fairway.host=true", ...subnetArguments(1, gateway)],
    containers: { own1: [], own2: [] },
  },
  {
    name: "vlan",
    options: ["macvlan", "parent=eth0.20"],
    args: ["--label", "fairway.host=true", ...subnetArguments(20, gateway)],
    containers: { tagged: [] },
  },
] as const;
const containers = networks.flatMap((network) => Object.keys(network.containers));

let lab: Lab;
let fairway: Fairway;
let crowd: Crowd;
let alone: Answers;
let expected: Answers;

beforeAll(async () => {
  lab = await createLab({ kind: "29", ipv6: true });
  await lab.engine.images("busybox");
  await layCables();
  for (const { name, options, args, containers } of networks) {
    const [driver, ...more] = options;
    const set = more.flatMap((option) => ["-o", option]);
    await lab.engine.createNetwork(name, "-d", driver, ...set, ...args);
    const run = ([container, args]: [string, readonly string[]]) =>
      lab.engine.run("busybox", { name: container, network: name, args });
    await Promise.all(Object.entries(containers).map(run));
  }
  crowd = await Crowd.start(await members(), lab.disposers);
  alone = await crowd.ask();
});
afterAll(() => lab?.dispose());

async function layCables(): Promise<void> {
  const { host, neighbour } = lab;
  // Only at the device of an address it is answered for.
  for (const at of [host, neighbour]) await at.sysctl("net.ipv4.conf.all.arp_ignore", 1);
  for (const number of [1, 2, 3]) {
    const device = `eth${number}`;
    await joinByVeth(neighbour, device, host, device);
    await addAddresses(neighbour, device, number, gateway);
  }
  await ip(neighbour, "link", "add", "link", "eth0", "name", "eth0.20", "type", "vlan", "id", "20");
  await addAddresses(neighbour, "eth0.20", 20, gateway);
  await ip(neighbour, "link", "set", "eth0.20", "up");
}

async function members(): Promise<Member[]> {
  const inside = await Promise.all(containers.map((name) => lab.engine.container(name)));
  const machine = (name: "host" | "neighbour" | "client", more: Member["places"] = {}): Member => ({
    name,
    namespace: lab[name],
    places: { "": { IPv4: addresses[name], IPv6: addresses6[name] }, ...more },
  });
  const gateways = [1, 2, 3, 20].map((number) => [`${number}`, addressesIn(number, gateway)]);
  return [
    machine("host"),
    machine("neighbour", Object.fromEntries(gateways)),
    machine("client"),
    ...inside.map(memberOf),
  ];
}

/**
 * What the labels ask for: host and all containers reach each other, and those on l3 the outside behind the host's address, where the
 * kernel can do that.
 */
async function withFairway(alone: Answers): Promise<Answers> {
  const expected = new Map(alone);
  for (const family of families) {
    const set = (pair: string, seen: string) => {
      expected.set(`${pair}, ${family.name} tcp`, seen);
      expected.set(`${pair}, ${family.name} ping`, "answered");
    };
    for (const name of containers) {
      set(`${name} -> host`, family.of(await lab.engine.container(name)));
      set(`host -> ${name}`, family.addresses.host);
    }
    // By the route to l3s's subnet, which leads to whoever else is in it.
    set("host -> neighbour@3", family.addresses.host);
    for (const name of makesConnections(fairway) ? ["one", "two"] : [])
      for (const to of ["client", "neighbour"]) set(`${name} -> ${to}`, family.addresses.host);
  }
  return expected;
}

/** What the kernel has learned of neighbours is no way to them any more. */
const forgetNeighbours = () => lab.host.exec(["ip", "neigh", "flush", "all"]);

describe("networks on parents", () => {
  it("with the engine alone host and container are apart, and nobody on l3 reaches the outside", () => {
    const answered = (from: string, to: string) =>
      [...alone].filter(([title, answer]) => title.startsWith(`${from} -> ${to}, `) && answer !== "nothing");
    for (const name of containers) {
      expect(answered("host", name)).toEqual([]);
      expect(answered(name, "host")).toEqual([]);
    }
    expect(answered("one", "client")).toEqual([]);
    // Two families, two protocols.
    for (const [from, to] of [
      ["one", "two"],
      ["flat1", "flat2"],
      ["own1", "own2"],
    ] as const)
      expect(answered(from, to)).toHaveLength(4);
    for (const name of ["flat1", "own1", "tagged"]) expect(answered("neighbour", name)).toHaveLength(4);
  });

  it("with fairway have what their labels ask for, and nothing else differs", async () => {
    fairway = await lab.fairway();
    for (const name of containers) await fairway.knows(name);
    expected = await withFairway(alone);
    expect(differences(expected, await crowd.askAgain(expected))).toEqual([]);
  });

  it("with the daemon stopped keep it", async () => {
    await fairway.stop();
    expect(differences(expected, await crowd.askAgain(expected))).toEqual([]);
  });

  it("cleaned up are as the engine made them", async () => {
    await fairway.cleanup();
    await forgetNeighbours();
    expect(differences(alone, await crowd.askAgain(alone))).toEqual([]);
  });

  it("and nothing of fairway's is left: no route, no table, no program", async () => {
    for (const family of ["-4", "-6"])
      expect(await lab.host.ip(family, "route", "show", "table", "all", "proto", "250")).toEqual([]);
    expect((await lab.host.exec(["nft", "list", "tables"])).stdout).not.toContain("fairway");
    const { stdout } = await lab.host.exec(["tc", "qdisc", "show"]);
    expect(stdout).not.toContain("clsact");
  });
});
