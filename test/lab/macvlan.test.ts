// macvlan on the host's own LAN, and on another device, between which is routed: the host reaches such containers if their network says so, and is reached by them; ports of the
// parent's lead to them; they are counted. Without fairway all is as Docker made it.

import { expect, it } from "vitest";
import type { TcpAnswer } from "./answers.js";
import { explained } from "./explained.js";
import { families } from "./families.js";
import { addresses, type Lab, until } from "./lib/index.js";
import { joinByVeth } from "./lib/namespace.js";
import {
  asks,
  createLanNetwork,
  echo,
  expectHostApart,
  expectHostReaches,
  needsConnectionsMade,
  pings,
  runServing,
  seenAs,
  serve,
} from "./parents.js";
import { onEveryEngine } from "./suite.js";

const before = async (lab: Parameters<typeof serve>[1]): Promise<void> => {
  for (const at of [lab.host, lab.neighbour, lab.client]) await serve(at, lab);
  const labels = ["--label", "fairway.host=true", "--label", "fairway.route=true"];
  await createLanNetwork(lab, "macvlan", "lan", ...labels);
  await createFarNetwork(lab, ...labels);
  const publish = ["--label", `fairway.publish=8080:${echo}/tcp,8080:${echo}/udp`];
  await runServing(lab, "server", "lan", { last: 64, args: publish });
  await runServing(lab, "other", "lan", { last: 65 });
  await runServing(lab, "far", "far", { ip: "198.18.9.", ip6: "2001:db8:9::", last: 64 });
};

/** On a second device of the host's, which is its gateway; nothing else is there. */
async function createFarNetwork(lab: Lab, ...args: readonly string[]): Promise<void> {
  const { host, router } = lab;
  await joinByVeth(router, "far", host, "eth1");
  await host.exec(["ip", "address", "add", "198.18.9.1/24", "dev", "eth1"]);
  await host.exec(["ip", "address", "add", "2001:db8:9::1/64", "dev", "eth1", "nodad"]);
  const subnets = ["198.18.9.0/24", "198.18.9.1", "2001:db8:9::/64", "2001:db8:9::1"] as const;
  const [subnet, gateway, subnet6, gateway6] = subnets;
  await lab.engine.createNetwork(
    "far",
    ...["-d", "macvlan", "-o", "parent=eth1", "--subnet", subnet, "--gateway", gateway],
    ...["--ipv6", "--subnet", subnet6, "--gateway", gateway6, ...args],
  );
}

