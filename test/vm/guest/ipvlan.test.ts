// ipvlan in each of its modes, which the kernels of the machines have as modules: host and container reach each other, the outside is
// reached as without fairway, or masqueraded, and ports of the parent's lead to the containers.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { explained } from "../../lab/explained.js";
import { families } from "../../lab/families.js";
import { until } from "../../lab/lib/index.js";
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
} from "../../lab/parents.js";
import { useParents } from "./parents.js";

/** The subnets of the routed modes; the lab's router knows nothing of them. */
const routed = [
  { ip: "192.168.0.", ip6: "2001:db8:a0::" },
  { ip: "192.168.1.", ip6: "2001:db8:a1::" },
] as const;

const guest = useParents();
const { container, remove } = guest;

/** Several subnets on one parent, as the README's users have them. */
const createRoutedNetwork = (mode: string, ...args: readonly string[]) =>
  guest.lab.engine.createNetwork(
    mode,
    ...["-d", "ipvlan", "-o", "parent=eth0", "-o", `ipvlan_mode=${mode}`, "--ipv6"],
    ...routed.flatMap(({ ip, ip6 }) => ["--subnet", `${ip}0/24`, "--subnet", `${ip6}/64`]),
    ...args,
  );

describe("ipvlan l2", () => {
  beforeAll(async () => {
    await createLanNetwork(guest.lab, "ipvlan", "l2");
    const args = ["--label", `fairway.publish=8080:${echo}/tcp,8080:${echo}/udp`];
    await runServing(guest.lab, "flat", "l2", { last: 64, args });
    await guest.fairway.knows("flat", "l2");
  });
  afterAll(() => remove(["l2"], "flat"));

  it.each(families)("host and container reach each other, $name", async (family) => {
    await expectHostReaches(guest.lab, await container("flat"), family);
  });

  it.each(families)("the outside reaches it, $name", async (family) => {
    const { client } = family.addresses;
    expect(await asks(guest.lab.client, family.of(await container("flat")))).toEqual(seenAs(client));
  });

  it.for(families)("a port of the parent's leads to it, $name", async (family, context) => {
    needsConnectionsMade(guest.fairway, context);
    const { client, host } = family.addresses;
    const { tcp, udp } = await asks(guest.lab.client, host, 8080);
    expect({ tcp, udp }).toEqual({ tcp: client, udp: client });
  });
});

describe.each(["l3", "l3s"])("ipvlan %s", (mode) => {
  const names = ["a", "b", "c", "d"].map((name) => `${mode}${name}`);
  const [first = "", , third = ""] = names;
  beforeAll(async () => {
    await createRoutedNetwork(mode);
    for (const [index, name] of names.entries()) {
      await runServing(guest.lab, name, mode, { ...routed[index >> 1], last: 10 + index });
    }
    for (const name of names) await guest.fairway.knows(name, mode);
  });
  afterAll(() => remove([mode], ...names));

  it.each(families)("host and container reach each other, $name", async (family) => {
    for (const name of [first, third]) await expectHostReaches(guest.lab, await container(name), family);
  });

  it.each(families)("all on its subnets reach each other, and nobody the outside, $name", async (family) => {
    for (const from of names) {
      const { namespace } = await container(from);
      for (const to of names) {
        if (from !== to) expect(await pings(namespace, family.of(await container(to)), 1)).toBe(true);
      }
      expect(await pings(namespace, family.addresses.client, 1)).toBe(false);
    }
  });

  it.each(families)(
    "with a route on the router the outside sees their own addresses, $name",
    async (family) => {
      const { namespace, ...one } = await container(first).then((c) => ({
        namespace: c.namespace,
        address: family.of(c),
      }));
      const route = [
        family.name === "IPv4" ? "192.168.0.0/24" : "2001:db8:a0::/64",
        "via",
        family.addresses.host,
      ];
      await guest.lab.router.exec(["ip", "route", "add", ...route]);
      try {
        expect(await asks(guest.lab.client, one.address)).toEqual(seenAs(family.addresses.client));
        expect(await asks(namespace, family.addresses.client)).toEqual(seenAs(one.address));
      } finally {
        await guest.lab.router.exec(["ip", "route", "del", ...route]);
      }
    },
  );
});

describe.each(["l3", "l3s"])("ipvlan %s, masqueraded", (mode) => {
  const name = `${mode}m`;
  beforeAll(async () => {
    await createRoutedNetwork(mode, "--label", "fairway.masquerade=true");
    const args = ["--label", `fairway.publish=8080:${echo}/tcp,8080:${echo}/udp`];
    await runServing(guest.lab, name, mode, { ...routed[0], last: 20, args });
    await guest.fairway.knows(name, mode);
  });
  afterAll(() => remove([mode], name));

  it.for(families)("it reaches the outside behind the parent's address, $name", async (family, context) => {
    needsConnectionsMade(guest.fairway, context);
    const { client, host } = family.addresses;
    const { namespace } = await container(name);
    await until("a first packet passes", async () => (await asks(namespace, client)).tcp === host);
    const { tcp, udp } = await asks(namespace, client);
    expect({ tcp, udp }).toEqual({ tcp: host, udp: host });
  });

  it.for(families)("explain tells of both ways, $name", async (family, context) => {
    needsConnectionsMade(guest.fairway, context);
    const { client, host } = family.addresses;
    expect(await explained(guest.lab, name, `${family.quote(client)}:${echo}`)).toMatchObject({
      verdict: "fast",
      flow: "new",
      to: null,
      by: "eth0",
      steps: [{ program: "parent_egress", packet: { source: host, destination: client } }],
    });
    const address = family.of(await container(name));
    expect(await explained(guest.lab, client, `${family.quote(host)}:8080`)).toMatchObject({
      verdict: "fast",
      to: { container: name, network: mode },
      steps: [{ program: "uplink_ingress", packet: { source: client, destination: address } }],
    });
    expect(await explained(guest.lab, "host", `${family.quote(address)}:${echo}`)).toMatchObject({
      verdict: "fast",
      to: { container: name, network: mode },
      steps: [{ program: "parent_egress" }],
    });
  });

  it.each(families)("host and container reach each other all the same, $name", async (family) => {
    await expectHostReaches(guest.lab, await container(name), family);
  });

  it.for(families)("a port of the parent's leads to it, $name", async (family, context) => {
    needsConnectionsMade(guest.fairway, context);
    const { client, host } = family.addresses;
    const { tcp, udp } = await asks(guest.lab.client, host, 8080);
    expect({ tcp, udp }).toEqual({ tcp: client, udp: client });
  });
});

it("cleaned up, host and container are apart as the kernel has them, and nothing of fairway is left", async () => {
  await createRoutedNetwork("l3");
  await runServing(guest.lab, "last", "l3", { ...routed[0], last: 30 });
  await guest.fairway.knows("last", "l3");
  const one = await container("last");
  await until("the host reaches it", () => pings(guest.lab.host, one.address(), 1));
  await guest.fairway.stop();
  expect(await pings(guest.lab.host, one.address())).toBe(true);
  await guest.fairway.cleanup();
  await expectHostApart(guest.lab, one);
  const routes = await guest.lab.host.ip<{ dst: string }[]>("route", "show", "proto", "250");
  expect(routes).toEqual([]);
});
