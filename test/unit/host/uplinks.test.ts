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
  { ...link, ifindex: 6, name: "br0", type: 1, kind: "bridge" },
  { ...link, ifindex: 7, name: "eth1", type: 1, master: 6 },
  { ...link, ifindex: 8, name: "eth0.20", type: 1, kind: "vlan" },
  { ...link, ifindex: 9, name: "can0", type: 280 },
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

  it("takes bridges, VLANs and devices without Ethernet header", () => {
    expect(() => checkUplinks(["wg0", "br0", "eth0.20"], links)).not.toThrow();
  });

  it("refuses what it can't attach to", () => {
    expect(() => checkUplinks(["lo"], links)).toThrow(/lo can't be an uplink/);
    expect(() => checkUplinks(["can0"], links)).toThrow(/choose of eth0, eth0.20, wg0$/);
  });

  it("refuses a part and names the whole", () => {
    expect(() => checkUplinks(["eth1"], links)).toThrow(/it is part of br0.*: name br0$/);
    expect(() => checkUplinks(["veth1"], links)).toThrow(/it is part of docker0/);
  });
});
