// Routes that are not the plain ones: two uplinks, answers that leave by another than the questions came by, rules of policy
// routing, a router in a container. The same answers as with the engine alone, and fast in bulk.

import { afterEach, beforeAll, expect, it } from "vitest";
import { addressOf, type TcpAnswer } from "./answers.js";
import { type Bulk, bulk } from "./bulk.js";
import { addresses, type Lab, type Namespace, run } from "./lib/index.js";
import { joinByVeth } from "./lib/namespace.js";
import { serveLive } from "./streams.js";
import { onEveryEngine } from "./suite.js";

const port = { echo: 7000, stream: 7001 } as const;
const second = { router: "198.18.4.1", host: "198.18.4.2" } as const;

const ip = (at: Namespace, ...args: string[]) => run(["ip", "-n", at.name, ...args]);

/** A second link from the router to the host: eth1 there. */
async function addUplink({ router, host }: Lab): Promise<void> {
  await joinByVeth(router, "second", host, "eth1");
  await ip(router, "address", "add", `${second.router}/24`, "dev", "second");
  await ip(host, "address", "add", `${second.host}/24`, "dev", "eth1");
  for (const at of [router, host])
    for (const device of ["all", "default", at === host ? "eth0" : "lan", at === host ? "eth1" : "second"])
      await at.sysctl(`net.ipv4.conf.${device}.rp_filter`, 0);
}

async function serve({ disposers }: Lab, at: Namespace): Promise<void> {
  await at.agent("serve.mjs", ["--tcp", port.echo], disposers).waitFor(/ready/);
  await serveLive("stream", at, port.stream, disposers);
}

/** Who the server says it was, and that everything came back. */
async function ask(from: Namespace, to: string, number: number = port.echo) {
  const { source, ...rest } = await from.ask<TcpAnswer>("tcp.mjs", [to, number, 50_000, 4000]);
  return { ...rest, source: addressOf(source) };
}

function expectFast({ answer, shares }: Bulk): void {
  expect(answer).toEqual({ bytes: expect.any(Number), exact: true });
  for (const [name, { share, taken }] of Object.entries(shares)) {
    const said = `${name}: ${JSON.stringify(taken)}`;
    expect(taken.receive.fast, said).toBeGreaterThan(50);
    expect(taken.transmit.fast, said).toBeGreaterThan(50);
    expect(share, said).toBeGreaterThan(0.95);
  }
}

