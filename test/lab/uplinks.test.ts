// Uplinks that are more than a NIC: without Ethernet, over VXLAN, a bridge with the NIC in it, several of them, and some that
// come, go and change while fairway runs. Published ports and masquerading work at each, and are fast.

import { join } from "node:path";
import { expect, it } from "vitest";
import { addresses, agent, type Fairway, type Lab, run, until } from "./lib/index.js";
import { onEveryEngine } from "./suite.js";
import { ask, cable, expectGood, ip, people, type Way } from "./ways.js";

const uplinks = (lab: Lab) => lab.host.ip<{ ifname: string }[]>("link", "show");

onEveryEngine(
  "kinds of uplinks",
  { images: ["busybox"], oneEngine: true, fairway: false, before: people },
  (stage) => {
    let fairway: Fairway | undefined;
    /** Both directions of a way, with a fairway that has found its uplinks itself unless one is running. */
    const expectUsable = async (way: Way, fast = true) => {
      fairway ??= await stage.lab.fairway();
      await fairway.knows("server");
      await fairway.knows("asker");
      await expectGood({ lab: stage.lab, fairway }, way, fast);
    };

    it("a device without Ethernet: tun", async () => {
      const { lab } = stage;
      const { client, host, disposers } = lab;
      const pump = join(lab.dir, "tun-pump");
      await run(["cc", "-O2", "-Wall", "-o", pump, agent("tun-pump.c")]);
      await client.spawn([pump, client.path, "tun0", host.path, "tun0"], { disposers }).waitFor(/ready/);
      for (const [at, own, other] of [
        [client, "198.18.5.1", "198.18.5.2"],
        [host, "198.18.5.2", "198.18.5.1"],
      ] as const) {
        await ip(at, "address", "add", own, "peer", other, "dev", "tun0");
        await ip(at, "link", "set", "tun0", "up");
      }
      // Named, since it has no default route.
      fairway = await lab.fairway({ args: ["--uplink", "eth0", "--uplink", "tun0"] });
      await expectUsable({ peer: client, peerAddress: "198.18.5.1", hostAddress: "198.18.5.2" });
      await expectUsable({ peer: client, peerAddress: addresses.client, hostAddress: addresses.host });
      await fairway.stop();
      fairway = undefined;
    });

    it("VXLAN, and the NIC that carries it", async () => {
      const { lab } = stage;
      const { client, host } = lab;
      for (const [at, own, other, tunnel] of [
        [client, addresses.client, addresses.host, "198.18.6.1"],
        [host, addresses.host, addresses.client, "198.18.6.2"],
      ] as const) {
        const kind = ["type", "vxlan", "id", "42", "local", own, "remote", other, "dstport", "4789"];
        await ip(at, "link", "add", "vx0", ...kind);
        await ip(at, "address", "add", `${tunnel}/24`, "dev", "vx0");
        await ip(at, "link", "set", "vx0", "up");
      }
      await expectUsable({ peer: client, peerAddress: "198.18.6.1", hostAddress: "198.18.6.2" });
      await expectUsable({ peer: client, peerAddress: addresses.client, hostAddress: addresses.host });
    });

    it("an uplink that appears, is renamed, gets another address, goes and comes back", async () => {
      const { lab } = stage;
      const { client, host } = lab;
      const way = await cable(lab, "eth5", "198.18.7");
      await expectUsable(way);
      await ip(host, "link", "set", "eth5", "down");
      await ip(host, "link", "set", "eth5", "name", "lan5");
      await ip(host, "link", "set", "lan5", "up");
      await expectUsable(way);
      await ip(host, "address", "del", "198.18.7.2/24", "dev", "lan5");
      await ip(host, "address", "add", "198.18.7.9/24", "dev", "lan5");
      await expectUsable({ ...way, hostAddress: "198.18.7.9" });
      await ip(host, "link", "del", "lan5");
      await until("it is gone", async () => !(await uplinks(lab)).some(({ ifname }) => ifname === "lan5"));
      await expectUsable({ peer: client, peerAddress: addresses.client, hostAddress: addresses.host });
      await expectUsable(await cable(lab, "eth5", "198.18.7"));
    });

    it("the uplink's own address is changed while connections go on", async () => {
      const { lab } = stage;
      const { host, client } = lab;
      await ip(host, "address", "add", "198.18.2.20/24", "dev", "eth0");
      await expectUsable({ peer: client, peerAddress: addresses.client, hostAddress: addresses.host });
      const second = await ask(client, "198.18.2.20");
      expect(second).toEqual({ echoed: true, source: addresses.client });
      await ip(host, "address", "del", "198.18.2.20/24", "dev", "eth0");
      await expectUsable({ peer: client, peerAddress: addresses.client, hostAddress: addresses.host });
    });

    it("a bridge that takes the NIC in and carries the host's address", async () => {
      const { lab } = stage;
      const { host } = lab;
      // As an administrator does it on a running host, in one go.
      await ip(host, "link", "add", "br0", "type", "bridge", "forward_delay", "0");
      await ip(host, "link", "set", "eth0", "master", "br0");
      await ip(host, "address", "flush", "dev", "eth0");
      await ip(host, "address", "add", `${addresses.host}/24`, "dev", "br0");
      await ip(host, "link", "set", "br0", "up");
      await ip(host, "route", "replace", "default", "via", addresses.hostGateway);
      await host.sysctl("net.bridge.bridge-nf-call-iptables", 0);
      for (const way of bothWays(lab)) await expectUsable(way);
    });

    // br_netfilter, which engines before 28 load: the bridge's packets meet the NAT before they come to the bridge's own device,
    // where no flow entry knows them. Right, and slow.
    it("such a bridge whose packets netfilter sees on the bridge already", async () => {
      const { lab } = stage;
      await lab.host.sysctl("net.bridge.bridge-nf-call-iptables", 1);
      for (const way of bothWays(lab)) await expectUsable(way, false);
    });
  },
);

/** By the router, to either side of it. */
const bothWays = ({ client, internet }: Lab): Way[] => [
  { peer: client, peerAddress: addresses.client, hostAddress: addresses.host },
  { peer: internet, peerAddress: addresses.internet, hostAddress: addresses.host },
];
