import { describe, expect, test } from "vitest";
import { frameOf, type Packet, readFrame } from "../../../src/explain/frame.js";
import { checksum, parseFrame } from "../../bpf/lib/packet.js";

const ends = { source: Buffer.from("020000000001", "hex"), destination: Buffer.from("020000000002", "hex") };
const families = [
  { name: "IPv4", source: "203.0.113.7", destination: "198.18.0.1" },
  { name: "IPv6", source: "2001:db8::7", destination: "2001:db8:1::1" },
];

describe.each(families)("a frame that is made up, $name", ({ name, source, destination }) => {
  test.each(["tcp", "udp", "icmp"] as const)("%s, is a whole packet with right checksums", (protocol) => {
    const packet: Packet = {
      protocol,
      source,
      destination,
      sourcePort: 40000,
      destinationPort: protocol === "icmp" ? 0 : 8080,
      established: false,
    };
    const frame = frameOf(packet, ends);
    const parsed = parseFrame(frame);
    expect(parsed).toMatchObject({ ipChecksumRight: true, source, destination });
    // ICMP's has no addresses in it (RFC 792), ICMPv6's has.
    const isBare = protocol === "icmp" && name === "IPv4";
    expect(isBare ? checksum(frame.subarray(34)) === 0 : parsed.l4ChecksumRight).toBe(true);
    expect(readFrame(frame, packet)).toEqual(packet);
  });
});
