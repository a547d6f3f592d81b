// Containers and networks come and go in random order while probes ask all the time: what may be reached is, what must not be never
// is, nobody answers for another, and at the end the datapath is what a fresh one would be, with nothing left over.
//
// FAIRWAY_CHURN_SECONDS, FAIRWAY_CHURN_CONTAINERS, FAIRWAY_CHURN_SEED: another length, another program. FAIRWAY_CHURN_ALONE=1: the
// engine alone, to tell what is its own doing.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeSighting, Facts, type Sighting } from "./churn/facts.js";
import { asTrespass, Probes } from "./churn/probes.js";
import { Churn, type ChurnOptions } from "./churn/program.js";
import { type DatapathState, datapathState } from "./churn/state.js";
import { createWorld, outside, stableNames, type World } from "./churn/world.js";
import { listFlows, listVoidFlows } from "./flow-table.js";
import { createLab, enginesToTest, type Fairway, type Lab, run, until } from "./lib/index.js";

const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const seconds = number("FAIRWAY_CHURN_SECONDS", 12);
const containers = number("FAIRWAY_CHURN_CONTAINERS", 9);
const options: ChurnOptions = {
  seed: number("FAIRWAY_CHURN_SEED", 1),
  seconds,
  containers,
  atOnce: Math.max(8, Math.floor(containers / 5)),
  workers: 2,
};
const alone = process.env.FAIRWAY_CHURN_ALONE === "1";
/** Anything may take this long on a busy machine. */
const patience = 120_000;
/** What the longest silence of a container that stays may be: its datagrams are not sent again. */
const SILENCE_MS = 10_000;
/** By so much the daemon may grow after its warm-up. */
const GROWTH_KB = 40_000;

/** late-answers.mjs */
interface Heard {
  readonly heard: Readonly<Record<string, { first: number; last: number; count: number; gap: number }>>;
  readonly strays: readonly string[];
}

/** What a daemon holds of the system. */
interface Held {
  readonly fds: number;
  readonly residentKb: number;
}

function held(fairway: Fairway): Held {
  const place = `/proc/${fairway.process.pid}`;
  const resident = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(join(place, "status"), "utf8"));
  return { fds: readdirSync(join(place, "fd")).length, residentKb: Number(resident?.[1]) };
}

const median = (all: readonly number[]) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;

/** Programs attached by fairway in this lab, whether pinned or not. */
async function kernelLinks(lab: Lab): Promise<number> {
  const programs = join(lab.bpffs, "fairway", "programs");
  const ids = new Set<number>();
  for (const name of readdirSync(programs)) {
    const { stdout } = await run(["bpftool", "-j", "prog", "show", "pinned", join(programs, name)]);
    ids.add((JSON.parse(stdout) as { id: number }).id);
  }
  const { stdout } = await run(["bpftool", "-j", "link", "show"]);
  return (JSON.parse(stdout) as { prog_id?: number }[]).filter(({ prog_id }) => ids.has(prog_id ?? 0)).length;
}

