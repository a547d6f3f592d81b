import { describe, expect, it } from "vitest";
import type { EngineContainer, EngineNetwork, EngineState } from "../../../src/docker/model.js";
import { normaliseNetwork } from "../../../src/docker/normalise.js";
import type { HostState } from "../../../src/host/state.js";
import { untrackedRules } from "../../../src/parents/untracked.js";
import { readNetworkLabels, readPublishLabel } from "../../../src/plan/parent_labels.js";
import { plan } from "../../../src/plan/plan.js";
import { hostFor } from "./host.js";

const id = (n: number) => n.toString(16).padStart(64, "0");

/** A network as the engine's API has it. */
function network(
  n: number,
  options: Record<string, string>,
  more: Partial<EngineNetwork> = {},
): EngineNetwork {
  const driver = options.ipvlan_mode === undefined ? "macvlan" : "ipvlan";
  const raw = { Id: id(n), Name: `net${n}`, Driver: driver, Options: options, Labels: {} };
  return { ...normaliseNetwork(raw), ...more };
}

function container(n: number, on: EngineNetwork, change: Partial<EngineContainer["endpoints"][0]> = {}) {
  return {
    id: id(0x100 + n),
    name: `c${n}`,
    labels: {} as Record<string, string>,
    running: true,
    paused: false,
    networkMode: on.name,
    sandboxKey: "",
    endpoints: [
      {
        networkId: on.id,
        networkName: on.name,
        endpointId: id(0x200 + n),
        address4: `192.168.0.${n}`,
        address6: `2001:db8:a0::${n}`,
        gatewayPriority: 0,
        ...change,
      },
    ],
    ports: [],
  } satisfies EngineContainer;
}

function planned(networks: EngineNetwork[], containers: EngineContainer[], change: Partial<HostState> = {}) {
  const engine: EngineState = {
    version: "29",
    apiVersion: "1.52",
    networks,
    containers,
    unsure: [],
    warnings: [],
  };
  return plan(engine, { ...hostFor(engine), ...change }, { uplinks: [] });
}

const l3 = network(
  1,
  { parent: "eth0", ipvlan_mode: "l3" },
  {
    subnets4: [{ cidr: "192.168.0.0/24" }, { cidr: "192.168.1.0/24" }],
    subnets6: [{ cidr: "2001:db8:a0::/64" }],
  },
);

describe("endpoints on ipvlan and macvlan", () => {
  it("are their parent's, by whose MAC an ipvlan device goes", () => {
    const { endpoints, parents, warnings } = planned([l3], [container(10, l3)]);
    expect(warnings).toEqual([]);
    expect(parents).toEqual([{ ifindex: 2, name: "eth0", untracked: [], announced: [] }]);
    expect(endpoints).toMatchObject([
      {
        container: "c10",
        network: "net1",
        device: "eth0",
        ifindex: 0x80000002,
        bridgeIfindex: 2,
        mac: Uint8Array.from([2, 0, 0, 0, 0, 2]),
        bridging: false,
        matrix: false,
        parent: { driver: "ipvlan", mode: "l3", host: true, translated: false },
      },
    ]);
  });

  it("a macvlan device has its own, and the host is apart unless the network asks for it", () => {
    const apart = network(1, { parent: "eth0", macvlan_mode: "bridge" });
    const mac = { mac: "02:42:00:00:00:0a" };
    const [one] = planned([apart], [container(10, apart, mac)]).endpoints;
    expect(one).toMatchObject({
      mac: Uint8Array.from([2, 66, 0, 0, 0, 10]),
      parent: { driver: "macvlan", host: false },
    });
    const reached = { ...apart, labels: { "fairway.host": "true" } };
    expect(planned([reached], [container(10, reached, mac)]).endpoints[0]?.parent?.host).toBe(true);
  });

  it("a network without a parent on this host has none", () => {
    const gone = network(1, { parent: "eth9", ipvlan_mode: "l2" });
    const internal = network(2, { ipvlan_mode: "l2" });
    const result = planned([gone, internal], [container(10, gone), container(11, internal)]);
    expect(result).toMatchObject({ endpoints: [], parents: [], hostRoutes: [] });
  });

  it("one with another's address is left out", () => {
    const { endpoints } = planned(
      [l3],
      [container(10, l3), { ...container(11, l3, { address4: "192.168.0.10" }) }],
    );
    expect(endpoints.map((e) => e.container)).toEqual(["c10"]);
  });
});

