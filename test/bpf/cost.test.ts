/**
 * What each program and path costs, against the committed report (bench/cost.json). Instructions are compared, in the object
 * and as the verifier walks them; the nanoseconds are for reading, measured where the report was written.
 *
 * `FAIRWAY_COST=write npm run test:bpf -- cost` writes the report anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { median, quantile } from "simple-statistics";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readElf } from "../../scripts/lib/elf.mjs";
import { type ProgramName, programNames } from "../../src/generated/programs.js";
import { Datapath, published, type Run } from "./lib/datapath.js";
import { address, mac } from "./lib/host.js";
import { frame, tcpFlag } from "./lib/packet.js";

const reportPath = new URL("../../bench/cost.json", import.meta.url);
const objectPath = new URL("../../build/fairway.bpf.o", import.meta.url);
const writing = process.env.FAIRWAY_COST === "write";
const runs = writing ? 4000 : 200;

/** The share by which instructions may exceed the report's: compilers differ a little, verifiers of other kernels more. */
const tolerance = { instructions: 0.05, verifiedInstructions: 0.3 } as const;

interface ProgramCost {
  /** In the object, before the kernel rewrites them. */
  instructions: number;
  /** That the verifier walked. */
  verifiedInstructions: number;
  machineCodeBytes: number;
}

interface PathCost {
  /** Median of single runs, less the same of a program that finds nothing to do. */
  ns: number;
  quartiles: [number, number];
}

interface Report {
  kernel: string;
  programs: Record<ProgramName, ProgramCost>;
  paths: Record<string, PathCost>;
}

const { syn, ack } = tcpFlag;
const datapath = new Datapath();
afterAll(() => datapath.close());

/** Every path that a packet can take, with what comes before it. */
const paths: Record<string, { before?: () => void; run: () => Run }> = {
  "uplink: the host's own traffic": { run: () => datapath.fromOutside({ flags: ack, destinationPort: 22 }) },
  "uplink: established TCP to a container": {
    before: handshake,
    run: () => datapath.fromOutside({ flags: ack }),
  },
  "uplink: UDP to a published port": {
    before: udpBothWays,
    run: () => datapath.fromOutside({ protocol: "udp", destinationPort: published.udp }),
  },
  "endpoint: established TCP to the outside": {
    before: handshake,
    run: () =>
      datapath.fromWeb({ flags: ack, sourcePort: 80, destination: address.client, destinationPort: 40000 }),
  },
  "endpoint: to a neighbour on the network": {
    run: () => datapath.fromWeb({ flags: ack, destinationMac: mac.db, destination: address.db }),
  },
  "endpoint: to the host": {
    run: () => datapath.fromWeb({ flags: ack, destination: address.host, destinationPort: 22 }),
  },
};

function handshake(): void {
  const answer = { sourcePort: 80, destination: address.client, destinationPort: 40000 };
  datapath.fromOutside({ flags: syn });
  datapath.fromWeb({ flags: syn | ack, ...answer });
  datapath.fromOutside({ flags: ack });
  datapath.fromWeb({ flags: ack, ...answer });
}

function udpBothWays(): void {
  datapath.fromOutside({ protocol: "udp", destinationPort: published.udp });
  datapath.fromWeb({ protocol: "udp", sourcePort: 53, destination: address.client, destinationPort: 40000 });
}

function programCosts(): Record<ProgramName, ProgramCost> {
  const { symbols } = readElf(readFileSync(objectPath));
  const cost = (name: ProgramName): ProgramCost => {
    const symbol = symbols.find((one) => one.name === name && one.type === "func");
    const { verifiedInstructions, jitedBytes } = datapath.programInfo(name);
    return { instructions: (symbol?.size ?? 0) / 8, verifiedInstructions, machineCodeBytes: jitedBytes };
  };
  return Object.fromEntries(programNames.map((name) => [name, cost(name)])) as Record<
    ProgramName,
    ProgramCost
  >;
}

function sample(run: () => Run): number[] {
  return Array.from({ length: runs }, () => run().durationNs);
}

/** The least that a run can take, the timer included: a program at a device that it knows nothing of. */
function idle(): number {
  const data = frame({
    sourceMac: mac.bridge,
    destinationMac: mac.web,
    source: address.client,
    destination: address.web,
  });
  return median(sample(() => datapath.run("endpoint_egress", "br-other", data)));
}

function pathCost({ before, run }: (typeof paths)[string]): PathCost {
  datapath.reset();
  before?.();
  const base = idle();
  const taken = sample(run);
  const above = (ns: number): number => Math.round(ns - base);
  return {
    ns: above(median(taken)),
    quartiles: [above(quantile(taken, 0.25)), above(quantile(taken, 0.75))],
  };
}

function committed(): Report {
  return JSON.parse(readFileSync(reportPath, "utf8"));
}

describe("cost", () => {
  let programs: Record<ProgramName, ProgramCost>;
  beforeAll(() => {
    programs = programCosts();
    if (!writing) return;
    const report: Report = {
      kernel: release().split("-")[0] ?? "",
      programs,
      paths: Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, pathCost(path)])),
    };
    writeFileSync(reportPath, `${JSON.stringify(report, null, 2)}\n`);
  });
  beforeEach(() => datapath.reset());

  test.each(programNames)("%s has no more instructions than reported", (name) => {
    const report = committed().programs[name];
    for (const figure of ["instructions", "verifiedInstructions"] as const) {
      const most = Math.ceil(report[figure] * (1 + tolerance[figure]));
      expect(programs[name][figure], figure).toBeGreaterThan(0);
      expect(
        programs[name][figure],
        `${figure}; if it is worth it, write the report anew`,
      ).toBeLessThanOrEqual(most);
    }
  });

  test("the report names every program and path there is", () => {
    const { programs: reported, paths: ways } = committed();
    expect(Object.keys(reported).sort()).toEqual([...programNames].sort());
    expect(Object.keys(ways)).toEqual(Object.keys(paths));
  });

  test.each(Object.keys(paths).filter((name) => !/host/.test(name)))(
    "%s: every run of it is fast",
    (name) => {
      const path = paths[name];
      path?.before?.();
      for (let count = 0; count < 20; count += 1) expect(path?.run().verdict).toBe("redirect");
    },
  );
});
