// More devices of the host's on the lab's LAN, for parents beside eth0, and networks on them.

import { type Lab, run } from "./lib/index.js";
import { joinByVeth } from "./lib/namespace.js";

/** The subnet that a number stands for, by the addresses' beginnings. */
export const subnetOf = (number: number) => ({ IPv4: `10.${number}.0.`, IPv6: `2001:db8:${number}00::` });

/** Addresses of both families with the same last part. */
export const addressesIn = (number: number, last: number) => {
  const { IPv4, IPv6 } = subnetOf(number);
  return { IPv4: `${IPv4}${last}`, IPv6: `${IPv6}${last}` };
};

/** Gives a device addresses in a subnet; IPv6's usable at once. */
export async function addAddresses(
  at: { readonly name: string },
  device: string,
  number: number,
  last: number,
): Promise<void> {
  const { IPv4, IPv6 } = addressesIn(number, last);
  await run(["ip", "-n", at.name, "address", "add", `${IPv4}/24`, "dev", device]);
  await run(["ip", "-n", at.name, "address", "add", `${IPv6}/64`, "dev", device, "nodad"]);
}

/** `docker network create`'s arguments for such a subnet. */
export function subnetArguments(number: number, gateway?: number): string[] {
  const { IPv4, IPv6 } = subnetOf(number);
  const families = [
    ["--subnet", `${IPv4}0/24`, ...(gateway ? ["--gateway", `${IPv4}${gateway}`] : [])],
    ["--ipv6", "--subnet", `${IPv6}/64`, ...(gateway ? ["--gateway", `${IPv6}${gateway}`] : [])],
  ];
  return families.flat();
}

/**
 * Lays a cable from the host to the LAN's switch.
 * @param hairpin the switch sends frames back by the port that they came in by, as VEPA wants it
 */
export async function cableToLan({ host, router }: Lab, device: string, hairpin = false): Promise<void> {
  const port = `host-${device}`;
  // Only who has an address answers for it: otherwise the host's would be learned at any of its cables.
  await host.sysctl("net.ipv4.conf.all.arp_ignore", 1);
  await joinByVeth(router, port, host, device);
  await run(["ip", "-n", router.name, "link", "set", port, "master", "lan"]);
  if (hairpin) await run(["bridge", "-n", router.name, "link", "set", "dev", port, "hairpin", "on"]);
}
