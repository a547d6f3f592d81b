// Hosts that ufw or firewalld closes: everybody reaches what they reach with the engine alone, whatever the two are told and
// however often they load their rules anew; and what may be fast is.

import { appendFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { firewalld, type Tool, ufw } from "./hardened-hosts.js";
import { countedSockets, type DialAnswer } from "./host-sockets.js";
import { addresses, type Fairway, fastShare, type Lab, type Namespace, until } from "./lib/index.js";
import { serveLive, stream } from "./streams.js";
import { onEveryEngine } from "./suite.js";

const port = { echo: 7000, stream: 7001, ssh: 22, closed: 9999 } as const;
/** A container that serves by published ports, one that asks, and servers of the host's own. */
async function people(lab: Lab): Promise<void> {
  const publish = [
    `${port.echo}:${port.echo}`,
    `${port.echo}:${port.echo}/udp`,
    `${port.stream}:${port.stream}`,
  ];
  const { namespace } = await lab.engine.run("busybox", { name: "echo", publish });
  await lab.engine.run("busybox", { name: "asker" });
  const serve = (at: Namespace, ...args: (string | number)[]) =>
    at.agent("serve.mjs", args, lab.disposers).waitFor(/ready/);
  await serve(namespace, "--tcp", port.echo, "--udp", port.echo);
  await serve(lab.internet, "--tcp", port.echo, "--udp", port.echo);
  await serve(lab.host, "--tcp", port.ssh, "--tcp", port.closed);
  await serveLive("stream", namespace, port.stream, lab.disposers);
}

/** Who is answered: as whom the server saw them, or how it failed. */
type Answers = Readonly<Record<string, string>>;

async function answers(lab: Lab): Promise<Answers> {
  const asker = (await lab.engine.container("asker")).namespace;
  const published = [`tcp,${addresses.host},${port.echo}`, `udp,${addresses.host},${port.echo}`];
  const outside = [`tcp,${addresses.internet},${port.echo}`, `udp,${addresses.internet},${port.echo}`];
  const loopback = [`tcp,127.0.0.1,${port.echo}`, `udp,127.0.0.1,${port.echo}`];
  const own = [`tcp,${addresses.host},${port.ssh}`, `tcp,${addresses.host},${port.closed}`];
  const ways: [string, Namespace, string[]][] = [
    ["client", lab.client, [...published, ...own]],
    ["neighbour", lab.neighbour, published],
    ["host", lab.host, [...published, ...loopback]],
    ["container", asker, [...published, ...outside]],
  ];
  const asked = ways.map(async ([who, from, dials]) => {
    const got = await from.ask<DialAnswer[]>("dial.mjs", dials);
    return dials.map((dial, index) => [`${who} to ${dial}`, got[index]?.source ?? got[index]?.error ?? ""]);
  });
  return Object.fromEntries((await Promise.all(asked)).flat());
}

const isSame = (a: Answers, b: Answers) => JSON.stringify(a) === JSON.stringify(b);

/** The same twice in a row: a machine that stalls may not answer in time. */
async function settledAnswers(lab: Lab): Promise<Answers> {
  let before: Answers = {};
  return until("the answers stay the same", async () => {
    const now = await answers(lab);
    if (isSame(now, before)) return now;
    before = now;
    return undefined;
  });
}

/** The same answers; soon, when rules have just changed. */
async function expectSame(lab: Lab, expected: Answers | undefined): Promise<void> {
  let last: Answers = {};
  const same = async () => {
    last = await answers(lab);
    return expected !== undefined && isSame(last, expected);
  };
  await until("the answers are the engine's", same).catch(() => expect(last).toEqual(expected));
}

/** What the neighbour downloads is fast once it is established. */
async function expectLearned(lab: Lab, fairway: Fairway): Promise<void> {
  const ask = [addresses.host, port.echo, 20_000_000, 20_000];
  const taken = await fairway.pathTaken("echo", async () =>
    expect(await lab.neighbour.ask("tcp.mjs", ask)).toMatchObject({ echoed: true }),
  );
  expect(fastShare(taken), JSON.stringify(taken)).toBeGreaterThan(0.9);
}

/** What the firewall is told in a test, by whatever words. */
interface Hardened {
  /** The client is to reach no container; at once, and to last. */
  deny(): Promise<unknown>;
  allow(): Promise<unknown>;
  reload(): Promise<unknown>;
}

function sameAsAlone(stage: { readonly lab: Lab }, firewall: () => Hardened): void {
  const alone = new Map<"open" | "denied", Answers>();

  it("is recorded with the engine alone", async () => {
    const { lab } = stage;
    const { deny, allow, reload } = firewall();
    alone.set("open", await settledAnswers(lab));
    await deny();
    alone.set("denied", await settledAnswers(lab));
    await reload();
    await expectSame(lab, alone.get("denied"));
    await allow();
    const open = alone.get("open");
    const published = [
      `client to tcp,${addresses.host},${port.echo}`,
      `client to udp,${addresses.host},${port.echo}`,
    ];
    const own = (at: number) => open?.[`client to tcp,${addresses.host},${at}`];
    expect([own(port.ssh), own(port.closed)]).toEqual([addresses.client, expect.not.stringContaining(".")]);
    for (const one of published) expect(open?.[one]).toBe(addresses.client);
    const refused = Object.fromEntries(published.map((one) => [one, "TIMEOUT"]));
    expect(alone.get("denied")).toEqual({ ...open, ...refused });
  }, 180_000);

  it("is the same with fairway, the host's processes led straight to the container, others' connections learned", async () => {
    const { lab } = stage;
    const { deny, allow, reload } = firewall();
    const fairway = await lab.fairway();
    await fairway.knows("echo");
    const led = async () => (await countedSockets(fairway)).get("fast") ?? 0;
    const before = await led();
    await expectSame(lab, alone.get("open"));
    expect(await led()).toBeGreaterThanOrEqual(before + 4);
    await expectLearned(lab, fairway);
    expect(fairway.log).toMatch(/go fast once established: a rule of yours may concern them/);
    await deny();
    await expectSame(lab, alone.get("denied"));
    await expectLearned(lab, fairway);
    const to = { host: addresses.host, port: port.stream };
    const live = await stream("download", lab.neighbour, to, 4_000_000, undefined, lab.disposers);
    await reload();
    await expectSame(lab, alone.get("denied"));
    await live.moves(60_000);
    expect(await live.end()).toEqual({ bytes: expect.any(Number), exact: true });
    await expectLearned(lab, fairway);
    await allow();
    await expectSame(lab, alone.get("open"));
    expect(await led()).toBeGreaterThanOrEqual(before + 8);
  }, 180_000);
}

const options = { images: ["busybox"], oneEngine: true, fairway: false } as const;
let told: Hardened | undefined;
const firewall = (): Hardened => {
  if (told === undefined) throw new Error("the firewall is not there yet");
  return told;
};

onEveryEngine(
  "a host with ufw",
  {
    ...options,
    before: async (lab) => {
      const { ufw: tool, afterRules } = await ufw(lab);
      await people(lab);
      // As its users have it: by itself published ports go past what ufw routes.
      await appendFile(
        afterRules,
        "*filter\n:ufw-user-forward - [0:0]\n:DOCKER-USER - [0:0]\n-A DOCKER-USER -j ufw-user-forward\nCOMMIT\n",
      );
      await tool("allow", "ssh");
      await tool("--force", "enable");
      const deny = ["deny", "from", addresses.client];
      told = {
        deny: () => tool("route", ...deny),
        allow: () => tool("route", "delete", ...deny),
        reload: () => tool("reload"),
      };
    },
  },
  (stage) => sameAsAlone(stage, firewall),
);

onEveryEngine(
  "a host with firewalld",
  {
    ...options,
    before: async (lab) => {
      const { firewallCmd, bus } = await firewalld(lab);
      await lab.engine.stopDockerd();
      await lab.engine.startDockerd(bus);
      await people(lab);
      expect((await firewallCmd("--get-zones")).stdout).toContain("docker");
      // Or it could not write the rule again before the engine has made the chain again.
      await firewallCmd("--permanent", "--direct", "--add-chain", "ipv4", "filter", "DOCKER-USER");
      const rule = ["ipv4", "filter", "DOCKER-USER", "0", "-s", addresses.client, "-j", "DROP"];
      const both = (tell: Tool, what: string) =>
        Promise.all([tell("--direct", what, ...rule), tell("--permanent", "--direct", what, ...rule)]);
      told = {
        deny: () => both(firewallCmd, "--add-rule"),
        allow: () => both(firewallCmd, "--remove-rule"),
        reload: () => firewallCmd("--reload"),
      };
    },
  },
  (stage) => sameAsAlone(stage, firewall),
);
