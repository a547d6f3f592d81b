import { describe, expect, it } from "vitest";
import { formatIpv4, formatMac, isUnicast, netmask, parseIpv4, parseMac } from "../../src/ipv4.js";

describe("IPv4 addresses", () => {
  it.each(["0.0.0.0", "10.0.0.1", "127.0.0.1", "198.18.255.254", "255.255.255.255"])(
    "%s there and back",
    (text) => {
      expect(formatIpv4(parseIpv4(text) ?? -1)).toBe(text);
    },
  );

  it.each(["", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.4 ", "::1", "1.2.3.x"])(
    "%j is none",
    (text) => {
      expect(parseIpv4(text)).toBeUndefined();
    },
  );

  it("are numbers in host order", () => {
    expect(parseIpv4("192.0.2.1")).toBe(0xc0000201);
    expect(netmask(24)).toBe(0xffffff00);
    expect(netmask(0)).toBe(0);
    expect(netmask(32)).toBe(0xffffffff);
  });

  it("knows what a host can be reached by", () => {
    const unicast = ["10.0.0.1", "169.254.1.1", "223.255.255.255"].map((t) => isUnicast(parseIpv4(t) ?? 0));
    const not = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255"].map((t) =>
      isUnicast(parseIpv4(t) ?? 0),
    );
    expect([unicast, not]).toEqual([
      [true, true, true],
      [false, false, false, false],
    ]);
  });
});

describe("MAC addresses", () => {
  it("there and back", () => {
    expect(formatMac(parseMac("02:42:AC:11:00:0f") ?? new Uint8Array())).toBe("02:42:ac:11:00:0f");
    for (const text of ["", "02:42:ac:11:00", "02:42:ac:11:00:0g", "0242ac11000f"])
      expect(parseMac(text)).toBeUndefined();
  });
});
