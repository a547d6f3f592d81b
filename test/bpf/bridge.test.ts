import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { EndpointFlags } from "../../src/generated/types.js";
import { Datapath, slot } from "./lib/datapath.js";
import { address, mac } from "./lib/host.js";
import type { PacketSpec } from "./lib/packet.js";

const datapath = new Datapath();
beforeEach(() => datapath.reset());
afterAll(() => datapath.close());

const toDb: Partial<PacketSpec> = { destinationMac: mac.db, destination: address.db };

describe("within one network", () => {
  test.each([
    ["TCP", {}],
    ["UDP", { protocol: "udp" }],
    ["ICMP", { protocol: 1, payload: Buffer.alloc(16) }],
    ["a fragment", { fragment: 0x2000 }],
    ["TTL 1", { ttl: 1 }],
    ["IP options", { ipOptions: Buffer.from("94040000", "hex") }],
    ["a source that is not the endpoint's", { source: "172.30.0.200" }],
  ] as [string, Partial<PacketSpec>][])("%s is forwarded by MAC, every byte as it was", (_name, spec) => {
    const run = datapath.fromWeb({ ...toDb, ...spec });
    expect(run.verdict).toBe("redirect");
    expect(run.bytes).toEqual(run.before);
    expect(datapath.conntrack()).toHaveLength(0);
    expect(datapath.flows()).toHaveLength(0);
  });

  test("counts for sender and receiver", () => {
    datapath.fromWeb({ ...toDb, payload: Buffer.alloc(60) });
    expect(datapath.counters(slot.web).transmit.fast).toEqual({ packets: 1, bytes: 100 });
    expect(datapath.counters(slot.db).receive.fast).toEqual({ packets: 1, bytes: 100 });
  });

  test.each([
    ["unknown", "02:42:ac:1e:00:63"],
    ["broadcast", "ff:ff:ff:ff:ff:ff"],
    ["multicast", "01:00:5e:00:00:fb"],
  ])("%s destinations are the kernel's bridge's", (_name, destinationMac) => {
    const run = datapath.fromWeb({ destinationMac, destination: address.db });
    expect(run.verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ unknown_mac: 1 });
  });

  test.each([
    ["ARP", 0x0806],
    ["IPv6", 0x86dd],
    ["VLAN", 0x8100],
  ])("%s is the kernel's bridge's", (_name, etherType) => {
    expect(datapath.fromWeb({ ...toDb, etherType }).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ not_ipv4: 1 });
  });

  test("a network whose bridging is not ours is the kernel's", () => {
    datapath.putEndpoint(slot.web, { flags: EndpointFlags.MASQUERADE });
    expect(datapath.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ bridge_policy: 1 });
  });

  test("another bridge's endpoint with that MAC is not reached", () => {
    datapath.remove("fdb", {
      bridgeIfindex: datapath.device["br-app"],
      mac: Buffer.from("0242ac1e0003", "hex"),
    });
    datapath.write(
      "fdb",
      { bridgeIfindex: datapath.device["br-other"], mac: Buffer.from("0242ac1e0003", "hex") },
      { slot: slot.db, generation: 1 },
    );
    expect(datapath.fromWeb(toDb).verdict).toBe("next");
  });

  test("a receiver that is gone is not reached", () => {
    datapath.write("endpoints", slot.db, {
      ...datapath.read<object>("endpoints", slot.db),
      generation: 0,
    });
    expect(datapath.fromWeb(toDb).verdict).toBe("next");
    expect(datapath.reasons()).toEqual({ stale_flow: 1 });
  });

  test("larger than the receiver's MTU is the kernel's", () => {
    datapath.putEndpoint(slot.db, {
      ifindex: datapath.device.db0,
      mac: Buffer.from("0242ac1e0003", "hex"),
      mtu: 1000,
    });
    expect(datapath.fromWeb({ ...toDb, payload: Buffer.alloc(961) }).verdict).toBe("next");
    expect(datapath.fromWeb({ ...toDb, payload: Buffer.alloc(960) }).verdict).toBe("redirect");
  });
});
