// Networks on parents of which both are routed; ICMP errors of the router between them; containers that are announced.

import { describe, expect, test } from "vitest";
import { ParentSubnetFlags } from "../../src/generated/types.js";
import { type Address, ANY, FAMILIES, parseAddress } from "../../src/ip.js";
import { useDatapath } from "./lib/datapath.js";
import { mac } from "./lib/host.js";
import { canSum } from "./lib/kernel.js";
import { frame, moreFragments, type PacketSpec } from "./lib/packet.js";
import { child, childSlot, OnParent } from "./lib/parent.js";

const datapath = useDatapath();
const bytesOf = (text: string) => Buffer.from(text.replaceAll(":", ""), "hex");
const addressBytes = (address: Address) => Buffer.from(parseAddress(address) ?? []);
const macsOf = ({ bytes }: { bytes: Buffer }) => bytes.subarray(0, 12).toString("hex");
const toParent = bytesOf(mac.uplink + mac.uplink).toString("hex");

describe.each(FAMILIES.map((family) => [family, new OnParent(datapath, family)] as const))(
  "IPv%i",
  (family, on) => {
    const { host, internet } = on.address;
    const { one, two } = on.child;
    /** May not be sent in fragments. */
    const whole = family === 4 ? { fragment: 0x4000 } : {};
    const bits = family === 4 ? 32 : 128;
    /** In the second network's subnet, and nobody's. */
    const nobody = two.replace(/1$/, "77");

    /** A container of network 1 on the first parent, one of network 2 on the second, and their subnets. */
    const put = (changes: { from?: number | undefined; to?: number | undefined; mtu?: number } = {}) => {
      const { from, to } = { from: 1, to: 2, ...changes };
      on.put("one", from === undefined ? {} : { route: from });
      const { mtu = 1500 } = changes;
      on.put("two", { parent: datapath.device.uplink1, mtu, ...(to === undefined ? {} : { route: to }) });
      // The second's lies within the first's: the longest prefix counts.
      on.putSubnet(family === 4 ? "192.168.0.0" : "2001:db8:a0::", family === 4 ? 24 : 64, 1);
      for (const address of [two, nobody]) on.putSubnet(address, bits, 2);
    };
    const toTwo = (spec: Partial<PacketSpec> = {}) => on.sends({ destination: two, ...spec });
    const dropped = () =>
      datapath
        .reasonEntries()
        .map(({ key, packets }) => [key.slot, key.direction, key.verdict, key.reason, packets]);

    describe("between two networks that are routed", () => {
      test.each(["tcp", "udp", "icmp"] as const)("%s goes one hop, to the other's parent", (protocol) => {
        put();
        const run = toTwo({ protocol, ttl: 64 });
        expect(run.verdict).toBe("redirect");
        expect(macsOf(run)).toBe(toParent);
        expect(run.packet).toMatchObject({ source: one, destination: two, ttl: 63 });
        if (family === 4) expect(run.packet.ipChecksumRight).toBe(true);
        // Nothing but MACs, hops and their checksum.
        expect(run.bytes.subarray(14 + on.headerLength)).toEqual(run.before.subarray(14 + on.headerLength));
        expect(datapath.counters(childSlot.one).transmit.fast.packets).toBe(1);
        expect(datapath.counters(childSlot.two).receive.fast.packets).toBe(1);
      });

      test("every TTL's checksum is right", () => {
        put();
        for (let ttl = 2; ttl < 256; ttl += 1) {
          const { packet } = toTwo({ ttl });
          expect(packet.ttl).toBe(ttl - 1);
          if (family === 4) expect(packet.ipChecksumRight).toBe(true);
        }
      });

      // Kernels before 6.16 can't be given such a packet; what is done with it is the same on all.
      test("a NIC's sum of the whole packet stays true", () => {
        put();
        expect(on.sends({ destination: two }, { checksumComplete: canSum }).verdict).toBe("redirect");
      });

      test.each([
        ["neither", { from: undefined, to: undefined }],
        ["only the sender's", { to: undefined }],
        ["only the receiver's", { from: undefined }],
        ["both, and they are one", { to: 1 }],
      ])("untouched where %s is", (_, networks) => {
        put(networks);
        const run = toTwo();
        expect(run).toMatchObject({ verdict: "next" });
        expect(run.bytes).toEqual(run.before);
        expect(dropped()).toEqual([]);
      });

      test("no address is translated, though the sender is masqueraded", () => {
        put();
        on.put("one", { route: 1, masquerade: true });
        expect(toTwo({ flags: 2 }).packet).toMatchObject({ source: one, destination: two });
        expect(on.conntrack()).toEqual([]);
      });

      // As the host's own routes lead it, by which ipvlan l3 sends IPv6.
      test("what comes to the receiver's parent at once goes one hop too", () => {
        put();
        const run = on.leaves({ source: two, destination: one, ttl: 64 });
        expect(run).toMatchObject({
          verdict: "redirect",
          packet: { source: two, destination: one, ttl: 63 },
        });
        expect(datapath.counters(childSlot.two).transmit.fast.packets).toBe(1);
        expect(datapath.counters(childSlot.one).receive.fast.packets).toBe(1);
      });

      test("there it is not taken for the host's where they are not routed", () => {
        put({ from: undefined, to: undefined });
        const run = on.leaves({ source: two, destination: one });
        expect(run).toMatchObject({ verdict: "next" });
        expect(run.bytes).toEqual(run.before);
        expect(datapath.counters(childSlot.one).receive.fast.packets).toBe(0);
      });

      test("there the end of its hops is told too", () => {
        put();
        const run = on.leaves({ source: two, destination: one, ttl: 1 });
        expect(run).toMatchObject({ verdict: "redirect", packet: { destination: two } });
        expect(datapath.reasons("drop")).toEqual({ ttl_expired: 1 });
      });

      test("what is not from a container of this parent is untouched", () => {
        put();
        const run = on.leaves({ source: internet, destination: two }, { arrivedBy: "uplink1" });
        expect(run.verdict).toBe("next");
        expect(run.bytes).toEqual(run.before);
      });
    });

    describe("what can't go on", () => {
      const errorOf = (run: ReturnType<typeof toTwo>) => {
        const message = on.messageOf(run);
        expect(on.icmpChecksum(host, one, message)).toBe(0);
        expect(run.packet).toMatchObject({ source: host, destination: one, ttl: 64 });
        if (family === 4) expect(run.packet.ipChecksumRight).toBe(true);
        expect(run.verdict).toBe("redirect");
        expect(macsOf(run)).toBe(toParent);
        return {
          type: message[0],
          code: message[1],
          rest: message.readUInt32BE(4),
          about: message.subarray(8),
        };
      };
      /** The packet as it was, as far as it fits. */
      const about = ({ before }: { before: Buffer }) => before.subarray(14, 14 + (family === 4 ? 548 : 1232));

      test.each([0, 1])("a packet with TTL %i: time exceeded", (ttl) => {
        put();
        const run = toTwo({ ttl });
        expect(errorOf(run)).toEqual({
          type: family === 4 ? 11 : 3,
          code: 0,
          rest: 0,
          about: about(run),
        });
        expect(datapath.reasons("drop")).toEqual({ ttl_expired: 1 });
        expect(datapath.counters(childSlot.one).receive.fast.packets).toBe(1);
      });

      // Odd lengths, and those around the largest that is borne whole.
      test.each([0, 1, 2, 3, 4, 5, 500, 519, 520, 521, 1183, 1184, 1185, 1400])(
        "with %i bytes of payload it bears as much as it may",
        (length) => {
          put();
          const run = toTwo({ ttl: 1, protocol: "udp", payload: Buffer.alloc(length, 0xa5) });
          expect(errorOf(run).about).toEqual(about(run));
        },
      );

      test("an address that no container has: host unreachable", () => {
        put();
        const run = on.sends({ destination: nobody });
        expect(errorOf(run)).toMatchObject({
          type: family === 4 ? 3 : 1,
          code: family === 4 ? 1 : 3,
          about: about(run),
        });
        expect(datapath.reasons("drop")).toEqual({ unreachable: 1 });
      });

      test("without an address in whose name it could be told it is dropped all the same", () => {
        put();
        const [prefixLength, network] = family === 4 ? [24, "192.168.0.0"] : [64, "2001:db8:a0::"];
        const subnet = { network: 1, flags: ParentSubnetFlags.OWN, router: ANY[family] };
        datapath.write(on.mapName("parent_subnets"), { prefixLength, network }, subnet);
        expect(on.sends({ destination: nobody }).verdict).toBe("drop");
        expect(datapath.reasons("drop")).toEqual({ unreachable: 1 });
      });

      test("one in its own network, or outside, is the kernel's", () => {
        put();
        for (const destination of [one.replace(/0$/, "5"), internet]) {
          const run = on.sends({ destination });
          expect(run).toMatchObject({ verdict: "next" });
          expect(run.bytes).toEqual(run.before);
        }
      });

      test("nor is anything said for a subnet that others are in as well", () => {
        put();
        on.putSubnet(nobody, bits, 2, 0);
        expect(on.sends({ destination: nobody }).verdict).toBe("next");
      });

      test("a packet larger than the way: what fits", () => {
        put({ mtu: 1300 });
        const payload = Buffer.alloc(1300);
        const run = toTwo({ protocol: "udp", payload, ...whole });
        expect(errorOf(run)).toMatchObject({
          type: family === 4 ? 3 : 2,
          code: family === 4 ? 4 : 0,
          rest: 1300,
        });
        expect(datapath.reasons("drop")).toEqual({ too_big: 1 });
      });

      if (family === 4)
        test("goes on whole where it may be in fragments", () => {
          put({ mtu: 1300 });
          const run = toTwo({ protocol: "udp", payload: Buffer.alloc(1300), fragment: 0 });
          expect(run.packet.destination).toBe(two);
        });

      test("segments go on where each fits, and are told where they don't", () => {
        put({ mtu: 1300 });
        const payload = Buffer.alloc(2000);
        const headers = on.headerLength + 20;
        const send = (size: number) =>
          on.leaves({ source: one, destination: two, payload, ...whole }, { gso: { segments: 2, size } });
        expect(send(1300 - headers).packet.destination).toBe(two);
        expect(errorOf(send(1301 - headers)).rest).toBe(1300);
      });

      test("six errors at once, then one a second; but for what is too large", () => {
        put({ mtu: 1300 });
        const begin = performance.now();
        const verdicts = Array.from({ length: 40 }, () => toTwo({ ttl: 1 }).verdict);
        const seconds = Math.ceil((performance.now() - begin) / 1000);
        expect(verdicts.slice(0, 6)).toEqual(Array(6).fill("redirect"));
        const told = verdicts.filter((verdict) => verdict === "redirect").length;
        // And one for each second that has passed meanwhile.
        expect(told).toBeLessThanOrEqual(6 + seconds);
        expect(datapath.reasons("drop")).toEqual({ ttl_expired: 40 });
        const large = { protocol: "udp", payload: Buffer.alloc(1300), ...whole } as const;
        for (let i = 0; i < 8; i += 1) expect(toTwo(large).verdict).toBe("redirect");
      });

      test("nothing is said about an ICMP error", () => {
        put();
        const about = { sourceMac: "", destinationMac: "", source: two, destination: one } as const;
        const error = on.sealed({
          ...on.error(family === 4 ? 3 : 1, about),
          source: one,
          destination: two,
        });
        expect(toTwo({ ...error, ttl: 1 }).verdict).toBe("drop");
        const echo = on.sealed({ ...on.echo("request", 1), source: one, destination: two });
        expect(toTwo({ ...echo, ttl: 1 }).verdict).toBe("redirect");
      });

      test("nor about a fragment that is not the first", () => {
        put();
        expect(toTwo({ ttl: 1, fragment: 185 }).verdict).toBe("drop");
        expect(toTwo({ ttl: 1, fragment: moreFragments }).verdict).toBe("redirect");
      });
    });
  },
);

