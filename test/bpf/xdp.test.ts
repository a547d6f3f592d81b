/**
 * What XDP drops without being told to: headers that no stack accepts and sources that nobody can have. As much is tested of what
 * must pass: whatever the kernel takes, forwards or answers.
 */
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { PolicyFlags, SourceBlock, UplinkXdpFlags, XDP_PLACES } from "../../src/generated/types.js";
import { type FrameSpec, makeFrame, tcpFlags } from "./lib/frames.js";
import { mac } from "./lib/host.js";
import { families, loopback, PolicyPrograms, place } from "./lib/policy.js";

const programs = new PolicyPrograms();
beforeEach(() => {
  programs.reset();
  programs.uplink(UplinkXdpFlags.ATTACHED);
});
afterAll(() => programs.close());

type Cases = [string, Partial<FrameSpec>][];
const TAG = 0x8100;
const SERVICE_TAG = 0x88a8;

describe.each(families)("IPv%d", (family) => {
  const { client, far, host } = place[family];
  const judge = (spec: Partial<FrameSpec>) =>
    programs.judge("xdp", { source: client, destination: host, ...spec });
  const header = family === 4 ? 20 : 40;
  const lie = (total: number) => ({ ipLength: family === 4 ? total : total - 40 });

  test.each([
    ["another version", { version: 5 }],
    ["the other family's version", { version: family === 4 ? 6 : 4 }],
    ["version 0", { version: 0 }],
    ["a length beyond the frame", lie(header + 21)],
    ["a header cut short", { cut: 14 + header - 1 }],
    ["nothing after the Ethernet header", { cut: 14 }],
    ["TCP without room for its header", { l4: Buffer.alloc(19) }],
    ["TCP of no length", { l4: Buffer.alloc(0) }],
    ["a TCP header of four words", { dataOffset: 4 }],
    ["a TCP header of no words", { dataOffset: 0 }],
    ["a TCP header longer than the packet", { dataOffset: 6 }],
    ["a TCP header longer than the packet, in a frame that is longer", { dataOffset: 6, padding: 40 }],
    ["UDP without room for its header", { proto: "udp", l4: Buffer.alloc(7) }],
    ["a UDP length below its header's", { proto: "udp", udpLength: 7 }],
    ["a UDP length beyond the packet", { proto: "udp", udpLength: 9, padding: 40 }],
    ...(family === 4
      ? ([
          ["a header of four words", { headerWords: 4 }],
          ["a header of no words", { headerWords: 0 }],
          ["a header longer than the packet", { headerWords: 15 }],
          ["a length below the header's", lie(19)],
          ["no length", lie(0)],
          ["a UDP length of 0", { proto: "udp", udpLength: 0 }],
        ] as Cases)
      : ([["no length, and TCP", { ipLength: 0 }]] as Cases)),
  ] as Cases)("drops %s", (_, spec) => {
    expect(judge(spec)).toBe("drop");
    expect(programs.drops()).toEqual({ bad_header: 1 });
  });

  test.each([
    ["a SYN", {}],
    ["padding after the packet", { padding: 18 }],
    ["TCP options up to the packet's end", { dataOffset: 6, payload: Buffer.alloc(4) }],
    ["the longest TCP header", { dataOffset: 15, payload: Buffer.alloc(40) }],
    ["odd flags", { flags: 0xff }],
    ["no flags", { flags: 0 }],
    ["port 0", { sourcePort: 0, destinationPort: 0 }],
    ["an empty datagram", { proto: "udp" }],
    ["a UDP length below the packet's", { proto: "udp", udpLength: 8, payload: Buffer.alloc(40) }],
    ["TTL 1, which is answered with ICMP where it is forwarded", { ttl: 1, destination: far }],
    ["TTL 0", { ttl: 0 }],
    ["an unknown protocol, which is answered with ICMP", { proto: 253, l4: Buffer.alloc(4) }],
    ["a protocol without a byte", { proto: 47, l4: Buffer.alloc(0) }],
    ["TCP that is broken, forwarded: a router does not look", { destination: far, dataOffset: 0 }],
    ["UDP that is broken, forwarded", { destination: far, proto: "udp", udpLength: 4 }],
    [
      "a first fragment with a piece of TCP's header",
      { l4: Buffer.alloc(8), fragment: { offset: 0, more: true } },
    ],
    [
      "a first fragment of a longer datagram",
      { proto: "udp", udpLength: 4000, fragment: { offset: 0, more: true } },
    ],
    ["a later fragment", { l4: Buffer.alloc(3), fragment: { offset: 1480, more: false } }],
    ...(family === 4
      ? ([
          ["the longest options", { options: Buffer.alloc(40, 1) }],
          ["broken options, which are answered with ICMP", { options: Buffer.from([7, 255, 255, 255]) }],
          ["ICMP", { proto: "icmp", l4: Buffer.alloc(8) }],
        ] as Cases)
      : ([
          ["a UDP length of 0, a jumbogram's", { proto: "udp", udpLength: 0 }],
          [
            "no length, and a hop-by-hop header",
            { ipLength: 0, extensions: [[0, Buffer.from([0, 0, 0xc2, 4, 0, 1, 0, 0])]] },
          ],
          [
            "an unknown option, which is answered with ICMP",
            { extensions: [[60, Buffer.from([0, 0, 0xbf, 4, 0, 0, 0, 0])]] },
          ],
          ["an extension header cut short", { proto: 60, l4: Buffer.alloc(2) }],
          ["no next header", { proto: 59, l4: Buffer.alloc(0) }],
          ["ICMPv6", { proto: "icmpv6", l4: Buffer.alloc(8, 128) }],
        ] as Cases)),
  ] as Cases)("passes %s", (_, spec) => {
    expect(judge(spec)).toBe("pass");
    expect(programs.drops()).toEqual({});
  });

  test.each(
    family === 4
      ? [
          ["loopback", "127.0.0.1"],
          ["the end of loopback", "127.255.255.255"],
          ["multicast", "224.0.0.1"],
          ["the end of multicast", "239.255.255.255"],
          ["broadcast", "255.255.255.255"],
          ["the unspecified address", "0.0.0.0"],
          ["the host itself", host],
          ["another address of the host", place[4].second],
        ]
      : [
          ["loopback", "::1"],
          ["multicast", "ff02::1"],
          ["the end of multicast", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
          ["mapped IPv4", "::ffff:198.18.0.2"],
          ["the unspecified address", "::"],
          ["the host itself", host],
          ["another address of the host", place[6].second],
        ],
  )("drops what says it comes from %s", (_, source) => {
    for (const proto of ["tcp", "udp"] as const) expect(judge({ source, proto })).toBe("drop");
    expect(programs.drops()).toEqual({ martian: 2 });
  });

  test.each(
    family === 4
      ? [
          "126.255.255.255",
          "128.0.0.0",
          "223.255.255.255",
          "240.0.0.1",
          "255.255.255.254",
          "0.0.0.1",
          "169.254.3.4",
          "10.0.0.1",
          "198.18.0.255",
        ]
      : [
          "fe80::1",
          "::2",
          "::198.18.0.2",
          "::1:0:0",
          "::fffe:1:1",
          "fec0::1",
          "fd00::1",
          "1::",
          "64:ff9b::1",
          "feff::1",
        ],
  )("passes %s, which the kernel takes", (source) => {
    expect(judge({ source })).toBe("pass");
  });

  test("passes the host's own addresses where they may come back, or where nobody has said that it is an uplink", () => {
    programs.uplink(UplinkXdpFlags.ATTACHED | UplinkXdpFlags.OWN_SOURCES);
    expect(judge({ source: host })).toBe("pass");
    programs.uplink(0);
    expect(judge({ source: host })).toBe("pass");
  });

  describe("the unspecified address", () => {
    const source = family === 4 ? "0.0.0.0" : "::";
    test.each(
      family === 4
        ? ([
            [
              "a DHCP discovery",
              {
                proto: "udp",
                destination: "255.255.255.255",
                sourcePort: 68,
                destinationPort: 67,
                destinationMac: "ff:ff:ff:ff:ff:ff",
              },
            ],
            ["DHCP to a server by its address", { proto: "udp", sourcePort: 68, destinationPort: 67 }],
            [
              "an IGMP report",
              {
                proto: 2,
                destination: "224.0.0.22",
                destinationMac: "01:00:5e:00:00:16",
                options: Buffer.from([0x94, 4, 0, 0]),
                l4: Buffer.alloc(8),
              },
            ],
            ["a broadcast of old", { proto: "udp", destination: "0.0.0.0" }],
          ] as Cases)
        : ([
            [
              "duplicate address detection",
              {
                proto: "icmpv6",
                destination: "ff02::1:ff00:1",
                destinationMac: "33:33:ff:00:00:01",
                ttl: 255,
                l4: Buffer.from([135, ...Buffer.alloc(23)]),
              },
            ],
            [
              "a router solicitation",
              {
                proto: "icmpv6",
                destination: "ff02::2",
                destinationMac: "33:33:00:00:00:02",
                ttl: 255,
                l4: Buffer.from([133, ...Buffer.alloc(7)]),
              },
            ],
            [
              "a multicast listener report",
              {
                proto: "icmpv6",
                destination: "ff02::16",
                destinationMac: "33:33:00:00:00:16",
                extensions: [[0, Buffer.from([0, 0, 5, 2, 0, 0, 1, 0])]],
                l4: Buffer.from([143, ...Buffer.alloc(7)]),
              },
            ],
          ] as Cases),
    )("passes %s", (_, spec) => {
      expect(judge({ source, ...spec })).toBe("pass");
    });
  });

  if (family === 6) {
    test("passes a neighbour that says it has the host's address: so duplicates are found", () => {
      const l4 = Buffer.from([136, ...Buffer.alloc(23)]);
      expect(
        judge({
          source: host,
          destination: "ff02::1",
          destinationMac: "33:33:00:00:00:01",
          proto: "icmpv6",
          ttl: 255,
          l4,
        }),
      ).toBe("pass");
    });
  }

  describe("VLAN tags", () => {
    test.each([
      ["one", [TAG]],
      ["a service's", [SERVICE_TAG]],
      ["two", [SERVICE_TAG, TAG]],
    ])("a frame with %s is judged as without", (_, tags) => {
      expect(judge({ tags })).toBe("pass");
      expect(judge({ tags, version: 5 })).toBe("drop");
      expect(judge({ tags, dataOffset: 1 })).toBe("drop");
      expect(judge({ tags, padding: 40, ...lie(header + 61) })).toBe("drop");
      programs.list(0, [[family === 4 ? "198.18.0.0/24" : "2001:db8:1::/48", "deny"]]);
      expect(judge({ tags })).toBe("drop");
      programs.flags(0);
      programs.port(family, { unlistedRefused: 1 });
      expect(judge({ tags })).toBe("drop");
    });

    test("a frame with three is nobody's of ours, one that ends in a tag passes", () => {
      expect(judge({ tags: [SERVICE_TAG, TAG, TAG], version: 5 })).toBe("pass");
      expect(judge({ tags: [TAG], cut: 16 })).toBe("pass");
    });
  });

  describe("frames of several pieces", () => {
    const jumbo = (spec: Partial<FrameSpec> = {}) =>
      makeFrame({
        source: client,
        destination: host,
        destinationMac: mac.uplink,
        proto: "udp",
        payload: Buffer.alloc(8900),
        ...spec,
      });

    test("a jumbo frame is judged by its whole length", () => {
      expect(programs.judgeBytes("xdp", jumbo())).toBe("pass");
      expect(programs.judgeBytes("xdp", jumbo(lie(header + 8909)))).toBe("drop");
      programs.list(0, [[family === 4 ? "198.18.0.0/24" : "2001:db8:1::/48", "deny"]]);
      expect(programs.judgeBytes("xdp", jumbo())).toBe("drop");
    });

    test("headers are read across them", () => {
      const split = (frame: Buffer) => programs.judgeSplit(frame, 14);
      if (split(jumbo()) === undefined) return;
      expect(split(jumbo())).toBe("pass");
      expect(split(jumbo({ version: 5 }))).toBe("drop");
      programs.port(family, { unlistedRefused: 1 }, { proto: "udp" });
      expect(split(jumbo())).toBe("drop");
      expect(programs.drops()).toEqual({ bad_header: 1, port_denied: 1 });
    });
  });

  test("counts bytes from the IP header on", () => {
    judge({ version: 5, tags: [TAG], payload: Buffer.alloc(100) });
    const [entry] = programs.bytes();
    expect(entry).toBe(header + 120);
  });
});

test("what is not IP passes", () => {
  const arp = Buffer.concat([Buffer.from("ffffffffffff0200000000020806", "hex"), Buffer.alloc(28)]);
  expect(programs.judgeBytes("xdp", arp)).toBe("pass");
  const length = Buffer.concat([Buffer.from("0180c20000000200000000020026", "hex"), Buffer.alloc(38)]);
  expect(programs.judgeBytes("xdp", length)).toBe("pass");
});

test("an answer to a connection that was opened here is no SYN, whatever its ports", () => {
  programs.port(4, { unlistedRefused: 1 }, { port: 40000 });
  programs.connectionFromHere(4, "tcp", 40000, place[4].far, 443);
  const answer = {
    source: place[4].far,
    destination: place[4].host,
    sourcePort: 443,
    destinationPort: 40000,
  };
  expect(programs.judge("xdp", { ...answer, flags: tcpFlags.ack })).toBe("pass");
});

describe("counting by device", () => {
  /** Of the same first place as loopback's, which test runs come in by. */
  const [second, third, fourth, fifth] = [1, 2, 3, 4].map((round) => loopback + round * XDP_PLACES) as [
    number,
    number,
    number,
    number,
  ];
  const [{ client, host }, denied] = [place[4], "203.0.113.7"];

  /** 3 that pass and 4 that are dropped: for another reason each. */
  function traffic(): void {
    programs.list(0, [["203.0.113.0/24", "deny"]]);
    programs.blocks({ 51968: SourceBlock.MIXED });
    programs.port(4, { unlistedRefused: 1 }, { slot: 7 });
    programs.flags(PolicyFlags.SOURCES | PolicyFlags.PORTS);
    const verdicts = [
      { source: client, destination: host, destinationPort: 22 },
      { source: place[6].client, destination: place[6].host },
      { source: denied, destination: host },
      { source: host, destination: host, destinationPort: 22 },
      { source: client, destination: host, version: 5 },
      { source: client, destination: host, destinationPort: 8080 },
    ].map((spec) => programs.judge("xdp", spec));
    expect(verdicts).toEqual(["pass", "pass", "drop", "drop", "drop", "drop"]);
    const arp = Buffer.concat([Buffer.from("ffffffffffff0200000000020806", "hex"), Buffer.alloc(28)]);
    expect(programs.judgeBytes("xdp", arp)).toBe("pass");
  }
  const counted = { passed: 3, dropped: 4 };
  const dropped = { source_denied: 1, martian: 1, bad_header: 1, "port_denied@7": 1 };

  test("every packet once by its verdict, those for endpoints and those that are not IP too", () => {
    expect(programs.countXdpAt(loopback)).toBe(true);
    traffic();
    expect(programs.xdpVerdicts(loopback)).toEqual(counted);
    expect(programs.drops()).toEqual(dropped);
  });

  test("what is dropped at once, for all of its /16, is counted", () => {
    programs.countXdpAt(loopback);
    programs.flags(PolicyFlags.SOURCES);
    programs.blocks({ 51968: SourceBlock.DENIED });
    for (let count = 0; count < 5; count++)
      expect(programs.judge("xdp", { source: denied, destination: host })).toBe("drop");
    expect(programs.xdpVerdicts(loopback)).toEqual({ passed: 0, dropped: 5 });
    expect(programs.drops()).toEqual({ source_denied: 5 });
  });

  test("at a device without a place by reason alone", () => {
    traffic();
    expect(programs.xdpVerdicts(loopback)).toBeUndefined();
    expect(programs.drops()).toEqual(dropped);
  });

  test("devices that begin to look at the same place have one each, as many as are looked at", () => {
    for (const other of [second, third, fourth]) programs.countXdpAt(other, [second, third, fourth]);
    expect(programs.countXdpAt(loopback, [second, third, fourth])).toBe(true);
    expect(programs.countXdpAt(fifth, [second, third, fourth, loopback])).toBe(false);
    traffic();
    expect(programs.xdpVerdicts(loopback)).toEqual(counted);
    for (const other of [second, third, fourth])
      expect(programs.xdpVerdicts(other)).toEqual({ passed: 0, dropped: 0 });
    expect(programs.xdpVerdicts(fifth)).toBeUndefined();
  });

  test("a place that is given to another begins at zero, and reasons go on", () => {
    programs.countXdpAt(loopback);
    traffic();
    programs.countXdpAt(second);
    expect(programs.xdpVerdicts(loopback)).toBeUndefined();
    expect(programs.xdpVerdicts(second)).toEqual({ passed: 0, dropped: 0 });
    expect(programs.drops()).toEqual(dropped);
    traffic();
    expect(programs.xdpVerdicts(second)).toEqual({ passed: 0, dropped: 0 });
    expect(programs.drops()).toEqual(
      Object.fromEntries(Object.entries(dropped).map(([reason, count]) => [reason, 2 * count])),
    );
  });

  test("a device that is attached again begins at zero, in the place that it had", () => {
    programs.countXdpAt(second, []);
    programs.countXdpAt(loopback, [second]);
    traffic();
    // The other is gone by now: its place comes first.
    programs.countXdpAt(loopback, []);
    expect(programs.xdpVerdicts(loopback)).toEqual({ passed: 0, dropped: 0 });
    traffic();
    expect(programs.xdpVerdicts(loopback)).toEqual(counted);
  });
});
