// Docker's own path against fairway's, and the host's own, interleaved. Prints medians and ratios.

import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { buildEngine29 } from "./engine-29.mjs";
import { buildLabLibrary } from "./lib/lab-library.mjs";
import { buildDir } from "./lib/paths.mjs";
import { Failure } from "./lib/run.mjs";
import { elapsed, main } from "./lib/step.mjs";
import { setupBuild, setupRun, setupTest } from "./setup.mjs";

const help = `npm run bench -- [options]

Measures the rates of Docker's own path and of fairway's, on two hosts side by side in network namespaces.

  --host             a third variant: the servers with --network host
  --quick            3 rounds instead of 8
  --rounds N         how often every variant is measured
  --seconds N        of every measurement; default 1
  --only A,B         some workloads: connections, keep-alive, latency, bulk, bulk-out, udp, udp-socket, udp-out
  --engine 20.10|29  default 29
  --own-cores on|off every host handles its packets on its own core (default), or on the sender's
  -o table|json      default table; json has every sample
  --help

npm run bench -- --flows N [--rate N]

Opens N UDP flows to a published port, --rate a second (default 50000), while TCP connections are held idle and busy: are any
lost, and how much memory does it take? With nf_conntrack_max at most N / 4 (with and without fairway), then at 2 * N. The
setting is the whole machine's, and put back at the end.

npm run bench -- --scale [--rounds N] [--seconds N]

What a packet costs with 10,000 published ports and 100,000 live flows, against 10 and 100.

npm run bench -- --reconcile N [--starts N] [--rounds N]

How long the control plane takes with N running containers on an engine 29: from nothing, with nothing to do, and from a container's
start to its port on the fast path (--starts of them, default 50). Making 1,000 containers takes about ten minutes and 8 GB.

npm run bench -- --scrape [--containers N] [--ports N] [--replaced N] [--rounds N]

What a scrape of /metrics takes with N containers (1000) and N published ports each (3), --replaced of them others at each scrape (0):
time, CPU time, the longest time that it holds up the daemon, memory. No engine and no packets; the maps are the kernel's.

npm run bench -- --scrape --live [--containers N] [--ports N] [--open N] [--rounds N]

The same of a daemon with real containers on an engine 29 and --open UDP flows (100000). Making 1,000 containers takes about ten
minutes and 8 GB.

Ctrl-C takes everything down.`;

await main(async () => {
  const asked = options();
  if (asked.help) {
    console.log(help);
    return;
  }
  await setupBuild();
  await setupRun();
  const mapsOnly = asked.scrape && !asked.live;
  if (!mapsOnly) await setupTest();
  if (!mapsOnly && asked.engine === "29") await buildEngine29();
  await build();
  await buildLabLibrary();
  const colour = process.stdout.isTTY === true && !process.env.NO_COLOR;
  const progress = (/** @type {string} */ text) => console.error(`  ${text}`);
  // The compiled lab lies elsewhere than what it was compiled from.
  process.env.FAIRWAY_NATIVE ??= join(buildDir, "Release/fairway_native.node");
  if (asked.scrape && asked.live) {
    const { scrapeLive, liveScrapeText } = await import(join(buildDir, "lab/bench/scrape-live.js"));
    const { containers, ports: portsEach, open: flows, rounds } = asked;
    const result = await scrapeLive({ containers, portsEach, flows, rounds, progress });
    console.log(asked.output === "json" ? JSON.stringify(result, undefined, 2) : liveScrapeText(result));
    console.error(`done in ${elapsed()}`);
    return;
  }
  if (asked.scrape) {
    const { scrape, scrapeTable } = await import(join(buildDir, "lab/bench/scrape.js"));
    const result = await scrape({
      containers: asked.containers,
      portsEach: asked.ports,
      replaced: asked.replaced,
      rounds: asked.rounds,
    });
    console.log(asked.output === "json" ? JSON.stringify(result, undefined, 2) : scrapeTable(result, colour));
    return;
  }
  if (asked.flows) {
    const { manyFlows, flowsTable } = await import(join(buildDir, "lab/bench/flows.js"));
    const runs = await manyFlows({ kind: asked.engine, flows: asked.flows, rate: asked.rate, progress });
    console.log(asked.output === "json" ? JSON.stringify(runs, undefined, 2) : flowsTable(runs, colour));
    console.error(`done in ${elapsed()}`);
    return;
  }
  if (asked.reconcile) {
    const { reconcile, reconcileText } = await import(join(buildDir, "lab/bench/reconcile.js"));
    const { reconcile: containers, starts, rounds } = asked;
    const result = await reconcile({ containers, starts, rounds, progress });
    console.log(asked.output === "json" ? JSON.stringify(result, undefined, 2) : reconcileText(result));
    console.error(`done in ${elapsed()}`);
    return;
  }
  if (asked.scale) {
    const { scale, scaleTable } = await import(join(buildDir, "lab/bench/scale.js"));
    const result = await scale({
      kind: asked.engine,
      rounds: asked.rounds,
      seconds: asked.seconds,
      progress,
    });
    console.log(asked.output === "json" ? JSON.stringify(result, undefined, 2) : scaleTable(result, colour));
    console.error(`done in ${elapsed()}`);
    return;
  }
  const { bench, asTable } = await import(join(buildDir, "lab/bench/bench.js"));
  const variants = ["docker", "fairway", ...(asked.host ? ["host"] : [])];
  const result = await bench({
    kind: asked.engine,
    rounds: asked.rounds,
    seconds: asked.seconds,
    only: asked.only,
    ownCores: asked.ownCores,
    variants,
    progress,
  });
  if (asked.output === "json") console.log(JSON.stringify(result, undefined, 2));
  else {
    console.log(asTable(result.rows, variants, colour));
    console.log(
      [
        `engine ${result.engine}, Linux ${result.kernel}, ${result.cores} cores (${result.cpu}); ${result.rounds} rounds of ${result.seconds} s each, interleaved`,
        `client on core 0, servers on core 1; packets handled on ${result.ownCores ? "the receiver's" : "the sender's"} core; reno everywhere`,
        "ratios within a round: median (quartiles)",
      ].join("\n"),
    );
  }
  console.error(`done in ${elapsed()}`);
});

