import { describe, expect, test } from "vitest";
import { UserError } from "../../../src/errors.js";
import { parseQuestion } from "../../../src/explain/question.js";

const address = (text: string) => ({ kind: "address", address: text });
const container = (name: string, network?: string) => ({
  kind: "container",
  container: name,
  ...(network === undefined ? {} : { network }),
});

describe("what is asked about a packet", () => {
  test.each([
    ["203.0.113.7", "198.18.0.1:8080/tcp", address("203.0.113.7"), address("198.18.0.1"), "tcp", 8080],
    ["203.0.113.7", "host:53/udp", address("203.0.113.7"), { kind: "host" }, "udp", 53],
    ["web", "db@back-end:5432", container("web"), container("db", "back-end"), "tcp", 5432],
    ["web@front", "2001:db8::7", container("web", "front"), address("2001:db8::7"), "icmp", 0],
    ["2001:DB8::0007", "[2001:db8::1]:443", address("2001:db8::7"), address("2001:db8::1"), "tcp", 443],
    ["host", "[2001:db8::1]", { kind: "host" }, address("2001:db8::1"), "icmp", 0],
    ["web", "db/icmp", container("web"), container("db"), "icmp", 0],
    ["host@front", "web:1/tcp", container("host", "front"), container("web"), "tcp", 1],
  ])("%s %s", (source, destination, from, to, protocol, port) => {
    expect(parseQuestion(source, destination)).toEqual({ source: from, destination: to, protocol, port });
  });

  test("the source may have a port", () => {
    expect(parseQuestion("[2001:db8::7]:40000", "host:53/udp")).toMatchObject({ sourcePort: 40000 });
    expect(parseQuestion("web:80", "203.0.113.7:40000")).toMatchObject({ sourcePort: 80, port: 40000 });
  });

  test.each([
    ["203.0.113.7", "host:99999", /a port is 1 to 65535/],
    ["203.0.113.7", "host:0", /a port is 1 to 65535/],
    ["203.0.113.7", "host:", /a port is 1 to 65535/],
    ["203.0.113.7", "host:80/sctp", /the protocol is tcp, udp or icmp/],
    ["203.0.113.7", "host:80/tcp/udp", /is none/],
    ["203.0.113.7", "host/tcp", /has no port/],
    ["203.0.113.7", "host:8/icmp", /ICMP has no ports/],
    ["203.0.113.7:5", "host", /ICMP has no ports/],
    ["203.0.113.7/tcp", "host:80", /SRC .* has a protocol/],
    ["203.0.113.7", "2001:db8::1", /different families/],
    ["203.0.113.7", "[198.18.0.1]:80", /no IPv6 address in the brackets/],
    ["203.0.113.300", "a:b:c", /is no address/],
    ["", "host:80", /no container's name/],
    ["web", "../etc:80/tcp", /is none/],
    ["web@", "host:80", /no container's name/],
    ["\u001b[31mweb", "host:80", /SRC/],
  ])("%j %j is refused in one line", (source, destination, why) => {
    const asked = () => parseQuestion(source, destination);
    expect(asked).toThrow(why);
    expect(asked).toThrow(expect.objectContaining({ exitCode: 2, name: new UserError("").name }));
  });
});
