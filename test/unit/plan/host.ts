import { createHash } from "node:crypto";
import type { EngineState } from "../../../src/docker/model.js";
import type { HostState } from "../../../src/host/state.js";
import { TIMEOUT_DEFAULTS } from "../../../src/host/sysctl.js";
import type { NetLink } from "../../../src/native/index.js";

const UP = 0x1;

/** A host as the engine would have made it: eth0 and lo, a bridge per network, a veth per endpoint on a bridge. */
export function hostFor(engine: EngineState): HostState {
  const links: NetLink[] = [
    { ifindex: 1, name: "lo", type: 772, flags: UP | 0x8, mtu: 65536 },
    { ifindex: 2, name: "eth0", type: 1, flags: UP, mtu: 1500, mac: "02:00:00:00:00:02" },
  ];
  const addresses: HostState["addresses"] = [
    { ifindex: 1, family: 4, address: "127.0.0.1", prefixLength: 8, scope: 254, flags: 128 },
    { ifindex: 2, family: 4, address: "198.18.0.5", prefixLength: 24, scope: 0, flags: 128 },
    { ifindex: 2, family: 4, address: "198.18.0.6", prefixLength: 24, scope: 0, flags: 129 },
    { ifindex: 2, family: 6, address: "2001:db8::5", prefixLength: 64, scope: 0, flags: 128 },
  ];
  const nsids = new Map<string, number>();
  let next = 10;
  const bridges = new Map<string, NetLink>();
  for (const network of engine.networks) {
    if (network.bridgeName === undefined) continue;
    const ifindex = next++;
    const mac = `02:42:00:00:00:${ifindex.toString(16).padStart(2, "0")}`;
    const bridge: NetLink = {
      ifindex,
      name: network.bridgeName,
      kind: "bridge",
      type: 1,
      flags: UP,
      mtu: 1500,
      mac,
    };
    bridges.set(network.id, bridge);
    links.push(bridge);
    const gateway = network.subnets4[0]?.cidr.replace(/\.\d+\/.*$/, ".1") ?? "";
    addresses.push({ ifindex, family: 4, address: gateway, prefixLength: 16, scope: 0, flags: 128 });
    addresses.push({ ifindex, family: 6, address: "fe80::1", prefixLength: 64, scope: 253, flags: 128 });
  }
  engine.containers.forEach((container, nsid) => {
    if (container.sandboxKey === "" || container.networkMode === "host") return;
    nsids.set(container.sandboxKey, nsid);
    for (const endpoint of container.endpoints) {
      const bridge = bridges.get(endpoint.networkId);
      if (bridge === undefined) continue;
      const name = `veth${createHash("sha1").update(endpoint.endpointId).digest("hex").slice(0, 7)}`;
      links.push({
        ifindex: next++,
        name,
        kind: "veth",
        type: 1,
        flags: UP,
        mtu: 1500,
        master: bridge.ifindex,
        link: 2,
        linkNetnsid: nsid,
      });
    }
  });
  return {
    links,
    addresses,
    routeMtus: new Map(),
    defaultRoutes: [{ family: 4, table: 254, oif: 2, gateway: "198.18.0.1", priority: 0 }],
    nsids,
    sysctls: {
      forwarding: { 4: true, 6: true },
      timeouts: TIMEOUT_DEFAULTS,
    },
    conntrack: { entries: 10, max: 262_144 },
    bridgingObstacle: undefined,
    routingObstacle: { 4: undefined, 6: undefined },
    engineNat: { 4: true, 6: true },
    // With docker-proxy.
    dials: {
      4: { obstacle: undefined, translated: "addresses", masqueraded: new Map() },
      6: { obstacle: undefined, translated: "addresses", masqueraded: new Map() },
    },
    foreignRules: "",
  };
}