function options() {
  const text = /** @type {const} */ ({ type: "string" });
  const flag = /** @type {const} */ ({ type: "boolean", default: false });
  try {
    const { values } = parseArgs({
      options: {
        help: { ...flag, short: "h" },
        quick: flag,
        host: flag,
        engine: { ...text, default: "29" },
        rounds: text,
        seconds: { ...text, default: "1" },
        only: text,
        scale: flag,
        scrape: flag,
        live: flag,
        open: { ...text, default: "100000" },
        containers: { ...text, default: "1000" },
        ports: { ...text, default: "3" },
        replaced: { ...text, default: "0" },
        flows: text,
        reconcile: text,
        starts: { ...text, default: "50" },
        rate: { ...text, default: "50000" },
        "own-cores": { ...text, default: "on" },
        output: { ...text, short: "o", default: "table" },
      },
    });
    return {
      help: values.help,
      engine: oneOf("engine", values.engine, ["20.10", "29"]),
      host: values.host,
      only: values.only?.split(","),
      scale: values.scale,
      scrape: values.scrape,
      live: values.live,
      open: number("open", values.open, 1_000_000),
      containers: number("containers", values.containers, 16_384),
      ports: number("ports", values.ports, 60),
      replaced: values.replaced === "0" ? 0 : number("replaced", values.replaced, 1_000),
      flows: values.flows === undefined ? undefined : number("flows", values.flows, 10_000_000),
      reconcile: values.reconcile === undefined ? undefined : number("reconcile", values.reconcile, 10_000),
      starts: number("starts", values.starts, 1_000),
      rate: number("rate", values.rate, 1_000_000),
      ownCores: oneOf("own-cores", values["own-cores"], ["on", "off"]) === "on",
      output: oneOf("output", values.output, ["table", "json"]),
      rounds: number("rounds", values.rounds ?? (values.scrape ? "30" : values.quick ? "3" : "8")),
      seconds: number("seconds", values.seconds),
    };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Failure(message, { remedy: "npm run bench -- --help lists the options" });
  }
}

/** @param {string} name @param {string} value @param {string[]} allowed */
function oneOf(name, value, allowed) {
  if (!allowed.includes(value)) throw new Error(`--${name} ${value}: ${allowed.join(" or ")}`);
  return value;
}

/** @param {string} name @param {string} value @param {number} largest */
function number(name, value, largest = 99) {
  if (!/^[1-9]\d*$/.test(value) || Number(value) > largest)
    throw new Error(`--${name} wants a number from 1 to ${largest}, not ${value}`);
  return Number(value);
}
