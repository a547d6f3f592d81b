/** From a plan whose endpoints have their slots to the entries of the maps. Pure. */
import type { Codec } from "../codec.js";
import {
  EndpointFlags,
  type HostPort,
  HostPortFlags,
  mapDefinitions,
  ParentSubnetFlags,
  UPLINK_ADDRESSES_MAX,
  type Uplink,
} from "../generated/index.js";
import { ANY, FAMILIES, familyOf, mapped } from "../ip.js";
import type { Plan, PlannedHostPort, PlannedUplink } from "../plan/types.js";
import { type ActualState, FILLED_MAPS, type FilledMap, type RawEntry } from "./actual.js";
import { addressOf, familyMaps } from "./families.js";
import { IPPROTO, type NumberedPorts } from "./port_numbers.js";
import { isOnParent, type PlacedEndpoint, type Placement } from "./slots.js";

const PORT_MAPS = [...Object.values(familyMaps.ports), "host_ports"] as const;

export type DesiredEntries = Record<FilledMap, Map<string, RawEntry>>;

/**
 * What the filled maps should hold. Ports of endpoints that are kept unseen are kept as they are.
 * @param xdp UplinkXdpFlags by ifindex
 */
export function encodeDesired(
  plan: Plan,
  placement: Placement,
  actual: ActualState,
  ports: NumberedPorts,
  xdp: ReadonlyMap<number, number> = new Map(),
): DesiredEntries {
  const desired = Object.fromEntries(
    FILLED_MAPS.map((name) => [name, new Map<string, RawEntry>()]),
  ) as DesiredEntries;
  for (const { slot, endpoint } of [...placement.kept, ...placement.placed]) {
    const ref = { slot, generation: endpoint.generation };
    if (!isOnParent(endpoint))
      put(desired, "endpoint_devices", mapDefinitions.endpoint_devices, endpoint.ifindex, ref);
    for (const family of FAMILIES) {
      const address = addressOf(endpoint, family);
      const map = familyMaps.endpointAddresses[family];
      if (address !== undefined) put(desired, map, mapDefinitions[map], address, ref);
    }
    if ((endpoint.flags & EndpointFlags.BRIDGING) !== 0) {
      put(
        desired,
        "fdb",
        mapDefinitions.fdb,
        { bridgeIfindex: endpoint.bridgeIfindex, mac: endpoint.mac },
        ref,
      );
    }
  }
  const keptSlots = new Map(placement.kept.map((k) => [k.slot, k.endpoint.generation]));
  for (const name of keptSlots.size === 0 ? [] : PORT_MAPS) {
    for (const [key, entry] of actual.filled[name]) {
      const port = mapDefinitions[name].value.decode(entry.value);
      if (keptSlots.get(port.slot) === port.generation) desired[name].set(key, entry);
    }
  }
  const byId = new Map(placement.placed.map((p) => [p.planned.endpointId, p]));
  for (const { map, entry } of ports.entries) desired[map].set(entry.key.toString("hex"), entry);
  for (const address of plan.hostAddresses) {
    const map = familyMaps.hostAddresses[familyOf(address)];
    put(desired, map, mapDefinitions[map], address, 1);
  }
  for (const port of plan.hostPorts) {
    const placed = byId.get(port.endpointId);
    if (placed === undefined) continue;
    put(desired, "host_ports", mapDefinitions.host_ports, hostPortKey(port), encodeHostPort(port, placed));
  }
  for (const { address, source, bridgeIfindex = 0 } of plan.hostDialled) {
    const value = { source: mapped(source), bridgeIfindex };
    put(desired, "host_dialled", mapDefinitions.host_dialled, mapped(address), value);
  }
  for (const uplink of plan.uplinks) {
    put(
      desired,
      "uplinks",
      mapDefinitions.uplinks,
      uplink.ifindex,
      encodeUplink(uplink, xdp.get(uplink.ifindex)),
    );
  }
  for (const { subnet, network, own, router } of plan.parentSubnets) {
    const [first = "", length = ""] = subnet.split("/");
    const map = familyMaps.parentSubnets[familyOf(router)];
    put(
      desired,
      map,
      mapDefinitions[map],
      { prefixLength: Number(length), network: first },
      { network, flags: own ? ParentSubnetFlags.OWN : 0, router },
    );
  }
  return desired;
}

/** Of host_ports and of its counters. */
export function hostPortKey({ address, port, proto }: Pick<PlannedHostPort, "address" | "port" | "proto">) {
  return { address: mapped(address), port, proto: IPPROTO[proto] };
}

function encodeHostPort(port: PlannedHostPort, { slot, endpoint }: PlacedEndpoint): HostPort {
  const { loopback, addresses } = port;
  const flags =
    (loopback === undefined ? 0 : HostPortFlags.LOOPBACK) |
    (loopback === "proxied" ? HostPortFlags.LOOPBACK_PROXIED : 0) |
    (addresses === undefined ? 0 : HostPortFlags.ADDRESSES) |
    (addresses === "proxied" ? HostPortFlags.ADDRESSES_PROXIED : 0) |
    (port.keepSource ? HostPortFlags.KEEP_SOURCE : 0);
  return {
    slot,
    generation: endpoint.generation,
    address: mapped(port.containerAddress),
    source: port.source === undefined ? ANY[6] : mapped(port.source),
    port: port.containerPort,
    flags,
  };
}

function encodeUplink(uplink: PlannedUplink, xdp = 0): Uplink {
  const addresses = uplink.addresses.slice(0, UPLINK_ADDRESSES_MAX);
  const free = UPLINK_ADDRESSES_MAX - addresses.length;
  return {
    xdp,
    mtu: uplink.mtu,
    ipv4Count: addresses.length,
    ipv4: [...addresses, ...Array.from({ length: free }, () => ({ address: ANY[4], netmask: ANY[4] }))],
    ipv6: uplink.ipv6 ?? ANY[6],
  };
}

function put<K, V>(
  desired: DesiredEntries,
  name: FilledMap,
  codecs: { key: Codec<K>; value: Codec<V> },
  key: K,
  value: V,
): void {
  const entry = { key: codecs.key.encode(key), value: codecs.value.encode(value) };
  desired[name].set(entry.key.toString("hex"), entry);
}
