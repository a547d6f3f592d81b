/**
 * The devices and addresses of a small Docker host, made in the network namespace that the suite runs in (scripts/test.mjs
 * starts it in one of its own). Only the programs run here, on crafted packets; nothing travels.
 */
import { execFileSync } from "node:child_process";
import { listLinks } from "../../../src/native/index.js";

export const address = {
  client: "198.18.0.2",
  otherClient: "198.18.0.3",
  /** On the uplink's link, but the host has never heard from it. */
  unheard: "198.18.0.66",
  host: "198.18.0.1",
  hostSecond: "198.18.7.1",
  router: "198.18.0.254",
  internet: "198.19.0.9",
  behindOtherUplink: "172.31.0.9",
  gateway: "172.30.0.1",
  web: "172.30.0.2",
  db: "172.30.0.3",
  isolatedNetwork: "172.31.0.2",
} as const;

const commands = [
  "link set lo up",
  "link add uplink0 address 02:00:00:00:00:01 type veth peer name outside0 address 02:00:00:00:00:02",
  "addr add 198.18.0.1/24 dev uplink0",
  "addr add 198.18.7.1/24 dev uplink0",
  "link set uplink0 up",
  "link set outside0 up",
  "route add default via 198.18.0.254",
  "neigh add 198.18.0.254 lladdr 02:00:00:00:00:02 dev uplink0",
  "neigh add 198.18.0.2 lladdr 02:00:00:00:00:02 dev uplink0",
  "neigh add 198.18.0.3 lladdr 02:00:00:00:00:02 dev uplink0",
  "link add br-app address 02:00:00:00:01:00 type bridge",
  "addr add 172.30.0.1/24 dev br-app",
  "link set br-app up",
  "link add br-other address 02:00:00:00:02:00 type bridge",
  "addr add 172.31.0.1/24 dev br-other",
  "link set br-other up",
  "neigh add 172.31.0.9 lladdr 02:00:00:00:00:09 dev br-other",
  "link add web0 type veth peer name webc0 address 02:42:ac:1e:00:02",
  "link add db0 type veth peer name dbc0 address 02:42:ac:1e:00:03",
  "link set web0 master br-app up",
  "link set webc0 up",
  "link set db0 master br-app up",
  "link set dbc0 up",
];

export const mac = {
  uplink: "02:00:00:00:00:01",
  outside: "02:00:00:00:00:02",
  bridge: "02:00:00:00:01:00",
  web: "02:42:ac:1e:00:02",
  db: "02:42:ac:1e:00:03",
} as const;

export type DeviceName = "uplink0" | "br-app" | "br-other" | "web0" | "db0";

function ip(command: string): void {
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
    for (const command of commands) ip(command);
    execFileSync("sysctl", ["-qw", "net.ipv4.ip_forward=1"]);
    names = new Map(listLinks().map((link) => [link.name, link.ifindex]));
  }
  const ifindex = (name: DeviceName): number => {
    const found = names.get(name);
    if (found === undefined) throw new Error(`no device ${name}`);
    return found;
  };
  return {
    uplink0: ifindex("uplink0"),
    "br-app": ifindex("br-app"),
    "br-other": ifindex("br-other"),
    web0: ifindex("web0"),
    db0: ifindex("db0"),
  };
}
