import { describe, expect, test } from "vitest";
import { type Address, FAMILIES, parseAddress } from "../../src/ip.js";
import { useDatapath } from "./lib/datapath.js";
import { ip, mac } from "./lib/host.js";
import { frame, ipPacket, protocolNumber, tcpFlag } from "./lib/packet.js";
import { child, childMac, childSlot, OnParent } from "./lib/parent.js";

const datapath = useDatapath();
const bytesOf = (text: string) => Buffer.from(text.replaceAll(":", ""), "hex");
const addressBytes = (address: Address) => Buffer.from(parseAddress(address) ?? []);
const macsOf = ({ bytes }: { bytes: Buffer }) => bytes.subarray(0, 12).toString("hex");
const toParent = bytesOf(mac.uplink + mac.uplink).toString("hex");

describe.each(FAMILIES.map((family) => [family, new OnParent(datapath, family)] as const))(
  "IPv%i",
  (_, on) => {
    const { host, internet, client } = on.address;

    describe("between host and container", () => {
      test.each(["tcp", "udp", "icmp"] as const)("%s is turned back at the parent, both ways", (protocol) => {
        on.put();
        const there = on.leaves({ protocol });
        expect(there.verdict).toBe("redirect");
        expect(macsOf(there)).toBe(toParent);
        expect(there.bytes.subarray(14)).toEqual(there.before.subarray(14));
        const back = on.sends({ protocol, destination: host });
        expect(back.verdict).toBe("redirect");
        expect(macsOf(back)).toBe(toParent);
        expect(back.bytes.subarray(14)).toEqual(back.before.subarray(14));
        const counted = datapath.counters(childSlot.one);
        expect([counted.receive.fast.packets, counted.transmit.fast.packets]).toEqual([1, 1]);
      });

      test("nothing is, where the network does not ask for it", () => {
        on.put("one", { host: false });
        expect(on.leaves({})).toMatchObject({ verdict: "next" });
        expect(on.sends({ destination: host })).toMatchObject({ verdict: "next" });
      });

      test("what the host forwards for others is not", () => {
        on.put();
        const run = on.leaves({ source: client }, { arrivedBy: "uplink1" });
        expect(run).toMatchObject({ verdict: "next" });
        expect(run.bytes).toEqual(run.before);
      });

      test("nor what is for a container on another parent", () => {
        on.put("one", { parent: datapath.device.uplink1 });
        expect(on.leaves({}).verdict).toBe("next");
      });

      test("nor one that is gone", () => {
        on.put();
        datapath.clearSlot(childSlot.one);
        expect(on.leaves({}).verdict).toBe("next");
      });
    });

    test("a container's own way outside is untouched and counted, there and back", () => {
      on.put();
      const out = on.sends({});
      expect(out.verdict).toBe("next");
      expect(out.bytes).toEqual(out.before);
      const back = on.arrives({ destination: on.child.one });
      expect(back.verdict).toBe("next");
      expect(back.bytes).toEqual(back.before);
      const counted = datapath.counters(childSlot.one);
      expect([counted.receive.slow.packets, counted.transmit.slow.packets]).toEqual([1, 1]);
      expect(on.conntrack()).toEqual([]);
    });

    describe("what comes in with another container's address", () => {
      /** Packets counted for the second container's transmission, when one comes for the first. */
      const sent = (sourceMac: string) => {
        const run = on.arrives({ sourceMac, source: on.child.two, destination: on.child.one });
        expect(run.verdict).toBe("next");
        expect(datapath.counters(childSlot.one).receive.slow.packets).toBe(1);
        return datapath.counters(childSlot.two).transmit.slow.packets;
      };

      test("counts for both on macvlan in mode bridge, which sends it nowhere else", () => {
        for (const name of ["one", "two"] as const) on.put(name, { macvlan: "bridge" });
        expect(sent(childMac.two)).toBe(1);
      });

      test("in another mode it has left by the parent, and was counted there", () => {
        for (const name of ["one", "two"] as const) on.put(name, { macvlan: "private" });
        expect(sent(childMac.two)).toBe(0);
      });

      test("nor does somebody outside who writes its address", () => {
        for (const name of ["one", "two"] as const) on.put(name, { macvlan: "bridge" });
        expect(sent(mac.outside)).toBe(0);
      });
    });

    test("the host's own traffic is untouched", () => {
      on.put("one", { masquerade: true });
      for (const protocol of ["tcp", "udp", "icmp"] as const) {
        const out = on.leaves({ protocol, destination: internet });
        expect(out.bytes).toEqual(out.before);
        const back = on.arrives({ protocol });
        expect(back.bytes).toEqual(back.before);
      }
      expect(datapath.reasons()).toEqual({});
    });

    describe("masqueraded", () => {
      test("is led to its next hop where it was sent to somebody else", () => {
        on.put("one", { masquerade: true });
        on.sends({ flags: tcpFlag.syn });
        for (const flags of [tcpFlag.syn, tcpFlag.ack]) {
          const run = on.sends({ flags, destinationMac: mac.outside1 });
          expect(run.verdict).toBe("redirect");
          expect(run.packet).toMatchObject({ source: host, destination: internet });
        }
        expect(on.sends({ flags: tcpFlag.ack }).verdict).toBe("next");
      });

      test("is led to its next hop where its MAC was not known at first", () => {
        on.put("one", { masquerade: true });
        const router = `${on.address.router} dev uplink0`;
        ip(`neigh del ${router}`);
        try {
          expect(on.sends({ flags: tcpFlag.syn }).verdict).toBe("redirect");
        } finally {
          ip(`neigh replace ${router.replace(" dev", ` lladdr ${mac.outside} dev`)}`);
        }
        expect(on.sends({ flags: tcpFlag.syn }).verdict).toBe("redirect");
      });

      test.each(["tcp", "udp"] as const)(
        "%s leaves behind the parent's address, its answers come back",
        (protocol) => {
          on.put("one", { masquerade: true });
          const flags = { flags: tcpFlag.syn };
          const out = on.sends({ protocol, ...flags });
          // It goes on where it is: it was on its way to the next hop.
          expect(out.verdict).toBe("next");
          expect(out.bytes.subarray(0, 12)).toEqual(out.before.subarray(0, 12));
          expect(datapath.counters(childSlot.one).transmit.fast.packets).toBe(1);
          expect(out.packet).toMatchObject({ source: host, destination: internet, sourcePort: 50000 });
          expect(out.packet).toMatchObject({ ipChecksumRight: true, l4ChecksumRight: true });
          expect(on.conntrack()).toHaveLength(1);
          const answer = on.fromOutside(on.answer({ protocol, flags: tcpFlag.syn | tcpFlag.ack }));
          expect(answer.verdict).toBe("next");
          expect(answer.packet).toMatchObject({
            source: internet,
            destination: on.child.one,
            destinationPort: 50000,
          });
          expect(answer.packet).toMatchObject({
            destinationMac: mac.uplink,
            ipChecksumRight: true,
            l4ChecksumRight: true,
          });
          const counted = datapath.counters(childSlot.one);
          expect([counted.receive.fast.packets, counted.transmit.fast.packets]).toEqual([1, 1]);
        },
      );

      test("no packet of a connection is given to the kernel's tracker, which could not translate it", () => {
        on.put("one", { masquerade: true });
        on.sends({ flags: tcpFlag.syn });
        expect(on.flows().map(({ flow }) => flow.anchored)).toEqual([1, 1]);
      });

      test("an answer whose flow entry was evicted is restored", () => {
        on.put("one", { masquerade: true });
        on.sends({ flags: tcpFlag.syn });
        on.forgetFlows();
        const answer = on.fromOutside(on.answer({ flags: tcpFlag.syn | tcpFlag.ack }));
        expect(answer.packet).toMatchObject({ destination: on.child.one });
      });

      test("a next hop that is not resolved yet is waited for, not left to the kernel", () => {
        on.put("one", { masquerade: true });
        const out = on.sends({ flags: tcpFlag.syn, destination: on.address.unheard });
        expect(out.verdict).toBe("redirect");
        expect(out.packet.source).toBe(host);
      });

      test("ping leaves behind the parent's address, its answer comes back", () => {
        on.put("one", { masquerade: true });
        const request = on.sends(
          on.sealed({ ...on.echo("request", 7), source: on.child.one, destination: internet }),
        );
        expect(request.verdict).toBe("next");
        expect(request.packet).toMatchObject({ source: host, destination: internet, ipChecksumRight: true });
        expect(on.icmpChecksum(host, internet, on.messageOf(request))).toBe(0);
        const answer = on.arrives(on.sealed({ ...on.echo("reply", 7), source: internet, destination: host }));
        expect(answer.packet).toMatchObject({
          source: internet,
          destination: on.child.one,
          ipChecksumRight: true,
        });
        expect(on.icmpChecksum(internet, on.child.one, on.messageOf(answer))).toBe(0);
        expect(on.messageOf(answer).readUInt16BE(4)).toBe(7);
      });

      test("two containers that ping with one identifier each get their own answers", () => {
        const ids: number[] = [];
        for (const name of ["one", "two"] as const) {
          on.put(name, { masquerade: true });
          const own = on.child[name];
          const request = on.sends(
            on.sealed({ ...on.echo("request", 7), source: own, destination: internet }),
          );
          expect(on.icmpChecksum(host, internet, on.messageOf(request))).toBe(0);
          ids.push(on.messageOf(request).readUInt16BE(4));
        }
        expect(new Set(ids).size).toBe(2);
        for (const [index, id] of ids.entries()) {
          const answer = on.arrives(
            on.sealed({ ...on.echo("reply", id), source: internet, destination: host }),
          );
          expect(answer.packet.destination).toBe([on.child.one, on.child.two][index]);
          expect(on.messageOf(answer).readUInt16BE(4)).toBe(7);
        }
      });

      test("an identifier that the host uses is the host's", () => {
        on.put("one", { masquerade: true });
        const ping = on.sealed({ ...on.echo("request", 7), source: on.child.one, destination: internet });
        on.sends(ping);
        on.leaves(on.sealed({ ...on.echo("request", 7), source: host, destination: internet }));
        const answer = on.arrives(on.sealed({ ...on.echo("reply", 7), source: internet, destination: host }));
        expect(answer.bytes).toEqual(answer.before);
        expect(on.messageOf(on.sends(ping)).readUInt16BE(4)).not.toBe(7);
      });

      test.each(on.family === 4 ? [3, 11] : [1, 2, 3])(
        "an ICMP error of type %i about its connection reaches it",
        (type) => {
          on.put("one", { masquerade: true });
          // Another port than its own, which is the host's here.
          on.put("two", { masquerade: true });
          on.sends({ protocol: "udp", source: on.child.two });
          const sent = on.sends({ protocol: "udp" }).packet;
          expect(sent.sourcePort).not.toBe(50000);
          const about = {
            source: host,
            destination: internet,
            sourcePort: sent.sourcePort,
            destinationPort: 443,
          };
          const error = on.error(type, { sourceMac: "", destinationMac: "", protocol: "udp", ...about });
          const run = on.arrives(on.sealed({ ...error, source: client, destination: host }));
          expect(run.packet).toMatchObject({
            source: client,
            destination: on.child.one,
            ipChecksumRight: true,
          });
          const message = on.messageOf(run);
          expect(on.icmpChecksum(client, on.child.one, message)).toBe(0);
          const own = ipPacket({
            ...about,
            source: on.child.one,
            sourcePort: 50000,
            protocol: "udp",
            sourceMac: "",
            destinationMac: "",
          });
          // But for UDP's checksum, which nobody looks at there.
          expect(message.subarray(8, 8 + on.headerLength + 6)).toEqual(own.subarray(0, on.headerLength + 6));
        },
      );
    });

    describe("a published port", () => {
      test("leads to it, and its answer leaves from there", () => {
        const endpoint = on.put("one", { published: true });
        datapath.write(
          on.mapName("ports"),
          { address: host, port: 8888, proto: protocolNumber.tcp },
          {
            slot: childSlot.one,
            generation: endpoint.generation,
            address: on.child.one,
            port: 80,
          },
        );
        const first = on.fromOutside({ destinationPort: 8888, flags: tcpFlag.syn });
        expect(first.verdict).toBe("next");
        expect(first.packet).toMatchObject({
          source: client,
          destination: on.child.one,
          destinationPort: 80,
        });
        const answer = on.sends(on.reply({ flags: tcpFlag.syn | tcpFlag.ack }));
        expect(answer.verdict).toBe("next");
        expect(answer.packet).toMatchObject({ source: host, sourcePort: 8888, l4ChecksumRight: true });
        expect(datapath.counters(childSlot.one).transmit.fast.packets).toBe(1);
      });
    });
  },
);