describe("who has an announced container's address", () => {
  const on = new OnParent(datapath, 4);
  const { client, host } = on.address;
  const { one } = child[4];
  const arp = (sender: Address, target: Address, operation = 1) =>
    Buffer.concat([
      bytesOf(`ff:ff:ff:ff:ff:ff${mac.outside}`),
      Buffer.from([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, operation]),
      bytesOf(mac.outside),
      addressBytes(sender),
      Buffer.alloc(6),
      addressBytes(target),
    ]);
  const arrives = (data: Buffer) => datapath.run("parent_ingress", "uplink0", data);

  test.each([
    ["a neighbour", client],
    ["one that looks whether it is free", "0.0.0.0"],
  ])("%s is told the parent's MAC", (_, sender) => {
    on.put("one", { announce: true });
    const { verdict, bytes } = arrives(arp(sender, one));
    expect(verdict).toBe("redirect");
    expect(bytes.subarray(0, 42)).toEqual(
      Buffer.concat([
        bytesOf(mac.outside + mac.uplink),
        Buffer.from([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 2]),
        bytesOf(mac.uplink),
        addressBytes(one),
        bytesOf(mac.outside),
        addressBytes(sender),
      ]),
    );
  });

  test.each<[string, () => Buffer]>([
    ["a container that is not announced", () => arp(client, child[4].two)],
    ["the host", () => arp(client, host)],
    ["nobody", () => arp(client, "198.18.0.99")],
    ["a gratuitous request", () => arp(one, one)],
    ["an answer", () => arp(client, one, 2)],
  ])("nothing is said of %s", (_, data) => {
    on.put("one", { announce: true });
    on.put("two");
    const run = arrives(data());
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  });

  test("nor once it is gone", () => {
    on.put("one", { announce: true });
    datapath.clearSlot(childSlot.one);
    expect(arrives(arp(client, one)).verdict).toBe("next");
  });

  test("the host that looks for a routed container by another's parent is told its own MAC there", () => {
    on.put("two", { parent: datapath.device.uplink1, route: 2 });
    const request = arp(host, child[4].two);
    bytesOf(mac.uplink).copy(request, 6);
    bytesOf(mac.uplink).copy(request, 22);
    const run = on.leavesAs(request);
    expect(run.verdict).toBe("redirect");
    expect(run.bytes.subarray(22, 28)).toEqual(bytesOf(mac.uplink));
  });
});

