/** Whose an address at a parent is, as the programs find it in parent_filter: what its hash alone does not tell. */
import { describe, expect, test } from "vitest";
import { addressHash } from "../../src/datapath/parent_filter.js";
import { ANY, FAMILIES } from "../../src/ip.js";
import { useDatapath } from "./lib/datapath.js";
import { childSlot, OnParent } from "./lib/parent.js";

const datapath = useDatapath();

/** Of the hash of the first container's. */
const alike = { 4: "10.200.202.106", 6: "2001:db8:a0:11::1" } as const;

describe.each(FAMILIES)("IPv%i", (family) => {
  const on = new OnParent(datapath, family);
  const { one } = on.child;
  const sent = (name: "one" | "two") => {
    const { fast, slow } = datapath.counters(childSlot[name]).transmit;
    return fast.packets + slow.packets;
  };

  test("two containers whose addresses share a hash are told apart", () => {
    expect(addressHash(alike[family])).toBe(addressHash(one));
    on.put("one");
    on.put("two", { address: alike[family] });
    on.sends({});
    expect([sent("one"), sent("two")]).toEqual([1, 0]);
    on.sends({ source: alike[family] });
    expect([sent("one"), sent("two")]).toEqual([1, 1]);
    on.arrives({ destination: alike[family] });
    expect(datapath.counters(childSlot.two).receive.slow.packets).toBe(1);
    expect(datapath.counters(childSlot.one).receive.slow.packets).toBe(0);
  });

  test("a container and the host's address that shares its hash, too", () => {
    datapath.write(on.mapName("host_addresses"), alike[family], 1);
    on.put("one");
    expect(on.sends({ destination: alike[family] }).verdict).toBe("redirect");
    expect(sent("one")).toBe(1);
    expect(on.sends({ source: alike[family] }).verdict).toBe("next");
    expect(sent("one")).toBe(1);
  });

  test("somebody outside with an address of a container's hash, or of the host's, is neither", () => {
    on.put("one");
    on.leaves({ source: alike[family], destination: on.address.internet });
    expect(on.leaves({ destination: alike[family] }).verdict).toBe("next");
    on.arrives({ destination: alike[family] });
    expect(datapath.counters(childSlot.one)).toEqual(datapath.counters(childSlot.two));
  });

  test("a slot that is another's by now is not who it was", () => {
    on.put("one");
    datapath.putEndpoint(childSlot.one, {
      ...datapath.endpoint(childSlot.one),
      [`ipv${family}`]: { address: alike[family], snatAddress: ANY[family], flags: 0 },
    });
    on.sends({});
    expect(sent("one")).toBe(0);
  });

  test("an address of zeros is no container's that has none in the family", () => {
    const other = family === 4 ? "2001:db8::5:0:0" : "10.1.10.1";
    expect(addressHash(other)).toBe(0);
    on.put("one", { address: ANY[family], otherAddress: other });
    // As the control plane has it.
    datapath.remove(on.mapName("endpoint_addresses"), ANY[family]);
    on.sends({ source: ANY[family] });
    expect(sent("one")).toBe(0);
    on.arrives({ destination: ANY[family] });
    expect(datapath.counters(childSlot.one).receive.slow.packets).toBe(0);
  });
});
