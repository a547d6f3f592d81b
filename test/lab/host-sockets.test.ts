// Processes of the host dial published ports: what both ends see is recorded with the engine alone, and is the same with
// fairway, which leads them straight to the container.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { addresses, addresses6, createLab, type EngineKind, enginesToTest, type Fairway, type Lab } from "./lib/index.js";

/** dial.mjs */
interface DialAnswer {
  readonly source?: string;
  readonly peer?: string;
  readonly local?: string;
  readonly from?: string;
  readonly error?: string;
}

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
const containers = { four: 7100, both: 7200 } as const;
type Name = keyof typeof containers;
const kinds = ["tcp", "udp", "udp-connected", "udp-both"] as const;
type Kind = (typeof kinds)[number];

/** What is published where: the number is added to the container's first port. */
const on = { any: 0, loopback: 1, loopback6: 2, host: 3 } as const;
const publish = (first: number) => [
  ...["", "/udp"].flatMap((proto) => [
    `${first + on.any}:7000${proto}`,
    `127.0.0.1:${first + on.loopback}:7001${proto}`,
    `[::1]:${first + on.loopback6}:7002${proto}`,
    `${addresses.host}:${first + on.host}:7003${proto}`,
  ]),
];

/** fast, the reason why it is left to the engine, or nothing: that port is none of fairway's. */
type Path = "fast" | "other_network" | "other_family" | "source" | "alias" | "bound" | undefined;

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
  (["four", "both"] as const).flatMap((container): Case[] => [
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
  ]);

const dialled = ({ container, to, at }: Case, kind: Kind) => `${kind},${to},${containers[container] + on[at]}`;

describe.each(variants)("host sockets, engine $kind, docker-proxy $proxy, $backend", (variant) => {
  let lab: Lab;
  let fairway: Fairway;
  let all: Case[] = [];
  const recorded = new Map<string, DialAnswer>();

  beforeAll(async () => {
    const daemonJson = variant.backend === "nftables" ? { "firewall-backend": "nftables" } : {};
    lab = await createLab({ kind: variant.kind, userlandProxy: variant.proxy, ipv6: true, daemonJson });
    const { host, engine } = lab;
    await host.exec(["ip", "address", "add", `${second}/24`, "dev", "eth0"]);
    await engine.createNetwork("four");
    await engine.createNetwork("both", "--ipv6", "--subnet", "fd00:b07::/64");
    const gateways: Record<string, string> = {};
    for (const [name, first] of Object.entries(containers)) {
      const server = await engine.run("busybox", { name, network: name, publish: publish(first) });
      const ports = "7000,7001,7002,7003";
      const agent = server.namespace.agent("serve.mjs", ["--tcp", ports, "--udp", ports], lab.disposers);
      await agent.waitFor(/ready/);
      gateways[name] = server.gateway(name);
    }
    all = cases(gateways as Record<Name, string>);
    const dials = all.flatMap((one) => kinds.map((kind) => dialled(one, kind)));
    const answers = await host.ask<DialAnswer[]>("dial.mjs", dials, 120_000);
    dials.forEach((dial, i) => {
      recorded.set(dial, answers[i] ?? {});
    });
    fairway = await lab.fairway();
    await fairway.knows("four");
    await fairway.knows("both");
  }, 180_000);
  afterAll(() => lab?.dispose(), 60_000);

  it("both ends see what they see with the engine alone, and the container is reached directly", async () => {
    const seen: Record<string, unknown> = {};
    const wanted: Record<string, unknown> = {};
    let before = await counted(fairway);
    for (const one of all) {
      for (const kind of kinds) {
        const dial = dialled(one, kind);
        const [answer] = await lab.host.ask<DialAnswer[]>("dial.mjs", [dial]);
        const after = await counted(fairway);
        const key = `${one.container} ${dial}`;
        seen[key] = { ...answer, path: grown(before, after) };
        wanted[key] = { ...recorded.get(dial), path: one.path(kind, variant.proxy) };
        before = after;
      }
    }
    expect(seen).toEqual(wanted);
  }, 180_000);
});

/** Sockets by path or reason. */
async function counted(fairway: Fairway): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const { labels, value } of (await fairway.metrics()).find("fairway_host_sockets_total", {})) {
    const what = labels.path === "fast" ? "fast" : (labels.reason ?? "");
    sums.set(what, (sums.get(what) ?? 0) + value);
  }
  return sums;
}

/** What became of the one socket that was opened between two counts. */
function grown(before: Map<string, number>, after: Map<string, number>): string | undefined {
  const more = [...after].filter(([what, value]) => value > (before.get(what) ?? 0)).map(([what]) => what);
  return more.length === 0 ? undefined : more.join("+");
}
