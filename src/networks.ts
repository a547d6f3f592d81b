/** Networks as people write them in lists: "198.18.0.0/16", "2001:db8::/32", or one address. */
import { type Address, canonical, type Family, familyOf, formatAddress, parseAddress } from "./ip.js";

/** A network by its first address. */
export interface Network {
  address: Address;
  prefixLength: number;
}

/** The same text for the same network. */
export function formatNetwork({ address, prefixLength }: Network): string {
  return `${address}/${prefixLength}`;
}

/**
 * Reads one network. Bits after the prefix are refused, since they may mean a single address or the whole network; so is IPv4
 * in IPv6's clothes, which never is a packet's source.
 * @returns the network, or what is wrong with it in one line
 */
export function parseNetwork(text: string): Network | { problem: string } {
  const shown = JSON.stringify(text.slice(0, 64));
  const [written = "", length, ...more] = text.trim().split("/");
  const address = canonical(written);
  if (address === undefined || more.length > 0) {
    return { problem: `${shown} is not a network (198.18.0.0/16, 2001:db8::/32) or an address` };
  }
  const family = familyOf(address);
  if (family === 6 && address.startsWith("::ffff:") && address.includes(".")) {
    return { problem: `${shown} is an IPv4 network: write it as one` };
  }
  const bits = family === 4 ? 32 : 128;
  if (length !== undefined && (!/^\d{1,3}$/.test(length) || Number(length) > bits)) {
    return { problem: `${shown} has a prefix length that is not 0 to ${bits}` };
  }
  const prefixLength = length === undefined ? bits : Number(length);
  const first = firstAddress(address, family, prefixLength);
  if (first !== address) {
    return {
      problem: `${shown} has bits set after its prefix: write ${first}/${prefixLength} for the network or ${address} for the address`,
    };
  }
  return { address, prefixLength };
}

function firstAddress(address: Address, family: Family, prefixLength: number): Address {
  const bytes = Uint8Array.from(parseAddress(address) ?? []);
  for (let index = 0; index < bytes.length; index++) {
    const kept = Math.min(8, Math.max(0, prefixLength - index * 8));
    bytes[index] = (bytes[index] ?? 0) & (0xff << (8 - kept));
  }
  return formatAddress(bytes, 0, family);
}

/** The network of that prefix length that an address is in. */
export function networkOf(address: Address, prefixLength: number): Network {
  return { address: firstAddress(address, familyOf(address), prefixLength), prefixLength };
}

/** Whether a network has an address. */
export function networkHas({ address, prefixLength }: Network, of: Address): boolean {
  return familyOf(address) === familyOf(of) && firstAddress(of, familyOf(of), prefixLength) === address;
}
