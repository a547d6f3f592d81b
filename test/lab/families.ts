// IPv4 and IPv6 in one shape, so that one test speaks for both.

import { addresses, addresses6, type Container } from "./lib/index.js";

/** An address family. */
export interface Family {
  readonly name: "IPv4" | "IPv6";
  /** The option by which ping, iperf3 and others are told. */
  readonly flag: "-4" | "-6";
  /** The lab's hosts. */
  readonly addresses: Readonly<Record<keyof typeof addresses, string>>;
  /** A container's address. */
  of(container: Container, network?: string): string;
  /** The address of its network's gateway. */
  gateway(container: Container, network?: string): string;
  /** An address as it stands in a URL and in front of a port. */
  quote(address: string): string;
}

export const ipv4: Family = {
  name: "IPv4",
  flag: "-4",
  addresses,
  of: (container, network) => container.address(network),
  gateway: (container, network) => container.gateway(network),
  quote: (address) => address,
};

export const ipv6: Family = {
  name: "IPv6",
  flag: "-6",
  addresses: addresses6,
  of: (container, network) => container.address6(network),
  gateway: (container, network) => container.gateway6(network),
  quote: (address) => `[${address}]`,
};

export const families = [ipv4, ipv6] as const;
