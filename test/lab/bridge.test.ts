// Containers on one network: on the fast path, as neighbours on one wire. On different networks: as with the engine alone.

import { expect, it } from "vitest";
import { addressOf, type LoadAnswer, type TcpAnswer, type UdpAnswer } from "./answers.js";
import { Capture, type Container, fastShare, type Lab } from "./lib/index.js";
import { onEveryEngine, type Stage } from "./suite.js";

const pair = async (
  { lab, fairway }: Stage,
  network: string,
  names: [string, string],
): Promise<[Container, Container]> => {
  const [a, b] = await Promise.all([
    lab.engine.run("busybox", { name: names[0], network }),
    lab.engine.run("busybox", { name: names[1], network }),
  ]);
  for (const name of names) await fairway.knows(name, network);
  const server = b.namespace.agent("serve.mjs", ["--http", 80, "--tcp", 7000, "--udp", 7000], lab.disposers);
  await server.waitFor(/ready/);
  return [a, b];
};

const bridgeRules = "net.bridge.bridge-nf-call-iptables";

/** As on most hosts with an engine: the host's IP rules see what is bridged. So far they are the engine's alone. */
const before = async ({ host }: Lab) => void (await host.sysctl(bridgeRules, 1));

onEveryEngine("one network", { images: ["busybox"], before }, (stage) => {
  it.each(["bridge", "team"])(
    "carries TCP and UDP between containers of %s, TTL and addresses unchanged",
    async (network) => {
      const { lab, fairway } = stage;
      if (network !== "bridge") await lab.engine.createNetwork(network);
      const names: [string, string] = [`${network}-a`, `${network}-b`];
      const [a, b] = await pair(stage, network, names);
      const address = b.address(network);
      const capture = await Capture.start(b.namespace, {
        device: "eth0",
        filter: "ip and (tcp or udp)",
        disposers: lab.disposers,
      });
      const traffic = async () => {
        const load = await a.namespace.ask<LoadAnswer>("http-load.mjs", [
          `http://${address}/page`,
          500,
          "fresh",
          4,
        ]);
        expect(load).toMatchObject({ ok: 500, failed: 0 });
        const tcp = await a.namespace.ask<TcpAnswer>("tcp.mjs", [address, 7000, 5_000_000, 20_000]);
        expect(tcp).toMatchObject({ echoed: true });
        expect(addressOf(tcp.source)).toBe(a.address(network));
        const udp = await a.namespace.ask<UdpAnswer>("udp.mjs", [address, 7000, 200, 1, 100]);
        expect(udp).toMatchObject({ received: 200 });
      };
      const sender = await fairway.pathTaken(names[0], () => fairwayBoth(traffic), network);
      async function fairwayBoth(work: () => Promise<void>) {
        const receiver = await fairway.pathTaken(names[1], work, network);
        expect(fastShare(receiver), JSON.stringify(receiver)).toBeGreaterThan(0.99);
        expect(receiver.receive.fast).toBeGreaterThan(1000);
      }
      expect(fastShare(sender), JSON.stringify(sender)).toBeGreaterThan(0.99);
      const packets = await capture.stop();
      expect(packets.length).toBeGreaterThan(1000);
      expect(packets.filter((packet) => !/ttl 64\b/.test(packet))).toEqual([]);
      await Promise.all([a.remove(), b.remove()]);
    },
    60_000,
  );

  it("finds a neighbour by name, and by ping", async () => {
    const { lab } = stage;
    await lab.engine.createNetwork("named");
    const [a, b] = await pair(stage, "named", ["named-a", "named-b"]);
    const { stdout } = await a.exec(["ping", "-c", "3", "-i", "0.2", "named-b"]);
    expect(stdout).toContain(`64 bytes from ${b.address("named")}`);
    expect(stdout).toContain("3 packets received");
    await Promise.all([a.remove(), b.remove()]);
  });

  it("follows a container that joins and leaves a network while it runs", async () => {
    const { lab, fairway } = stage;
    await lab.engine.createNetwork("home");
    await lab.engine.createNetwork("visit");
    const [, host] = await pair(stage, "visit", ["visit-a", "visit-b"]);
    const guest = await lab.engine.run("busybox", { name: "guest", network: "home" });
    const reach = () => guest.namespace.ask<TcpAnswer>("tcp.mjs", [host.address("visit"), 7000, 100, 1500]);
    expect(await reach()).toEqual({ error: "TIMEOUT" });
    await lab.engine.docker(["network", "connect", "visit", "guest"]);
    await fairway.knows("guest", "visit");
    expect(await reach()).toMatchObject({ echoed: true });
    const taken = await fairway.pathTaken("guest", reach, "visit");
    expect(taken.transmit.fast, JSON.stringify(taken)).toBeGreaterThan(0);
    await lab.engine.docker(["network", "disconnect", "visit", "guest"]);
    expect(await reach()).toEqual({ error: "TIMEOUT" });
    await lab.engine.remove("guest", "visit-a", "visit-b");
  }, 60_000);

  it("keeps networks apart, and a network without inter-container connectivity, as the engine alone does", async () => {
    const { lab } = stage;
    await lab.engine.createNetwork("one");
    await lab.engine.createNetwork("two");
    await lab.engine.createNetwork("mute", "-o", "com.docker.network.bridge.enable_icc=false");
    const [[oneA, oneB], [twoA], [muteA, muteB]] = await Promise.all([
      pair(stage, "one", ["one-a", "one-b"]),
      pair(stage, "two", ["two-a", "two-b"]),
      pair(stage, "mute", ["mute-a", "mute-b"]),
    ]);
    const reach = (from: Container, to: Container) =>
      from.namespace.ask<TcpAnswer>("tcp.mjs", [to.address(), 7000, 100, 1500]);
    expect(await reach(oneA, oneB)).toMatchObject({ echoed: true });
    expect(await reach(twoA, oneB)).toEqual({ error: "TIMEOUT" });
    expect(await reach(muteA, muteB)).toEqual({ error: "TIMEOUT" });
    const udp = await muteA.namespace.ask<UdpAnswer>("udp.mjs", [muteB.address(), 7000, 5, 1, 100]);
    expect(udp.received).toBe(0);
    await lab.engine.remove("one-a", "one-b", "two-a", "two-b", "mute-a", "mute-b");
  }, 60_000);

  it("leaves what is bridged to the kernel where a rule of the user's may concern it", async () => {
    const { lab, fairway } = stage;
    const rule = ["DOCKER-USER", "-p", "tcp", "--dport", "80", "-j", "DROP"];
    await lab.host.exec(["iptables", "-I", ...rule]);
    // Rules are looked at when there is a new bridge.
    await lab.engine.createNetwork("filtered");
    const [a, b] = await pair(stage, "filtered", ["filtered-a", "filtered-b"]);
    const port = (number: number) => a.namespace.ask<TcpAnswer>("tcp.mjs", [b.address(), number, 100, 1500]);
    const taken = await fairway.pathTaken("filtered-a", async () => {
      expect(await port(7000)).toMatchObject({ echoed: true });
      expect(await port(80)).toEqual({ error: "TIMEOUT" });
    });
    expect(taken.transmit.slow).toBeGreaterThan(5);
    expect(taken.transmit.fast, JSON.stringify(taken)).toBe(0);
    await lab.host.exec(["iptables", "-D", ...rule]);
    await lab.engine.remove("filtered-a", "filtered-b");
  });
});
