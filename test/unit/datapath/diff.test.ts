import { describe, expect, it } from "vitest";
import { type ActualState, emptyActual, FILLED_MAPS } from "../../../src/datapath/actual.js";
import { type Changes, diff } from "../../../src/datapath/diff.js";
import { endpointIdHash, SLOTS } from "../../../src/datapath/slots.js";
import { EndpointFlags, EndpointIpFlags, type Uplink } from "../../../src/generated/index.js";
import type { Plan } from "../../../src/plan/types.js";
import { decoded, dual, endpoint, ip, planOf, port } from "./scene.js";

/** What the kernel holds once the changes have been applied. */
function applied(actual: ActualState, changes: Changes): ActualState {
  const endpoints = new Map(actual.endpoints);
  for (const { slot } of changes.gone) endpoints.delete(slot);
  for (const { slot, endpoint: value } of changes.write) endpoints.set(slot, value);
  const filled = {} as ActualState["filled"];
  for (const name of FILLED_MAPS) {
    const entries = new Map(actual.filled[name]);
    for (const key of changes.maps[name].remove) entries.delete(key.toString("hex"));
    for (const entry of changes.maps[name].write) entries.set(entry.key.toString("hex"), entry);
    filled[name] = entries;
  }
  return { endpoints, filled, nextGeneration: changes.nextGeneration ?? actual.nextGeneration };
}

function stateAfter(...plans: Plan[]): ActualState {
  let state = emptyActual();
  for (const plan of plans) state = applied(state, diff(state, plan));
  return state;
}

function isEmpty(changes: Changes): boolean {
  return (
    changes.gone.length === 0 &&
    changes.write.length === 0 &&
    changes.nextGeneration === undefined &&
    FILLED_MAPS.every((name) => changes.maps[name].remove.length + changes.maps[name].write.length === 0)
  );
}

const [one, two, three] = [endpoint(1), endpoint(2), endpoint(3)] as const;

describe("a first plan", () => {
  it("fills every map", () => {
    const state = stateAfter(
      planOf([one, two], {
        ports: [port(one, 8080), port(two, 53, { proto: "udp", address: "198.18.0.1" })],
      }),
    );
    expect([...state.endpoints.keys()]).toEqual([0, 1]);
    expect(state.endpoints.get(0)).toMatchObject({
      generation: 1,
      ifindex: 101,
      bridgeIfindex: 3,
      ipv4: { address: "172.17.0.1", snatAddress: "0.0.0.0", flags: EndpointIpFlags.MASQUERADE },
      ipv6: { address: "::", snatAddress: "::", flags: 0 },
      flags: EndpointFlags.BRIDGING,
      published: 1n << 19n,
      mtu: 1500,
      idHash: endpointIdHash(one.endpointId),
    });
    expect(state.nextGeneration).toBe(3);
    expect(decoded(state.filled)).toEqual({
      endpoint_devices: [
        [101, { slot: 0, generation: 1 }],
        [102, { slot: 1, generation: 2 }],
      ],
      endpoint_addresses_ipv4: [
        ["172.17.0.1", { slot: 0, generation: 1 }],
        ["172.17.0.2", { slot: 1, generation: 2 }],
      ],
      endpoint_addresses_ipv6: [],
      fdb: [
        [
          { bridgeIfindex: 3, mac: one.mac },
          { slot: 0, generation: 1 },
        ],
        [
          { bridgeIfindex: 3, mac: two.mac },
          { slot: 1, generation: 2 },
        ],
      ],
      ports_ipv4: [
        [
          { address: "0.0.0.0", port: 8080, proto: 6 },
          { slot: 0, generation: 1, address: "172.17.0.1", port: 80, number: 1 },
        ],
        [
          { address: "198.18.0.1", port: 53, proto: 17 },
          { slot: 1, generation: 2, address: "172.17.0.2", port: 80, number: 2 },
        ],
      ],
      ports_ipv6: [],
      host_addresses_ipv4: [["198.18.0.5", 1]],
      host_addresses_ipv6: [],
      host_dialled: [],
      host_ports: [],
      parent_subnets_ipv4: [],
      parent_subnets_ipv6: [],
      uplinks: [[2, expect.objectContaining({ ipv4Count: 1, ipv6: "::" })]],
    });
  });

  it("tells endpoints apart by the start of their id", () => {
    expect(endpointIdHash(`0123456789abcdef${"0".repeat(48)}`)).toBe(0x0123456789abcdefn);
  });

  it("keeps endpoints that don't bridge out of the forwarding table", () => {
    const state = stateAfter(planOf([endpoint(1, { bridging: false })]));
    expect(state.filled.fdb.size).toBe(0);
    expect(state.endpoints.get(0)?.flags).toBe(0);
  });

  it("marks endpoints whose new connections are the kernel's, and those that are so no longer, in place", () => {
    const state = stateAfter(planOf([endpoint(1, { ip: ip("172.17.0.1", { filtered: true }) })]));
    const { MASQUERADE, FILTERED } = EndpointIpFlags;
    expect(state.endpoints.get(0)?.ipv4.flags).toBe(MASQUERADE | FILTERED);
    expect(diff(state, planOf([endpoint(1)])).write).toMatchObject([
      { slot: 0, fresh: false, endpoint: { ipv4: { flags: MASQUERADE } } },
    ]);
  });

  it("writes as many of an uplink's addresses as there is room for", () => {
    const addresses = Array.from({ length: 20 }, (_, i) => ({
      address: `198.18.1.${i}`,
      netmask: "255.255.255.255",
    }));
    const eth7 = { ifindex: 7, name: "eth7", mtu: 9000, l3: false, addresses, ipv6: "2001:db8::7" };
    const state = stateAfter(planOf([], { uplinks: [eth7] }));
    const [[, uplink]] = decoded(state.filled).uplinks as [[number, Uplink]];
    expect(uplink).toEqual({
      xdp: 0,
      mtu: 9000,
      ipv4Count: 8,
      ipv4: addresses.slice(0, 8),
      ipv6: "2001:db8::7",
    });
  });
});