describe("the host's routes", () => {
  it("lead to the subnets of an l3 network that have containers", () => {
    const { hostRoutes } = planned([l3], [container(10, l3), container(11, l3)]);
    expect(hostRoutes).toEqual([
      { destination: "192.168.0.0/24", ifindex: 2, device: "eth0" },
      { destination: "2001:db8:a0::/64", ifindex: 2, device: "eth0" },
    ]);
  });

  it("lead to one address each where there may be others in the subnet", () => {
    const l2 = network(1, { parent: "eth0", ipvlan_mode: "l2" }, { subnets4: [{ cidr: "192.168.0.0/24" }] });
    const { hostRoutes } = planned([l2], [container(10, l2)]);
    expect(hostRoutes.map((r) => r.destination)).toEqual(["192.168.0.10/32", "2001:db8:a0::10/128"]);
  });

  it("are none for what is on the parent's own link, or apart", () => {
    const l2 = network(1, { parent: "eth0", ipvlan_mode: "l2" });
    const own = { address4: "198.18.0.70", address6: "2001:db8::70" };
    expect(planned([l2], [container(10, l2, own)]).hostRoutes).toEqual([]);
    const apart = { ...l3, labels: { "fairway.host": "false" } };
    expect(planned([apart], [container(10, apart)]).hostRoutes).toEqual([]);
  });
});

describe("networks that are routed", () => {
  const label = { labels: { "fairway.route": "true" } };
  const second = network(
    2,
    { parent: "eth1", ipvlan_mode: "l3" },
    { subnets4: [{ cidr: "192.168.5.0/24", gateway: "192.168.5.1" }], ...label },
  );
  /** The host's second device: not an uplink, and without addresses. */
  const host = () => {
    const { links } = hostFor({
      version: "",
      apiVersion: "",
      networks: [],
      containers: [],
      unsure: [],
      warnings: [],
    });
    return { links: [...links, { ...links[1], ifindex: 3, name: "eth1" } as (typeof links)[0]] };
  };
  const containers = (first: EngineNetwork) => [
    container(10, first),
    container(11, second, { address4: "192.168.5.11", address6: "2001:db8:a5::11" }),
  ];

  it("have their subnets in the table, with the parent's address for a router or the gateway", () => {
    const { parentSubnets } = planned([{ ...l3, ...label }, second], [], host());
    expect(parentSubnets).toEqual([
      { subnet: "192.168.0.0/24", network: 0, own: true, router: "198.18.0.5" },
      { subnet: "192.168.1.0/24", network: 0, own: true, router: "198.18.0.5" },
      { subnet: "192.168.5.0/24", network: 0, own: true, router: "192.168.5.1" },
      { subnet: "2001:db8:a0::/64", network: 0, own: true, router: "2001:db8::5" },
    ]);
    expect(planned([l3], []).parentSubnets).toEqual([]);
  });

  it("are told things in the name of another address of the host's where neither parent nor network has one, or not at all", () => {
    const bare = {
      ...second,
      subnets4: [{ cidr: "192.168.5.0/24" }],
      subnets6: [{ cidr: "2001:db8:a5::/64" }],
    };
    const routers = (change: Partial<HostState> = {}) =>
      planned([bare], [], { ...host(), ...change }).parentSubnets.map(({ router }) => router);
    expect(routers()).toEqual(["198.18.0.5", "2001:db8::5"]);
    expect(routers({ addresses: [] })).toEqual(["0.0.0.0", "::"]);
  });

  it("say of a subnet that others are in that it is not theirs alone", () => {
    const shared = { ...l3, ...label, subnets4: [{ cidr: "198.18.0.0/24" }], subnets6: [] };
    const l2 = network(3, { parent: "eth0", ipvlan_mode: "l2" }, { subnets4: [{ cidr: "192.168.7.0/24" }] });
    const { parentSubnets } = planned([shared, { ...l2, ...label }], []);
    expect(parentSubnets.map(({ subnet, own }) => [subnet, own])).toEqual([
      ["192.168.7.0/24", false],
      ["198.18.0.0/24", false],
    ]);
  });

  it("mark their containers, each with its network's number", () => {
    const first = { ...l3, ...label, id: `000000ff${"0".repeat(56)}` };
    const on = { networkId: first.id };
    const { endpoints } = planned([first, second], [container(10, first, on)], host());
    expect(endpoints[0]?.parent).toMatchObject({ route: true, network: 255 });
    expect(planned([l3], [container(10, l3)]).endpoints[0]?.parent?.route).toBe(false);
  });

  it("have a route by a parent without a default route, for its own containers", () => {
    const { hostRoutes } = planned([{ ...l3, ...label }, second], containers(l3), host());
    expect(hostRoutes.filter(({ through }) => through)).toEqual([
      { destination: "192.168.0.0/24", ifindex: 3, device: "eth1", through: true },
      { destination: "2001:db8:a0::/64", ifindex: 3, device: "eth1", through: true },
    ]);
    const alone = planned([l3, second], containers(l3), host()).hostRoutes;
    expect(alone.filter(({ through }) => through)).toEqual([]);
  });
});