describe("who has", () => {
  const on = new OnParent(datapath, 4);
  const { host } = on.address;
  const request = (sender: Address, senderMac: string, target: Address) =>
    Buffer.concat([
      bytesOf(`ff:ff:ff:ff:ff:ff${senderMac}`),
      Buffer.from([0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1]),
      bytesOf(senderMac),
      addressBytes(sender),
      Buffer.alloc(6),
      addressBytes(target),
    ]);
  const answerOf = (bytes: Buffer) => ({
    to: bytes.subarray(0, 6).toString("hex"),
    operation: bytes.readUInt16BE(20),
    senderMac: bytes.subarray(22, 28).toString("hex"),
    sender: bytes.subarray(28, 32),
    target: bytes.subarray(38, 42),
  });
  const uplinkMac = bytesOf(mac.uplink).toString("hex");

  test.each([
    ["the host's request for a container", host, child[4].one],
    ["a container's request for the host", child[4].one, host],
  ])("%s is answered with the parent's MAC", (_, sender, target) => {
    on.put();
    const run = on.leavesAs(request(sender, mac.uplink, target));
    expect(run.verdict).toBe("redirect");
    expect(answerOf(run.bytes)).toEqual({
      to: uplinkMac,
      operation: 2,
      senderMac: uplinkMac,
      sender: addressBytes(target),
      target: addressBytes(sender),
    });
  });

  test.each([
    ["for somebody else", host, on.address.client],
    ["of a container for another", child[4].two, child[4].one],
    ["of one that looks whether an address is free", "0.0.0.0", child[4].one],
    ["of a host for its own address", host, host],
  ])("a request %s goes its way", (_, sender, target) => {
    on.put();
    on.put("two");
    const run = on.leavesAs(request(sender, mac.uplink, target));
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  });
});

