/**
 * The devices and addresses of a small Docker host, made in the network namespace that the suite runs in (scripts/test.mjs
 * starts it in one of its own). Only the programs run here, on crafted packets; nothing travels but where a test says so.
 */
import { execFileSync } from "node:child_process";
import type { Address, PerFamily } from "../../../src/ip.js";
import { listLinks } from "../../../src/native/index.js";

interface Addresses {
  client: Address;
  otherClient: Address;
  /** On the uplink's link, but the host has never heard from it. */
  unheard: Address;
  /** An address on the uplink's link that is not the host's. */
  otherHost: Address;
  host: Address;
  hostSecond: Address;
  /** The host's on its second uplink. */
  hostOnUplink1: Address;
  /** The default route's gateway, as a neighbour of uplink0. */
  router: Address;
  internet: Address;
  behindUplink1: Address;
  /** On the link of the third uplink, which has no Ethernet. */
  behindTun: Address;
  gateway: Address;
  web: Address;
  db: Address;
  /** In web's network, but no endpoint's. */
  stranger: Address;
  isolatedNetwork: Address;
}

export const addresses: PerFamily<Addresses> = {
  4: {
    client: "198.18.0.2",
    otherClient: "198.18.0.3",
    unheard: "198.18.0.66",
    otherHost: "198.18.0.77",
    host: "198.18.0.1",
    hostSecond: "198.18.7.1",
    hostOnUplink1: "198.18.8.1",
    router: "198.18.0.254",
    internet: "198.19.0.9",
    behindUplink1: "198.19.8.9",
    behindTun: "198.19.9.9",
    gateway: "172.30.0.1",
    web: "172.30.0.2",
    db: "172.30.0.3",
    stranger: "172.30.0.99",
    isolatedNetwork: "172.31.0.2",
  },
  6: {
    client: "2001:db8:18::2",
    otherClient: "2001:db8:18::3",
    unheard: "2001:db8:18::66",
    otherHost: "2001:db8:18::77",
    host: "2001:db8:18::1",
    hostSecond: "2001:db8:18:7::1",
    hostOnUplink1: "2001:db8:18:8::1",
    router: "fe80::fe",
    internet: "2001:db8:19::9",
    behindUplink1: "2001:db8:19:8::9",
    behindTun: "2001:db8:19:9::9",
    gateway: "2001:db8:30::1",
    web: "2001:db8:30::2",
    db: "2001:db8:30::3",
    stranger: "2001:db8:30::99",
    isolatedNetwork: "2001:db8:31::2",
  },
};

export const mac = {
  uplink: "02:00:00:00:00:01",
  outside: "02:00:00:00:00:02",
  uplink1: "02:00:00:00:08:01",
  outside1: "02:00:00:00:08:02",
  bridge: "02:00:00:00:01:00",
  web: "02:42:ac:1e:00:02",
  db: "02:42:ac:1e:00:03",
} as const;

const links = [
  "link set lo up",
  `link add uplink0 address ${mac.uplink} type veth peer name outside0 address ${mac.outside}`,
  `link add uplink1 address ${mac.uplink1} type veth peer name outside1 address ${mac.outside1}`,
  "tuntap add dev tun0 mode tun",
  `link add br-app address ${mac.bridge} type bridge`,
  "link add br-other address 02:00:00:00:02:00 type bridge",
  `link add web0 type veth peer name webc0 address ${mac.web}`,
  `link add db0 type veth peer name dbc0 address ${mac.db}`,
  "link set web0 master br-app up",
  "link set db0 master br-app up",
  ...["uplink0", "outside0", "uplink1", "outside1", "tun0", "br-app", "br-other", "webc0", "dbc0"].map(
    (name) => `link set ${name} up`,
  ),
];

function layer3(of: Addresses, length: { link: number; address: number }): string[] {
  const own = (address: Address, device: string): string =>
    `addr add ${address}/${length.link} dev ${device}${length.address === 128 ? " nodad" : ""}`;
  const neighbour = (address: Address, lladdr: string, device: string): string =>
    `neigh add ${address} lladdr ${lladdr} dev ${device}`;
  return [
    own(of.host, "uplink0"),
    own(of.hostSecond, "uplink0"),
    own(of.hostOnUplink1, "uplink1"),
    own(of.gateway, "br-app"),
    own(of.isolatedNetwork.replace(/2$/, "1"), "br-other"),
    `route add default via ${of.router} dev uplink0`,
    `route add ${of.behindUplink1}/${length.address} dev uplink1`,
    `route add ${of.behindTun}/${length.address} dev tun0`,
    neighbour(of.router, mac.outside, "uplink0"),
    neighbour(of.client, mac.outside, "uplink0"),
    neighbour(of.otherClient, mac.outside, "uplink0"),
    neighbour(of.behindUplink1, mac.outside1, "uplink1"),
  ];
}

const deviceNames = ["uplink0", "uplink1", "tun0", "br-app", "br-other", "web0", "db0", "outside0"] as const;
export type DeviceName = (typeof deviceNames)[number];

export function ip(command: string): void {
  execFileSync("ip", command.split(" "), { stdio: ["ignore", "ignore", "pipe"] });
}

/** Makes the devices unless they are there, and returns each one's ifindex. */
export function makeHost(): Record<DeviceName, number> {
  let names = new Map(listLinks().map((link) => [link.name, link.ifindex]));
  if (!names.has("uplink0")) {
    if ([...names.keys()].some((name) => name !== "lo")) {
      throw new Error(
        "this suite makes devices: run it by `npm run test:bpf`, in a network namespace of its own",
      );
    }
    for (const command of links) ip(command);
    for (const command of layer3(addresses[4], { link: 24, address: 32 })) ip(command);
    for (const command of layer3(addresses[6], { link: 64, address: 128 })) ip(`-6 ${command}`);
    execFileSync("sysctl", ["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]);
    names = new Map(listLinks().map((link) => [link.name, link.ifindex]));
  }
  const ifindex = (name: DeviceName): number => {
    const found = names.get(name);
    if (found === undefined) throw new Error(`no device ${name}`);
    return found;
  };
  return Object.fromEntries(deviceNames.map((name) => [name, ifindex(name)])) as Record<DeviceName, number>;
}