describe("containers that are announced", () => {
  const label = { labels: { "fairway.announce": "arp" } };
  const flat = network(1, { parent: "eth0", ipvlan_mode: "l3" }, { ...label });
  const onLan = { address4: "198.18.0.70", address6: "2001:db8::70" };

  it("are those of a routed mode that are on the parent's own link", () => {
    expect(planned([flat], [container(10, flat, onLan)]).parents[0]?.announced).toEqual([
      "198.18.0.70",
      "2001:db8::70",
    ]);
    const half = { ...onLan, address6: "2001:db8:a0::70" };
    const { parents, endpoints } = planned([flat], [container(10, flat, half)]);
    expect(parents[0]?.announced).toEqual(["198.18.0.70"]);
    expect([endpoints[0]?.ip[4]?.announced, endpoints[0]?.ip[6]?.announced]).toEqual([true, undefined]);
    const l2 = { ...flat, mode: "l2" };
    expect(planned([l2], [container(10, l2, onLan)]).parents[0]?.announced).toEqual([]);
  });

  it("are none by another word, which is told", () => {
    const { parents, warnings } = planned(
      [{ ...flat, labels: { "fairway.announce": "yes" } }],
      [container(10, flat, onLan)],
    );
    expect(parents[0]?.announced).toEqual([]);
    expect(warnings.map((w) => w.message)).toEqual([
      'network net1: label fairway.announce: "yes" is not arp: it is ignored',
    ]);
  });
});

describe("translation", () => {
  const masquerading = { ...l3, labels: { "fairway.masquerade": "true" } };

  it("masquerades an l3 network that asks for it, and keeps the host's conntrack out", () => {
    const { endpoints, parents } = planned([masquerading], [container(10, masquerading)]);
    expect(endpoints[0]).toMatchObject({
      ip: { 4: { masquerade: true, filtered: false }, 6: { masquerade: true } },
      parent: { translated: true },
    });
    expect(parents[0]?.untracked).toEqual(["192.168.0.10", "2001:db8:a0::10"]);
  });

  it("does not where the host does not forward, nor at a parent that is no uplink", () => {
    const host = hostFor({
      version: "",
      apiVersion: "",
      networks: [],
      containers: [],
      unsure: [],
      warnings: [],
    });
    const sysctls = { ...host.sysctls, forwarding: { 4: false, 6: false } };
    const off = planned([masquerading], [container(10, masquerading)], { sysctls });
    expect(off.endpoints[0]?.ip[4]?.masquerade).toBe(false);
    const links = [...host.links, { ...host.links[1], ifindex: 3, name: "eth1" } as (typeof host.links)[0]];
    const elsewhere = { ...masquerading, parent: "eth1" };
    const other = planned([elsewhere], [container(10, elsewhere)], { links });
    expect(other.endpoints[0]?.ip[4]?.masquerade).toBe(false);
  });

  it("publishes on each of the parent's addresses of a family that the container has", () => {
    const labels = { "fairway.publish": "8080:80, 53:53/udp" };
    const { ports } = planned([l3], [{ ...container(10, l3), labels }]);
    expect(
      ports.map((p) => `${p.proto} ${p.address} ${p.port} ${p.containerAddress} ${p.containerPort}`),
    ).toEqual([
      "tcp 198.18.0.5 8080 192.168.0.10 80",
      "tcp 198.18.0.6 8080 192.168.0.10 80",
      "tcp 2001:db8::5 8080 2001:db8:a0::10 80",
      "udp 198.18.0.5 53 192.168.0.10 53",
      "udp 198.18.0.6 53 192.168.0.10 53",
      "udp 2001:db8::5 53 2001:db8:a0::10 53",
    ]);
  });

  it("says that nothing is published on a parent without an address of the host's", () => {
    const vlan = network(2, { parent: "eth0.20" });
    const labels = { "fairway.publish": "8080:80" };
    const engine = [{ ...container(10, vlan), labels }];
    const { links } = hostFor({
      version: "",
      apiVersion: "",
      networks: [],
      containers: [],
      unsure: [],
      warnings: [],
    });
    const own = {
      ifindex: 5,
      name: "eth0.20",
      kind: "vlan",
      type: 1,
      flags: 1,
      mtu: 1500,
      link: 2,
      mac: "02:00:00:00:00:02",
    };
    const { ports, warnings } = planned([vlan], engine, { links: [...links, own] });
    expect(ports).toEqual([]);
    expect(warnings).toMatchObject([
      { code: "parent_label", message: expect.stringContaining("eth0.20 is no uplink") },
    ]);
  });

  it("judges published ports by the container's policy, as the engine's", () => {
    const labels = { "fairway.publish": "8080:80", "fairway.allow": "198.18.0.0/16" };
    const { policy } = planned([l3], [{ ...container(10, l3), labels }]);
    expect(policy.ports).toMatchObject([
      { proto: "tcp", address: "198.18.0.5", port: 8080, unlistedRefused: true },
      { proto: "tcp", address: "198.18.0.6", port: 8080, unlistedRefused: true },
      { proto: "tcp", address: "2001:db8::5", port: 8080, unlistedRefused: true },
    ]);
  });

  it("leaves a port with who has it", () => {
    const labels = { "fairway.publish": "8080:80" };
    const { ports, warnings } = planned(
      [l3],
      [
        { ...container(10, l3), labels },
        { ...container(11, l3), labels },
      ],
    );
    expect(new Set(ports.map((p) => p.containerAddress))).toEqual(
      new Set(["192.168.0.10", "2001:db8:a0::10"]),
    );
    expect(warnings.map((w) => w.code)).toEqual(["port_conflict", "port_conflict", "port_conflict"]);
  });
});

