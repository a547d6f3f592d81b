/** Checksums after a rewrite, recomputed from scratch: whatever the lengths, the values, and the fields that change. */
import { expect, test } from "vitest";
import { setConstants } from "../../src/datapath/object.js";
import { trackByKernel } from "./lib/conntrack.js";
import { type Datapath, published, type Run, useDatapath } from "./lib/datapath.js";
import { onBothFamilies } from "./lib/family.js";
import { canSum } from "./lib/kernel.js";
import { type PacketSpec, parseFrame, tcpFlag } from "./lib/packet.js";

const right = { ipChecksumRight: true, l4ChecksumRight: true };
const { syn, ack, psh } = tcpFlag;
const l4ChecksumAt = { tcp: 16, udp: 6 } as const;

/** anySum: what a container sends may have a NIC's sum of the whole packet, too. No kernel's own forwarding leaves it one. */
const rewritten = (title: string, datapath: Datapath, anySum: boolean) =>
  onBothFamilies(title, datapath, (on) => {
    const { address } = on;
    const query = { protocol: "udp", destinationPort: published.udp } as const;
    const answer = on.reply({ protocol: "udp", sourcePort: 53 } as const);

    /** All but what is to change, that is link header, addresses, ports, TTL and checksums, byte by byte. */
    function expectKept(run: Run, protocol: "tcp" | "udp"): void {
      const [then, now] = [Buffer.from(run.before), Buffer.from(run.bytes)];
      expect(now.length).toBe(then.length);
      const l4 = 14 + on.headerLength;
      const length = on.family === 4 ? 4 : 16;
      const addresses = on.family === 4 ? 26 : 22;
      for (const frame of [then, now]) {
        frame.fill(0, 0, 12);
        frame.fill(0, addresses, addresses + 2 * length);
        if (on.family === 4) {
          frame.writeUInt8(0, 22);
          frame.writeUInt16BE(0, 24);
        } else {
          frame.writeUInt8(0, 21);
        }
        frame.fill(0, l4, l4 + 4);
        frame.writeUInt16BE(0, l4 + l4ChecksumAt[protocol]);
      }
      expect(now.equals(then)).toBe(true);
    }

    const payloads: [string, Buffer][] = [
      ["nothing", Buffer.alloc(0)],
      ["one byte", Buffer.from([0x80])],
      ["two", Buffer.from([0xff, 0xff])],
      ["three", Buffer.from("odd")],
      ["all ones, odd", Buffer.alloc(1001, 0xff)],
      ["zeros", Buffer.alloc(1000)],
      ["full size, odd", Buffer.alloc(1500 - 40 - 20 - 1, 0xa5)],
    ];

    test.each(payloads)("TCP with %s as payload", (_name, payload) => {
      on.handshake();
      for (const run of [
        on.fromOutside({ flags: ack | psh, payload }),
        on.fromWeb(on.reply({ flags: ack | psh, payload })),
      ]) {
        expect(run.packet).toMatchObject({ ...right, ttl: 63, payload });
        expectKept(run, "tcp");
      }
    });

    test.each(payloads)("UDP with %s as payload", (_name, payload) => {
      for (const run of [on.fromOutside({ ...query, payload }), on.fromWeb({ ...answer, payload })]) {
        expect(run.verdict).toBe("redirect");
        expect(run.packet).toMatchObject({ ...right, ttl: 63, payload });
        expectKept(run, "udp");
      }
    });

    // Kernels before 6.16 can't be given such a packet; what is done with it is the same on all.
    if (canSum) {
      const checksumComplete = true;

      test.each(payloads)(
        "TCP with a NIC's sum of the whole packet, with %s as payload",
        (_name, payload) => {
          on.handshake();
          for (const run of [
            on.fromOutside({ flags: ack | psh, payload }, { checksumComplete }),
            on.fromWeb(on.reply({ flags: ack | psh, payload }), { checksumComplete: anySum }),
          ]) {
            expect(run.verdict).toBe("redirect");
            expect(run.packet).toMatchObject({ ...right, ttl: 63, payload });
            expectKept(run, "tcp");
          }
        },
      );

      test("UDP with a NIC's sum of the whole packet, with and without a checksum of its own", () => {
        for (const noChecksum of [false, on.family === 4]) {
          const run = on.fromOutside(
            { ...query, noChecksum, payload: Buffer.from("odd") },
            { checksumComplete },
          );
          expect(run.verdict).toBe("redirect");
          expect(run.packet).toMatchObject(right);
          expectKept(run, "udp");
        }
      });
    }

    test("TCP's options and the IP header's other fields stay as they are", () => {
      on.handshake();
      const tcpOptions = Buffer.from("0101080a0000000100000002", "hex");
      const run = on.fromOutside({
        flags: ack,
        tcpOptions,
        tos: 0xb9,
        flowLabel: 0x12345,
        payload: Buffer.from("x"),
      });
      expect(run.packet).toMatchObject(right);
      expectKept(run, "tcp");
    });

    test("what a link pads a short packet with stays behind it", () => {
      on.fromOutside(query);
      const { before } = on.fromOutside(query);
      const padded = Buffer.concat([before, Buffer.alloc(6, 0xee)]);
      const run = datapath.run("uplink_ingress", "uplink0", padded);
      expect(run.verdict).toBe("redirect");
      expect(run.packet).toMatchObject(right);
      expect(run.bytes.subarray(-6)).toEqual(Buffer.alloc(6, 0xee));
    });

    test.each([2, 3, 64, 127, 128, 254, 255])("TTL %i is one less", (ttl) => {
      on.handshake();
      expect(on.fromOutside({ flags: ack, ttl }).packet).toMatchObject({ ...right, ttl: ttl - 1 });
      expect(on.fromWeb(on.reply({ flags: ack, ttl })).packet).toMatchObject({ ...right, ttl: ttl - 1 });
    });

    test.each(["tcp", "udp"] as const)("%s checksums about 0 and 0xffff, before and after", (protocol) => {
      const spec = protocol === "udp" ? query : { flags: ack };
      if (protocol === "udp") on.fromOutside(query);
      else on.handshake();
      const send = (word: number): Run => {
        const payload = Buffer.alloc(2);
        payload.writeUInt16BE(word & 0xffff);
        return on.fromOutside({ ...spec, payload });
      };
      // What the checksum is without it is the payload that makes it 0.
      const zero = send(0);
      const corners = [zero.packet.l4Checksum, parseFrame(zero.before).l4Checksum];
      for (const corner of corners) {
        for (let distance = -300; distance <= 300; distance += 1) {
          const { packet } = send(corner + distance);
          expect(packet.l4ChecksumRight).toBe(true);
          // 0 would say that there is none (RFC 768).
          if (protocol === "udp") expect(packet.l4Checksum).not.toBe(0);
        }
      }
      expect([0, 0xffff]).toContain(send(corners[0] ?? 0).packet.l4Checksum);
      expect([0, 0xffff]).toContain(parseFrame(send(corners[1] ?? 0).before).l4Checksum);
    });

    test("another port, another address, both or neither", () => {
      const plain: Partial<PacketSpec> = { flags: ack, payload: Buffer.from("odd") };
      const connection = {
        protocol: "tcp",
        from: { address: address.web, port: 50000 },
        to: { address: address.internet, port: 443 },
      } as const;
      for (const fromAs of [
        { address: address.host, port: 61000 },
        { address: address.host, port: 50000 },
        { address: address.web, port: 61000 },
        { address: address.web, port: 50000 },
      ]) {
        datapath.reset();
        trackByKernel({ ...connection, fromAs });
        const run = on.fromWeb(plain);
        expect(run.verdict).toBe("redirect");
        expect(run.packet).toMatchObject({ ...right, source: fromAs.address, sourcePort: fromAs.port });
        expectKept(run, "tcp");
      }
    });

    test("both NATs at once: four fields change", () => {
      trackByKernel({
        protocol: "tcp",
        from: { address: address.db, port: 50000 },
        to: { address: address.host, port: published.tcp },
        fromAs: { address: address.gateway, port: 61000 },
        toAs: { address: address.web, port: 80 },
      });
      on.toWeb({ source: address.gateway, sourcePort: 61000 }, { arrivedBy: "br-app" });
      const spec = { destination: address.host, destinationPort: published.tcp, payload: Buffer.from("odd") };
      const run = on.fromDb(spec);
      expect(run.packet).toMatchObject({
        ...right,
        source: address.gateway,
        sourcePort: 61000,
        destination: address.web,
        destinationPort: 80,
      });
      expectKept(run, "tcp");
    });

    test("a wrong checksum is as wrong as before: its receiver is to notice", () => {
      on.handshake();
      const { before } = on.fromOutside({ flags: ack, payload: Buffer.from("data") });
      const broken = Buffer.from(before);
      broken.writeUInt8(broken.readUInt8(broken.length - 1) ^ 0xff, broken.length - 1);
      expect(datapath.run("uplink_ingress", "uplink0", broken).packet.l4ChecksumRight).toBe(false);
    });

    test("UDP sent without a checksum stays without in IPv4; in IPv6 there is no such thing", () => {
      on.fromOutside(query);
      const run = on.fromOutside({ ...query, noChecksum: true, payload: Buffer.from("odd") });
      expect(run.verdict).toBe("redirect");
      if (on.family === 4) expect(run.packet).toMatchObject({ ...right, l4Checksum: 0 });
      else expect(run.packet.l4ChecksumRight).toBe(false);
      expectKept(run, "udp");
    });

    test("a connection's first packet is rewritten as the next ones are", () => {
      const spec = { flags: syn, payload: Buffer.from("odd") };
      expect(on.fromOutside(spec).bytes).toEqual(on.fromOutside(spec).bytes);
    });
  });

rewritten("a rewritten packet", useDatapath(), true);
rewritten(
  "a rewritten packet, by a kernel that does not show how far its checksum has come (6.1)",
  useDatapath((object) => setConstants(object, { has_kernel_context: 0, ipv6_checksum_flag: 0 })),
  false,
);
