// Drops the generator's flood in one way after the other and prints what each dropped and what it cost, a JSON line each; a line
// {"generate"} asks for the flood, whose end is told by a line on stdin. Runs in the receiver's namespace, with a /sys of its own
// (ip netns exec).
//
//   node measure.mjs FAIRWAY-OBJECT GENERATOR-OBJECT DEVICE ROUNDS MILLISECONDS RECEIVER-CPU

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { decodePerCpu } from "../../dist/codec.js";
import { typedMaps } from "../../dist/datapath/maps.js";
import { sourceBlocks } from "../../dist/datapath/policy_lists.js";
import { givePlace, xdpVerdicts } from "../../dist/datapath/xdp_counters.js";
import {
  counterCodec,
  mapDefinitions,
  PolicyFlags,
  Reason,
  SourceVerdict,
  Verdict,
} from "../../dist/generated/index.js";
import { BpfObject, listLinks } from "../../dist/native/index.js";

const [fairwayPath = "", generatorPath = "", device = "", rounds = "", ms = "", cpu = ""] =
  process.argv.slice(2);
const PRIORITY = "20";
/** The denied network. */
const DENIED = { address: "198.18.0.0", prefixLength: 16 };

const link = listLinks().find(({ name }) => name === device);
if (!link) throw new Error(`no device ${device}`);
const { ifindex } = link;

const fairway = BpfObject.open(readFileSync(fairwayPath), "fairway");
for (const { name } of fairway.programs)
  if (name !== "uplink_xdp" && name !== "uplink_ingress") fairway.setAutoload(name, false);
fairway.load();
const maps = typedMaps((name) => fairway.map(name));
const bare = BpfObject.open(readFileSync(generatorPath), "bare");
bare.setAutoload("generate", false);
bare.load();

/** @param {"control" | "sources_ipv4"} name @param {any} key @param {any} value */
function write(name, key, value) {
  const { key: keyCodec, value: valueCodec } = mapDefinitions[name];
  fairway
    .map(name)
    .set(/** @type {any} */ (keyCodec).encode(key), /** @type {any} */ (valueCodec).encode(value));
}
// As src/datapath/policy.ts writes the list.
const prefixLength = 32 + DENIED.prefixLength;
write("sources_ipv4", { prefixLength, list: 0, network: DENIED.address }, SourceVerdict.DENIED);
const blocks = sourceBlocks({ allow: [], deny: [DENIED] });
const blockKeys = Buffer.alloc(blocks.length * 4);
for (let block = 0; block < blocks.length; block++) blockKeys.writeUInt32LE(block, block * 4);
fairway.map("source_blocks").setBatch(blockKeys, blocks);
write("control", 0, { epoch: 1, nextGeneration: 1, policy: PolicyFlags.SOURCES });

/** @param {Buffer | undefined} value */
const packets = (value) =>
  value === undefined
    ? 0
    : decodePerCpu(counterCodec, value).reduce((sum, one) => sum + Number(one.packets), 0);

/** Both of XDP's and of tc's own. */
function counted() {
  const key = { slot: 0xffffffff, direction: 0, verdict: Verdict.DROP, reason: Reason.SOURCE_DENIED };
  return (
    packets(fairway.map("reasons").get(mapDefinitions.reasons.key.encode(key))) +
    (xdpVerdicts(maps, ifindex)?.dropped ?? 0)
  );
}

const rule = ["PREROUTING", "-s", `${DENIED.address}/${DENIED.prefixLength}`, "-j", "DROP"];
/** @param {string} program @param {string[]} args */
const tables = (program, ...args) =>
  execFileSync(program, ["-w", "-t", "raw", ...args], { encoding: "utf8" });

/** @param {string} program */
const byRule = (program) => ({
  on: () => {
    tables(program, "-A", ...rule);
    return () => void tables(program, "-D", ...rule);
  },
  count: () =>
    Number(/^\s*(\d+)\s+\d+\s+DROP/m.exec(tables(program, "-nvxL", "PREROUTING"))?.[1] ?? Number.NaN),
});

/** @type {Record<string, { on: () => () => void, count: () => number }>} */
const variants = {
  "iptables raw": byRule("iptables"),
  "fairway, XDP": {
    on: () => {
      givePlace(maps, ifindex, new Set());
      const { link } = fairway.program("uplink_xdp").attachXdp({ ifindex, mode: "native" });
      return () => link.close();
    },
    count: counted,
  },
  "fairway, tc alone": {
    on: () => {
      const link = fairway.program("uplink_ingress").attachTcx({ ifindex, direction: "ingress" });
      return () => link.close();
    },
    count: counted,
  },
  "an empty XDP program": {
    on: () => {
      const { link } = bare.program("drop_all").attachXdp({ ifindex, mode: "native" });
      return () => link.close();
    },
    count: () => packets(bare.map("dropped").get(Buffer.alloc(4))),
  },
};

/** The kernel's thread that receives at the device, on its CPU. */
function receiver() {
  writeFileSync(`/sys/class/net/${device}/threaded`, "1");
  const pid = readdirSync("/proc").find((name) => {
    try {
      return (
        /^\d+$/.test(name) &&
        readFileSync(`/proc/${name}/comm`, "utf8").startsWith(`napi/${device}`.slice(0, 15))
      );
    } catch {
      return false;
    }
  });
  if (pid === undefined) throw new Error(`no thread receives at ${device}`);
  execFileSync("taskset", ["-pc", cpu, pid], { stdio: "ignore" });
  // Above the generator: on one CPU they take turns, a bulk of frames each. Nothing else comes in between.
  execFileSync("chrt", ["-f", "-p", PRIORITY, pid], { stdio: "ignore" });
  return pid;
}

/** @param {string} pid ns on a CPU */
const cpuTime = (pid) => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]);

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const names = Object.keys(variants);
for (let round = 1; round <= Number(rounds); round++) {
  for (const name of round % 2 === 1 ? names : names.toReversed()) {
    const variant = variants[name];
    const off = variant?.on();
    try {
      const pid = receiver();
      await new Promise((resolve) => setTimeout(resolve, 100));
      const before = { count: variant?.count() ?? 0, cpu: cpuTime(pid), at: performance.now() };
      console.log(JSON.stringify({ generate: Number(ms) }));
      const { value } = await answers.next();
      const wall = performance.now() - before.at;
      // What is in the ring still.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const dropped = (variant?.count() ?? 0) - before.count;
      const cpu = cpuTime(pid) - before.cpu;
      console.log(
        JSON.stringify({ round, variant: name, dropped, cpuNs: cpu, wallMs: wall, ...JSON.parse(value) }),
      );
    } finally {
      off?.();
    }
  }
}
process.exit(0);