describe.each(enginesToTest())("churn, engine %s", (kind) => {
  let lab: Lab;
  let world: World;
  let fairway: Fairway | undefined;
  let churn: Churn;
  let quiet: { state: DatapathState; held: Held; links: number; veths: number };
  const facts = new Facts();
  const samples: (Held & { at: number })[] = [];

  const veths = async () => (await lab.host.ip<unknown[]>("link", "show", "type", "veth")).length;
  const onFairway = it.skipIf(alone);
  const running = () => {
    if (fairway === undefined) throw new Error("fairway does not run");
    return fairway;
  };
  const settled = async (what: string, isSo: (state: DatapathState) => boolean | Promise<boolean>) => {
    await until(what, () => isSo(datapathState(lab)), { timeout: 30_000, every: 200 });
    return datapathState(lab);
  };

  beforeAll(async () => {
    lab = await createLab({ kind, ipv6: true });
    await lab.engine.images("busybox");
    world = await createWorld(lab);
    if (alone) return;
    fairway = await lab.fairway();
    for (const name of stableNames) await fairway.knows(name);
    const state = await settled(
      "stable containers are in the datapath",
      ({ endpoints }) => endpoints.length === stableNames.length,
    );
    quiet = { state, held: held(fairway), links: await kernelLinks(lab), veths: await veths() };
  }, 180_000);
  afterAll(() => lab?.dispose(), 120_000);

  it(
    `reaches what may be reached and nothing else, seed ${options.seed}`,
    async () => {
      const probes = new Probes(world, options.seed);
      churn = new Churn(lab, facts, options);
      await probes.start(lab.disposers);
      const sampling = setInterval(() => {
        if (fairway?.process.running) samples.push({ ...held(fairway), at: Date.now() });
      }, 1000);
      // Should the engine refuse something, what was seen until then is told first.
      const failure = await churn.run().catch((error: unknown) => error);
      clearInterval(sampling);
      await probes.stop();
      const late = [...probes.sightings, ...probes.trespasses].filter((one) => !facts.explains(one));
      const told = {
        ...probes.asked,
        sightings: probes.sightings.length,
        trespasses: probes.trespasses.length,
        created: churn.created,
        ...churn.done,
      };
      console.log(`churn, engine ${kind}: ${JSON.stringify(told)}`);
      expect(probes.wrong.slice(0, 10)).toEqual([]);
      expect(late.map(describeSighting).slice(0, 10)).toEqual([]);
      if (failure !== undefined) throw failure;
      expect(churn.created).toBeGreaterThanOrEqual(options.containers);
      // The probes were no idle ones.
      expect(probes.asked.must).toBeGreaterThan(seconds);
      expect(probes.sightings.length).toBeGreaterThan(seconds);
    },
    seconds * 1000 * 3 + patience,
  );

  it("lets containers out as whom they are, and gives answers to no other", async () => {
    const page = `http://127.0.0.1:${outside.http}/`;
    const { heard, strays } = await lab.internet.ask<Heard>("get.mjs", [page]);
    expect(strays).toEqual([]);
    for (const name of stableNames) {
      if (name === "spy-vault") continue;
      const one = heard[name];
      expect(one?.gap, `${name}: ${JSON.stringify(one)}`).toBeLessThan(SILENCE_MS);
    }
    const others = Object.entries(heard).filter(([name]) => /^(c\d+|spy-vault)$/.test(name));
    expect(others.length).toBeGreaterThan(0);
    const seen = others.flatMap(([name, { first, last }]) =>
      [first, last].map(
        (at): Sighting => ({ place: "outside", name, from: at - 2000, to: at, how: "the server outside" }),
      ),
    );
    const unexplained = seen.filter((one) => !facts.explains(one) && !facts.explains(asTrespass(one)));
    expect(unexplained.map(describeSighting)).toEqual([]);
  });

  onFairway(
    "leaves the datapath as one that starts from nothing makes it",
    async () => {
      const { stdout } = await lab.engine.docker(["ps", "-q", "--no-trunc"]);
      const ids = stdout.split("\n").filter(Boolean);
      const inspected = JSON.parse((await lab.engine.docker(["inspect", ...ids])).stdout) as {
        NetworkSettings: {
          Networks: Record<string, { IPAddress: string }>;
          Ports: Record<string, unknown[] | null>;
        };
      }[];
      const expected = inspected
        .flatMap((one) =>
          Object.values(one.NetworkSettings.Networks).map(({ IPAddress }) => JSON.stringify(IPAddress)),
        )
        .sort();
      const addressesOf = (state: DatapathState) =>
        state.endpoint_addresses_ipv4.map((line) => line.split(" -> ")[0]).sort();
      const state = await settled("every running container's addresses are in the map, no others", (now) => {
        return JSON.stringify(addressesOf(now)) === JSON.stringify(expected);
      }).catch(() => datapathState(lab));
      expect(addressesOf(state)).toEqual(expected);
      expect(JSON.stringify(state)).not.toContain("void");
      await running().stop();
      await running().cleanup();
      fairway = await lab.fairway();
      expect(datapathState(lab)).toEqual(state);
    },
    120_000,
  );

  onFairway(
    "leaves nothing over when all are gone",
    async () => {
      await churn.clear();
      const before = JSON.stringify(quiet.state);
      await settled("the datapath is as it was", (state) => JSON.stringify(state) === before).catch(() =>
        expect(datapathState(lab)).toEqual(quiet.state),
      );
      await until("no flow names a container that is gone", () => listVoidFlows(lab).length === 0, {
        timeout: 30_000,
      });
      const foreign = () => listFlows(lab).filter((flow) => / 172\.28\.\d+\.[12]\d\./.test(flow));
      await until("no flow of those who are gone", () => foreign().length === 0);
      // Theirs: opened by them or answered by them. What was sent in vain to an address that nobody has is no one's.
      const theirs = async () => {
        const { stdout } = await lab.host.exec(["conntrack", "-L"], { mayFail: true });
        return stdout
          .split("\n")
          .filter((line) => /src=172\.28\.\d+\.[12]\d .*(src=|$)/.test(line) && !line.includes("UNREPLIED"));
      };
      await until(
        "the kernel has forgotten their connections",
        async () => (await theirs()).length === 0,
      ).catch(async () => expect(await theirs()).toEqual([]));
      expect(await kernelLinks(lab)).toBe(quiet.links);
      expect(await veths()).toBe(quiet.veths);
    },
    patience + 60_000,
  );

  onFairway("the daemon has not grown", () => {
    const quarter = (n: number) => samples.slice((samples.length * n) / 4, (samples.length * (n + 1)) / 4);
    const [second, last] = [quarter(1), quarter(3)];
    const resident = (some: readonly Held[]) => median(some.map(({ residentKb }) => residentKb));
    const fds = Math.max(...samples.map((one) => one.fds));
    const told = { quiet: quiet.held, second: resident(second), last: resident(last), fdsMost: fds };
    console.log(`churn, engine ${kind}, the daemon: ${JSON.stringify(told)}`);
    expect(resident(last), JSON.stringify(told)).toBeLessThan(resident(second) + GROWTH_KB);
  });
});