describe("labels", () => {
  it("of a network are booleans", () => {
    expect(readNetworkLabels({ driver: "ipvlan", labels: {} }).labels).toEqual({
      host: true,
      masquerade: false,
      route: false,
      announce: false,
    });
    const { labels, problems } = readNetworkLabels({
      driver: "macvlan",
      labels: { "fairway.host": "maybe" },
    });
    expect(labels.host).toBe(false);
    expect(problems).toEqual(['label fairway.host: "maybe" is not true or false: it is ignored']);
  });

  it("don't let the host to a container that has its parent for itself", () => {
    const asked = { driver: "macvlan", labels: { "fairway.host": "true" } };
    expect(readNetworkLabels({ ...asked, mode: "vepa" })).toMatchObject({
      labels: { host: true },
      problems: [],
    });
    expect(readNetworkLabels({ ...asked, mode: "passthru" })).toMatchObject({
      labels: { host: false },
      problems: ["label fairway.host: in mode passthru the parent is the container's alone"],
    });
  });

  it.each(["80", "0:80", "80:65536", "80:80/sctp", "127.0.0.1:80:80", "a:80", "", "80:80\n;"])(
    "%j is no published port",
    (text) => {
      const { published, problems } = readPublishLabel({ "fairway.publish": `81:82,${text}` });
      expect(published).toEqual([{ hostPort: 81, containerPort: 82, proto: "tcp" }]);
      expect(problems).toHaveLength(1);
      expect(problems[0]).not.toContain("\n");
    },
  );
});

describe("the rules that keep conntrack out", () => {
  it("are none where nothing is translated", () => {
    expect(untrackedRules([{ ifindex: 2, name: "eth0", untracked: [], announced: [] }])).toBe("");
  });

  it("name each address at its parent", () => {
    const rules = untrackedRules([
      { ifindex: 2, name: "eth0", untracked: ["192.168.0.10", "2001:db8:a0::10"], announced: [] },
    ]);
    expect(rules).toContain('set ipv4 { type ifname . ipv4_addr; elements = { "eth0" . 192.168.0.10 }; }');
    expect(rules).toContain("oifname . ip6 saddr @ipv6 notrack");
    expect(rules).toContain("iifname . ip daddr @ipv4 notrack");
  });

  it("are not written for a device whose name nft would read as something else", () => {
    expect(
      untrackedRules([{ ifindex: 2, name: 'e"; flush', untracked: ["192.168.0.10"], announced: [] }]),
    ).toBe("");
  });
});
