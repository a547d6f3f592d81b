// Processes of the host dial published ports: what both ends see is recorded with the engine alone, and is the same with
// fairway, which leads them straight to the container.

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { countedSockets, type DialAnswer, grownSockets } from "./host-sockets.js";
import {
  addresses,
  addresses6,
  agent,
  createLab,
  type EngineKind,
  enginesToTest,
  type Fairway,
  type Lab,
  run,
  until,
} from "./lib/index.js";

interface Variant {
  readonly kind: EngineKind;
  readonly proxy: boolean;
  readonly backend: "iptables" | "nftables";
}

const variants = enginesToTest().flatMap((kind): Variant[] =>
  [true, false].flatMap((proxy): Variant[] => [
    { kind, proxy, backend: "iptables" },
    ...(kind === "29" ? [{ kind, proxy, backend: "nftables" } as const] : []),
  ]),
);

/** Of a second address in the same subnet. */
const second = "198.18.2.9";
const containers = { four: 7100, both: 7200, snat: 7300 } as const;
type Name = keyof typeof containers;
const kinds = ["tcp", "udp", "udp-connected"] as const;
type Kind = (typeof kinds)[number];

/** What is published where: the number is added to the container's first port. */
const on = { any: 0, loopback: 1, loopback6: 2, host: 3, closed: 4 } as const;
const publish = (first: number) => [
  ...["", "/udp"].flatMap((proto) => [
    `${first + on.any}:7000${proto}`,
    `127.0.0.1:${first + on.loopback}:7001${proto}`,
    `[::1]:${first + on.loopback6}:7002${proto}`,
    `${addresses.host}:${first + on.host}:7003${proto}`,
    `${first + on.closed}:7004${proto}`,
  ]),
];

/** fast, the reason why it is left to the engine, or nothing: that port is none of fairway's. */
type Path =
  | "fast"
  | "other_network"
  | "other_family"
  | "other_peer"
  | "source"
  | "alias"
  | "bound"
  | undefined;

interface Case {
  readonly container: Name;
  readonly to: string;
  readonly at: keyof typeof on;
  readonly path: (kind: Kind, proxy: boolean) => Path;
}

const isUdp = (kind: Kind) => kind !== "tcp";
const connects = (kind: Kind) => kind !== "udp";
const fast = (): Path => "fast";
const never = (): Path => undefined;
/** The source that was dialled from is kept unless the engine masquerades: a UDP socket can't be bound for one connection. */
const translated = (kind: Kind, proxy: boolean): Path =>
  proxy && isUdp(kind) && connects(kind) ? "source" : "fast";
const byProxy = (_: Kind, proxy: boolean): Path => (proxy ? "fast" : undefined);
/** IPv6 to a container that has none: a datagram's socket would have to send IPv4. */
const byProxyToFour = (kind: Kind, proxy: boolean): Path =>
  proxy ? (connects(kind) ? "fast" : "other_family") : undefined;

const cases = (gateways: Readonly<Record<Name, string>>): Case[] =>
  (["four", "both"] as const)
    .flatMap((container): Case[] => [
      { container, to: "127.0.0.1", at: "any", path: fast },
      { container, to: "127.0.0.1", at: "loopback", path: fast },
      { container, to: "127.0.0.1", at: "host", path: never },
      {
        container,
        to: "127.0.0.5",
        at: "any",
        path: (kind, proxy) => (proxy && isUdp(kind) ? "alias" : "fast"),
      },
      { container, to: "127.0.0.5", at: "loopback", path: never },
      { container, to: "0.0.0.0", at: "any", path: fast },
      { container, to: addresses.host, at: "any", path: translated },
      { container, to: addresses.host, at: "host", path: translated },
      { container, to: addresses.host, at: "loopback", path: never },
      { container, to: second, at: "any", path: translated },
      { container, to: second, at: "host", path: never },
      { container, to: gateways[container], at: "any", path: translated },
      {
        container,
        to: gateways[container === "four" ? "both" : "four"],
        at: "any",
        path: () => "other_network",
      },
      { container, to: addresses.neighbour, at: "any", path: never },
      { container, to: "::1", at: "any", path: container === "four" ? byProxyToFour : byProxy },
      { container, to: "::", at: "any", path: container === "four" ? byProxyToFour : byProxy },
      { container, to: "::1", at: "loopback6", path: container === "four" ? byProxyToFour : byProxy },
      { container, to: addresses6.host, at: "any", path: container === "four" ? byProxyToFour : translated },
      { container, to: addresses6.host, at: "loopback6", path: never },
    ])
    .concat(
      // Of a network whose packets the engine was told to give that address: its own masquerading, too.
      ["127.0.0.1", addresses.host].map(
        (to): Case => ({
          container: "snat",
          to,
          at: "any",
          path: (kind, proxy) =>
            kind === "udp-connected" && !(proxy && to === "127.0.0.1") ? "source" : "fast",
        }),
      ),
    );

