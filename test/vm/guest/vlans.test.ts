// Parents that are VLANs (802.1q), made by the engine on a device that is a parent itself: containers of one VLAN talk, of two don't,
// hosts outside reach those of their own VLAN, and the host itself those whose networks say so. VLANs are modules of the machines' kernels.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addAddresses, addressesIn, subnetArguments, subnetOf } from "../../lab/cables.js";
import { type Answers, anything, Crowd, differences, type Member, memberOf } from "../../lab/crowd.js";
import { families } from "../../lab/families.js";
import {
  addresses,
  addresses6,
  createLab,
  createNamespace,
  type Fairway,
  joinByVeth,
  type Lab,
  type Namespace,
} from "../../lab/lib/index.js";
import { asks, createLanNetwork, echo, needsConnectionsMade, pings, seenAs } from "../../lab/parents.js";
import { ip } from "../../lab/ways.js";

/** The machine's last part that is the gateway of each VLAN, and the host's where it is in it: none that the engine gives away. */
const last = { gateway: 3, host: 200 } as const;
const containers = { 20: ["a20", "b20"], 30: ["a30", "b30"], 40: ["a40", "b40"] } as const;

let lab: Lab;
let fairway: Fairway;
let crowd: Crowd;
/** Of another VLAN than the neighbour. */
let stranger: Namespace;

/** Puts a machine outside into a VLAN, as its gateway. */
async function enter(at: Namespace, vlan: number): Promise<void> {
  const device = `eth0.${vlan}`;
  await ip(at, "link", "add", "link", "eth0", "name", device, "type", "vlan", "id", `${vlan}`);
  await addAddresses(at, device, vlan, last.gateway);
  await ip(at, "link", "set", device, "up");
  // Only in the VLAN of an address it is answered for.
  await at.sysctl("net.ipv4.conf.all.arp_ignore", 1);
}

/** Where somebody would look for another VLAN's addresses if it were the same: on its own link. */
async function lookFor(at: Namespace, device: string, others: readonly number[]): Promise<void> {
  for (const other of others) {
    const { IPv4, IPv6 } = subnetOf(other);
    for (const subnet of [`${IPv4}0/24`, `${IPv6}/64`])
      await at.exec(["ip", "route", "add", subnet, "dev", device]);
  }
}

const createVlanNetwork = (driver: string, vlan: number, ...args: readonly string[]) =>
  lab.engine.createNetwork(
    `vlan${vlan}`,
    ...["-d", driver, "-o", `parent=eth0.${vlan}`, ...subnetArguments(vlan, last.gateway)],
    ...args,
  );

/** A container in a VLAN, that would reach the others' if they were not apart; the first of 40 has a published port. */
async function runIn(vlan: number, name: string): Promise<void> {
  const args = name === "a40" ? ["--label", `fairway.publish=8080:${echo}/tcp,8080:${echo}/udp`] : [];
  const { namespace } = await lab.engine.run("busybox", { name, network: `vlan${vlan}`, args });
  const others = Object.keys(containers).map(Number);
  await lookFor(
    namespace,
    "eth0",
    others.filter((other) => other !== vlan),
  );
}

const both = (a: string, b: string) => [`${a} -> ${b}`, `${b} -> ${a}`];
/** Who reaches whom with fairway; nobody else. */
const expected = [
  ...Object.values(containers).flatMap(([one, other]) => both(one, other)),
  ...both("plain", "neighbour"),
  ...both("host", "neighbour"),
  ...["a20", "b20"].flatMap((name) => [`neighbour -> ${name}`, `${name} -> neighbour@vlan20`]),
  ...["a30", "b30"].flatMap((name) => both(name, "stranger")),
  ...["a40", "b40"].flatMap((name) => [`neighbour -> ${name}`, `${name} -> neighbour@vlan40`]),
  ...["neighbour -> host@vlan40", "host -> neighbour@vlan40"],
  // Their gateway, at any address of its own; theirs on the LAN as well.
  ...["a20", "b20", "a40", "b40"].map((name) => `${name} -> neighbour`),
  // The host, where it is asked for (macvlan) and where it is not refused (ipvlan), at any address of its own.
  ...["a20", "b20", "a40", "b40"].flatMap((name) => [...both("host", name), `${name} -> host@vlan40`]),
];

beforeAll(async () => {
  lab = await createLab({ kind: "29", ipv6: true });
  await lab.engine.images("busybox");
  stranger = await createNamespace(`${lab.id}-stranger`, lab.disposers);
  await joinByVeth(lab.router, "stranger", stranger, "eth0");
  await ip(lab.router, "link", "set", "stranger", "master", "lan");
  await enter(lab.neighbour, 20);
  await enter(stranger, 30);
  await enter(lab.neighbour, 40);
  await createLanNetwork(lab, "macvlan", "lan");
  await createVlanNetwork("macvlan", 20, "--label", "fairway.host=true");
  await createVlanNetwork("macvlan", 30);
  await createVlanNetwork("ipvlan", 40);
  await addAddresses(lab.host, "eth0.40", 40, last.host);
  await Promise.all([
    lab.engine.run("busybox", {
      name: "plain",
      network: "lan",
      args: ["--ip", "198.18.2.64", "--ip6", "2001:db8:2::64"],
    }),
    lab.engine.run("busybox", { name: "counted", network: "vlan20" }),
    ...Object.entries(containers).flatMap(([vlan, names]) => names.map((name) => runIn(Number(vlan), name))),
  ]);
  await lookFor(lab.neighbour, "eth0.20", [30]);
  await lookFor(stranger, "eth0.30", [20, 40]);
  fairway = await lab.fairway();
  crowd = await Crowd.start(await members(), lab.disposers);
});
afterAll(() => lab?.dispose());

