// Who may reach published ports, and the host: by labels and by the configuration, whichever way the packets take.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  addresses,
  type Container,
  createLab,
  enginesToTest,
  type Fairway,
  fairwayCleanup,
  type Lab,
  type Namespace,
  run,
  sleep,
  until,
} from "./lib/index.js";

/** many.mjs */
interface Answered {
  readonly answered: number;
  readonly seen: readonly string[];
}

const ipv6 = { host: "2001:db8:2::2", neighbour: "2001:db8:2::3", other: "2001:db8:2::4" } as const;
const port = 7000;
/** Long enough for what is answered, and for one more SYN of what isn't. */
const waitMs = 2000;

const ask = (from: Namespace, proto: "tcp" | "udp", host: string, count: number, to = port, local = "") =>
  from.ask<Answered>("many.mjs", [proto, host, to, count, waitMs, local]);

/** Whether one connection or one datagram is answered. */
const answers = async (
  from: Namespace,
  proto: "tcp" | "udp",
  host: string = addresses.host,
  to = port,
  local = "",
) => (await ask(from, proto, host, 1, to, local)).answered === 1;

/** Who is answered and who isn't, all asked at once: by both protocols. */
async function expectAnswers(expected: readonly (readonly [Namespace, boolean])[], why = ""): Promise<void> {
  const asked = expected.flatMap(([from, answered]) =>
    (["tcp", "udp"] as const).map((proto) => ({ from, proto, answered })),
  );
  const got = await Promise.all(
    asked.map(async ({ from, proto }) => ({ from, proto, answered: await answers(from, proto) })),
  );
  const told = (list: typeof asked) => list.map((a) => `${a.from.name} ${a.proto} ${why}: ${a.answered}`);
  expect(told(got)).toEqual(told(asked));
}

/** IPv6 to the host's address, TCP, from two addresses of the neighbour's. */
async function expectIpv6(lab: Lab, expected: { neighbour: boolean; other: boolean }): Promise<void> {
  const ask = (from: string) => answers(lab.neighbour, "tcp", ipv6.host, port, from);
  const [neighbour, other] = await Promise.all([ask(ipv6.neighbour), ask(ipv6.other)]);
  expect({ neighbour, other }).toEqual(expected);
}

interface LinkWithXdp {
  xdp?: { mode: number; prog: { id: number } };
}

/** The id of the XDP program at the uplink; undefined: there is none. 1 is the driver's mode. */
async function xdp(lab: Lab): Promise<number | undefined> {
  const [link] = await lab.host.ip<LinkWithXdp[]>("link", "show", "eth0");
  if (link?.xdp !== undefined) expect(link.xdp.mode).toBe(1);
  return link?.xdp?.prog.id;
}

const dropped = async (fairway: Fairway, reason: string, container: string) =>
  (await fairway.metrics()).sum("fairway_endpoint_dropped_packets_total", { reason, container });

const verdicts = "fairway_uplink_xdp_packets_total";

/** What the router itself has counted of what it sends to the host, by netfilter at its end of the cable. */
class SentByRouter {
  private constructor(private readonly router: Namespace) {}

  static async start({ router }: Lab): Promise<SentByRouter> {
    const input = `table netdev sent {
  counter sent {}
  counter denied {}
  chain egress {
    type filter hook egress device host priority 0
    counter name sent
    ip saddr ${addresses.client} counter name denied
  }
}
`;
    await router.exec(["nft", "-f", "-"], { input });
    return new SentByRouter(router);
  }

  async #read(): Promise<{ sent: number; denied: number }> {
    const { stdout } = await this.router.exec(["nft", "-j", "list", "counters"]);
    const listed = (JSON.parse(stdout) as { nftables: { counter?: { name: string; packets: number } }[] })
      .nftables;
    const of = (name: string) => listed.find(({ counter }) => counter?.name === name)?.counter?.packets;
    return { sent: of("sent") ?? Number.NaN, denied: of("denied") ?? Number.NaN };
  }

  /** With what fairway has counted at eth0, at a moment when nothing is on its way. */
  async settled(fairway: Fairway): Promise<{ sent: number; denied: number; pass: number; drop: number }> {
    for (;;) {
      const before = await this.#read();
      await sleep(300);
      const metrics = await fairway.metrics();
      const after = await this.#read();
      if (before.sent !== after.sent) continue;
      const of = (verdict: string) => metrics.sum(verdicts, { device: "eth0", verdict });
      return { ...after, pass: of("pass"), drop: of("drop") };
    }
  }
}