/** One socket's calls, and what becomes of it each time that it dials. */
interface Sequence {
  readonly calls: string;
  readonly paths: (proxy: boolean) => readonly Exclude<Path, undefined>[];
}

/** What a process can do with a socket beside connecting it: the answers have to be the engine's here too. */
const sequences = (four: { address: string }): Sequence[] => {
  const [own, first, other] = [addresses.host, containers.four, containers.both];
  const fastOnce = () => ["fast"] as const;
  const bound = () => ["bound"] as const;
  return [
    {
      calls: `udp4 connect=127.0.0.1,${first} sendto=127.0.0.1,${first} receive peer local`,
      paths: fastOnce,
    },
    {
      calls: `udp4 connect=127.0.0.1,${first} send receive disconnect local peer connect=${own},${first} send receive peer local`,
      paths: (proxy) => ["fast", proxy ? "source" : "fast"],
    },
    {
      calls: `udp4 connect=127.0.0.1,${first} disconnect sendto=127.0.0.1,${other} receive`,
      paths: () => ["fast", "fast"],
    },
    {
      calls: `udp4 connect=127.0.0.1,${first} disconnect connect=${addresses.neighbour},9 local peer`,
      paths: fastOnce,
    },
    { calls: `udp4 sendto=127.0.0.1,${first} receive sendto=127.0.0.1,${first} receive`, paths: fastOnce },
    {
      calls: `udp4 sendto=127.0.0.1,${first} receive sendto=127.0.0.1,${other} receive local`,
      paths: () => ["fast", "fast"],
    },
    {
      calls: `udp4 sendto=127.0.0.1,${first} receive sendto=${own},${first} receive`,
      paths: () => ["fast", "other_peer"],
    },
    { calls: `udp4 sendto=127.0.0.1,${first} receive sendto=${four.address},7000 receive`, paths: fastOnce },
    { calls: `udp4 bind=127.0.0.1,0 sendto=127.0.0.1,${first} receive`, paths: bound },
    { calls: `udp4 bind=0.0.0.0,6999 sendto=127.0.0.1,${first} receive`, paths: fastOnce },
    { calls: `udp4 bind=0.0.0.0,6998 sendto=${own},${first} receive`, paths: fastOnce },
    { calls: `udp4 bind=127.0.0.1,0 connect=127.0.0.1,${first} send receive peer local`, paths: bound },
    { calls: `tcp4 bind=127.0.0.1,0 connect=127.0.0.1,${first} receive peer local`, paths: bound },
    {
      calls: `tcp4 bind=${own},0 connect=${own},${first} receive peer local`,
      paths: (proxy) => [proxy ? "fast" : "bound"],
    },
    {
      calls: `tcp4 bind=0.0.0.0,6997 connect=${own},${first} receive peer local`,
      paths: (proxy) => [proxy ? "source" : "fast"],
    },
    { calls: `tcp4 device=lo connect=127.0.0.1,${first} receive peer local`, paths: bound },
    {
      calls: `tcp4 connect=${own},1 local connect=127.0.0.1,${first} receive peer local`,
      paths: fastOnce,
    },
    {
      // Nothing listens there, in the container: after that it dials something else, from another address.
      calls: `tcp4 connect=${second},${first + on.closed} connect=127.0.0.1,${first} receive peer local`,
      paths: () => ["fast", "fast"],
    },
    {
      calls: `tcp4 connect=${own},${first + on.closed} connect=${addresses.neighbour},1 connect=127.0.0.1,${other} receive local`,
      paths: () => ["fast", "fast"],
    },
    { calls: `tcp6 connect=::ffff:127.0.0.1,${first} receive peer local`, paths: fastOnce },
    { calls: `tcp6 connect=::ffff:${own},${first} receive peer local`, paths: fastOnce },
    { calls: `tcp6 only6 connect=::ffff:${own},${first}`, paths: () => [] },
    { calls: `udp6 sendto=::ffff:127.0.0.1,${first} receive`, paths: fastOnce },
    { calls: `udp6 sendto=::ffff:${own},${first} receive`, paths: fastOnce },
    { calls: `udp6 connect=::ffff:127.0.0.1,${first} send receive peer local`, paths: fastOnce },
    {
      calls: `tcp6 only6 connect=::1,${first} receive peer`,
      paths: (proxy) => (proxy ? ["other_family"] : []),
    },
    {
      calls: `tcp6 only6 connect=::1,${other} receive peer local`,
      paths: (proxy) => (proxy ? ["fast"] : []),
    },
    {
      calls: `udp6 only6 connect=::1,${first} send receive peer`,
      paths: (proxy) => (proxy ? ["other_family"] : []),
    },
    {
      calls: `udp6 connect=::1,${other} sendto=::1,${other} receive peer local`,
      paths: (proxy) => (proxy ? ["fast"] : []),
    },
  ];
};

