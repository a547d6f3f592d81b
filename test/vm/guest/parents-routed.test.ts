// ipvlan l3 on two parents, between which is routed; and on the LAN itself, where its containers are announced.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TcpAnswer } from "../../lab/answers.js";
import { families } from "../../lab/families.js";
import { type Namespace, until } from "../../lab/lib/index.js";
import { joinByVeth } from "../../lab/lib/namespace.js";
import {
  asks,
  createLanNetwork,
  echo,
  expectHostReaches,
  pings,
  runServing,
  seenAs,
} from "../../lab/parents.js";
import { useParents } from "./parents.js";

// Its other end is the router's, and has no address: nobody but fairway leads from one parent to the other.
const guest = useParents(({ router, host }) => joinByVeth(router, "second", host, "eth1"));
const { container, remove } = guest;

/** What a TCP connection there ends in. */
const dials = async (from: Namespace, to: string) =>
  (await from.ask<TcpAnswer>("tcp.mjs", [to, echo, 10, 60_000], 90_000)).error;

describe("ipvlan l3 on two parents, one without an address", () => {
  const subnets = [
    { parent: "eth0", name: "one", ip: "192.168.0.", ip6: "2001:db8:a0::" },
    { parent: "eth1", name: "two", ip: "192.168.1.", ip6: "2001:db8:a1::" },
  ] as const;
  beforeAll(async () => {
    for (const { parent, name, ip, ip6 } of subnets) {
      await guest.lab.engine.createNetwork(
        name,
        ...["-d", "ipvlan", "-o", `parent=${parent}`, "-o", "ipvlan_mode=l3", "--ipv6"],
        ...["--subnet", `${ip}0/24`, "--subnet", `${ip6}/64`, "--label", "fairway.route=true"],
      );
      await runServing(guest.lab, `in-${name}`, name, { ip, ip6, last: 10 });
      await guest.fairway.knows(`in-${name}`, name);
    }
  });
  afterAll(() => remove(["one", "two"], "in-one", "in-two"));

  it.each(families)("their containers reach each other, $name", async (family) => {
    const [one, two] = [await container("in-one"), await container("in-two")];
    await until("the first reaches the second", () => pings(one.namespace, family.of(two), 1));
    await until("the second reaches the first", () => pings(two.namespace, family.of(one), 1));
    expect(await asks(one.namespace, family.of(two))).toEqual(seenAs(family.of(one)));
    expect(await asks(two.namespace, family.of(one))).toEqual(seenAs(family.of(two)));
    const taken = await guest.fairway.pathTaken(
      "in-two",
      () => pings(one.namespace, family.of(two), 10),
      "two",
    );
    expect(taken.receive.fast).toBeGreaterThanOrEqual(10);
    expect(taken.transmit.fast).toBeGreaterThanOrEqual(10);
  });

  it.each(families)("host and containers reach each other, $name", async (family) => {
    for (const name of ["in-one", "in-two"])
      await expectHostReaches(guest.lab, await container(name), family);
  });

  // The second's parent has no address in whose name it could be told, nor has its network a gateway.
  it.each(
    families.flatMap((family) => [
      { family, from: "in-one", to: "in-two" },
      { family, from: "in-two", to: "in-one" },
    ]),
  )(
    "the end of its hops, and an address that nobody has, is told, $family.name, $from",
    async ({ family, from, to }) => {
      const { namespace } = await container(from);
      const other = family.of(await container(to));
      expect(await dials(namespace, other.replace(/10$/, "99"))).toBe("EHOSTUNREACH");
      const hops = family.name === "IPv4" ? "net.ipv4.ip_default_ttl" : "net.ipv6.conf.eth0.hop_limit";
      const before = await namespace.sysctl(hops);
      await namespace.sysctl(hops, 1);
      try {
        expect(await dials(namespace, other)).toBe("EHOSTUNREACH");
      } finally {
        await namespace.sysctl(hops, before);
      }
      expect(await pings(namespace, other)).toBe(true);
    },
  );

  it("stopped it goes on; cleaned up, they are apart, and no route is left", async () => {
    const [one, two] = [await container("in-one"), await container("in-two")];
    await guest.fairway.stop();
    expect(await pings(one.namespace, two.address())).toBe(true);
    await guest.fairway.cleanup();
    expect(await pings(one.namespace, two.address(), 1)).toBe(false);
    expect(await guest.lab.host.ip<unknown[]>("route", "show", "proto", "250")).toEqual([]);
    guest.fairway = await guest.lab.fairway();
  });
});

describe("ipvlan l3 on the LAN itself", () => {
  afterAll(() => remove(["flat"], "flat"));
  const neighbourEntry = (address: string) =>
    guest.lab.neighbour.ip<{ lladdr?: string }[]>("neigh", "show", address);

  it("is announced when it starts, and reached from the LAN and beyond without any route", async () => {
    await createLanNetwork(
      guest.lab,
      "ipvlan",
      "flat",
      "-o",
      "ipvlan_mode=l3",
      "--label",
      "fairway.announce=arp",
    );
    // The neighbour knows the address as somebody's that is gone.
    for (const family of families) {
      const address = family.name === "IPv4" ? "198.18.2.70" : "2001:db8:2::70";
      const entry = ["ip", "neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", "eth0"];
      await guest.lab.neighbour.exec([...entry, "nud", "stale"]);
    }
    await runServing(guest.lab, "flat", "flat", { last: 70 });
    await guest.fairway.knows("flat", "flat");
    const [{ address: mac = "" } = {}] = await guest.lab.host.ip<{ address?: string }[]>(
      "link",
      "show",
      "eth0",
    );
    const one = await container("flat");
    for (const family of families) {
      await until("the neighbour has been told", async () =>
        (await neighbourEntry(family.of(one))).some(({ lladdr }) => lladdr === mac),
      );
    }
  });

  it.each(families)("everybody reaches it, and it everybody, $name", async (family) => {
    const one = await container("flat");
    for (const [peer, address] of [
      [guest.lab.neighbour, family.addresses.neighbour],
      [guest.lab.client, family.addresses.client],
    ] as const) {
      await until("it is reached", () => pings(peer, family.of(one), 1));
      expect(await asks(peer, family.of(one))).toEqual(seenAs(address));
      expect(await asks(one.namespace, address)).toEqual(seenAs(family.of(one)));
    }
    await expectHostReaches(guest.lab, one, family);
  });

  it("a container that has stopped is answered for no more", async () => {
    const address = (await container("flat")).address();
    await guest.lab.engine.docker(["stop", "-t", "0", "flat"]);
    await guest.lab.neighbour.exec(["ip", "neigh", "flush", "dev", "eth0"]);
    await until("nobody answers", async () => {
      await guest.lab.neighbour.exec(["ip", "neigh", "del", address, "dev", "eth0"], { mayFail: true });
      await pings(guest.lab.neighbour, address, 1);
      return (await neighbourEntry(address)).every(({ lladdr }) => lladdr === undefined);
    });
    const listened = await guest.lab.host.exec(["ip", "-6", "neigh", "show", "proxy"]);
    await until("nor is it listened for", async () => !listened.stdout.includes("2001:db8:2::70"));
  });
});