describe("neighbour discovery of an announced container", () => {
  const on = new OnParent(datapath, 6);
  const { client } = on.address;
  const { one, two } = child[6];
  const solicitation = (target: Address, ttl = 255) => {
    const rest = Buffer.concat([
      Buffer.alloc(4),
      addressBytes(target),
      Buffer.from([1, 1]),
      bytesOf(mac.outside),
    ]);
    const spec = on.sealed({
      ...on.icmp(135, rest),
      source: client,
      destination: "ff02::1:ff00:10",
      ttl,
    });
    return frame({ sourceMac: mac.outside, destinationMac: "33:33:ff:00:00:10", ...spec });
  };
  const arrives = (data: Buffer) => datapath.run("parent_ingress", "uplink0", data);

  test("a neighbour is told the parent's MAC", () => {
    on.put("one", { announce: true });
    const run = arrives(solicitation(one));
    expect(run.verdict).toBe("redirect");
    expect(macsOf(run)).toBe(bytesOf(mac.outside + mac.uplink).toString("hex"));
    expect(run.packet).toMatchObject({ source: one, destination: client, ttl: 255 });
    const message = on.messageOf(run);
    expect(on.icmpChecksum(one, client, message)).toBe(0);
    expect(message[0]).toBe(136);
    expect(message.subarray(24)).toEqual(Buffer.concat([Buffer.from([2, 1]), bytesOf(mac.uplink)]));
  });

  test.each([
    ["of a container that is not announced", two, 255],
    ["of nobody's", client, 255],
    ["that a router has passed on", one, 254],
  ])("a solicitation %s goes its way", (_, target, ttl) => {
    on.put("one", { announce: true });
    on.put("two");
    const run = arrives(solicitation(target, ttl));
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  });
});
