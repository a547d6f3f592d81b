// How fast packets of a denied source are dropped: by XDP at an uplink, by tc alone, and by the same rule in iptables' raw table.
//
//   npm run bench:xdp-drop [-- --rounds N] [--seconds N] [--apart] [-o table|json]
//
// A generator of live frames floods one end of a veth; a kernel thread receives at the other. What was dropped is what the
// program's or the rule's own counter says, its cost the CPU time of that thread. Both share a CPU: then a frame's first bytes are
// in the receiver's cache, as a network card puts them there, and what a core can drop is 1 / cost, not the rate, which the
// generator has its part in. --apart gives each a CPU: then every frame is fetched out of the other's cache, which costs
// more than the drop itself, and the generator's rate is the limit of what XDP drops.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import Table from "cli-table3";
import { max, median, min } from "simple-statistics";
import { buildBpf } from "./bpf.mjs";
import { build } from "./build.mjs";
import { bpfObject, buildDir, root } from "./lib/paths.mjs";
import { Failure, run } from "./lib/run.mjs";
import { elapsed, main } from "./lib/step.mjs";
import { setupBuild, setupRun, setupTest } from "./setup.mjs";

const GENERATOR_CPU = "0";
const RECEIVER_CPU = "1";
const BASE = "iptables raw";

/** @typedef {{ median: number, min: number, max: number }} Spread */
/** @typedef {{ round: number, variant: string, dropped: number, cpuNs: number, wallMs: number, sent: number, ms: number }} Sample */

/** @param {number[]} values @returns {Spread} */
const spread = (values) => ({ median: median(values), min: min(values), max: max(values) });

await main(async () => {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "8" },
      seconds: { type: "string", default: "2" },
      apart: { type: "boolean", default: false },
      output: { type: "string", short: "o", default: "table" },
    },
  });
  if (process.getuid?.() !== 0)
    throw new Failure("this makes network namespaces", { remedy: "run it as root" });
  await setupBuild();
  await setupRun();
  await setupTest();
  await build();
  const generator = join(buildDir, "xdp-drop.bpf.o");
  await buildBpf({ from: join(root, "bench", "xdp-drop"), to: generator });
  const samples = await inNamespaces((places) =>
    measure(places, generator, values.rounds, String(Number(values.seconds) * 1000), values.apart),
  );
  const rows = summarise(samples);
  console.log(values.output === "json" ? JSON.stringify({ rows, samples }, undefined, 2) : asTable(rows));
  console.error(`after ${elapsed()}`);
});

/** @typedef {{ from: string, to: string, device: string, peer: { ifindex: number, mac: string } }} Places */

/**
 * @template T
 * @param {(places: Places) => Promise<T>} work
 */
async function inNamespaces(work) {
  const id = `fwx${randomBytes(2).toString("hex")}`;
  const [from, to] = [`${id}-from`, `${id}-to`];
  await run(["ip", "netns", "add", from]);
  await run(["ip", "netns", "add", to]);
  try {
    await run([
      "ip",
      "-n",
      from,
      "link",
      "add",
      `${id}f`,
      "type",
      "veth",
      "peer",
      "name",
      `${id}t`,
      "netns",
      to,
    ]);
    // Without NAPI at the peer a veth takes no frames; without GRO or XDP it has none.
    await run(["ip", "netns", "exec", to, "ethtool", "-K", `${id}t`, "gro", "on"]);
    await run(["ip", "-n", from, "link", "set", `${id}f`, "up"]);
    await run(["ip", "-n", to, "address", "add", "198.19.0.1/24", "dev", `${id}t`]);
    await run(["ip", "-n", to, "link", "set", `${id}t`, "up"]);
    const links = JSON.parse(await run(["ip", "-j", "-n", from, "link", "show", `${id}f`]));
    const peers = JSON.parse(await run(["ip", "-j", "-n", to, "link", "show", `${id}t`]));
    return await work({
      from,
      to,
      device: `${id}t`,
      peer: { ifindex: links[0].ifindex, mac: peers[0].address },
    });
  } finally {
    await run(["ip", "netns", "del", from]);
    await run(["ip", "netns", "del", to]);
  }
}