async function members(): Promise<Member[]> {
  const names = ["plain", ...Object.values(containers).flat()];
  const inside = await Promise.all(names.map((name) => lab.engine.container(name)));
  const lan = (name: "host" | "neighbour") => ({ IPv4: addresses[name], IPv6: addresses6[name] });
  const inVlan = (vlan: number, last: number) => ({ [`vlan${vlan}`]: addressesIn(vlan, last) });
  return [
    ...inside.map(memberOf),
    { name: "host", namespace: lab.host, places: { "": lan("host"), ...inVlan(40, last.host) } },
    {
      name: "neighbour",
      namespace: lab.neighbour,
      places: { "": lan("neighbour"), ...inVlan(20, last.gateway), ...inVlan(40, last.gateway) },
    },
    { name: "stranger", namespace: stranger, places: { "": addressesIn(30, last.gateway) } },
  ];
}

const container = (name: string) => lab.engine.container(name);

it("VLANs: the engine makes the devices", async () => {
  for (const id of [20, 30, 40]) {
    const [link] = await lab.host.ip<{ linkinfo: object }[]>("-d", "link", "show", `eth0.${id}`);
    expect(link?.linkinfo).toMatchObject({ info_kind: "vlan", info_data: { protocol: "802.1Q", id } });
  }
});

/** A tag travels beside the packet, where devices can do that, or within it, in front of the IP header. */
describe.each(["on", "off"])("VLANs, with eth0's offload of tags %s", (offload) => {
  beforeAll(async () => {
    await lab.host.exec(["ethtool", "-K", "eth0", "txvlan", offload, "rxvlan", offload]);
    for (const name of ["a20", "a30", "a40"]) await fairway.knows(name);
  });

  it("count for the container alone that is in them, each packet once", async () => {
    const address = (await container("counted")).address();
    const elsewhere = await fairway.pathTaken("plain", async () => {
      const taken = await fairway.pathTaken("counted", () => pings(lab.neighbour, address, 10));
      const ways = { fast: 0, slow: 10 };
      expect(taken).toEqual({ receive: ways, transmit: ways });
    });
    expect(elsewhere.receive).toEqual({ fast: 0, slow: 0 });
  });

  it("stay apart: who is in one reaches those in it, and nobody in another", async () => {
    const pairOf = (title: string) => title.split(",")[0] ?? "";
    const wanted: Answers = new Map(
      crowd.titles.map((title) => [title, expected.includes(pairOf(title)) ? anything : "nothing"]),
    );
    expect(expected.filter((pair) => !crowd.titles.some((title) => pairOf(title) === pair))).toEqual([]);
    const answers = await crowd.askAgain(wanted);
    expect(differences(wanted, answers)).toEqual([]);
    for (const name of ["a20", "b20"]) {
      const one = await container(name);
      for (const family of families) {
        expect(answers.get(`${name} -> host, ${family.name} tcp`)).toBe(family.of(one));
        expect(answers.get(`host -> ${name}, ${family.name} tcp`)).toBe(family.addresses.host);
      }
    }
  });

  it.each(families)(
    "carry bulk to and from outside, and between host and container, $name",
    async (family) => {
      const own = (vlan: number, last: number) => addressesIn(vlan, last)[family.name];
      for (const [name, vlan] of [
        ["b20", 20],
        ["b40", 40],
      ] as const) {
        const { namespace, ...one } = await container(name).then((c) => ({
          namespace: c.namespace,
          address: family.of(c),
        }));
        // The crowd serves there.
        expect(await asks(lab.neighbour, one.address)).toEqual(seenAs(own(vlan, last.gateway)));
        expect(await asks(namespace, own(vlan, last.gateway))).toEqual(seenAs(one.address));
        const host = vlan === 40 ? own(40, last.host) : family.addresses.host;
        expect(await asks(lab.host, one.address)).toEqual(seenAs(host));
        expect(await asks(namespace, host)).toEqual(seenAs(one.address));
      }
    },
  );

  it.for(families)("lead from a port of the parent's to its container, $name", async (family, context) => {
    needsConnectionsMade(fairway, context);
    const neighbour = addressesIn(40, last.gateway)[family.name];
    const { tcp, udp } = await asks(lab.neighbour, addressesIn(40, last.host)[family.name], 8080);
    expect({ tcp, udp }).toEqual({ tcp: neighbour, udp: neighbour });
  });
});

it("VLANs: nothing is said that one would have to see to", () => {
  expect(fairway.log).not.toMatch(/parent_label|parent_route/);
});
