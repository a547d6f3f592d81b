// Uplinks of kinds that need modules: VLANs, a bond, WireGuard. Published ports and masquerading work at each, and are fast.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { addresses, type Hosts, type Namespace, run, until } from "../../lab/lib/index.js";
import { joinByVeth } from "../../lab/lib/namespace.js";
import { ask, expectGood, ip, type Way } from "../../lab/ways.js";
import type { Guest } from "./guest.js";

/** The same at both ends of a link, with addresses of both families: the client's ends in 1, the host's in 2. */
async function atBothEnds(
  { client, host }: Pick<Hosts, "client" | "host">,
  number: number,
  device: string,
  make: (at: Namespace) => Promise<unknown>,
): Promise<Way[]> {
  const subnets = [`198.18.${number}.`, `2001:db8:${number}::`];
  for (const [at, end] of [
    [client, 1],
    [host, 2],
  ] as const) {
    await make(at);
    await ip(at, "address", "add", `${subnets[0]}${end}/24`, "dev", device);
    await ip(at, "address", "add", `${subnets[1]}${end}/64`, "dev", device, "nodad");
    await ip(at, "link", "set", device, "up");
  }
  return subnets.map((subnet) => ({
    peer: client,
    peerAddress: `${subnet}1`,
    hostAddress: `${subnet}2`,
  }));
}

/** A cable between client and host with nothing on it yet. */
const cable = ({ client, host }: { client: Namespace; host: Namespace }, name: string) =>
  joinByVeth(client, name, host, name);

/** Declares the tests. */
export function testUplinks(guest: Guest): void {
  describe("an uplink that is", () => {
    it("a VLAN, 802.1q", async () => {
      await cable(guest.lab, "eth1");
      const vlan = ["type", "vlan", "id", "20"];
      const ways = await atBothEnds(guest.lab, 10, "eth1.20", (at) =>
        ip(at, "link", "add", "link", "eth1", "name", "eth1.20", ...vlan),
      );
      for (const way of ways) await expectGood(guest, way);
    });

    it("a VLAN within a VLAN, 802.1ad (QinQ)", async () => {
      await cable(guest.lab, "eth2");
      const ways = await atBothEnds(guest.lab, 11, "eth2.30.40", async (at) => {
        const outer = ["type", "vlan", "protocol", "802.1ad", "id", "30"];
        await ip(at, "link", "add", "link", "eth2", "name", "eth2.30", ...outer);
        await ip(at, "link", "set", "eth2.30", "up");
        await ip(at, "link", "add", "link", "eth2.30", "name", "eth2.30.40", "type", "vlan", "id", "40");
      });
      for (const way of ways) await expectGood(guest, way);
    });

    it("a bond, and after one of its links has failed", async () => {
      for (const name of ["eth3", "eth4"]) await cable(guest.lab, name);
      const ways = await atBothEnds(guest.lab, 12, "bond0", async (at) => {
        await ip(at, "link", "add", "bond0", "type", "bond", "mode", "active-backup", "miimon", "50");
        for (const name of ["eth3", "eth4"]) {
          await ip(at, "link", "set", name, "down");
          await ip(at, "link", "set", name, "master", "bond0");
        }
      });
      for (const way of ways) await expectGood(guest, way);
      await ip(guest.lab.client, "link", "set", "eth3", "down");
      await until("the other link carries it", async () => {
        const [bond] = await guest.lab.host.ip<{ linkinfo: { info_data: { active_slave?: string } } }[]>(
          "-d",
          "link",
          "show",
          "bond0",
        );
        return bond?.linkinfo.info_data.active_slave === "eth4";
      });
      for (const way of ways) await expectGood(guest, way);
    });

    it("WireGuard, a device without Ethernet", async () => {
      const { client, host, dir } = guest.lab;
      const key = async (name: string) => {
        const { stdout: secret } = await run(["wg", "genkey"]);
        const path = join(dir, `${name}.key`);
        await writeFile(path, secret, { mode: 0o600 });
        const { stdout } = await run(["wg", "pubkey"], { input: secret });
        return { path, open: stdout.trim() };
      };
      const keys = { client: await key("client"), host: await key("host") };
      const ways = await atBothEnds(guest.lab, 13, "wg0", async (at) => {
        const [own, other] = at === host ? (["host", "client"] as const) : (["client", "host"] as const);
        await ip(at, "link", "add", "wg0", "type", "wireguard");
        const peer = ["peer", keys[other].open, "allowed-ips", "0.0.0.0/0,::/0"];
        const endpoint = ["endpoint", `${addresses[other]}:51820`];
        await at.exec([
          "wg",
          "set",
          "wg0",
          "listen-port",
          "51820",
          "private-key",
          keys[own].path,
          ...peer,
          ...endpoint,
        ]);
      });
      // It has no default route, and without Ethernet it is an uplink by its name alone.
      await guest.fairway.stop();
      guest.fairway = await guest.lab.fairway({ args: ["--uplink", "eth0", "--uplink", "wg0"] });
      for (const way of ways) await expectGood(guest, way);
      expect(await ask(client, addresses.host)).toEqual({ echoed: true, source: addresses.client });
      // As it was: what comes next starts a daemon anew that finds its uplinks itself.
      await guest.fairway.stop();
      guest.fairway = await guest.lab.fairway();
    });
  });
}
