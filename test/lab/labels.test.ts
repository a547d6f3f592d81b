// fairway.enable=false: what bears it is served as by Docker alone, and nothing of it is on the fast path; its neighbours are.

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type Family, families } from "./families.js";
import { listFlows } from "./flow-table.js";
import { countedSockets, grownSockets } from "./host-sockets.js";
import { type Container, fairwayCommand, fairwayPlaces, fastShare, until } from "./lib/index.js";
import { Peer } from "./reachability/peer.js";
import { onEveryEngine } from "./suite.js";

const off = ["--label", "fairway.enable=false"];
/** By name: the host's port, the network, more arguments. "fast" and "typo" are on the fast path, the others are not. */
const cast = {
  fast: { port: 7100, network: "bridge", args: [] },
  typo: { port: 7200, network: "bridge", args: ["--label", "fairway.enable=flase"] },
  off: { port: 7300, network: "bridge", args: off },
  plain: { port: 7400, network: "plain", args: [] },
} as const;
type Name = keyof typeof cast;
const names = Object.keys(cast) as Name[];
const isFast = (name: Name) => name === "fast" || name === "typo";
const protocols = ["tcp", "udp"] as const;
/** More to exchange after the first answer: bytes, datagrams. */
const sizes = { tcp: 300_000, udp: 60 };
const patience = 20_000;

