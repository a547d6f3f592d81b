/**
 * What each program and path costs, against the committed report (bench/cost.json). Instructions are compared, in the object
 * and as the verifier walks them, and the stack; the nanoseconds are for reading, measured where the report was written.
 *
 * `FAIRWAY_COST=write npm run test:bpf -- cost` writes the report anew.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { median, quantile } from "simple-statistics";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readElf } from "../../scripts/lib/elf.mjs";
import { type ProgramName, programNames } from "../../src/generated/programs.js";
import { EndpointFlags, EndpointIpFlags } from "../../src/generated/types.js";
import { FAMILIES } from "../../src/ip.js";
import { trackByKernel } from "./lib/conntrack.js";
import { bridging, Datapath, published, type Run, slot } from "./lib/datapath.js";
import { FamilyDatapath } from "./lib/family.js";
import { mac } from "./lib/host.js";
import { tcpFlag } from "./lib/packet.js";
import { OnParent } from "./lib/parent.js";

const reportPath = new URL("../../bench/cost.json", import.meta.url);
const objectPath = new URL("../../build/fairway.bpf.o", import.meta.url);
const writing = process.env.FAIRWAY_COST === "write";
const runs = 4000;

/** The share by which instructions may exceed the report's: compilers differ a little, verifiers of other kernels more. */
const tolerance = { instructions: 0.05, verifiedInstructions: 0.3 } as const;

interface ProgramCost {
  /** That the verifier walked, those of the functions that it calls included. */
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
  /** Instructions of every function of the object, before the kernel rewrites them. */
  functions: Record<string, number>;
  programs: Record<ProgramName, ProgramCost>;
  paths: Record<string, PathCost>;
}

interface Path {
  before?: () => void;
  run: () => Run;
  /** The kernel goes on with it: left to it, or rewritten on its way. */
  next?: boolean;
}

const { syn, ack } = tcpFlag;
const datapath = new Datapath();
afterAll(() => datapath.close());

/** Every path that a packet can take, with what comes before it. */
function pathsOf(on: OnParent): Record<string, Path> {
  const udpQuery = { protocol: "udp", destinationPort: published.udp } as const;
  return {
    "uplink: the host's own traffic": {
      run: () => on.fromOutside({ flags: ack, destinationPort: 22 }),
      next: true,
    },
    "uplink: established TCP to a container": {
      before: () => on.handshake(),
      run: () => on.fromOutside({ flags: ack }),
    },
    "uplink: UDP to a published port": {
      before: () => {
        on.fromOutside(udpQuery);
        on.fromWeb(on.reply({ protocol: "udp", sourcePort: 53 }));
      },
      run: () => on.fromOutside(udpQuery),
    },
    "uplink: a TCP connection's first packet": {
      before: () => datapath.reset(),
      run: nextConnection((sourcePort) => on.fromOutside({ flags: syn, sourcePort })),
    },
    "endpoint: established TCP to the outside": {
      before: () => on.handshake(),
      run: () => on.fromWeb(on.reply({ flags: ack })),
    },
    "endpoint: a TCP connection's first packet": {
      before: () => datapath.reset(),
      run: nextConnection((sourcePort) => on.fromWeb({ flags: syn, sourcePort })),
    },
    "endpoint: to a neighbour on the network": {
      run: () => on.fromWeb({ flags: ack, destinationMac: mac.db, destination: on.address.db }),
    },
    "endpoint: to a neighbour on the network, counted by pair": {
      before: countByPair,
      run: () => on.fromWeb({ flags: ack, destinationMac: mac.db, destination: on.address.db }),
    },
    "endpoint: to the host": {
      run: () => on.fromWeb({ flags: ack, destination: on.address.host, destinationPort: 22 }),
      next: true,
    },
    "uplink, egress: the host's own traffic": {
      run: () => on.toOutside({ sourcePort: 22 }, { arrivedBy: null }),
      next: true,
    },
    "uplink, egress: a packet to learn from": {
      before: () => learnable(on),
      run: () => on.toOutside({}),
      next: true,
    },
    "endpoint, egress: a packet to learn from": {
      before: () => learnable(on),
      run: () => on.toWeb({}),
      next: true,
    },
    "endpoint, egress: from a neighbour on the network": {
      run: () => fromNeighbour(on),
      next: true,
    },
    "endpoint, egress: from a neighbour on the network, counted by pair": {
      before: countByPair,
      run: () => fromNeighbour(on),
      next: true,
    },
    "parent, egress: the host's own traffic": {
      before: () => on.put(),
      run: () => on.leaves({ destination: on.address.client }),
      next: true,
    },
    "parent, egress: the host to a container": {
      before: () => on.put(),
      run: () => on.leaves({ flags: ack }),
    },
    "parent, egress: a container to the outside": {
      before: () => on.put(),
      run: () => on.sends({ flags: ack }),
      next: true,
    },
    "parent, egress: masqueraded, established TCP": {
      before: () => {
        on.put("one", { masquerade: true });
        on.sends({ flags: syn });
        on.fromOutside(on.answer({ flags: syn | ack }));
        on.sends({ flags: ack });
      },
      run: () => on.sends({ flags: ack }),
      next: true,
    },
    "parent, ingress: to a container": {
      before: () => on.put(),
      run: () => on.arrives({ destination: on.child.one }),
      next: true,
    },
  };
}

