/** Whose an address at a parent is, by a hash of it: the same hash as bpf/lib/parent_filter.h. Pure. */
import {
  type Endpoint,
  PARENT_FILTER_HASHES,
  PARENT_FILTER_HOSTS,
  type ParentFilter,
  ParentOwner,
} from "../generated/index.js";
import { type Address, ANY, familyOf, type PerFamily, parseAddress } from "../ip.js";
import { addressesOf } from "./families.js";
import { isOnParent } from "./slots.js";

/** As 16-bit words, in the order of this machine. */
function wordsOf(address: Address): number[] {
  const bytes = parseAddress(address);
  if (bytes === undefined) throw new RangeError(`no address: ${address}`);
  return Array.from(
    { length: bytes.length / 2 },
    (_, i) => (bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8),
  );
}

/**
 * Which of parent_filter's owners is an address's.
 * @throws RangeError if it is none
 */
export function addressHash(address: Address): number {
  const words = wordsOf(address);
  const told = words.length === 2 ? words : [2, 3, 6, 7].map((at) => words[at] ?? 0);
  return told.reduce((hash, word) => hash ^ word, 0);
}

/** Which of the words of an address tells whether a subnet of a routed network's may have it. */
const SUBNET_WORD: PerFamily<number> = { 4: 0, 6: 2 };

/** Which of parent_filter's subnets is an address's. */
export const subnetHash = (address: Address): number => wordsOf(address)[SUBNET_WORD[familyOf(address)]] ?? 0;

/**
 * @param hosts the host's own addresses; they are of use where an endpoint is on a parent
 * @param subnets of routed networks, as "192.168.0.0/24"
 */
export function parentFilter(
  endpoints: readonly { slot: number; endpoint: Pick<Endpoint, "flags" | "ipv4" | "ipv6"> }[],
  hosts: readonly Address[],
  subnets: readonly string[],
): ParentFilter {
  const filter: ParentFilter = {
    owners: new Array<number>(PARENT_FILTER_HASHES).fill(ParentOwner.NOBODY),
    hostsIpv4: new Array<Address>(PARENT_FILTER_HOSTS).fill(ANY[4]),
    hostsIpv6: new Array<Address>(PARENT_FILTER_HOSTS).fill(ANY[6]),
    subnets: new Uint8Array(PARENT_FILTER_HASHES),
  };
  const own = (address: Address, owner: number): void => {
    const hash = addressHash(address);
    const before = filter.owners[hash];
    // An address of zeros has the hash 0, and is in every record that has none in its family.
    const alone = hash !== 0 && (before === ParentOwner.NOBODY || before === owner);
    filter.owners[hash] = alone ? owner : ParentOwner.ASK;
  };
  const onParents = endpoints.filter(({ endpoint }) => isOnParent(endpoint));
  for (const { slot, endpoint } of onParents) {
    for (const address of addressesOf(endpoint)) own(address, ParentOwner.ENDPOINT | slot);
  }
  for (const [number, address] of (onParents.length === 0 ? [] : hosts).entries()) {
    const isNumbered = number < PARENT_FILTER_HOSTS;
    own(address, isNumbered ? ParentOwner.HOST | number : ParentOwner.ASK);
    if (isNumbered) filter[familyOf(address) === 4 ? "hostsIpv4" : "hostsIpv6"][number] = address;
  }
  for (const hash of subnets.flatMap(subnetHashes)) filter.subnets[hash] = 1;
  return filter;
}

/** Of all addresses that a subnet has. */
function subnetHashes(subnet: string): number[] {
  const [network = "", length = ""] = subnet.split("/");
  const family = familyOf(network);
  const open = Math.min(16, 16 * (SUBNET_WORD[family] + 1) - Number(length));
  if (open <= 0) return [subnetHash(network)];
  const word = subnetHash(network);
  const first = (word >> 8) | ((word & 0xff) << 8);
  return Array.from(
    { length: 2 ** open },
    (_, more) => ((first + more) >> 8) | (((first + more) & 0xff) << 8),
  );
}
