// Containers on ipvlan and macvlan: on the lab's own LAN, and what is asked of them and the host.

import { expect, type TestContext } from "vitest";
import { addressOf, type TcpAnswer, type UdpAnswer } from "./answers.js";
import type { Family } from "./families.js";
import { families } from "./families.js";
import {
  addresses,
  addresses6,
  type Container,
  type Fairway,
  type Lab,
  type Namespace,
  until,
} from "./lib/index.js";

/** Where every container and host of these suites serves, by TCP and UDP. */
export const echo = 7000;

/** Creates a network on the host's LAN; containers get fixed addresses, so that none has the router's or the host's. */
export const createLanNetwork = (
  lab: Lab,
  driver: "ipvlan" | "macvlan",
  name: string,
  ...args: readonly string[]
): Promise<string> =>
  lab.engine.createNetwork(
    name,
    ...["-d", driver, "-o", "parent=eth0", "--subnet", "198.18.2.0/24", "--gateway", addresses.hostGateway],
    ...["--ipv6", "--subnet", "2001:db8:2::/64", "--gateway", addresses6.hostGateway],
    ...args,
  );

/** A container that serves; the address's last part is the same in both families. */
export async function runServing(
  lab: Lab,
  name: string,
  network: string,
  { ip = "198.18.2.", ip6 = "2001:db8:2::", last = 0, args = [] as readonly string[] } = {},
): Promise<Container> {
  const fixed = last === 0 ? [] : ["--ip", `${ip}${last}`, "--ip6", `${ip6}${last}`];
  const container = await lab.engine.run("busybox", { name, network, args: [...fixed, ...args] });
  await serve(container.namespace, lab);
  return container;
}

/** Serves in a namespace. */
export async function serve(at: Namespace, lab: Lab): Promise<void> {
  await at
    .agent("serve.mjs", ["--tcp", echo, "--udp", echo], lab.disposers)
    .waitFor(/ready/, { timeout: 30_000 });
}

/** Whether a ping of three has an answer. */
export async function pings(from: Namespace, to: string, count = 3): Promise<boolean> {
  const command = ["busybox", "ping", "-c", `${count}`, "-i", "0.1", "-W", "2", to];
  const { stdout } = await from.exec(command, { mayFail: true, timeout: 30_000 });
  return stdout.includes(`${count} packets received`);
}

/** Everything that one may ask of another: TCP in both directions at length, UDP, and ping; and whom the other has seen. */
export async function asks(from: Namespace, to: string, port = echo) {
  const tcp = await from.ask<TcpAnswer>("tcp.mjs", [to, port, 200_000, 10_000]);
  const udp = await from.ask<UdpAnswer>("udp.mjs", [to, port, 20, 5, 300]);
  return {
    tcp: tcp.echoed === true ? addressOf(tcp.source) : tcp.error,
    udp: udp.received === 20 ? addressOf(udp.answers[0]) : `${udp.received} of 20`,
    ping: await pings(from, to),
  };
}

/** What asks() gives where all of it works, and the other has seen that address. */
export const seenAs = (address: string) => ({ tcp: address, udp: address, ping: true });

/** Host and container reach each other, each under its own address. */
export async function expectHostReaches(lab: Lab, container: Container, family: Family): Promise<void> {
  const address = family.of(container);
  const { host } = family.addresses;
  await until("the host reaches the container", () => pings(lab.host, address, 1));
  expect(await asks(lab.host, address)).toEqual(seenAs(host));
  expect(await asks(container.namespace, host)).toEqual(seenAs(address));
}

/** Neither reaches the other: as the kernel has it. */
export async function expectHostApart(lab: Lab, container: Container): Promise<void> {
  for (const family of families) {
    expect(await pings(lab.host, family.of(container), 1)).toBe(false);
    expect(await pings(container.namespace, family.addresses.host, 1)).toBe(false);
  }
}

/**
 * Whether the programs make connections. Where the kernel's functions for that don't fit each other nobody else does it for containers on
 * parents: they are neither masqueraded nor published, and fairway says so.
 */
export const makesConnections = (fairway: Fairway): boolean => !fairway.log.includes("connections_learned");

/** For what has to be masqueraded or published. A kernel of test/vm on which it may be skipped is named there. */
export function needsConnectionsMade(fairway: Fairway, { skip }: TestContext): void {
  skip(!makesConnections(fairway), "this kernel's connections are only learned");
}