onEveryEngine("macvlan", { images: ["busybox"], ipv6: true, oneEngine: true, before }, (stage) => {
  const server = () => stage.lab.engine.container("server");

  it.each(families)("host and container reach each other, $name", async (family) => {
    await stage.fairway.knows("server", "lan");
    await expectHostReaches(stage.lab, await server(), family);
  });

  it.each(families)(
    "it and the outside reach each other under their own addresses, $name",
    async (family) => {
      const { lab } = stage;
      const container = await server();
      for (const [peer, address] of [
        [lab.neighbour, family.addresses.neighbour],
        [lab.client, family.addresses.client],
      ] as const) {
        expect(await asks(peer, family.of(container))).toEqual(seenAs(address));
        expect(await asks(container.namespace, address)).toEqual(seenAs(family.of(container)));
      }
    },
  );

  it("fairway does not take its own programs at the parent for somebody else's", () => {
    expect(stage.fairway.log).not.toContain("sees packets after fairway's");
  });

  it("is counted: by fairway between it and the host, by the kernel's own way from outside", async () => {
    const { lab, fairway } = stage;
    const address = (await server()).address();
    const byHost = await fairway.pathTaken("server", () => pings(lab.host, address, 10), "lan");
    expect(byHost.receive.fast).toBeGreaterThanOrEqual(10);
    expect(byHost.transmit.fast).toBeGreaterThanOrEqual(10);
    const byNeighbour = await fairway.pathTaken("server", () => pings(lab.neighbour, address, 10), "lan");
    expect(byNeighbour.receive.slow).toBeGreaterThanOrEqual(10);
    expect(byNeighbour.transmit.slow).toBeGreaterThanOrEqual(10);
  });

  it.for(families)("a port of the parent's leads to it, $name", async (family, context) => {
    needsConnectionsMade(stage.fairway, context);
    const { lab, fairway } = stage;
    for (const [peer, address] of [
      [lab.neighbour, family.addresses.neighbour],
      [lab.client, family.addresses.client],
    ] as const) {
      const taken = await fairway.pathTaken("server", async () => {
        const { tcp, udp } = await asks(peer, family.addresses.host, 8080);
        expect({ tcp, udp }).toEqual({ tcp: address, udp: address });
      });
      expect(taken.receive.fast).toBeGreaterThan(20);
      expect(taken.transmit.fast).toBeGreaterThan(20);
    }
  });

  it.each(families)("networks of two parents that are routed reach each other, $name", async (family) => {
    const { lab, fairway } = stage;
    const [near, far] = [await server(), await lab.engine.container("far")];
    await fairway.knows("far", "far");
    await until("far is reached", () => pings(near.namespace, family.of(far), 1));
    expect(await asks(near.namespace, family.of(far))).toEqual(seenAs(family.of(near)));
    expect(await asks(far.namespace, family.of(near))).toEqual(seenAs(family.of(far)));
    const taken = await fairway.pathTaken("far", () => pings(near.namespace, family.of(far), 10), "far");
    expect(taken.receive.fast).toBeGreaterThanOrEqual(10);
    expect(taken.transmit.fast).toBeGreaterThanOrEqual(10);
  });

  it.for(families)("explain tells who is reached, and by which way, $name", async (family, context) => {
    needsConnectionsMade(stage.fairway, context);
    const { lab } = stage;
    const ask = (source: string, destination: string) => explained(lab, source, destination);
    const { client, host } = family.addresses;
    const [near, far] = [await server(), await lab.engine.container("far")].map((one) =>
      family.quote(family.of(one)),
    );
    const fast = (container: string, network: string, program: string) => ({
      verdict: "fast",
      to: { container, network },
      steps: [{ program }],
    });
    expect(await ask(client, `${family.quote(host)}:8080`)).toMatchObject(
      fast("server", "lan", "uplink_ingress"),
    );
    expect(await ask("host", `${near}:${echo}`)).toMatchObject(fast("server", "lan", "parent_egress"));
    expect(await ask("server", `${far}:${echo}`)).toMatchObject(fast("far", "far", "parent_egress"));
    expect(await ask("server", `${family.quote(host)}:${echo}`)).toMatchObject({
      verdict: "fast",
      why: "reaches the host by eth0",
      to: null,
    });
    // The way outside is the kernel's, and that of what comes to their own addresses.
    expect(await ask("server", client)).toMatchObject({ verdict: "slow", reason: "no_masquerade" });
    expect(await ask("other", client)).toMatchObject({ verdict: "slow", reason: null });
    expect(await ask(client, `${near}:${echo}`)).toMatchObject({ verdict: "slow", reason: null });
    expect(
      (await ask("server", `${family.quote(family.of(await lab.engine.container("other")))}:1`)).why,
    ).toMatch(/ipvlan or macvlan on eth0 hands it over/);
  });

  it.each(families)("what comes to the end of its hops there is told so, $name", async (family) => {
    const { namespace } = await server();
    const far = family.of(await stage.lab.engine.container("far"));
    const hops = family.name === "IPv4" ? "net.ipv4.ip_default_ttl" : "net.ipv6.conf.eth0.hop_limit";
    const before = await namespace.sysctl(hops);
    await namespace.sysctl(hops, 1);
    try {
      expect((await namespace.ask<TcpAnswer>("tcp.mjs", [far, echo, 10, 20_000])).error).toBe("EHOSTUNREACH");
    } finally {
      await namespace.sysctl(hops, before);
    }
    expect(await pings(namespace, far)).toBe(true);
  });

  it("with the daemon stopped it goes on; cleaned up, host and container are apart as the kernel has them", async () => {
    const { lab, fairway } = stage;
    const container = await server();
    await fairway.stop();
    expect(await pings(lab.host, container.address())).toBe(true);
    const far = await lab.engine.container("far");
    expect(await pings(container.namespace, far.address())).toBe(true);
    await fairway.cleanup();
    expect(await pings(container.namespace, far.address(), 1)).toBe(false);
    // What the host has learned of it is no way to it any more.
    await lab.host.exec(["ip", "neigh", "flush", "dev", "eth0"]);
    await until("the host does not reach it", async () => !(await pings(lab.host, container.address(), 1)));
    await expectHostApart(lab, container);
    expect(await pings(lab.neighbour, container.address())).toBe(true);
    expect(await pings(container.namespace, addresses.client)).toBe(true);
  });
});