describe("neighbour discovery", () => {
  const on = new OnParent(datapath, 6);
  const { host } = on.address;
  const solicitation = (sender: Address, target: Address) => {
    const rest = Buffer.concat([
      Buffer.alloc(4),
      addressBytes(target),
      Buffer.from([1, 1]),
      bytesOf(mac.uplink),
    ]);
    const spec = on.sealed({
      ...on.icmp(135, rest),
      source: sender,
      destination: "ff02::1:ff00:10",
      ttl: 255,
    });
    return frame({ sourceMac: mac.uplink, destinationMac: "33:33:ff:00:00:10", ...spec });
  };

  test.each([
    ["the host's solicitation for a container", host, child[6].one],
    ["the host's from its link's own address", "fe80::2", child[6].one],
    ["a container's solicitation for the host", child[6].one, host],
  ])("%s is answered with the parent's MAC", (_, sender, target) => {
    on.put();
    const run = on.leavesAs(solicitation(sender, target));
    expect(run.verdict).toBe("redirect");
    expect(macsOf(run)).toBe(toParent);
    expect(run.packet).toMatchObject({ source: target, destination: sender, ttl: 255 });
    const message = on.messageOf(run);
    expect(on.icmpChecksum(target, sender, message)).toBe(0);
    expect(message[0]).toBe(136);
    expect(message.readUInt32BE(4)).toBe(0x60000000);
    expect(message.subarray(8, 24)).toEqual(addressBytes(target));
    expect(message.subarray(24)).toEqual(Buffer.concat([Buffer.from([2, 1]), bytesOf(mac.uplink)]));
  });

  test.each([
    ["for somebody else", host, on.address.client],
    ["of one that looks whether an address is free", "::", child[6].one],
    ["of a container for another", child[6].two, child[6].one],
  ])("a solicitation %s goes its way", (_, sender, target) => {
    on.put();
    on.put("two");
    const run = on.leavesAs(solicitation(sender, target));
    expect(run.verdict).toBe("next");
    expect(run.bytes).toEqual(run.before);
  });
});
