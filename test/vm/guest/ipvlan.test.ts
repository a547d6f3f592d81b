// ipvlan in each of its modes, which the kernels of the machines have as modules: host and container reach each other, the outside is
// reached as without fairway, or masqueraded, and ports of the parent's lead to the containers.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { families } from "../../lab/families.js";
import { createLab, type Fairway, type Lab, until } from "../../lab/lib/index.js";
import {
  asks,
  createLanNetwork,
  echo,
  expectHostApart,
  expectHostReaches,
  pings,
  runServing,
  seenAs,
  serve,
} from "../../lab/parents.js";

/** The subnets of the routed modes; the lab's router knows nothing of them. */
const routed = [
  { ip: "192.168.0.", ip6: "2001:db8:a0::" },
  { ip: "192.168.1.", ip6: "2001:db8:a1::" },
] as const;

let lab: Lab;
let fairway: Fairway;
beforeAll(async () => {
  // 20.10 does not know l3s.
  lab = await createLab({ kind: "29", ipv6: true });
  await lab.engine.images("busybox");
  for (const at of [lab.host, lab.neighbour, lab.client]) await serve(at, lab);
  fairway = await lab.fairway();
});
afterAll(() => lab?.dispose());

const container = (name: string) => lab.engine.container(name);

/** Several subnets on one parent, as the README's users have them. */
const createRoutedNetwork = (mode: string, ...args: readonly string[]) =>
  lab.engine.createNetwork(
    mode,
    ...["-d", "ipvlan", "-o", "parent=eth0", "-o", `ipvlan_mode=${mode}`, "--ipv6"],
    ...routed.flatMap(({ ip, ip6 }) => ["--subnet", `${ip}0/24`, "--subnet", `${ip6}/64`]),
    ...args,
  );

const remove = async (network: string, ...names: string[]) => {
  await lab.engine.remove(...names);
  await lab.engine.docker(["network", "rm", network]);
};

describe("ipvlan l2", () => {
  beforeAll(async () => {
    await createLanNetwork(lab, "ipvlan", "l2");
    const args = ["--label", `fairway.publish=8080:${echo}/tcp,8080:${echo}/udp`];
    await runServing(lab, "flat", "l2", { last: 64, args });
    await fairway.knows("flat", "l2");
  });
  afterAll(() => remove("l2", "flat"));

  it.each(families)("host and container reach each other, $name", async (family) => {
    await expectHostReaches(lab, await container("flat"), family);
  });

  it.each(families)(
    "the outside reaches it, and a port of the parent's leads to it, $name",
    async (family) => {
      const { client, host } = family.addresses;
      expect(await asks(lab.client, family.of(await container("flat")))).toEqual(seenAs(client));
      const { tcp, udp } = await asks(lab.client, host, 8080);
      expect({ tcp, udp }).toEqual({ tcp: client, udp: client });
    },
  );
});

describe.each(["l3", "l3s"])("ipvlan %s", (mode) => {
  const names = ["a", "b", "c", "d"].map((name) => `${mode}${name}`);
  const [first = "", , third = ""] = names;
  beforeAll(async () => {
    await createRoutedNetwork(mode);
    for (const [index, name] of names.entries()) {
      await runServing(lab, name, mode, { ...routed[index >> 1], last: 10 + index });
    }
    for (const name of names) await fairway.knows(name, mode);
  });
  afterAll(() => remove(mode, ...names));

  it.each(families)("host and container reach each other, $name", async (family) => {
    for (const name of [first, third]) await expectHostReaches(lab, await container(name), family);
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
      await lab.router.exec(["ip", "route", "add", ...route]);
      try {
        expect(await asks(lab.client, one.address)).toEqual(seenAs(family.addresses.client));
        expect(await asks(namespace, family.addresses.client)).toEqual(seenAs(one.address));
      } finally {
        await lab.router.exec(["ip", "route", "del", ...route]);
      }
    },
  );
});

describe.each(["l3", "l3s"])("ipvlan %s, masqueraded", (mode) => {
  const name = `${mode}m`;
  beforeAll(async () => {
    await createRoutedNetwork(mode, "--label", "fairway.masquerade=true");
    const args = ["--label", `fairway.publish=8080:${echo}/tcp,8080:${echo}/udp`];
    await runServing(lab, name, mode, { ...routed[0], last: 20, args });
    await fairway.knows(name, mode);
  });
  afterAll(() => remove(mode, name));

  it.each(families)("it reaches the outside behind the parent's address, $name", async (family) => {
    const { client, host } = family.addresses;
    const { namespace } = await container(name);
    await until("a first packet passes", async () => (await asks(namespace, client)).tcp === host);
    const { tcp, udp } = await asks(namespace, client);
    expect({ tcp, udp }).toEqual({ tcp: host, udp: host });
  });

  it.each(families)("host and container reach each other all the same, $name", async (family) => {
    await expectHostReaches(lab, await container(name), family);
  });

  it.each(families)("a port of the parent's leads to it, $name", async (family) => {
    const { client, host } = family.addresses;
    const { tcp, udp } = await asks(lab.client, host, 8080);
    expect({ tcp, udp }).toEqual({ tcp: client, udp: client });
  });
});

it("cleaned up, host and container are apart as the kernel has them, and nothing of fairway is left", async () => {
  await createRoutedNetwork("l3");
  await runServing(lab, "last", "l3", { ...routed[0], last: 30 });
  await fairway.knows("last", "l3");
  const one = await container("last");
  await until("the host reaches it", () => pings(lab.host, one.address(), 1));
  await fairway.stop();
  expect(await pings(lab.host, one.address())).toBe(true);
  await fairway.cleanup();
  await expectHostApart(lab, one);
  const routes = await lab.host.ip<{ dst: string }[]>("route", "show", "proto", "250");
  expect(routes).toEqual([]);
});