const publish = [`${port}:${port}`, `${port}:${port}/udp`];

/** A container that answers at a published TCP and UDP port, with labels. */
async function guarded(
  lab: Lab,
  fairway: Fairway,
  labels: Readonly<Record<string, string>>,
  name = "guarded",
): Promise<Container> {
  const container = await lab.engine.run("busybox", {
    name,
    publish,
    args: Object.entries(labels).flatMap(([key, value]) => ["--label", `${key}=${value}`]),
  });
  const server = container.namespace.agent("serve.mjs", ["--tcp", port, "--udp", port], lab.disposers);
  await server.waitFor(/ready/);
  await fairway.knows(name);
  return container;
}

describe.each(enginesToTest())("access lists, engine %s", (kind) => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await createLab({ kind });
    // The neighbour's second address, to be denied where its first is allowed.
    await run(["ip", "-n", lab.neighbour.name, "address", "add", `${ipv6.other}/64`, "dev", "eth0", "nodad"]);
    await lab.engine.images("busybox");
    const own = lab.host.agent("serve.mjs", ["--tcp", 7500], lab.disposers);
    await own.waitFor(/ready/);
  }, 180_000);
  afterAll(() => lab?.dispose(), 60_000);

  /** Runs some tests under a daemon of their own. */
  const withFairway = async (args: string[], tests: (fairway: Fairway) => Promise<void>) => {
    const fairway = await lab.fairway({ args });
    try {
      await tests(fairway);
    } finally {
      await lab.engine.docker(["rm", "-f", "guarded"], { mayFail: true });
      await fairway.stop();
      await fairway.cleanup();
    }
    expect(await xdp(lab)).toBeUndefined();
  };

  /** Everything that a user's rule concerns is decided by the kernel: the slow path. */
  const foreignRule = (action: "-I" | "-D") =>
    lab.host.exec(["iptables", action, "DOCKER-USER", "-s", "203.0.113.9", "-j", "DROP"]);

  describe.each(["auto", "off"] as const)("with XDP %s", (mode) => {
    it(
      "an allow list lets its sources in and nobody else, on the fast path, on the slow path and through docker-proxy",
      () =>
        withFairway(["--xdp", mode], async (fairway) => {
          expect(await xdp(lab)).toBeUndefined();
          await guarded(lab, fairway, { "fairway.allow": `${addresses.neighbour},${ipv6.neighbour}` });
          if (mode === "auto") await until("XDP is attached", async () => (await xdp(lab)) !== undefined);
          else expect(await xdp(lab)).toBeUndefined();

          const taken = await fairway.pathTaken("guarded", async () => {
            for (const proto of ["tcp", "udp"] as const)
              expect(await ask(lab.neighbour, proto, addresses.host, 5)).toEqual({
                answered: 5,
                seen: [addresses.neighbour],
              });
          });
          expect(taken.receive.fast).toBeGreaterThan(5);
          await expectAnswers([[lab.client, false]], "fast");
          // By IPv6 to a container that has IPv4 only: docker-proxy.
          await expectIpv6(lab, { neighbour: true, other: false });

          await foreignRule("-I");
          await sleep(1500);
          const judged = [
            [lab.neighbour, true],
            [lab.client, false],
          ] as const;
          await expectAnswers(judged, "slow");
          await foreignRule("-D");
          expect(await dropped(fairway, "port_denied", "guarded")).toBeGreaterThanOrEqual(4);
          // The host's own service is nobody's published port.
          expect(await answers(lab.client, "tcp", addresses.host, 7500)).toBe(true);
          if (mode === "auto") {
            await lab.engine.docker(["rm", "-f", "guarded"]);
            await until("XDP is detached", async () => (await xdp(lab)) === undefined);
          }
        }),
      120_000,
    );

    it(
      "a deny list refuses its sources, but for the exceptions of the allow list",
      () =>
        withFairway(["--xdp", mode], async (fairway) => {
          await guarded(lab, fairway, {
            "fairway.deny": "198.18.0.0/15, 2001:db8:2::/64",
            "fairway.allow": `${addresses.client}, 2001:db8:2::4, 0.0.0.0/0, ::/0`,
          });
          const judged = [
            [lab.client, true],
            [lab.neighbour, false],
          ] as const;
          await expectAnswers(judged);
          await expectIpv6(lab, { neighbour: false, other: true });
        }),
      60_000,
    );

    it(
      "a limit lets the burst of each source through and no more, and leaves what is established alone",
      () =>
        withFairway(["--xdp", mode], async (fairway) => {
          await guarded(lab, fairway, { "fairway.limit": "6/m,burst=6" });
          const sources = [
            ["client", addresses.client],
            ["neighbour", addresses.neighbour],
          ] as const;
          const asked = sources.flatMap(([from, address]) =>
            (["tcp", "udp"] as const).map(async (proto) =>
              expect(await ask(lab[from], proto, addresses.host, 30), `${from}, ${proto}`).toEqual({
                answered: 6,
                seen: [address],
              }),
            ),
          );
          await Promise.all(asked);
          expect(await dropped(fairway, "limited", "guarded")).toBeGreaterThanOrEqual(4 * 24);
          // One connection, many packets: the bucket earns one token in 10 s.
          await sleep(11_000);
          expect(await lab.client.ask("tcp.mjs", [addresses.host, port, 300_000, 5000])).toMatchObject({
            echoed: true,
          });
          expect(await answers(lab.client, "tcp", addresses.host, 7500)).toBe(true);
        }),
      90_000,
    );

    it(
      "the host's own list holds for its services and for published ports, and IPv6 goes on working",
      () =>
        withFairway(
          ["--xdp", mode, "--deny", "0.0.0.0/0,::/0", "--allow", `198.18.2.0/24,${ipv6.neighbour}`],
          async (fairway) => {
            await guarded(lab, fairway, {});
            const judged = [
              [lab.neighbour, true],
              [lab.client, false],
            ] as const;
            await expectAnswers(judged);
            expect(await answers(lab.neighbour, "tcp", addresses.host, 7500)).toBe(true);
            expect(await answers(lab.client, "tcp", addresses.host, 7500)).toBe(false);
            // Neighbours are discovered anew from addresses that are denied.
            for (const host of [lab.host, lab.neighbour])
              await host.exec(["ip", "-6", "neigh", "flush", "dev", "eth0"]);
            await expectIpv6(lab, { neighbour: true, other: false });
            expect(await dropped(fairway, "source_denied", "")).toBeGreaterThan(3);
          },
        ),
      60_000,
    );
  });

  it("counts every packet of an uplink by what XDP did with it, as the peer has counted what it sent", async () => {
    await lab.host.exec(["ip", "link", "add", "spare", "type", "veth", "peer", "name", "spare1"]);
    await lab.host.exec(["ip", "link", "set", "spare", "up"]);
    const uplinks = ["--uplink", "eth0", "--uplink", "spare"];
    await withFairway(["--xdp", "on", "--deny", `${addresses.client}/32`, ...uplinks], async (fairway) => {
      await guarded(lab, fairway, {});
      const sent = await SentByRouter.start(lab);
      const known = async () =>
        new Set((await fairway.metrics()).find(verdicts).map(({ labels }) => labels.device));
      await until("XDP is at both", async () => (await known()).size === 2);

      const before = await sent.settled(fairway);
      // Some at a time: the device has room for 256, and what finds none there never comes to XDP.
      expect(await lab.neighbour.ask("echoes.mjs", [addresses.host, port, 300, 100])).toEqual({
        sent: 300,
        received: 300,
      });
      expect((await ask(lab.neighbour, "tcp", addresses.host, 50)).answered).toBe(50);
      for (const proto of ["udp", "tcp"] as const)
        expect((await ask(lab.client, proto, addresses.host, 100)).answered).toBe(0);
      const after = await sent.settled(fairway);
      const counted = { pass: after.pass - before.pass, drop: after.drop - before.drop };
      const denied = after.denied - before.denied;
      expect(counted).toEqual({ pass: after.sent - before.sent - denied, drop: denied });
      expect(counted.drop).toBeGreaterThanOrEqual(200);
      expect(counted.pass).toBeGreaterThanOrEqual(300 + 50 * 4);

      await lab.host.exec(["ip", "link", "del", "spare"]);
      expect(await known()).toEqual(new Set(["eth0"]));
      // They are the datapath's, not the daemon's.
      await fairway.stop();
      const next = await lab.fairway({ args: ["--xdp", "on"] });
      const later = await sent.settled(next);
      expect(later.pass - before.pass + later.drop - before.drop).toBe(later.sent - before.sent);
      await next.stop();
    });
  }, 120_000);

  it("survives the daemon, and a list that has changed holds for connections that are open", async () => {
    const first = await lab.fairway({ args: ["--xdp", "on"] });
    await guarded(lab, first, {});
    const before = await xdp(lab);
    expect(before).toBeDefined();
    const talk = lab.client.agent("steady.mjs", [addresses.host, port], lab.disposers);
    await talk.waitFor(/\.{10}/);
    expect(await first.stop("SIGKILL")).not.toBe(0);
    expect(await xdp(lab)).toBe(before);
    expect(await answers(lab.client, "tcp")).toBe(true);

    const second = await lab.fairway({ args: ["--xdp", "off", "--deny", `${addresses.client}/32`] });
    await until("XDP is detached", async () => (await xdp(lab)) === undefined);
    expect((await second.metrics()).find(verdicts)).toEqual([]);
    await until("the open connection's packets are dropped", async () => {
      const before = talk.stdout.length;
      await sleep(500);
      return talk.stdout.length === before;
    });
    expect(await dropped(second, "source_denied", "")).toBeGreaterThan(0);
    await second.stop();

    const third = await lab.fairway({ args: ["--xdp", "on"] });
    expect(await xdp(lab)).toBeDefined();
    expect(await answers(lab.client, "tcp")).toBe(true);
    // The connection is open still: TCP says again what was lost.
    const silent = talk.stdout.length;
    await until("it goes on", () => talk.stdout.length > silent + 20, { timeout: 30_000 });
    await talk.stop();
    await third.stop();
    await lab.engine.docker(["rm", "-f", "guarded"]);
    const { stdout } = await fairwayCleanup({ ...lab });
    expect(stdout).toContain("uplink_xdp");
    expect(await xdp(lab)).toBeUndefined();
  }, 90_000);

  it(
    "a slip in a label never lets anyone in, and is told with the container's name",
    () =>
      withFairway([], async (fairway) => {
        await guarded(lab, fairway, {
          "fairway.allow": `${addresses.client},198.18.2.1/24`,
          "fairway.limit": "many",
        });
        await expectAnswers([[lab.client, false]]);
        expect(fairway.log).toMatch(
          /container guarded: label fairway\.allow: .*198\.18\.2\.0\/24.*nobody is allowed/,
        );
        expect(fairway.log).toMatch(/container guarded: label fairway\.limit: .*nothing is limited/);
        await lab.engine.docker(["rm", "-f", "guarded"]);
        await until("the ports' policy is gone", async () => (await xdp(lab)) === undefined);
        await guarded(lab, fairway, {
          "fairway.deny": `nonsense,${addresses.client}`,
          "fairway.alow": "::/0",
        });
        expect(await answers(lab.client, "tcp")).toBe(false);
        expect(await answers(lab.neighbour, "tcp")).toBe(true);
        expect(fairway.log).toMatch(/label fairway\.deny: .*nonsense.*the other entries hold/);
        expect(fairway.log).toMatch(/fairway\.alow.* did you mean fairway\.allow/);
      }),
    60_000,
  );
});
