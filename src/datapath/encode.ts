/** From a plan whose endpoints have their slots to the entries of the maps. Pure. */
import type { Codec } from "../codec.js";
import { EndpointFlags, mapDefinitions, uplinkAddressCodec, uplinkCodec } from "../generated/index.js";
import type { Plan, PlannedUplink } from "../plan/types.js";
import type { ActualState, FilledMap, RawEntry } from "./actual.js";
import type { Placement } from "./slots.js";

const IPPROTO = { tcp: 6, udp: 17 } as const;

/** struct uplink's address list is as long as the struct has room. */
const UPLINK_ADDRESSES_MAX = Math.floor((uplinkCodec.size - 8) / uplinkAddressCodec.size);

export type DesiredEntries = Record<FilledMap, Map<string, RawEntry>>;

/** What the filled maps should hold. Ports of endpoints that are kept unseen are kept as they are. */
export function encodeDesired(plan: Plan, placement: Placement, actual: ActualState): DesiredEntries {
  const desired: DesiredEntries = {
    endpoint_devices: new Map(),
    endpoint_addresses: new Map(),
    fdb: new Map(),
    ports: new Map(),
    host_addresses: new Map(),
    uplinks: new Map(),
  };
  for (const { slot, endpoint } of [...placement.kept, ...placement.placed]) {
    const ref = { slot, generation: endpoint.generation };
    put(desired, "endpoint_devices", mapDefinitions.endpoint_devices, endpoint.ifindex, ref);
    put(desired, "endpoint_addresses", mapDefinitions.endpoint_addresses, { address: endpoint.address }, ref);
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
  for (const [key, entry] of keptSlots.size === 0 ? [] : actual.filled.ports) {
    const port = mapDefinitions.ports.value.decode(entry.value);
    if (keptSlots.get(port.slot) === port.generation) desired.ports.set(key, entry);
  }
  const byId = new Map(placement.placed.map((p) => [p.planned.endpointId, p]));
  for (const port of plan.ports) {
    const placed = byId.get(port.endpointId);
    // Its endpoint found no slot: the port is the kernel's.
    if (placed === undefined) continue;
    put(
      desired,
      "ports",
      mapDefinitions.ports,
      { address: port.address, port: port.port, proto: IPPROTO[port.proto] },
      {
        slot: placed.slot,
        generation: placed.endpoint.generation,
        address: port.containerAddress,
        port: port.containerPort,
      },
    );
  }
  for (const address of plan.hostAddresses) {
    put(desired, "host_addresses", mapDefinitions.host_addresses, address, 1);
  }
  for (const uplink of plan.uplinks) {
    put(desired, "uplinks", mapDefinitions.uplinks, uplink.ifindex, encodeUplink(uplink));
  }
  return desired;
}

function encodeUplink(uplink: PlannedUplink) {
  const addresses = uplink.addresses.slice(0, UPLINK_ADDRESSES_MAX);
  const free = UPLINK_ADDRESSES_MAX - addresses.length;
  return {
    mtu: uplink.mtu,
    addressCount: addresses.length,
    addresses: [...addresses, ...Array.from({ length: free }, () => ({ address: 0, netmask: 0 }))],
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
