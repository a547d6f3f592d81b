import { describe, expect, test } from "vitest";
import { partiesOf } from "../../../src/explain/ends.js";
import { passageOf } from "../../../src/explain/passage.js";
import { parseQuestion } from "../../../src/explain/question.js";
import type { KnownEndpoint, World } from "../../../src/explain/world.js";
import {
  type Endpoint,
  EndpointFlags,
  endpointCodec,
  type Uplink,
  UplinkXdpFlags,
  uplinkCodec,
} from "../../../src/generated/index.js";
import { formatMac } from "../../../src/ip.js";
import type { NetLink } from "../../../src/native/index.js";

const device = { eth0: 2, app: 3, web0: 4, db0: 5, eth1: 6, wg0: 7 } as const;
const mac = (last: number) => Buffer.from([2, 0, 0, 0, 0, last]);

function endpoint(slot: number, name: string, network: string, values: Partial<Endpoint>): KnownEndpoint {
  const none = endpointCodec.decode(Buffer.alloc(endpointCodec.size));
  return {
    slot,
    container: name,
    network,
    endpoint: { ...none, generation: 1, mac: mac(slot), bridgeMac: mac(0x10), ...values },
  };
}

const ipv4 = (address: string) => ({ address, snatAddress: "0.0.0.0", flags: 0 });
const ipv6 = (address: string) => ({ address, snatAddress: "::", flags: 0 });
const onApp = { bridgeIfindex: device.app };
const onEth1 = { bridgeIfindex: device.eth1, ifindex: 0x80000000 + device.eth1, flags: EndpointFlags.PARENT };

const uplink = (values: Partial<Uplink>): Uplink => ({
  ...uplinkCodec.decode(Buffer.alloc(uplinkCodec.size)),
  ...values,
});
const link = (name: keyof typeof device): [number, NetLink] => [
  device[name],
  { ifindex: device[name], name, type: 1, flags: 1, mtu: 1500, mac: formatMac(mac(0x20 + device[name])) },
];

const world: World = {
  endpoints: [
    endpoint(1, "web", "app", {
      ...onApp,
      ifindex: device.web0,
      ipv4: ipv4("172.17.0.2"),
      ipv6: ipv6("2001:db8:17::2"),
    }),
    endpoint(2, "db", "app", { ...onApp, ifindex: device.db0, ipv4: ipv4("172.17.0.3") }),
    endpoint(3, "lan", "vlan", { ...onEth1, ipv4: ipv4("198.18.9.64") }),
    endpoint(4, "lan2", "vlan", { ...onEth1, ipv4: ipv4("198.18.9.65") }),
    endpoint(5, "web", "vlan", { ...onEth1, ipv4: ipv4("198.18.9.66") }),
  ],
  uplinks: new Map([
    [
      device.eth0,
      uplink({
        xdp: UplinkXdpFlags.ATTACHED,
        ipv4Count: 1,
        ipv4: [{ address: "198.18.0.1", netmask: "255.255.255.0" }],
        ipv6: "2001:db8::1",
      }),
    ],
    [device.wg0, uplink({})],
  ]),
  devices: new Map((Object.keys(device) as (keyof typeof device)[]).map(link)),
  hostAddresses: new Set(["198.18.0.1", "2001:db8::1", "127.0.0.1"]),
  route: (address) => {
    if (address === "127.0.0.1" || address === "198.18.0.1") return { type: 2, prefsrc: address };
    if (address.startsWith("172.17.")) return { type: 1, oif: device.app, prefsrc: "172.17.0.1" };
    if (address.startsWith("198.18.9.")) return { type: 1, oif: device.eth1, prefsrc: "198.18.9.1" };
    if (address.startsWith("10.")) return { type: 1, oif: device.wg0 };
    if (address.startsWith("192.0.2.")) return { type: 1, oif: device.db0 };
    return address.startsWith("100.") ? undefined : { type: 1, oif: device.eth0, prefsrc: "198.18.0.1" };
  },
};

const passage = (source: string, destination: string) =>
  passageOf(partiesOf(parseQuestion(source, destination), world), world);
const hooks = (source: string, destination: string) =>
  passage(source, destination).hooks.map(({ program, ifindex }) => [program, ifindex]);

