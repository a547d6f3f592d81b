// A network that nobody has looked at yet, and whom its container reaches from its first moment on.

import { addresses, Capture, type Container, Disposers, type Lab, until } from "./lib/index.js";

const ping = (address: string) => ["busybox", "ping", "-i", "0.2", address];
const echoes = "icmp[icmptype] == icmp-echo";
/** So many have been sent in vain before it is believed that they are. */
const vain = 10;

/** Who got through so far. */
export interface Heard {
  /** From the newcomer to a server outside. */
  outside: boolean;
  /** From the newcomer to a container of another network. */
  other: boolean;
  /** Of a neighbour on the LAN and of that container, an answer of the newcomer's own address. */
  inside: boolean;
}

/**
 * Makes a network and starts a container in it, while these ask each other without pause, from before there is either.
 * @param other on another network
 * @param then is run once all of them have asked in vain, or not in vain, ten times
 */
export async function withNewcomer(
  lab: Lab,
  other: Container,
  then: (heard: () => Heard, newcomer: Container) => Promise<void>,
): Promise<void> {
  const address = "172.31.77.2";
  const { engine, host, internet, neighbour } = lab;
  const own = new Disposers();
  try {
    await neighbour.exec(["ip", "route", "replace", `${address}/32`, "via", addresses.host]);
    const outside = await Capture.start(internet, { filter: echoes, disposers: own });
    const within = await Capture.start(other.namespace, {
      filter: `inbound and ${echoes}`,
      disposers: own,
    });
    // "any" has a packet of the newcomer's as it comes by its veth, and again as the bridge's.
    const sent = await Capture.start(host, {
      filter: `inbound and ${echoes} and src ${address}`,
      disposers: own,
    });
    const asking = [neighbour, other.namespace].map((from) => from.spawn(ping(address), { disposers: own }));
    own.add("network young", () => engine.docker(["network", "rm", "young"], { mayFail: true }));
    await engine.createNetwork("young", "--subnet", "172.31.77.0/24");
    own.add("container newcomer", () => engine.docker(["rm", "-f", "newcomer"], { mayFail: true }));
    const ask = [addresses.internet, other.address("front")].map((to) => ping(to).join(" "));
    const newcomer = await engine.run("busybox", {
      name: "newcomer",
      network: "young",
      ip: address,
      command: ["sh", "-c", `${ask.join(" & ")}`],
    });
    const heard = () => ({
      outside: outside.packets.length > 0,
      other: within.packets.length > 0,
      inside: asking.some(({ stdout }) => stdout.includes("bytes from")),
    });
    await until("the newcomer has asked", () => {
      const asked = (to: string) => sent.packets.filter((packet) => packet.includes(`> ${to}:`)).length;
      return [addresses.internet, other.address("front")].every((to) => asked(to) >= 2 * vain);
    });
    await then(heard, newcomer);
  } finally {
    await own.dispose();
  }
}
