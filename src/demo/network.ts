import type { Disposers } from "./disposers.js";
import type { Names } from "./names.js";
import { inside, run } from "./process.js";

/** 198.18.0.0/15 is set aside for measurements between networks (RFC 2544). */
export const HOST_ADDRESS = "198.18.0.1";
export const CLIENT_ADDRESS = "198.18.0.2";
/** The host's device that leads outside. */
export const UPLINK = "uplink0";

/**
 * Two namespaces, the host's and the client's, with a wire between them. The client is the host's way outside; it knows
 * nothing of the containers' addresses.
 */
export async function makeNetwork(names: Names, disposers: Disposers): Promise<void> {
  for (const name of [names.host, names.client]) {
    await run(["ip", "netns", "add", name]);
    disposers.add(`namespace ${name}`, async () => {
      await run(["ip", "netns", "delete", name]);
    });
    await inNamespace(name, "link set lo up");
  }
  await inNamespace(names.host, `link add ${UPLINK} type veth peer name eth0 netns ${names.client}`);
  await inNamespace(names.host, `address add ${HOST_ADDRESS}/24 dev ${UPLINK}`);
  await inNamespace(names.client, `address add ${CLIENT_ADDRESS}/24 dev eth0`);
  await inNamespace(names.host, `link set ${UPLINK} up`);
  await inNamespace(names.client, "link set eth0 up");
  await inNamespace(names.host, `route add default via ${CLIENT_ADDRESS}`);
  await run(inside(names.host, ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]));
}

async function inNamespace(namespace: string, command: string): Promise<void> {
  await run(["ip", "-netns", namespace, ...command.split(" ")]);
}
