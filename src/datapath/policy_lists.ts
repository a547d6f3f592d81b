/** Lists of sources and policies of ports, as the maps hold them. Pure. */
import { createHash } from "node:crypto";
import {
  mapDefinitions,
  PolicyFlags,
  type PortPolicy,
  SourceBlock,
  SourceVerdict,
} from "../generated/index.js";
import { type Family, familyOf, parseAddress } from "../ip.js";
import { formatNetwork, type Network } from "../networks.js";
import type { PlannedPolicy, PlannedPortPolicy, SourceList } from "../plan/policy_types.js";
import type { RawEntry } from "./actual.js";

export const policyMaps = {
  sources: { 4: "sources_ipv4", 6: "sources_ipv6" },
  portPolicies: { 4: "port_policies_ipv4", 6: "port_policies_ipv6" },
} as const;

const IPPROTO = { tcp: 6, udp: 17, sctp: 132 } as const;
/** The host's own list. */
export const HOST_LIST = 0;
/** Bits of a key that are the list's number. */
const LIST_BITS = 32;

export const SOURCE_BLOCKS: number = mapDefinitions.source_blocks.maxEntries;

/** Entries by the hexadecimal text of their keys. */
export type Entries = Map<string, RawEntry>;

export interface DesiredPolicy {
  /** By number; 0 is the host's. */
  lists: Map<number, SourceList>;
  ports: Record<Family, Entries>;
  flags: number;
}

/**
 * Numbers a plan's lists and refers its ports to them. A list's number is made of what is on it, so that a list never changes: another one
 * takes its place, once it is whole. Ports with a limit have a list of their container's own: sources are counted by list and port.
 */
export function desiredPolicy(policy: PlannedPolicy): DesiredPolicy {
  const lists = new Map<number, SourceList>();
  const contents = new Map<number, string>();
  const ports: Record<Family, Entries> = { 4: new Map(), 6: new Map() };
  if (!isEmpty(policy.sources)) lists.set(HOST_LIST, policy.sources);
  for (const port of policy.ports) {
    const list = listNumber(port, contents);
    if (list !== HOST_LIST) lists.set(list, port.list);
    const family = familyOf(port.address);
    const { key, value } = mapDefinitions[policyMaps.portPolicies[family]];
    const entry: PortPolicy = {
      list,
      limit: port.limit?.rate ?? 0,
      burst: port.limit?.burst ?? 0,
      unlistedRefused: port.unlistedRefused ? 1 : 0,
    };
    const raw = {
      key: key.encode({ address: port.address, port: port.port, proto: IPPROTO[port.proto] }),
      value: value.encode(entry),
    };
    // Two containers can't have one port for longer than a moment: whoever has it, the first policy stays.
    if (!ports[family].has(raw.key.toString("hex"))) ports[family].set(raw.key.toString("hex"), raw);
  }
  const flags =
    (lists.has(HOST_LIST) ? PolicyFlags.SOURCES : 0) |
    (ports[4].size + ports[6].size > 0 ? PolicyFlags.PORTS : 0);
  return { lists, ports, flags };
}

function isEmpty(list: SourceList): boolean {
  return list.allow.length === 0 && list.deny.length === 0;
}

function listNumber(port: PlannedPortPolicy, contents: Map<number, string>): number {
  if (isEmpty(port.list) && port.limit === undefined) return HOST_LIST;
  const content = JSON.stringify([
    port.list.allow.map(formatNetwork).sort(),
    port.list.deny.map(formatNetwork).sort(),
    port.limit === undefined ? "" : port.containerId,
  ]);
  let number = createHash("sha256").update(content).digest().readUInt32LE(0);
  while (number === HOST_LIST || (contents.get(number) ?? content) !== content) number = (number + 1) >>> 0;
  contents.set(number, content);
  return number;
}

/** source_blocks of a list: what it says of every IPv4 /16 where that is the same of all of it. */
export function sourceBlocks(list: SourceList | undefined): Uint8Array {
  const blocks = new Uint8Array(SOURCE_BLOCKS).fill(SourceBlock.UNLISTED);
  const networks = [
    ...(list?.allow ?? []).map((network) => ({ network, block: SourceBlock.ALLOWED })),
    ...(list?.deny ?? []).map((network) => ({ network, block: SourceBlock.DENIED })),
  ].filter(({ network }) => familyOf(network.address) === 4);
  // The longer ones over the shorter ones; those within a block last, since nothing is the same there.
  networks.sort((a, b) => a.network.prefixLength - b.network.prefixLength);
  for (const { network, block } of networks) {
    const { address, prefixLength } = network;
    const [high = 0, low = 0] = parseAddress(address) ?? [];
    const first = high * 256 + low;
    if (prefixLength > 16) blocks[first] = SourceBlock.MIXED;
    else blocks.fill(block, first, first + 2 ** (16 - prefixLength));
  }
  return blocks;
}

/** A list's entries of one family: denials first, so that a list that is half written allows nobody that it should not. */
export function listEntries(list: number, { allow, deny }: SourceList, family: Family): RawEntry[] {
  const { key, value } = mapDefinitions[policyMaps.sources[family]];
  const denied = value.encode(SourceVerdict.DENIED);
  const allowed = value.encode(SourceVerdict.ALLOWED);
  const entry = ({ address, prefixLength }: Network, verdict: Buffer): RawEntry => ({
    key: key.encode({ prefixLength: LIST_BITS + prefixLength, list, network: address }),
    value: verdict,
  });
  const mine = ({ address }: Network) => familyOf(address) === family;
  return [
    ...deny.filter(mine).map((network) => entry(network, denied)),
    ...allow.filter(mine).map((network) => entry(network, allowed)),
  ];
}