describe("where a packet passes", () => {
  test("from outside: XDP where it is attached, then the uplink; at a parent its own", () => {
    expect(hooks("203.0.113.7", "host:80")).toEqual([
      ["uplink_xdp", device.eth0],
      ["uplink_ingress", device.eth0],
    ]);
    expect(passage("203.0.113.7", "host:80")).toMatchObject({
      destination: "198.18.0.1",
      flowsOf: device.eth0,
    });
    expect(passage("203.0.113.7", "host:80").ends.destination).toEqual(new Uint8Array(mac(0x22)));
    expect(hooks("10.0.0.7", "198.18.0.1:80")).toEqual([["uplink_ingress", device.wg0]]);
    expect(hooks("198.18.9.7", "lan:80")).toEqual([["parent_ingress", device.eth1]]);
    // macvlan's frames have the container's MAC.
    expect(passage("198.18.9.7", "lan:80").ends.destination).toEqual(mac(3));
  });

  test("from a container: at its veth, to one of its network by MAC, else to its gateway", () => {
    expect(hooks("web@app", "db:80")).toEqual([["endpoint_ingress", device.web0]]);
    expect(passage("web@app", "db:80").ends).toEqual({ source: mac(1), destination: mac(2) });
    expect(passage("web@app", "203.0.113.7:80").ends).toEqual({ source: mac(1), destination: mac(0x10) });
    expect(hooks("172.17.0.3", "203.0.113.7:80")).toEqual([["endpoint_ingress", device.db0]]);
  });

  test("from a container on a parent: at its parent, but for what never leaves that", () => {
    expect(hooks("lan", "203.0.113.7:80")).toEqual([["parent_egress", device.eth1]]);
    expect(passage("lan", "203.0.113.7:80").flowsOf).toBe(0x80000000 + device.eth1);
    expect(passage("lan", "lan2:80")).toMatchObject({
      hooks: [],
      beside: expect.stringMatching(/eth1 hands it over/),
    });
  });

  test("from the host: at the container's veth, or its parent", () => {
    expect(passage("host", "db:80")).toMatchObject({ source: "172.17.0.1", isHosts: true });
    expect(hooks("host", "db:80")).toEqual([["endpoint_egress", device.db0]]);
    expect(hooks("198.18.0.1", "lan:80")).toEqual([["parent_egress", device.eth1]]);
    expect(passage("host", "host:80")).toMatchObject({
      source: "127.0.0.1",
      destination: "127.0.0.1",
      hooks: [],
    });
    expect(passage("host", "203.0.113.7:80").beside).toMatch(/are the kernel's/);
  });

  test("nowhere, and why", () => {
    expect(passage("100.64.0.1", "host:80").beside).toMatch(/no route to 100.64.0.1/);
    expect(passage("192.0.2.1", "172.17.0.2:80").beside).toMatch(/comes in by db0, which is no uplink/);
    expect(passage("db", "db:80").beside).toMatch(/stays within the container/);
  });
});

describe("who is meant", () => {
  const parties = (source: string, destination: string) =>
    partiesOf(parseQuestion(source, destination), world);

  test("by the network that both are on, where one is on several", () => {
    expect(parties("db", "web:80").destination).toMatchObject({ known: { slot: 1 }, address: "172.17.0.2" });
    expect(parties("web", "lan:80").source).toMatchObject({ known: { slot: 5 } });
  });

  test("by the family that is asked for, IPv4 where both are there", () => {
    expect(parties("web@app", "2001:db8:9::7").source).toMatchObject({ address: "2001:db8:17::2" });
    expect(parties("web@app", "host:80").destination).toMatchObject({ address: "198.18.0.1" });
    expect(() => parties("db", "2001:db8:9::7")).toThrow(/db has no IPv6 address/);
  });

  test("nobody, or not clearly one", () => {
    expect(() => parties("wep", "host:80")).toThrow(
      'no container is named "wep" (did you mean "web"?): fairway knows db, lan, lan2, web',
    );
    expect(() => parties("web@ap", "host:80")).toThrow(/no network of web is named "ap".*knows app, vlan/);
    expect(() => parties("web", "203.0.113.7:80")).toThrow(/not clear: web@app, web@vlan: say one of them/);
    const unnamed = {
      ...world,
      endpoints: world.endpoints.map(({ slot, endpoint }) => ({ slot, endpoint })),
    };
    expect(() => partiesOf(parseQuestion("web", "host:80"), unnamed)).toThrow(/no daemon is running/);
  });
});
