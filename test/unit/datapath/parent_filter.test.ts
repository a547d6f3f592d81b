import { describe, expect, it } from "vitest";
import { addressHash, parentFilter, subnetHash } from "../../../src/datapath/parent_filter.js";
import { EndpointFlags, PARENT_FILTER_HOSTS, ParentOwner } from "../../../src/generated/index.js";
import { type Address, ANY } from "../../../src/ip.js";

const endpoint = (
  slot: number,
  ipv4: Address,
  ipv6: Address = ANY[6],
  flags: number = EndpointFlags.PARENT,
) => ({
  slot,
  endpoint: {
    flags,
    ipv4: { address: ipv4, snatAddress: ANY[4], flags: 0 },
    ipv6: { address: ipv6, snatAddress: ANY[6], flags: 0 },
  },
});
const owner = (filter: ReturnType<typeof parentFilter>, address: Address) =>
  filter.owners[addressHash(address)];

describe("whose an address at a parent is", () => {
  it("a container's on a parent, by its slot, and the host's, by a number", () => {
    const filter = parentFilter(
      [endpoint(7, "192.168.0.10", "2001:db8::10")],
      ["198.18.0.1", "2001:db8:18::1"],
      [],
    );
    expect(owner(filter, "192.168.0.10")).toBe(ParentOwner.ENDPOINT | 7);
    expect(owner(filter, "2001:db8::10")).toBe(ParentOwner.ENDPOINT | 7);
    expect(owner(filter, "198.18.0.1")).toBe(ParentOwner.HOST | 0);
    expect(owner(filter, "2001:db8:18::1")).toBe(ParentOwner.HOST | 1);
    expect([filter.hostsIpv4[0], filter.hostsIpv6[0]]).toEqual(["198.18.0.1", ANY[6]]);
    expect([filter.hostsIpv4[1], filter.hostsIpv6[1]]).toEqual([ANY[4], "2001:db8:18::1"]);
    expect(filter.owners.filter((owner) => owner !== ParentOwner.NOBODY)).toHaveLength(4);
  });

  it("nobody's where no container is on a parent", () => {
    const bridged = endpoint(7, "172.17.0.2", ANY[6], EndpointFlags.BRIDGING);
    expect(parentFilter([bridged], ["198.18.0.1"], [])).toEqual(parentFilter([], [], []));
    expect(new Set(parentFilter([], [], []).owners)).toEqual(new Set([ParentOwner.NOBODY]));
  });

  it("to be asked for where two share a hash, or an address", () => {
    expect(addressHash("10.0.192.168")).toBe(addressHash("192.168.10.0"));
    const [a, b] = ["192.168.10.0", "10.0.192.168"] as const;
    expect(owner(parentFilter([endpoint(1, a), endpoint(2, b)], [], []), a)).toBe(ParentOwner.ASK);
    expect(owner(parentFilter([endpoint(1, a), endpoint(2, a)], [], []), a)).toBe(ParentOwner.ASK);
    expect(owner(parentFilter([endpoint(1, a)], [b], []), a)).toBe(ParentOwner.ASK);
  });

  it("one container's, whose two addresses share it", () => {
    expect(addressHash("2001:db8::a01")).toBe(addressHash("10.0.0.1"));
    const filter = parentFilter([endpoint(3, "10.0.0.1", "2001:db8::a01")], [], []);
    expect(owner(filter, "10.0.0.1")).toBe(ParentOwner.ENDPOINT | 3);
  });

  it("to be asked for where the hash is that of no address at all", () => {
    expect(addressHash("10.1.10.1")).toBe(0);
    expect(owner(parentFilter([endpoint(3, "10.1.10.1")], [], []), ANY[4])).toBe(ParentOwner.ASK);
  });

  it("to be asked for where the host has more than have a number", () => {
    const hosts = Array.from({ length: PARENT_FILTER_HOSTS + 1 }, (_, i) => `10.7.${i >> 8}.${i & 255}`);
    const filter = parentFilter([endpoint(1, "192.168.0.10")], hosts, []);
    expect(owner(filter, hosts[255] ?? "")).toBe(ParentOwner.HOST | 255);
    expect(owner(filter, hosts[256] ?? "")).toBe(ParentOwner.ASK);
  });
});

describe("what may be in a subnet of a routed network's", () => {
  const has = (subnets: string[], address: Address) => {
    const hash = subnetHash(address);
    return parentFilter([], [], subnets).subnets[hash] === 1;
  };

  it.each([
    ["192.168.4.0/24", "192.168.4.1", "192.169.4.1"],
    ["172.16.0.0/12", "172.31.255.1", "172.32.0.1"],
    ["10.0.0.0/8", "10.255.1.1", "11.0.0.1"],
    ["2001:db8:a0::/64", "2001:db8:a0::1", "2001:db8:a1::1"],
    ["fd00:1:10::/44", "fd00:1:1f::1", "fd00:1:20::1"],
    ["fd00:1:2:3::/80", "fd00:1:2:3::1", "fd00:1:3:3::1"],
  ])("%s", (subnet, inside, outside) => {
    expect(has([subnet], inside)).toBe(true);
    expect(has([subnet], outside)).toBe(false);
    expect(has([], inside)).toBe(false);
  });

  it("everything of a family whose subnet is wider than what is looked at", () => {
    expect(has(["fd00::/32"], "fd00:0:77::1")).toBe(true);
    expect(has(["fd00::/32"], "2001:db8::1")).toBe(true);
  });
});