/**
 * @param {Places} places
 * @param {string} generatorObject
 * @param {string} rounds
 * @param {string} ms
 * @param {boolean} apart
 * @returns {Promise<Sample[]>}
 */
async function measure(places, generatorObject, rounds, ms, apart) {
  const program = (/** @type {string} */ name) => [process.execPath, join(root, "bench", "xdp-drop", name)];
  const enter = (/** @type {string} */ namespace) => ["netns", "exec", namespace, "taskset", "-c"];
  const generator = spawn(
    "ip",
    [
      ...enter(places.from),
      GENERATOR_CPU,
      "chrt",
      "-f",
      "10",
      ...program("generate.mjs"),
      generatorObject,
      `${places.peer.ifindex}`,
      places.peer.mac,
    ],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  try {
    const measuring = spawn(
      "ip",
      [
        ...enter(places.to),
        "0,1",
        ...program("measure.mjs"),
        bpfObject,
        generatorObject,
        places.device,
        rounds,
        ms,
        apart ? RECEIVER_CPU : GENERATOR_CPU,
      ],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    // It says that it is ready, then one line for each flood.
    const answers = createInterface({ input: generator.stdout })[Symbol.asyncIterator]();
    await answers.next();
    /** @type {Sample[]} */
    const samples = [];
    for await (const line of createInterface({ input: measuring.stdout })) {
      const said = JSON.parse(line);
      if ("generate" in said) {
        generator.stdin.write(`${said.generate}\n`);
        measuring.stdin.write(`${(await answers.next()).value}\n`);
        continue;
      }
      const sample = /** @type {Sample} */ (said);
      samples.push(sample);
      const cost = sample.cpuNs / sample.dropped;
      console.error(
        `  round ${sample.round}, ${sample.variant}: ${(sample.dropped / 1e6).toFixed(2)} M, ${cost.toFixed(0)} ns each`,
      );
    }
    const status = measuring.exitCode ?? (await new Promise((resolve) => measuring.once("exit", resolve)));
    if (status !== 0) throw new Failure(`the measurement ended with status ${status}`);
    return samples;
  } finally {
    generator.kill();
  }
}

/**
 * Per variant: packets dropped a second, the CPU time of one, how busy the receiver's CPU was; and ratios within a round.
 * @param {Sample[]} samples
 */
function summarise(samples) {
  const rate = (/** @type {Sample} */ { dropped, ms }) => dropped / ms / 1000;
  const cost = (/** @type {Sample} */ { dropped, cpuNs }) => cpuNs / dropped;
  const base = new Map(samples.filter(({ variant }) => variant === BASE).map((one) => [one.round, one]));
  return [...new Set(samples.map(({ variant }) => variant))].map((variant) => {
    const mine = samples.filter((one) => one.variant === variant);
    const against = (/** @type {(one: Sample) => number} */ figure) =>
      mine.map((one) => {
        const other = base.get(one.round);
        return other ? figure(one) / figure(other) : Number.NaN;
      });
    return {
      variant,
      mpps: spread(mine.map(rate)),
      nsPerPacket: spread(mine.map(cost)),
      busy: spread(mine.map(({ cpuNs, wallMs }) => cpuNs / wallMs / 1e6)),
      rateRatio: spread(against(rate)),
      // Per second of CPU time: what one core could drop if it were always busy.
      coreRatio: spread(against((one) => 1 / cost(one))),
    };
  });
}

/** @param {ReturnType<typeof summarise>} rows */
function asTable(rows) {
  const shown = (/** @type {Spread} */ { median, min, max }, /** @type {number} */ digits) =>
    `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
  const table = new Table({
    head: ["dropped by", "Mpps", "ns of CPU each", "receiver busy", `rate / ${BASE}`, `per core / ${BASE}`],
    ...(process.stdout.isTTY ? {} : { style: { head: [], border: [] } }),
  });
  for (const row of rows)
    table.push([
      row.variant,
      shown(row.mpps, 2),
      shown(row.nsPerPacket, 0),
      `${(row.busy.median * 100).toFixed(0)} %`,
      shown(row.rateRatio, 2),
      shown(row.coreRatio, 2),
    ]);
  return table.toString();
}