/** Calls with another source port each time. */
function nextConnection(run: (sourcePort: number) => Run): () => Run {
  let count = 0;
  return () => run(10_000 + (count++ % 50_000));
}

/** What web sends db, as the kernel's bridge delivers it. */
function fromNeighbour(on: FamilyDatapath): Run {
  return on.toDb({ flags: ack, sourceMac: mac.web, source: on.address.web }, { arrivedBy: "web0" });
}

/** The network has fairway.matrix. */
function countByPair(): void {
  for (const at of [slot.web, slot.db]) datapath.putEndpoint(at, { flags: bridging | EndpointFlags.MATRIX });
}

/** A connection that the kernel has let pass; what is learned from it once is found from then on. */
function learnable(on: FamilyDatapath): void {
  const { client, host, web } = on.address;
  on.changeWeb({ flags: EndpointIpFlags.FILTERED });
  trackByKernel({
    protocol: "tcp",
    from: { address: client, port: 40000 },
    to: { address: host, port: published.tcp },
    toAs: { address: web, port: 80 },
  });
}

const paths: Record<string, Path> = Object.fromEntries(
  FAMILIES.flatMap((family) =>
    Object.entries(pathsOf(new OnParent(datapath, family))).map(([name, path]) => [
      `IPv${family}, ${name}`,
      path,
    ]),
  ),
);

function functionCosts(): Record<string, number> {
  const { symbols } = readElf(readFileSync(objectPath));
  const functions = symbols.filter(({ type, section }) => type === "func" && section !== undefined);
  return Object.fromEntries(
    functions.map(({ name, size }) => [name, size / 8] as const).sort(([a], [b]) => a.localeCompare(b)),
  );
}

function programCosts(): Record<ProgramName, ProgramCost> {
  const cost = (name: ProgramName): ProgramCost => {
    const { verifiedInstructions, jitedBytes } = datapath.programInfo(name);
    return { verifiedInstructions, machineCodeBytes: jitedBytes };
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
  const { before } = new FamilyDatapath(datapath, 4).toWeb({});
  return median(sample(() => datapath.run("endpoint_egress", "br-other", before)));
}

function pathCost({ before, run }: Path): PathCost {
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
  const programs = programCosts();
  const functions = functionCosts();

  beforeAll(() => {
    if (!writing) return;
    const report: Report = {
      kernel: release().split("-")[0] ?? "",
      functions,
      programs,
      paths: Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, pathCost(path)])),
    };
    writeFileSync(reportPath, `${JSON.stringify(report, null, 2)}\n`);
  }, 300_000);
  beforeEach(() => datapath.reset(), 60_000);

  test.each(Object.keys(functions))("%s has no more instructions than reported", (name) => {
    const most = Math.ceil((committed().functions[name] ?? 0) * (1 + tolerance.instructions));
    expect(functions[name]).toBeGreaterThan(0);
    expect(functions[name], "if it is worth it, write the report anew").toBeLessThanOrEqual(most);
  });

  test.each(programNames)("the verifier walks no more of %s than reported", (name) => {
    const { verifiedInstructions } = committed().programs[name];
    const most = Math.ceil(verifiedInstructions * (1 + tolerance.verifiedInstructions));
    expect(programs[name].verifiedInstructions).toBeGreaterThan(0);
    expect(
      programs[name].verifiedInstructions,
      "if it is worth it, write the report anew",
    ).toBeLessThanOrEqual(most);
  });

  test("the report names every function, program and path there is", () => {
    const report = committed();
    expect(Object.keys(report.functions)).toEqual(Object.keys(functions));
    expect(Object.keys(report.programs).sort()).toEqual([...programNames].sort());
    expect(Object.keys(report.paths)).toEqual(Object.keys(paths));
  });

  test.each(Object.keys(paths))("%s: every run of it is as it is measured", (name) => {
    const path = paths[name];
    path?.before?.();
    const verdict = path?.next ? "next" : "redirect";
    for (let count = 0; count < 20; count += 1) expect(path?.run().verdict).toBe(verdict);
  });
});