onEveryEngine(
  "unusual routes",
  {
    images: ["busybox"],
    oneEngine: true,
    before: async (lab) => {
      await addUplink(lab);
      const publish = [`${port.echo}:${port.echo}`, `${port.stream}:${port.stream}`];
      const server = await lab.engine.run("busybox", { name: "server", publish });
      await lab.engine.run("busybox", { name: "asker" });
      await serve(lab, server.namespace);
      await serve(lab, lab.internet);
    },
  },
  (stage) => {
    const undo: (() => Promise<unknown>)[] = [];
    const asker = async () => (await stage.lab.engine.container("asker")).namespace;
    const published = () => ask(stage.lab.client, addresses.host);
    const masqueraded = async () => ask(await asker(), addresses.internet);
    const download = () =>
      bulk(stage.fairway, {
        from: stage.lab.client,
        to: { host: addresses.host, port: port.stream },
        containers: ["server"],
        disposers: stage.lab.disposers,
      });
    const upload = async () =>
      bulk(stage.fairway, {
        from: await asker(),
        to: { host: addresses.internet, port: port.stream },
        containers: ["asker"],
        direction: "upload",
        disposers: stage.lab.disposers,
      });
    /** Counts what leaves the host by a device. */
    const sent = async (device: string) => {
      const [link] = await stage.lab.host.ip<{ stats64: { tx: { packets: number } } }[]>(
        "-s",
        "link",
        "show",
        device,
      );
      return link?.stats64.tx.packets ?? 0;
    };

    beforeAll(async () => {
      await stage.fairway.knows("server");
      await stage.fairway.knows("asker");
    });
    afterEach(async () => {
      for (const one of undo.splice(0).reverse()) await one();
    });

    /** Sets the host's routing up for one test. */
    const route = async (what: "route" | "rule", ...args: string[]) => {
      await ip(stage.lab.host, what, "add", ...args);
      undo.push(() => ip(stage.lab.host, what, "del", ...args));
    };

    it("answers that leave by the other uplink", async () => {
      await route("route", "198.18.1.0/24", "via", second.router, "dev", "eth1");
      expect(await published()).toEqual({ echoed: true, source: addresses.client });
      const before = await sent("eth1");
      expectFast(await download());
      expect(await sent("eth1")).toBeGreaterThan(before + 500);
    });

    it("connections that change their way while they are open", async () => {
      const { lab } = stage;
      const moved = route("route", "198.18.1.0/24", "via", second.router, "dev", "eth1");
      const before = await sent("eth1");
      const running = download();
      await moved;
      const { answer } = await running;
      expect(answer).toEqual({ bytes: expect.any(Number), exact: true });
      expect(await sent("eth1")).toBeGreaterThan(before + 500);
      expect((await ask(lab.client, addresses.host)).source).toBe(addresses.client);
    });

    it("a routing rule for what containers send", async () => {
      const [network] = await stage.lab.host.ip<{ addr_info: { local: string; family: string }[] }[]>(
        "address",
        "show",
        "docker0",
      );
      const gateway = network?.addr_info.find(({ family }) => family === "inet")?.local;
      const subnet = `${gateway?.replace(/\.\d+\.\d+$/, "")}.0.0/16`;
      await route("route", "default", "via", second.router, "dev", "eth1", "table", "100");
      // The containers' own networks are the main table's still.
      await route("rule", "from", subnet, "lookup", "main", "suppress_prefixlength", "0", "priority", "99");
      await route("rule", "from", subnet, "lookup", "100", "priority", "100");
      expect(await masqueraded()).toEqual({ echoed: true, source: second.host });
      expect(await published()).toEqual({ echoed: true, source: addresses.client });
      const before = await sent("eth1");
      expectFast(await upload());
      expectFast(await download());
      expect(await sent("eth1")).toBeGreaterThan(before + 1000);
    });

    it("a routing rule for a mark", async () => {
      const { host } = stage.lab;
      const mark = [
        "PREROUTING",
        "-i",
        "docker0",
        "-p",
        "tcp",
        "--dport",
        `${port.stream}`,
        "-j",
        "MARK",
        "--set-mark",
        "7",
      ];
      await host.exec(["iptables", "-t", "mangle", "-A", ...mark]);
      undo.push(() => host.exec(["iptables", "-t", "mangle", "-D", ...mark]));
      await route("route", "default", "via", second.router, "dev", "eth1", "table", "100");
      await route("rule", "fwmark", "7", "lookup", "100", "priority", "100");
      expect(await masqueraded()).toEqual({ echoed: true, source: addresses.host });
      const before = await sent("eth1");
      expectFast(await upload());
      expect(await sent("eth1")).toBeGreaterThan(before + 500);
    });

    it("a router in a container", async () => {
      const { lab, fairway } = stage;
      await lab.engine.createNetwork("inner", "--internal");
      const gate = await lab.engine.run("busybox", {
        name: "gate",
        args: ["--sysctl", "net.ipv4.ip_forward=1"],
      });
      await lab.engine.docker(["network", "connect", "inner", "gate"]);
      const far = await lab.engine.run("busybox", { name: "far", network: "inner" });
      const { namespace } = await lab.engine.container("gate");
      const onInner = (await lab.engine.container("gate")).address("inner");
      await namespace.exec(["iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"]);
      await far.namespace.exec(["ip", "route", "replace", "default", "via", onInner]);
      await fairway.knows("gate", "inner");
      await fairway.knows("far", "inner");
      expect(await ask(far.namespace, addresses.internet)).toEqual({ echoed: true, source: addresses.host });
      const { answer, shares } = await bulk(fairway, {
        from: far.namespace,
        to: { host: addresses.internet, port: port.stream },
        containers: ["gate", "far"],
        direction: "upload",
        disposers: lab.disposers,
      });
      expect(answer).toEqual({ bytes: expect.any(Number), exact: true });
      for (const { share } of Object.values(shares))
        expect(share, JSON.stringify(shares)).toBeGreaterThan(0.95);
      await Promise.all([gate.remove(), far.remove()]);
    });
  },
);
