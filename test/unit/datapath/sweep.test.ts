import { describe, expect, it } from "vitest";
import { flowTableCounters } from "../../../src/datapath/map_reader.js";
import { Sweep, type SweepProgram, sweepRequest } from "../../../src/datapath/sweep.js";
import { type FlowSweep, type FlowTableCounters, flowSweepCodec } from "../../../src/generated/index.js";
import { TIMEOUT_DEFAULTS } from "../../../src/host/sysctl.js";
import { fakeMaps } from "./scene.js";

/** A kernel whose tables are as a test says. */
class FakeSweep implements SweepProgram {
  asked: FlowSweep | undefined;
  runs = 0;
  takes: () => void = () => undefined;
  found: Pick<FlowSweep, "entries" | "deleted"> = { entries: [0n, 0n], deleted: [0n, 0n] };

  run(context: Uint8Array) {
    this.runs++;
    this.takes();
    this.asked = flowSweepCodec.decode(Buffer.from(context));
    const answer = { ...this.asked, ...this.found };
    return { returnValue: 0, context: flowSweepCodec.encode(answer) };
  }
}

function scene() {
  const program = new FakeSweep();
  const counters: FlowTableCounters[] = [
    { inserted: 0n, deleted: 0n },
    { inserted: 0n, deleted: 0n },
  ];
  let now = 0;
  const sweep = new Sweep(
    program,
    () => counters.map((c) => ({ ...c })),
    TIMEOUT_DEFAULTS,
    () => now,
  );
  return {
    program,
    counters,
    sweep,
    wait: (ms: number) => {
      now += ms;
    },
  };
}

describe("sweepRequest", () => {
  it("leaves every entry for as long as conntrack leaves its connection, and a little longer", () => {
    const asked = sweepRequest(TIMEOUT_DEFAULTS);
    const second = 1_000_000_000n;
    expect(asked).toMatchObject({
      tcpIdleNs: 432_005n * second,
      openingIdleNs: 125n * second,
      closingIdleNs: 125n * second,
      closedIdleNs: 15n * second,
      udpIdleNs: 35n * second,
      streamIdleNs: 125n * second,
    });
  });
});

describe("Sweep", () => {
  it("takes out, once, what was learned before rules changed, and soon", () => {
    const { program, sweep, wait } = scene();
    program.takes = () => wait(20);
    sweep.tick();
    expect(program.asked?.learnedBefore).toBe(0n);
    sweep.forgetLearned();
    const asked = process.hrtime.bigint();
    wait(100);
    sweep.tick();
    expect(program.runs).toBe(1);
    wait(100);
    sweep.tick();
    expect(program.runs).toBe(2);
    expect(Number(asked - (program.asked?.learnedBefore ?? 0n))).toBeGreaterThanOrEqual(0);
    expect(program.asked?.learnedBefore).not.toBe(0n);
    wait(10_000);
    sweep.tick();
    expect(program.asked?.learnedBefore).toBe(0n);
  });

  it("asks the kernel, and tells what it found by family", () => {
    const { program, sweep } = scene();
    expect(sweep).toMatchObject({ countedAt: 0, deleted: 0 });
    program.found = { entries: [70n, 7n], deleted: [30n, 3n] };
    sweep.tick();
    expect(program.asked).toEqual(sweepRequest(TIMEOUT_DEFAULTS));
    expect(sweep).toMatchObject({ entries: { 4: 70, 6: 7 }, deleted: 33 });
    expect(sweep.countedAt).toBeGreaterThan(0);
    sweep.tick();
    expect(sweep.deleted).toBe(66);
  });

  it("calls evicted what was inserted, is not there, and was not deleted", () => {
    const { program, counters, sweep } = scene();
    counters[0] = { inserted: 1000n, deleted: 200n };
    counters[1] = { inserted: 50n, deleted: 0n };
    program.found.entries = [700n, 50n];
    sweep.tick();
    expect(sweep).toMatchObject({ inserted: 1050, evicted: 100 });
  });

  it("never takes back what it has counted, whatever packets did between", () => {
    const { program, counters, sweep } = scene();
    counters[0] = { inserted: 10n, deleted: 0n };
    program.found.entries = [4n, 0n];
    sweep.tick();
    expect(sweep.evicted).toBe(6);
    // Inserted after the counters were read.
    program.found.entries = [20n, 0n];
    sweep.tick();
    expect(sweep.evicted).toBe(6);
  });

  it("walks less often the longer it takes: a hundredth of the time", () => {
    const { program, sweep, wait } = scene();
    const run = program.run.bind(program);
    program.run = (context) => {
      wait(50);
      return run(context);
    };
    sweep.tick();
    wait(1_000);
    sweep.tick();
    expect(program.runs).toBe(1);
    wait(4_000);
    sweep.tick();
    expect(program.runs).toBe(2);
  });

  it("passes on that the kernel refused", () => {
    const { program, sweep } = scene();
    program.run = () => {
      throw new Error("run flow_sweep: Operation not permitted (EPERM)");
    };
    expect(() => sweep.tick()).toThrow(/EPERM/);
    expect(sweep.countedAt).toBe(0);
  });
});

describe("flowTableCounters", () => {
  it("adds up all CPUs, by family", () => {
    const { maps } = fakeMaps();
    const { kernel, key } = maps.flow_table_counters;
    const cpus = (...numbers: bigint[]) => {
      const buffer = Buffer.alloc(8 * numbers.length);
      numbers.forEach((n, i) => void buffer.writeBigUInt64LE(n, 8 * i));
      return buffer;
    };
    kernel.set(key.encode(0), cpus(1n, 2n, 30n, 40n));
    kernel.set(key.encode(1), cpus(5n, 0n, 0n, 6n));
    expect(flowTableCounters(maps)).toEqual([
      { inserted: 31n, deleted: 42n },
      { inserted: 5n, deleted: 6n },
    ]);
  });
});
