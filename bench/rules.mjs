// What a change of one published port takes in mode replace, with 10, 1,000 and 10,000 ports: as fairway sends it (the elements that
// differ), and by writing the whole table, interleaved. In a network namespace of its own:
//
//   npm run build && unshare --net node bench/rules.mjs [ROUNDS]

import { readFileSync } from "node:fs";
import { firewallGeneration } from "../dist/native/index.js";
import { SlowPathTable } from "../dist/slowpath/table.js";

const rounds = Number(process.argv[2] ?? 10);
const bridges = 100;

/** Ports of containers in a hundred networks. */
const slowPath = (count) => ({
  networks: Array.from({ length: bridges }, (_, i) => ({
    bridge: `br-${i}`,
    internal: false,
    icc: true,
    trusted: [],
    ip: {
      4: { subnets: [`172.18.${i}.0/24`], gatewayMode: "nat", masquerade: true, snatAddress: undefined },
      6: undefined,
    },
  })),
  ports: Array.from({ length: count }, (_, i) => ({
    family: 4,
    endpointId: `${i}`,
    proto: "tcp",
    address: "0.0.0.0",
    port: 10_000 + i,
    containerAddress: `172.18.${i % bridges}.${2 + (Math.floor(i / bridges) % 200)}`,
    containerPort: 80,
  })),
  routedPorts: [],
  bridges: [],
});

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** CPU time of this process and of the programs that it has run, in ms, to 10 ms: less at the mercy of a busy machine. */
function cpuTime() {
  const fields = readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ") ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + 10 * Number(ticks), 0);
}

/** What a kind of change took. */
class Figures {
  #times = [];
  #cpu = 0;

  async measure(work) {
    const [started, cpu] = [performance.now(), cpuTime()];
    await work();
    this.#times.push(performance.now() - started);
    this.#cpu += cpuTime() - cpu;
  }

  toString() {
    return `${median(this.#times).toFixed(1)} ms (CPU ${(this.#cpu / this.#times.length).toFixed(1)} ms)`;
  }
}

for (const count of [10, 1_000, 10_000]) {
  const table = new SlowPathTable();
  const states = [slowPath(count), slowPath(count + 1)];
  await table.apply(states[0], true);
  await table.apply(states[0], true);
  const [elements, look, whole] = [new Figures(), new Figures(), new Figures()];
  for (let round = 1; round <= rounds; round++) {
    const state = states[round % 2];
    const before = firewallGeneration();
    await elements.measure(() => table.apply(state, false));
    if (firewallGeneration() !== before + 1) throw new Error("not one transaction");
    await look.measure(() => table.apply(state, true));
    await whole.measure(() => new SlowPathTable().apply(state, true));
    // For the first table that was somebody else's transaction.
    await table.apply(state, true);
  }
  console.log(`${count} ports: a change ${elements}; a look after it ${look}; the whole table ${whole}`);
}