describe("the same plan again", () => {
  it("changes nothing", () => {
    const plan = planOf([one, two, three], { ports: [port(two, 8080)] });
    expect(isEmpty(diff(stateAfter(plan), plan))).toBe(true);
  });

  it("changes nothing either when its endpoints come in another order", () => {
    const state = stateAfter(planOf([one, two, three]));
    expect(isEmpty(diff(state, planOf([three, one, two])))).toBe(true);
  });
});

describe("identity", () => {
  it("is kept over what may change of an endpoint", () => {
    const state = stateAfter(planOf([one, two]));
    const changes = diff(
      state,
      planOf([one, endpoint(2, { mtu: 1400, ip: ip("172.17.0.2", { masquerade: false }) })]),
    );
    expect(changes.gone).toEqual([]);
    expect(changes.write).toMatchObject([
      { slot: 1, fresh: false, endpoint: { generation: 2, mtu: 1400, ipv4: { flags: 0 } } },
    ]);
    expect(changes.nextGeneration).toBeUndefined();
  });

  it.each([
    ["another endpoint id", { endpointId: "f".repeat(64) }],
    ["another device", { ifindex: 999 }],
    ["another address", { ip: ip("10.0.0.1") }],
    ["an address of the other family", { ip: dual(2).ip }],
    ["the other family's address in place of its own", { ip: ip("2001:db8:17::2") }],
  ])("ends with %s", (_what, change) => {
    const state = stateAfter(planOf([one, two]));
    const changes = diff(state, planOf([one, endpoint(2, change)]));
    expect(changes.gone.map((g) => g.slot)).toEqual([1]);
    expect(changes.write).toMatchObject([{ fresh: true, endpoint: { generation: 3 } }]);
  });

  it("of the next owner of an address is never that of the last", () => {
    let state = emptyActual();
    const generations: number[] = [];
    for (let i = 0; i < 50; i++) {
      const heir = endpoint(1, { endpointId: i.toString(16).padStart(64, "e"), ifindex: 200 + i });
      // The engine is seen between the two, or it is not.
      if (i % 2 === 0) state = applied(state, diff(state, planOf([])));
      state = applied(state, diff(state, planOf([heir], { ports: [port(heir, 80)] })));
      generations.push([...state.endpoints.values()][0]?.generation ?? 0);
      expect(state.endpoints.size).toBe(1);
      expect(decoded(state.filled).ports_ipv4).toEqual([
        [expect.anything(), expect.objectContaining({ generation: i + 1 })],
      ]);
    }
    expect(new Set(generations).size).toBe(50);
  });

  it("goes on counting from what is in the kernel when the counter was lost, and never gives 0", () => {
    const state = stateAfter(planOf([one]));
    state.nextGeneration = 0;
    expect(diff(state, planOf([one, two])).write).toMatchObject([{ endpoint: { generation: 2 } }]);
    const late = emptyActual();
    late.nextGeneration = 0xffffffff;
    const changes = diff(late, planOf([one, two]));
    expect(changes.write.map((w) => w.endpoint.generation)).toEqual([0xffffffff, 1]);
    expect(changes.nextGeneration).toBe(2);
  });
});

