import { describe, expect, it } from "vitest";
import { emptyActual } from "../../../src/datapath/actual.js";
import { diff } from "../../../src/datapath/diff.js";
import { cgroupMounts, findRootCgroup } from "../../../src/datapath/host_sockets.js";
import { HostPortFlags, mapDefinitions } from "../../../src/generated/index.js";
import type { PlannedHostPort } from "../../../src/plan/types.js";
import { endpoint, planOf } from "./scene.js";

describe("the cgroup tree", () => {
  it("is found beside the old hierarchies, or in their place", () => {
    const hybrid = "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
    expect(cgroupMounts(hybrid)).toEqual(["/sys/fs/cgroup/unified"]);
    expect(cgroupMounts("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n")).toEqual(["/sys/fs/cgroup"]);
    expect(cgroupMounts("none /mnt/my\\040tree cgroup2 rw 0 0\n")).toEqual(["/mnt/my tree"]);
    expect(cgroupMounts("")).toEqual([]);
  });

  it("is not taken for the root where it is a part, or nothing", () => {
    expect(findRootCgroup("none /tmp cgroup2 rw 0 0\nnone /nowhere cgroup2 rw 0 0\n")).toBeUndefined();
    expect(findRootCgroup("")).toBeUndefined();
  });
});

describe("ports that the host dials", () => {
  const one = endpoint(1);
  const port: PlannedHostPort = {
    proto: "udp",
    address: "0.0.0.0",
    port: 5353,
    endpointId: one.endpointId,
    containerAddress: "172.17.0.2",
    containerPort: 53,
    loopback: "proxied",
    addresses: "translated",
    keepSource: true,
    source: undefined,
  };
  const hostDialled = [{ address: "198.18.0.6", source: "198.18.0.5", bridgeIfindex: undefined }];

  it("are written as IPv6's addresses, with what becomes of each", () => {
    const six = {
      ...port,
      address: "::",
      loopback: "proxied",
      addresses: "proxied",
      keepSource: false,
    } as const;
    const plan = planOf([one], { hostPorts: [port, six], hostDialled });
    const { maps, placement } = diff(emptyActual(), plan);
    const { key, value } = mapDefinitions.host_ports;
    const written = maps.host_ports.write.map((entry) => [key.decode(entry.key), value.decode(entry.value)]);
    const [placed] = placement.placed;
    const to = {
      slot: placed?.slot,
      generation: placed?.endpoint.generation,
      address: "::ffff:172.17.0.2",
      port: 53,
    };
    const { LOOPBACK, LOOPBACK_PROXIED, ADDRESSES, ADDRESSES_PROXIED, KEEP_SOURCE } = HostPortFlags;
    expect(written).toEqual([
      [
        { address: "::ffff:0.0.0.0", port: 5353, proto: 17 },
        { ...to, source: "::", flags: LOOPBACK | LOOPBACK_PROXIED | ADDRESSES | KEEP_SOURCE },
      ],
      [
        { address: "::", port: 5353, proto: 17 },
        { ...to, source: "::", flags: LOOPBACK | LOOPBACK_PROXIED | ADDRESSES | ADDRESSES_PROXIED },
      ],
    ]);
    const dialled = mapDefinitions.host_dialled;
    expect(
      maps.host_dialled.write.map((entry) => [
        dialled.key.decode(entry.key),
        dialled.value.decode(entry.value),
      ]),
    ).toEqual([["::ffff:198.18.0.6", { source: "::ffff:198.18.0.5", bridgeIfindex: 0 }]]);
  });

  it("are kept with an endpoint that could not be looked at, and go with it", () => {
    const before = diff(emptyActual(), planOf([one], { hostPorts: [port] }));
    const filled = { ...emptyActual().filled };
    for (const entry of before.maps.host_ports.write) filled.host_ports.set(entry.key.toString("hex"), entry);
    const [placed] = before.placement.placed;
    if (placed === undefined) throw new Error("not placed");
    const actual = { endpoints: new Map([[placed.slot, placed.endpoint]]), nextGeneration: 9, filled };
    const unsure = diff(actual, planOf([], { unsure: [one.endpointId] }));
    expect(unsure.maps.host_ports).toEqual({ remove: [], write: [] });
    expect(diff(actual, planOf([])).maps.host_ports.remove).toHaveLength(1);
  });
});
