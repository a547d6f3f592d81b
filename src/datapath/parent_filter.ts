/** Which addresses the programs at parents need not look for: the same hash as bpf/lib/parent_filter.h. Pure. */
import { type Endpoint, PARENT_FILTER_WORDS, type ParentFilter } from "../generated/index.js";
import { type Address, parseAddress } from "../ip.js";
import { addressesOf } from "./families.js";
import { isOnParent } from "./slots.js";

/**
 * Where an address has its bit.
 * @throws RangeError if it is none
 */
export function addressHash(address: Address): number {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new RangeError(`no address: ${address}`);
  const [low, high] = [0, 1].map((at) => bytes.reduce((x, byte, i) => (i % 2 === at ? x ^ byte : x), 0));
  return (low ?? 0) | ((high ?? 0) << 8);
}

/** @param hosts the host's own addresses; they are of use where an endpoint is on a parent */
export function parentFilter(
  endpoints: readonly Pick<Endpoint, "flags" | "ipv4" | "ipv6">[],
  hosts: readonly Address[],
): ParentFilter {
  const onParents = endpoints.filter(isOnParent);
  return {
    endpoints: bitsOf(onParents.flatMap(addressesOf)),
    hosts: bitsOf(onParents.length === 0 ? [] : hosts),
  };
}

function bitsOf(addresses: readonly Address[]): number[] {
  const words = new Array<number>(PARENT_FILTER_WORDS).fill(0);
  for (const address of addresses) {
    const hash = addressHash(address);
    words[hash >>> 5] = ((words[hash >>> 5] ?? 0) | (1 << (hash & 31))) >>> 0;
  }
  return words;
}