describe("removal", () => {
  it("takes an endpoint out of every map", () => {
    const state = stateAfter(planOf([one, two], { ports: [port(one, 8080), port(two, 8081)] }));
    const changes = diff(state, planOf([two], { ports: [port(two, 8081)] }));
    expect(changes.gone.map((g) => g.slot)).toEqual([0]);
    expect(changes.write).toEqual([]);
    for (const name of ["endpoint_devices", "endpoint_addresses_ipv4", "fdb", "ports_ipv4"] as const) {
      expect([name, changes.maps[name].remove.length, changes.maps[name].write.length]).toEqual([name, 1, 0]);
    }
    expect(isEmpty(diff(applied(state, changes), planOf([two], { ports: [port(two, 8081)] })))).toBe(true);
  });

  it("leaves nothing of an empty plan", () => {
    const state = stateAfter(
      planOf([one, two], { ports: [port(one, 8080)] }),
      planOf([], { uplinks: [], hostAddresses: [] }),
    );
    expect(state.endpoints.size).toBe(0);
    for (const name of FILLED_MAPS) expect(state.filled[name].size).toBe(0);
  });

  it("of foreign or broken entries", () => {
    const state = stateAfter(planOf([one]));
    const stray = { key: Buffer.from([9, 9, 9, 9]), value: Buffer.alloc(8) };
    state.filled.endpoint_devices.set(stray.key.toString("hex"), stray);
    const twin = state.endpoints.get(0);
    if (twin) state.endpoints.set(5, { ...twin });
    const changes = diff(state, planOf([one]));
    expect(changes.maps.endpoint_devices.remove).toEqual([stray.key]);
    expect(changes.gone.map((g) => g.slot)).toEqual([5]);
  });
});

describe("slots", () => {
  it("that become free in this pass are given last", () => {
    const state = stateAfter(planOf([one, two]));
    expect(diff(state, planOf([two, three])).write).toMatchObject([{ slot: 2 }]);
  });

  it("are all given before one is short, and then the rest stays out", () => {
    const many = Array.from({ length: SLOTS + 3 }, (_, i) =>
      endpoint(1, {
        endpointId: i.toString(16).padStart(16, "0").padEnd(64, "0"),
        ifindex: 1000 + i,
        ip: ip(`10.1.${i >> 8}.${i & 255}`),
      }),
    );
    const changes = diff(emptyActual(), planOf(many, { ports: [port(many[SLOTS + 1] ?? one, 80)] }));
    expect(changes.write.length).toBe(SLOTS);
    expect(new Set(changes.write.map((w) => w.slot)).size).toBe(SLOTS);
    expect(changes.placement.homeless.length).toBe(3);
    // A port whose endpoint found no place is the kernel's.
    expect(changes.maps.ports_ipv4.write).toEqual([]);
  });
});

describe("endpoints that could not be looked at", () => {
  const unsure = { unsure: [one.endpointId] };

  it("stay as they are, with their ports and devices", () => {
    const ports = [port(one, 8080), port(two, 8081)];
    const state = stateAfter(planOf([one, two], { ports }));
    const changes = diff(state, planOf([two], { ports: [port(two, 8081)], ...unsure }));
    expect(isEmpty(changes)).toBe(true);
    expect(changes.placement.kept.map((k) => k.endpoint.ifindex)).toEqual([101]);
  });

  it("go when another has their address or their device", () => {
    const state = stateAfter(planOf([one], { ports: [port(one, 8080)] }));
    for (const change of [{ ip: one.ip }, { ifindex: one.ifindex }]) {
      const changes = diff(state, planOf([endpoint(2, change)], unsure));
      expect(changes.gone.map((g) => g.slot)).toEqual([0]);
      expect(changes.maps.ports_ipv4.remove.length).toBe(1);
    }
  });

  it("are nothing where the datapath has none of them", () => {
    expect(isEmpty(diff(stateAfter(planOf([two])), planOf([two], unsure)))).toBe(true);
  });
});
