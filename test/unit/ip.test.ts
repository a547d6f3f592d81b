import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { ipv4Address, ipv6Address } from "../../src/codec.js";
import {
  canonical,
  compareAddresses,
  familyOf,
  formatAddress,
  formatMac,
  isUnicast,
  netmask,
  parseAddress,
  parseMac,
  withPort,
} from "../../src/ip.js";

describe("canonical", () => {
  it.each([
    "0.0.0.0",
    "10.0.0.1",
    "198.18.255.254",
    "255.255.255.255",
    "::",
    "::1",
    "2001:db8::1",
    "2001:db8:1:2:3:4:5:6",
    "fe80::1",
    "1::",
    "::ffff:192.0.2.1",
    "::192.0.2.1",
    "2001:db8::1:0:0:1",
    "2001:db8:0:1:1:1:1:1",
    "0:1::",
  ])("%s is so already", (text) => {
    expect(canonical(text)).toBe(text);
  });

  // RFC 5952, 4; glibc's inet_ntop for the disguised.
  it.each([
    ["2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"],
    ["2001:DB8::ABCD", "2001:db8::abcd"],
    ["2001:db8:0:0:0:0:2:1", "2001:db8::2:1"],
    ["2001:db8::0:1", "2001:db8::1"],
    ["2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["2001:0:0:1:0:0:0:1", "2001:0:0:1::1"],
    ["2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["0:0:0:0:0:0:0:0", "::"],
    ["::0:0:1", "::1"],
    ["::FFFF:c000:0201", "::ffff:192.0.2.1"],
    ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
    ["::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"],
  ])("%s is %s", (text, expected) => {
    expect(canonical(text)).toBe(expected);
    expect(canonical(text, 6)).toBe(expected);
    expect(canonical(text, 4)).toBeUndefined();
  });

  it.each(
    [
      ...[
        "",
        " ",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.4 ",
        "1.2.3.x",
        "1..2.3",
        "0x1.2.3.4",
      ],
      ...["1.2.3.4\n", "1.2.3.4/8", "١.2.3.4", "1e1.2.3.4", "-1.2.3.4", "4294967295"],
      ...[
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
      ],
      ...["12345::", "g::", "fe80::1%eth0", "2001:db8::1/64", "[::1]", "::1.2.3", "::1.2.3.4.5", "1.2.3.4::"],
      ...[
        "::1.2.3.4:5",
        "::01.2.3.4",
        "::256.1.1.1",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:",
        "1:2:3:4:5:6:7:1.2.3.4",
      ],
      ...["::\u0000", "a".repeat(100_000), ":".repeat(100_000), "1:".repeat(50_000), "__proto__"],
    ].map((text) => [inspect(text).slice(0, 40), text]),
  )("%s is none", (_shown, text) => {
    expect(canonical(text)).toBeUndefined();
    expect(parseAddress(text)).toBeUndefined();
    expect(isUnicast(text)).toBe(false);
  });

  it("agrees with the URL standard's own reading of thousands of addresses", () => {
    const wrong: string[] = [];
    for (let i = 0; i < 5_000; i++) {
      const bytes = new Uint8Array(16);
      // Many zero words, and few that make it IPv4 in disguise.
      for (let word = 0; word < 8; word++) {
        if (Math.random() < 0.5) continue;
        bytes[2 * word] = Math.random() < 0.5 ? 0 : Math.floor(Math.random() * 256);
        bytes[2 * word + 1] = Math.floor(Math.random() * 256);
      }
      const text = formatAddress(bytes, 0, 6);
      const disguised = text.includes(".");
      const same = parseAddress(text)?.join() === bytes.join();
      if (!same || (!disguised && new URL(`http://[${text}]`).hostname !== `[${text}]`)) wrong.push(text);
    }
    expect(wrong).toEqual([]);
  });
});

describe("codecs", () => {
  it("are network order", () => {
    expect(ipv4Address.encode("192.0.2.1").toString("hex")).toBe("c0000201");
    expect(ipv6Address.encode("2001:db8::1").toString("hex")).toBe("20010db8000000000000000000000001");
    expect(ipv6Address.decode(Buffer.alloc(20, 0xff), 4)).toBe("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    expect(ipv4Address.decode(Buffer.from("000a00000100", "hex"), 1)).toBe("10.0.0.1");
  });

  it("refuse what is no address of theirs", () => {
    for (const text of ["", "2001:db8::1", "10.0.0", "x"])
      expect(() => ipv4Address.encode(text)).toThrow(RangeError);
    for (const text of ["", "192.0.2.1", "2001:db8::g"])
      expect(() => ipv6Address.encode(text)).toThrow(RangeError);
  });

  it("decode 100,000 of each in a moment", () => {
    const buffer = Buffer.from(
      Array.from({ length: 100_016 }, (_, i) => (i * 7919) & 0xff & (i % 3 === 0 ? 0 : 0xff)),
    );
    const started = performance.now();
    for (let i = 0; i < 100_000; i++) {
      ipv4Address.read(buffer, i);
      ipv6Address.read(buffer, i);
    }
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});

describe("what a host can be reached by", () => {
  it.each(["10.0.0.1", "169.254.1.1", "223.255.255.255", "2001:db8::1", "fd00::1", "64:ff9b::1", "fec0::1"])(
    "%s",
    (address) => {
      expect(isUnicast(address)).toBe(true);
    },
  );
  it.each([
    ...["0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"],
    ...["::", "::1", "fe80::1", "febf::1", "ff02::1", "::ffff:192.0.2.1", "::192.0.2.1"],
  ])("not %s", (address) => {
    expect(isUnicast(address)).toBe(false);
  });
});

it("sorts IPv4 before IPv6, and by the bytes", () => {
  const addresses = ["2001:db8::10", "198.18.0.10", "2001:db8::9", "::", "198.18.0.9", "9.0.0.1"];
  expect(addresses.sort(compareAddresses)).toEqual([
    "9.0.0.1",
    "198.18.0.9",
    "198.18.0.10",
    "::",
    "2001:db8::9",
    "2001:db8::10",
  ]);
});

it("knows families, netmasks and ports", () => {
  expect(["198.18.0.1", "2001:db8::1", "::ffff:192.0.2.1"].map(familyOf)).toEqual([4, 6, 6]);
  expect([0, 1, 24, 31, 32].map(netmask)).toEqual([
    "0.0.0.0",
    "128.0.0.0",
    "255.255.255.0",
    "255.255.255.254",
    "255.255.255.255",
  ]);
  expect([withPort("198.18.0.1", 80), withPort("::", 80)]).toEqual(["198.18.0.1:80", "[::]:80"]);
});

describe("MAC addresses", () => {
  it("there and back", () => {
    expect(formatMac(parseMac("02:42:AC:11:00:0f") ?? new Uint8Array())).toBe("02:42:ac:11:00:0f");
    for (const text of ["", "02:42:ac:11:00", "02:42:ac:11:00:0g", "0242ac11000f"])
      expect(parseMac(text)).toBeUndefined();
  });
});
