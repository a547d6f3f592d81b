import { describe, expect, test } from "vitest";
import { formatNetwork, parseNetwork } from "../../src/networks.js";

const read = (text: string) => {
  const network = parseNetwork(text);
  return "problem" in network ? network.problem : formatNetwork(network);
};

describe("a network", () => {
  test.each([
    ["198.18.0.0/16", "198.18.0.0/16"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["198.18.0.2", "198.18.0.2/32"],
    [" 198.18.0.2/32 ", "198.18.0.2/32"],
    ["198.18.0.128/25", "198.18.0.128/25"],
    ["::/0", "::/0"],
    ["2001:DB8:0::/32", "2001:db8::/32"],
    ["2001:db8::1", "2001:db8::1/128"],
    ["2001:db8:8000::/33", "2001:db8:8000::/33"],
  ])("%s is %s", (text, network) => {
    expect(read(text)).toBe(network);
  });

  test.each([
    ["", "is not a network"],
    ["everyone", "is not a network"],
    ["198.18.0.0/16/2", "is not a network"],
    ["198.18.0/16", "is not a network"],
    ["198.018.0.0/16", "is not a network"],
    ["fe80::1%eth0", "is not a network"],
    ["198.18.0.0/33", "0 to 32"],
    ["198.18.0.0/", "0 to 32"],
    ["198.18.0.0/-1", "0 to 32"],
    ["198.18.0.0/1e1", "0 to 32"],
    ["2001:db8::/129", "0 to 128"],
    ["198.18.0.1/16", "write 198.18.0.0/16 for the network or 198.18.0.1 for the address"],
    ["198.18.0.129/25", "write 198.18.0.128/25"],
    ["2001:db8::1/64", "write 2001:db8::/64"],
    ["0.0.0.1/0", "write 0.0.0.0/0"],
    ["::ffff:198.18.0.0/112", "write it as one"],
  ])("%j is refused: %s", (text, why) => {
    expect(read(text)).toContain(why);
  });
});
