/** Lists, ports and limits: the same verdict at XDP and at tc, in both families. */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { type Limit, PolicyFlags, SourceBlock } from "../../src/generated/types.js";
import { type FrameSpec, tcpFlags } from "./lib/frames.js";
import { families, hooks, PolicyPrograms, place, UplinkXdpFlags } from "./lib/policy.js";

const programs = new PolicyPrograms();
beforeEach(() => programs.reset());
afterAll(() => programs.close());

const networks = {
  4: { all: "0.0.0.0/0", wide: "198.18.0.0/15", near: "198.18.0.0/24", one: "198.18.0.2/32" },
  6: { all: "::/0", wide: "2001:db8::/32", near: "2001:db8:1::/48", one: "2001:db8:1::2/128" },
} as const;

/** Twenty bytes of NOPs and an end: as many options as there is room for, but for twenty. */
const options = Buffer.from([1, 1, 1, 1, 1, 1, 1, 0]);
const destinationOptions = (): [number, Uint8Array] => [60, Buffer.from([0, 0, 1, 4, 0, 0, 0, 0])];

describe.each(hooks)("at %s", (hook) => {
  describe.each(families)("IPv%d", (family) => {
    const { client, other, far, host, second } = place[family];
    const net = networks[family];
    const from = (source: string, spec: Partial<FrameSpec> = {}) =>
      programs.judge(hook, { source, destination: host, ...spec });

    test("without lists everything passes", () => {
      expect(from(client)).toBe("pass");
      expect(from(client, { proto: "udp" })).toBe("pass");
      expect(programs.drops()).toEqual({});
    });

    describe("the host's list", () => {
      test("an unlisted source passes, a denied one is dropped and counted", () => {
        programs.list(0, [[net.near, "deny"]]);
        expect(from(client)).toBe("drop");
        expect(from(other)).toBe("pass");
        expect(programs.drops()).toEqual({ source_denied: 1 });
      });

      test("the longest prefix decides, an exception to a denial", () => {
        programs.list(0, [
          [net.all, "deny"],
          [net.wide, "allow"],
          [net.near, "deny"],
          [net.one, "allow"],
        ]);
        expect(from(far)).toBe(family === 4 ? "drop" : "pass");
        expect(from(other)).toBe("pass");
        expect(from(client)).toBe("pass");
        expect(from(family === 4 ? "198.18.0.3" : "2001:db8:1::3")).toBe("drop");
      });

      test("the longest prefix decides, an exception to a permission", () => {
        programs.list(0, [
          [net.wide, "allow"],
          [net.one, "deny"],
        ]);
        expect(from(client)).toBe("drop");
        expect(from(other)).toBe("pass");
      });

      test("the neighbouring addresses of a network are outside it", () => {
        programs.list(0, [[family === 4 ? "198.18.0.4/30" : "2001:db8:1::4/126", "deny"]]);
        const last = (n: number) => (family === 4 ? `198.18.0.${n}` : `2001:db8:1::${n}`);
        expect([3, 4, 7, 8].map((n) => from(last(n)))).toEqual(["pass", "drop", "drop", "pass"]);
      });

      if (family === 4) {
        test("is asked only where a /16 is not of one kind", () => {
          programs.list(0, [[net.near, "deny"]]);
          programs.blocks({ 50706: SourceBlock.MIXED, 51968: SourceBlock.DENIED });
          expect([client, other, far].map((source) => from(source))).toEqual(["drop", "pass", "drop"]);
          programs.blocks({ 50706: SourceBlock.UNLISTED, 51968: SourceBlock.ALLOWED });
          expect([client, other, far].map((source) => from(source))).toEqual(["pass", "pass", "pass"]);
        });
      }

      test("is not another list's", () => {
        programs.list(7, [[net.all, "deny"]]);
        programs.flags(PolicyFlags.SOURCES | PolicyFlags.PORTS);
        expect(from(client)).toBe("pass");
      });

      test("holds while it is on only", () => {
        programs.list(0, [[net.all, "deny"]]);
        programs.flags(0);
        expect(from(client)).toBe("pass");
      });

      test.each([
        ["TCP", { proto: "tcp", flags: tcpFlags.ack }],
        ["UDP", { proto: "udp" }],
        ["SCTP", { proto: "sctp" }],
        [
          "ICMP",
          {
            proto: family === 4 ? "icmp" : "icmpv6",
            l4: Buffer.from([family === 4 ? 8 : 128, 0, 0, 0, 0, 0, 0, 0]),
          },
        ],
        ["another protocol", { proto: 47, l4: Buffer.alloc(8) }],
        ["a first fragment", { proto: "udp", fragment: { offset: 0, more: true } }],
        ["a later fragment", { l4: Buffer.alloc(64), fragment: { offset: 1480, more: false } }],
        ["a tiny packet", { proto: 47, l4: Buffer.alloc(0) }],
        ["options", family === 4 ? { options } : { extensions: [destinationOptions()] }],
      ] satisfies [string, Partial<FrameSpec>][])("holds for %s", (_, spec) => {
        programs.list(0, [[net.near, "deny"]]);
        expect(from(client, spec)).toBe("drop");
        expect(from(other, spec)).toBe("pass");
        expect(programs.drops()).toEqual({ source_denied: 1 });
      });

      test("holds for what is forwarded, and for frames to all", () => {
        programs.list(0, [[net.near, "deny"]]);
        expect(from(client, { destination: far })).toBe("drop");
        const group =
          family === 4 ? ["198.18.0.255", "ff:ff:ff:ff:ff:ff"] : ["ff02::fb", "33:33:00:00:00:fb"];
        const [destination = "", destinationMac = ""] = group;
        expect(from(client, { proto: "udp", destination, destinationMac })).toBe("drop");
        expect(from(other, { proto: "udp", destination, destinationMac })).toBe("pass");
      });
    });

    describe("a published port's list", () => {
      test("denies, and is counted for the port's endpoint", () => {
        programs.list(5, [[net.near, "deny"]]);
        programs.port(family, { list: 5 }, { slot: 3 });
        expect(from(client)).toBe("drop");
        expect(from(other)).toBe("pass");
        expect(programs.drops()).toEqual({ "port_denied@3": 1 });
      });

      test("without an endpoint that is known it is counted for none", () => {
        programs.list(5, [[net.near, "deny"]]);
        programs.port(family, { list: 5 });
        expect(from(client)).toBe("drop");
        expect(programs.drops()).toEqual({ port_denied: 1 });
      });

      test("with an allow list whoever is on none is refused, and the longest prefix decides", () => {
        programs.list(5, [
          [net.wide, "allow"],
          [net.near, "deny"],
          [net.one, "allow"],
        ]);
        programs.port(family, { list: 5, unlistedRefused: 1 });
        expect(from(client)).toBe("pass");
        expect(from(family === 4 ? "198.18.0.3" : "2001:db8:1::3")).toBe("drop");
        expect(from(other)).toBe("pass");
        expect(from(family === 4 ? "203.0.113.7" : "2a00::7")).toBe("drop");
      });

      test("an empty allow list refuses everyone", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 });
        expect(from(client)).toBe("drop");
      });

      test("is that of its port and protocol only", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 });
        expect(from(client, { destinationPort: 8081 })).toBe("pass");
        expect(from(client, { proto: "udp" })).toBe("pass");
        programs.port(family, { list: 5, unlistedRefused: 1 }, { proto: "udp" });
        expect(from(client, { proto: "udp" })).toBe("drop");
      });

      test("is that of SCTP's ports too", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 }, { proto: "sctp" });
        expect(from(client, { proto: "sctp" })).toBe("drop");
        expect(from(client, { proto: "sctp", destinationPort: 1 })).toBe("pass");
      });

      test("on any address means the host's own, not those of others", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 });
        expect(from(client, { destination: second })).toBe("drop");
        expect(from(client, { destination: far })).toBe("pass");
      });

      test("on any address means what goes to all, too: docker-proxy would answer", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 }, { proto: "udp" });
        const group = family === 4 ? ["198.18.0.255", "ff:ff:ff:ff:ff:ff"] : ["ff02::1", "33:33:00:00:00:01"];
        const [destination = "", destinationMac = ""] = group;
        expect(from(client, { proto: "udp", destination, destinationMac })).toBe("drop");
      });

      test("of an address comes before that on any", () => {
        programs.list(5, [[net.near, "allow"]]);
        programs.list(6, [[net.near, "deny"]]);
        programs.port(family, { list: 6 });
        programs.port(family, { list: 5, unlistedRefused: 1 }, { address: host });
        expect(from(client)).toBe("pass");
        expect(from(client, { destination: second })).toBe("drop");
      });

      test("and the host's must both let a packet pass", () => {
        programs.list(0, [[net.near, "deny"]]);
        programs.list(5, [[net.near, "allow"]]);
        programs.port(family, { list: 5, unlistedRefused: 1 });
        programs.flags(PolicyFlags.SOURCES | PolicyFlags.PORTS);
        expect(from(client)).toBe("drop");
        expect(programs.drops()).toEqual({ source_denied: 1 });
      });

      test.each([
        ["an established connection's packets", { flags: tcpFlags.ack }],
        [
          "a first fragment",
          { fragment: { offset: 0, more: true }, l4: Buffer.from("9c401f9000000000", "hex") },
        ],
        [
          "a first fragment that ends before the flags",
          { proto: "tcp", fragment: { offset: 0, more: true }, l4: Buffer.from("9c401f9000000001", "hex") },
        ],
        ["options", family === 4 ? { options } : { extensions: [destinationOptions()] }],
        ...(family === 4
          ? ([["ten words of options", { options: Buffer.alloc(40, 1) }]] as const)
          : ([
              ["hop-by-hop options", { extensions: [[0, Buffer.from([0, 0, 1, 4, 0, 0, 0, 0])]] }],
              [
                "a routing header of 24 bytes",
                { extensions: [[43, Buffer.from([0, 2, 4, 0, ...Buffer.alloc(20)])]] },
              ],
              ["an authentication header", { extensions: [[51, Buffer.from([0, 4, ...Buffer.alloc(22)])]] }],
              ["an atomic fragment", { fragment: { offset: 0, more: false } }],
              ["eight extension headers", { extensions: Array.from({ length: 8 }, destinationOptions) }],
            ] as [string, Partial<FrameSpec>][])),
      ] as [string, Partial<FrameSpec>][])("is found behind %s", (_, spec) => {
        programs.list(5, [[net.near, "deny"]]);
        programs.port(family, { list: 5 });
        expect(from(client, spec)).toBe("drop");
        expect(from(other, spec)).toBe("pass");
      });

      test("does not judge later fragments: they have no port, and are worth nothing alone", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 });
        expect(
          from(client, { l4: Buffer.from("9c401f9000000000", "hex"), fragment: { offset: 8, more: false } }),
        ).toBe("pass");
      });

      test("lets a packet pass that ends before its ports", () => {
        programs.port(family, { list: 5, unlistedRefused: 1 }, { proto: "udp" });
        expect(
          from(client, {
            destination: second,
            proto: "udp",
            fragment: { offset: 0, more: true },
            l4: Buffer.alloc(3),
          }),
        ).toBe("pass");
      });

      test.each(["tcp", "udp"] as const)(
        "lets the answers of a %s connection pass that somebody here opened from the port",
        (proto) => {
          programs.port(family, { list: 5, unlistedRefused: 1 }, { proto });
          const answer = { proto, sourcePort: 443, flags: tcpFlags.syn | tcpFlags.ack } as const;
          expect(from(other, answer)).toBe("drop");
          programs.connectionFromHere(family, proto, 8080, other, 443);
          expect(from(other, answer)).toBe("pass");
          expect(from(client, answer)).toBe("drop");
          if (proto === "tcp") expect(from(other, { ...answer, flags: tcpFlags.syn })).toBe("drop");
        },
      );
    });

    describe("a limit", () => {
      const countedHere = hook === "tc" ? (["tcp", "udp"] as const) : (["tcp"] as const);
      const many = (count: number, spec: Partial<FrameSpec> = {}, source: string = client) =>
        Array.from({ length: count }, (_, index) =>
          from(source, { sourcePort: 1000 + index, ...spec }),
        ).filter((verdict) => verdict === "pass").length;
      const bucket = (): { key: unknown; value: Limit } => {
        const [entry] = programs.entries(`limits_ipv${family}`);
        if (entry === undefined) throw new Error("no bucket");
        return entry as { key: unknown; value: Limit };
      };

      test.each(countedHere)("lets the burst of new %s connections pass and no more", (proto) => {
        programs.port(family, { list: 9, limit: 1, burst: 5 }, { proto, slot: 2 });
        expect(many(20, { proto })).toBe(5);
        expect(programs.drops()).toEqual({ "limited@2": 15 });
      });

      test("is each source's own", () => {
        programs.port(family, { list: 9, limit: 1, burst: 5 });
        expect(many(20)).toBe(5);
        expect(many(20, {}, other)).toBe(5);
      });

      test("does not count what opens no connection", () => {
        programs.port(family, { list: 9, limit: 1, burst: 5 });
        expect(many(20, { flags: tcpFlags.ack })).toBe(20);
        expect(many(20, { flags: tcpFlags.syn | tcpFlags.ack })).toBe(20);
        expect(many(20, { flags: tcpFlags.rst })).toBe(20);
        expect(many(20, { destinationPort: 8081 })).toBe(20);
        expect(many(20, { proto: family === 4 ? "icmp" : "icmpv6", l4: Buffer.alloc(8, 128) })).toBe(20);
        expect(many(5)).toBe(5);
      });

      test("counts a first fragment that ends before the flags as a new connection", () => {
        programs.port(family, { list: 9, limit: 1, burst: 5 });
        const l4 = Buffer.from("9c401f9000000001", "hex");
        expect(many(20, { l4, fragment: { offset: 0, more: true } })).toBe(5);
      });

      test("comes after the list: who is refused takes no token", () => {
        programs.list(9, [[net.one, "deny"]]);
        programs.port(family, { list: 9, limit: 1, burst: 5 });
        expect(many(20)).toBe(0);
        expect(programs.entries(`limits_ipv${family}`)).toEqual([]);
      });

      test("is refilled by time, up to the burst", () => {
        // As good as nothing while the test counts, one in 5 s while the clock is turned back.
        const rate = (limit: number) => programs.port(family, { list: 9, limit, burst: 5 });
        const earn = (ns: bigint) => {
          const { key, value } = bucket();
          programs.write(`limits_ipv${family}`, key, { ...value, refilled: value.refilled - ns });
          rate(200);
          const passed = many(1);
          rate(1);
          return passed;
        };
        rate(1);
        expect(many(20)).toBe(5);
        // 16 s: 3.2 tokens, of which one is taken at once; the next would take 4 s more.
        expect(earn(16_000_000_000n)).toBe(1);
        expect(bucket().value.tokens).toBeGreaterThanOrEqual(2200n);
        expect(bucket().value.tokens).toBeLessThan(3000n);
        expect(many(20)).toBe(2);
        expect(earn(30_000_000_000n)).toBe(1);
        expect(bucket().value.tokens).toBe(4000n);
        expect(many(20)).toBe(4);
      });

      test("earns slowly what is slow: no time is lost between packets that come too early", () => {
        // One a minute.
        programs.port(family, { list: 9, limit: 17, burst: 1 });
        expect(many(1)).toBe(1);
        // Eleven times 5 s, less than the minute by more than this test takes.
        for (let step = 0; step < 11; step++) {
          expect(many(1)).toBe(0);
          const { key, value } = bucket();
          programs.write(`limits_ipv${family}`, key, { ...value, refilled: value.refilled - 5_000_000_000n });
        }
        const { key, value } = bucket();
        programs.write(`limits_ipv${family}`, key, { ...value, refilled: value.refilled - 5_000_000_000n });
        expect(many(1)).toBe(1);
      });

      test("does not lose a fraction of a token to rounding", () => {
        // A thousandth in a second.
        programs.port(family, { list: 9, limit: 1, burst: 1 });
        expect(many(1)).toBe(1);
        const before = bucket().value;
        const refilled = before.refilled - 300_000_000n;
        programs.write(`limits_ipv${family}`, bucket().key, { ...before, refilled });
        expect(many(1)).toBe(0);
        const after = bucket().value;
        expect((after.refilled - refilled) % 1_000_000_000n).toBe(0n);
        expect(after.tokens - before.tokens).toBe((after.refilled - refilled) / 1_000_000_000n);
      });

      test("a bucket of another clock's future does not stay shut", () => {
        programs.port(family, { list: 9, limit: 10, burst: 5 });
        expect(many(6)).toBe(5);
        const { key, value } = bucket();
        programs.write(`limits_ipv${family}`, key, {
          tokens: 0n,
          refilled: value.refilled + 3_600_000_000_000n,
        });
        expect(many(1)).toBe(0);
        const { value: after } = bucket();
        expect(after.refilled).toBeLessThan(value.refilled + 600_000_000_000n);
        programs.port(family, { list: 9, limit: 10_000, burst: 5 });
        programs.write(`limits_ipv${family}`, key, { ...after, refilled: after.refilled - 1_000_000_000n });
        expect(many(1)).toBe(1);
      });

      test("tokens below zero, as two CPUs at once may leave them for a moment, are none", () => {
        programs.port(family, { list: 9, limit: 1, burst: 5 });
        many(6);
        const { key, value } = bucket();
        programs.write(`limits_ipv${family}`, key, { ...value, tokens: 2n ** 64n - 1000n });
        expect(many(5)).toBe(0);
        expect(bucket().value.tokens).toBe(2n ** 64n - 1000n);
      });

      if (family === 6) {
        test("of an IPv6 source is that of its /64", () => {
          programs.port(family, { list: 9, limit: 1, burst: 5 });
          expect(many(5, {}, "2001:db8:1::2")).toBe(5);
          expect(many(5, {}, "2001:db8:1::3:4")).toBe(0);
          expect(many(5, {}, "2001:db8:1:1::2")).toBe(5);
        });
      }

      if (hook === "tc") {
        test("counts datagrams of a connection that conntrack knows as none", () => {
          programs.port(family, { list: 9, limit: 1, burst: 2 }, { proto: "udp" });
          programs.connectionToHere(family, "udp", client, 1000, 8080);
          expect(many(20, { proto: "udp", sourcePort: 1000 })).toBe(20);
          expect(many(20, { proto: "udp", sourcePort: 1001 })).toBe(2);
        });

        test("of TCP is not counted where XDP has counted it, UDP's is", () => {
          programs.port(family, { list: 9, limit: 1, burst: 2 });
          programs.port(family, { list: 9, limit: 1, burst: 2 }, { proto: "udp" });
          programs.uplink(UplinkXdpFlags.ATTACHED);
          expect(many(20)).toBe(20);
          expect(many(20, { proto: "udp" })).toBe(2);
          programs.uplink(0);
          expect(many(20)).toBe(2);
        });
      } else {
        test("of UDP is left to tc, which knows connections", () => {
          programs.port(family, { list: 9, limit: 1, burst: 2 }, { proto: "udp" });
          expect(many(20, { proto: "udp" })).toBe(20);
        });
      }
    });
  });

  describe("IPv6", () => {
    const { client, host } = place[6];
    const link = "fe80::1";
    const icmpv6 = (type: number) =>
      ({ proto: "icmpv6", l4: Buffer.from([type, 0, 0, 0, 0, 0, 0, 0]) }) as const;

    test.each([133, 134, 135, 136, 137])(
      "neighbour discovery %d passes every list, from a neighbour",
      (type) => {
        programs.list(0, [["::/0", "deny"]]);
        for (const source of [link, client]) {
          expect(programs.judge(hook, { source, destination: host, ttl: 255, ...icmpv6(type) })).toBe("pass");
          expect(programs.judge(hook, { source, destination: host, ttl: 254, ...icmpv6(type) })).toBe("drop");
        }
      },
    );

    test("multicast listening passes every list, behind its router alert", () => {
      programs.list(0, [["::/0", "deny"]]);
      const alert: [number, Uint8Array][] = [[0, Buffer.from([0, 0, 5, 2, 0, 0, 1, 0])]];
      const to = { destination: "ff02::16", destinationMac: "33:33:00:00:00:16", ttl: 1, extensions: alert };
      for (const type of [130, 131, 132, 143]) {
        expect(programs.judge(hook, { source: link, ...to, ...icmpv6(type) })).toBe("pass");
        expect(programs.judge(hook, { source: client, ...to, ...icmpv6(type) })).toBe("drop");
      }
    });

    test("other ICMPv6 does not", () => {
      programs.list(0, [["::/0", "deny"]]);
      for (const type of [1, 2, 128, 129, 138, 144])
        expect(programs.judge(hook, { source: link, destination: host, ttl: 255, ...icmpv6(type) })).toBe(
          "drop",
        );
    });

    test("a port on any address is also that of the link-local ones", () => {
      programs.port(6, { list: 5, unlistedRefused: 1 });
      expect(programs.judge(hook, { source: link, destination: "fe80::2" })).toBe("drop");
    });

    test("more extension headers than are followed get nowhere where ports have policies", () => {
      const extensions = Array.from({ length: 9 }, destinationOptions);
      expect(programs.judge(hook, { source: client, destination: host, extensions })).toBe("pass");
      programs.port(6, { list: 5, unlistedRefused: 1 });
      expect(programs.judge(hook, { source: client, destination: host, extensions })).toBe("drop");
      expect(programs.judge(hook, { source: client, destination: "2001:db8:ffff::1", extensions })).toBe(
        "pass",
      );
      expect(programs.drops()).toEqual({ port_denied: 1 });
    });
  });
});