onEveryEngine("label fairway.enable", { images: ["busybox"], ipv6: true, oneEngine: true }, (stage) => {
  const containers = new Map<Name, Container>();
  const peers = new Map<string, Peer>();
  const peer = (name: string) => {
    const found = peers.get(name);
    if (found === undefined) throw new Error(`no peer ${name}`);
    return found;
  };
  const container = (name: Name) => {
    const found = containers.get(name);
    if (found === undefined) throw new Error(`no container ${name}`);
    return found;
  };
  const address = (family: Family, name: Name) => family.of(container(name), cast[name].network);

  it("is read when containers start", async () => {
    const { lab, fairway } = stage;
    await lab.engine.createNetwork("plain", "--ipv6", "--subnet", "fd00:f::/64", ...off);
    for (const name of names) {
      const { port, network, args } = cast[name];
      const publish = [`${port}:7000`, `${port}:7000/udp`];
      const one = await lab.engine.run("busybox", { name, network, publish, args });
      containers.set(name, one);
      peers.set(name, await Peer.start(one.namespace, [7000], lab.disposers));
    }
    for (const place of ["client", "internet", "host"] as const)
      peers.set(place, await Peer.start(lab[place], [7000], lab.disposers));
    await fairway.knows("fast");
    await fairway.knows("typo");
  });

  type To = (family: Family) => readonly [host: string, port: number];
  const ask = async (who: string, to: To, by: readonly ("tcp" | "udp")[] = protocols): Promise<string[]> => {
    const questions = families.flatMap((family) =>
      by.map((protocol) => {
        const [host, port] = to(family);
        return { protocol, host, port, patience, size: sizes[protocol] };
      }),
    );
    return (await peer(who).ask(questions)).map((answer) => `${who}: ${answer}`);
  };
  const fromOutside =
    (name: Name): To =>
    (family) => [family.addresses.host, cast[name].port];

  /** Everything that a container does, with the source that the other side sees. */
  const traffic = async (name: Name) => [
    ...(await ask("client", fromOutside(name))),
    ...(await ask(name, (family) => [family.addresses.internet, 7000])),
    // A published port of another container's. (docker-proxy, which it is on 20.10, answers datagrams from its gateway.)
    ...(await ask(name, fromOutside(name === "fast" ? "typo" : "fast"), ["tcp"])),
    ...(await ask("host", ({ name: family }) => [family === "IPv4" ? "127.0.0.1" : "::1", cast[name].port])),
  ];

  it.each(names)("container %s is reached and reaches others", async (name) => {
    const { fairway } = stage;
    const dials = await countedSockets(fairway);
    const got = await traffic(name);
    const both = ({ addresses }: Family, place: "client" | "host") => Array(2).fill(addresses[place]);
    const seen = (who: string) =>
      got.filter((line) => line.startsWith(`${who}: `)).map((l) => l.split(": ")[1]);
    expect(seen("client")).toEqual(families.flatMap((family) => both(family, "client")));
    expect(seen(name).slice(0, 4), "outside").toEqual(families.flatMap((family) => both(family, "host")));
    expect(got.join("\n")).not.toMatch(/: (nothing|refused|closed|unreachable)$/m);
    const gateways = families.flatMap((family) =>
      Array(2).fill(family.gateway(container(name), cast[name].network)),
    );
    expect(seen("host"), "the host's own processes").toEqual(gateways);
    // Whoever dials the container that is on the fast path from the host is led to it, no one else is.
    const grown = grownSockets(dials, await countedSockets(fairway));
    expect(grown).toEqual(isFast(name) ? { fast: 4 } : {});
  });

  it("those that bear it, or whose network does, are in no map and no flow; the others are fast", async () => {
    const { lab, fairway } = stage;
    const flows = listFlows(lab);
    const metrics = await fairway.metrics();
    for (const name of names) {
      const counted = metrics.find("fairway_endpoint_receive_packets_total", { container: name });
      expect(counted.length > 0, `${name} is counted`).toBe(isFast(name));
      for (const family of families) {
        const of = flows.filter((flow) => flow.includes(` ${address(family, name)}.`));
        expect(of.length > 0, `flows of ${name} in ${family.name}: ${of.slice(0, 3)}`).toBe(isFast(name));
      }
    }
    // The index of a container's device on the host's side.
    const outer = async (name: Name) => {
      const [link] = await container(name).namespace.ip<{ link_index: number }[]>("link", "show", "eth0");
      return `endpoint_ingress-${link?.link_index}`;
    };
    const links = await readdir(join(lab.bpffs, "fairway", "links"));
    expect(links.filter((link) => link.startsWith("endpoint_ingress-")).sort()).toEqual(
      (await Promise.all(names.filter(isFast).map(outer))).sort(),
    );
    const taken = await fairway.pathTaken("fast", () => ask("client", fromOutside("fast")));
    expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
  });

  it("containers of one network reach each other, by the kernel's bridge where one bears it", async () => {
    const { fairway } = stage;
    const rows = [
      ["fast", "off"],
      ["off", "fast"],
    ] as const;
    for (const [from, to] of rows)
      for (const family of families) {
        const questions = protocols.map((protocol) => ({
          protocol,
          host: address(family, to),
          port: 7000,
          patience,
          size: sizes[protocol],
        }));
        expect(await peer(from).ask(questions)).toEqual(Array(2).fill(address(family, from)));
      }
    const flows = listFlows(stage.lab).filter((flow) => flow.includes(` ${container("off").address()}.`));
    expect(flows).toEqual([]);
    expect(
      (await fairway.metrics()).find("fairway_endpoint_receive_packets_total", { container: "off" }),
    ).toEqual([]);
  });

  it("is shown in status, and a wrong value once in the log with the container's name", async () => {
    const { lab, fairway } = stage;
    const { stdout } = await fairwayCommand(lab, ["status", ...fairwayPlaces(lab)]);
    expect(stdout).toMatch(/left to Docker +container off, network plain\n/);
    expect(stdout).toMatch(
      /container typo: label fairway\.enable: "flase" is not true or false: it is ignored/,
    );
    // Passes come and go.
    await lab.engine.run("busybox", { name: "later" });
    await fairway.knows("later");
    await lab.engine.remove("later");
    await until("later is forgotten", async () => {
      const counted = (await fairway.metrics()).find("fairway_endpoint_receive_packets_total");
      return counted.every(({ labels }) => labels.container !== "later");
    });
    expect(fairway.log.split("\n").filter((line) => line.includes("flase"))).toHaveLength(1);
  });
});