const dialled = ({ container, to, at }: Case, kind: Kind) =>
  `${kind},${to},${containers[container] + on[at]}`;

describe.each(variants)("host sockets, engine $kind, docker-proxy $proxy, $backend", (variant) => {
  let lab: Lab;
  let fairway: Fairway;
  let all: Case[] = [];
  let odd: Sequence[] = [];
  const recorded = new Map<string, DialAnswer | string>();
  const callsOf = async ({ calls }: Sequence) =>
    (await lab.host.exec([join(lab.dir, "socket-calls"), ...calls.split(" ")])).stdout;

  beforeAll(async () => {
    const daemonJson = variant.backend === "nftables" ? { "firewall-backend": "nftables" } : {};
    lab = await createLab({ kind: variant.kind, userlandProxy: variant.proxy, ipv6: true, daemonJson });
    const { host, engine } = lab;
    await host.exec(["ip", "address", "add", `${second}/24`, "dev", "eth0"]);
    await engine.createNetwork("four");
    await engine.createNetwork("both", "--ipv6", "--subnet", "fd00:b07::/64");
    const snat = ["--subnet", "172.30.0.0/24", "-o", `com.docker.network.host_ipv4=${second}`];
    await engine.createNetwork("snat", ...snat);
    const gateways: Record<string, string> = {};
    for (const [name, first] of Object.entries(containers)) {
      const server = await engine.run("busybox", { name, network: name, publish: publish(first) });
      const ports = [7000, 7001, 7002, 7003].flatMap((port) => ["--tcp", port, "--udp", port]);
      const serve = server.namespace.agent("serve.mjs", ports, lab.disposers);
      await serve.waitFor(/ready/);
      gateways[name] = server.gateway(name);
    }
    // Its address on a bridge is no source until nobody else was found to have it.
    await until("the host's addresses are its own", async () => {
      const tentative = await host.exec(["ip", "-6", "address", "show", "tentative", "to", "fd00:b07::/64"]);
      return tentative.stdout === "";
    });
    all = cases(gateways as Record<Name, string>);
    const dials = all.flatMap((one) => kinds.map((kind) => dialled(one, kind)));
    const answers = await host.ask<DialAnswer[]>("dial.mjs", dials, 120_000);
    dials.forEach((dial, i) => {
      recorded.set(dial, answers[i] ?? {});
    });
    const four = await engine.container("four");
    odd = sequences({ address: four.address("four") });
    await run([
      "cc",
      "-O1",
      "-Wall",
      "-D_GNU_SOURCE",
      "-o",
      join(lab.dir, "socket-calls"),
      agent("socket-calls.c"),
    ]);
    await Promise.all(odd.map(async (one) => recorded.set(one.calls, await callsOf(one))));
    fairway = await lab.fairway();
    await fairway.knows("four");
    await fairway.knows("both");
    await fairway.knows("snat");
  }, 180_000);
  afterAll(() => lab?.dispose(), 60_000);

  it("both ends see what they see with the engine alone, and the container is reached directly", async () => {
    const byPath = new Map<Path, string[]>();
    for (const one of all)
      for (const kind of kinds) {
        const path = one.path(kind, variant.proxy);
        byPath.set(path, [...(byPath.get(path) ?? []), dialled(one, kind)]);
      }
    for (const [path, dials] of byPath) {
      const before = await countedSockets(fairway);
      const answers = await lab.host.ask<DialAnswer[]>("dial.mjs", dials);
      const seen = Object.fromEntries(dials.map((dial, i) => [dial, answers[i]]));
      expect(seen, path).toEqual(Object.fromEntries(dials.map((dial) => [dial, recorded.get(dial)])));
      expect(grownSockets(before, await countedSockets(fairway)), dials.join(" ")).toEqual(
        path === undefined ? {} : { [path]: dials.length },
      );
    }
  }, 60_000);

  it("whatever a process does with its socket, it sees what it sees with the engine alone", async () => {
    for (const one of odd) {
      const before = await countedSockets(fairway);
      expect(await callsOf(one), one.calls).toBe(recorded.get(one.calls));
      const paths: Record<string, number> = {};
      for (const path of one.paths(variant.proxy)) paths[path] = (paths[path] ?? 0) + 1;
      expect(grownSockets(before, await countedSockets(fairway)), one.calls).toEqual(paths);
    }
  }, 60_000);
});
