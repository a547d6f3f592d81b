// Nearly every packet of a bulk transfer is on the fast path, whatever rules the host has and however old the connection is.

import { cp, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import {
  addresses,
  type Background,
  difference,
  type Fairway,
  fastShare,
  type Lab,
  pathCounts,
  sleep,
  until,
} from "./lib/index.js";
import { serveLive, stream } from "./streams.js";
import { onEveryEngine, type Stage } from "./suite.js";

/** The claim is for ten seconds; over less time the first, slow packets weigh more. */
const seconds = Number(process.env.FAIRWAY_LAB_SHARE_SECONDS ?? 3);
const port = 7001;

interface Servers {
  readonly published: Background;
  readonly outside: Background;
}

async function serve({ engine, internet, disposers }: Lab): Promise<Servers> {
  const sender = await engine.run("busybox", { name: "sender", publish: [`${port}:${port}`] });
  await engine.run("busybox", { name: "reader" });
  return {
    published: await serveLive("stream", sender.namespace, port, disposers),
    outside: await serveLive("stream", internet, port, disposers),
  };
}

/** A client downloads by a published port and a container uploads to a server outside, as fast as they can. */
async function transfers(lab: Lab, servers: Servers) {
  const reader = (await lab.engine.container("reader")).namespace;
  const from = { host: addresses.host, port };
  const to = { host: addresses.internet, port };
  return Promise.all([
    stream("download", lab.client, from, 0, servers.published, lab.disposers),
    stream("upload", reader, to, 0, servers.outside, lab.disposers),
  ]);
}

const counts = async (fairway: Fairway) => {
  const metrics = await fairway.metrics();
  return { sender: pathCounts(metrics, "sender"), reader: pathCounts(metrics, "reader") };
};

/** Lets transfers run for a while and asks which path their packets have taken since `before`. */
async function expectFast(
  fairway: Fairway,
  before: Awaited<ReturnType<typeof counts>>,
  running: Awaited<ReturnType<typeof transfers>>,
): Promise<void> {
  await sleep(seconds * 1000);
  const answers = await Promise.all(running.map((one) => one.end()));
  for (const answer of answers) {
    expect(answer).toEqual({ bytes: expect.any(Number), exact: true });
    expect(answer.bytes).toBeGreaterThan(seconds * 10_000_000);
  }
  const after = await counts(fairway);
  for (const name of ["sender", "reader"] as const) {
    const taken = difference(after[name], before[name]);
    const reasons = (await fairway.metrics())
      .find("fairway_slow_path_packets_total", { container: name })
      .map(({ labels, value }) => `${labels.direction} ${labels.reason} ${value}`);
    const said = `${name}: ${JSON.stringify(taken)} ${reasons.join(", ")}`;
    expect(fastShare(taken), said).toBeGreaterThan(0.99);
    // Both ways: data the one, acknowledgements the other.
    expect(taken.receive.fast, said).toBeGreaterThan(100);
    expect(taken.transmit.fast, said).toBeGreaterThan(100);
  }
}

/** Turns ufw on as it comes, on the lab's host alone: its configuration is a copy that only its own processes see. */
async function enableUfw({ dir, host }: Lab): Promise<void> {
  const own = join(dir, "ufw");
  await mkdir(own);
  for (const name of ["ufw", "default/ufw"]) await cp(`/etc/${name}`, join(own, name), { recursive: true });
  await mkdir(join(own, "run"));
  const script = `
    mount --make-rprivate /
    mount --bind ${own}/ufw /etc/ufw
    mount --bind ${own}/default/ufw /etc/default/ufw
    mount --bind ${own}/run /run
    ufw allow 22/tcp
    ufw --force enable
  `;
  await host.exec(["unshare", "--mount", "sh", "-ec", script]);
}

const filtered = (fairway: Fairway, expected: number) =>
  until("the rules were read", async () => {
    const metrics = await fairway.metrics();
    return metrics.sum("fairway_plan_warnings", { code: "connections_filtered" }) === expected;
  });

const rule = ["DOCKER-USER", "-s", "198.19.9.0/24", "-j", "DROP"];

/** Each on top of the one before it. */
const cases: Readonly<Record<string, (lab: Lab, fairway: Fairway) => Promise<unknown>>> = {
  "Docker's own rules": (_, fairway) => filtered(fairway, 0),
  "an unrelated rule in DOCKER-USER": async ({ host }, fairway) => {
    await host.exec(["iptables", "-I", ...rule]);
    await filtered(fairway, 1);
  },
  "ufw on": async (lab, fairway) => {
    await lab.host.exec(["iptables", "-D", ...rule]);
    await filtered(fairway, 0);
    await enableUfw(lab);
    const { stdout } = await lab.host.exec(["iptables", "-S"]);
    expect(stdout).toContain("-A FORWARD -j ufw-before-forward");
    expect(stdout).toContain("-P FORWARD DROP");
    await filtered(fairway, 1);
  },
};

onEveryEngine(
  "the fast path's share of a bulk transfer",
  { images: ["busybox"], fairway: false },
  (stage: Stage) => {
    let servers: Servers;
    let fairway: Fairway;

    it("connections that were opened before fairway started", async () => {
      const { lab } = stage;
      servers = await serve(lab);
      const running = await transfers(lab, servers);
      fairway = await lab.fairway();
      // What went on before it was there is not its own.
      await expectFast(fairway, await counts(fairway), running);
    });

    it.each(Object.keys(cases))("%s", async (name) => {
      const { lab } = stage;
      await cases[name]?.(lab, fairway);
      const before = await counts(fairway);
      await expectFast(fairway, before, await transfers(lab, servers));
    });
  },
);
