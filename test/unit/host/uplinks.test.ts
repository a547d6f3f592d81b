import { describe, expect, it } from "vitest";
import { UserError } from "../../../src/errors.js";
import { checkUplinks } from "../../../src/host/uplinks.js";

const link = { flags: 1, mtu: 1500 };
const links = [
  { ...link, ifindex: 1, name: "lo", type: 772 },
  { ...link, ifindex: 2, name: "eth0", type: 1 },
  { ...link, ifindex: 3, name: "docker0", type: 1, kind: "bridge" },
  { ...link, ifindex: 4, name: "veth1", type: 1, kind: "veth", master: 3 },
  { ...link, ifindex: 5, name: "wg0", type: 65534, kind: "wireguard" },
];

describe("checkUplinks", () => {
  it("takes devices that are there", () => {
    expect(() => checkUplinks([], links)).not.toThrow();
    expect(() => checkUplinks(["eth0"], links)).not.toThrow();
  });

  it("names the devices that there are when one is not", () => {
    expect(() => checkUplinks(["eth0", "eth9"], links)).toThrow(UserError);
    expect(() => checkUplinks(["eth9"], links)).toThrow('no uplink "eth9" on this host: choose of eth0');
  });

  it("refuses devices without Ethernet header", () => {
    expect(() => checkUplinks(["wg0"], links)).toThrow(/wg0 can't be an uplink/);
    expect(() => checkUplinks(["lo"], links)).toThrow(/choose of eth0/);
  });
});
