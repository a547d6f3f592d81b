/**
 * What a packet costs at a parent is compared with: a program that finds the IP header and does one lookup by longest prefix
 * (bench/parent-cost). And the kinds of packets that there are.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildBpf } from "../../../scripts/bpf.mjs";
import { FAMILIES, type Family, parseAddress } from "../../../src/ip.js";
import { BpfObject, type BpfProgram } from "../../../src/native/index.js";
import { root } from "../../lab/lib/paths.js";
import type { Run, Verdict } from "./datapath.js";
import { tcpFlag } from "./packet.js";
import { childSlot, type OnParent } from "./parent.js";

const directory = join(root, "bench", "parent-cost");
const objectPath = join(root, "build", "parent-cost.bpf.o");

/** Compiles bench/parent-cost. */
export async function buildBaseline(): Promise<void> {
  await buildBpf({ from: directory, to: objectPath });
}

/** Of a host's containers on parents: subnets, the first one that of OnParent's. */
const parentSubnets = (family: Family): (readonly [string, number])[] =>
  Array.from({ length: 9 }, (_, i) => (family === 4 ? [`192.168.${i}.0`, 24] : [`2001:db8:a${i}::`, 64]));

/** The routing table of a host with three links, four bridges of the engine's and nine networks on parents: 17 routes. */
const routes = (family: Family): (readonly [string, number])[] => [
  family === 4 ? ["0.0.0.0", 0] : ["::", 0],
  ...(family === 4
    ? ["198.18.0.0", "198.18.7.0", "198.18.8.0"]
    : ["2001:db8:18::", "2001:db8:18:7::", "2001:db8:18:8::"]
  ).map((link) => [link, family === 4 ? 24 : 64] as const),
  ...Array.from({ length: 4 }, (_, i) =>
    family === 4 ? ([`172.${17 + i}.0.0`, 16] as const) : ([`2001:db8:${30 + i}::`, 64] as const),
  ),
  ...parentSubnets(family),
];

const programs = ["by_destination", "by_source", "nothing", "additions_100", "additions_1100"] as const;
export type BaselineProgram = (typeof programs)[number];

/** The programs of bench/parent-cost, loaded, with their routing tables filled. */
export class Baseline {
  readonly #object: BpfObject;
  readonly #programs: ReadonlyMap<BaselineProgram, BpfProgram>;

  /** After buildBaseline(), be it elsewhere. */
  constructor() {
    this.#object = BpfObject.open(readFileSync(objectPath), "baseline");
    this.#object.load();
    this.#programs = new Map(programs.map((name) => [name, this.#object.program(name)]));
    for (const family of FAMILIES) {
      const map = this.#object.map(`routes_ipv${family}`);
      for (const [network, length] of routes(family)) {
        const prefix = Buffer.alloc(4);
        prefix.writeUInt32LE(length);
        map.set(Buffer.concat([prefix, parseAddress(network) ?? new Uint8Array()]), Buffer.alloc(4, 1));
      }
      map.close();
    }
  }

  program(name: BaselineProgram): BpfProgram {
    const found = this.#programs.get(name);
    if (found === undefined) throw new Error(`no program ${name}`);
    return found;
  }

  /** Runs one of them with a frame, and returns the time. */
  run(name: BaselineProgram, data: Buffer): number {
    return this.program(name).testRun({ data }).durationNs;
  }

  close(): void {
    for (const program of this.#programs.values()) program.close();
    this.#object.close();
  }
}

/** What a packet may cost at most, as a share of the lookup of its destination. */
export const most = 1.1;
/** The kind that is no part of that: it has a flow entry, is rewritten, and sent on by the parent. */
export const translated = "leaving: a masqueraded container's to the outside";

/** A kind of packet at a parent. */
interface Kind {
  /** Puts there who is needed for it. */
  readonly before: () => void;
  readonly run: () => Run;
  readonly verdict: Verdict;
  /** How many containers it is counted for. */
  readonly counted: number;
  /** It is a container's that sends it. */
  readonly sent?: boolean;
}

/** The kinds of packets of one family. None of them opens or ends a connection. */
export class Kinds {
  readonly #kinds: Readonly<Record<string, Kind>>;

  constructor(private readonly on: OnParent) {
    const { client, host } = on.address;
    const one = () => void on.put();
    const routed = () => {
      on.put("one", { route: 1 });
      on.put("two", { route: 2, parent: on.datapath.device.uplink1 });
      for (const [i, [network, length]] of parentSubnets(on.family).entries())
        on.putSubnet(network, length, i + 1);
      on.putSubnet(on.child.two, on.family === 4 ? 32 : 128, 2);
    };
    const next = { before: one, verdict: "next" } as const;
    const redirect = { before: one, verdict: "redirect" } as const;
    this.#kinds = {
      "leaving: the host's own": { ...next, run: () => on.leaves({ destination: client }), counted: 0 },
      "leaving: a container's to the outside": {
        ...next,
        run: () => on.sends({}),
        counted: 1,
        sent: true,
      },
      "leaving: a routed network's to the outside": {
        ...next,
        before: routed,
        run: () => on.sends({}),
        counted: 1,
        sent: true,
      },
      "leaving: to another network's": {
        ...redirect,
        before: routed,
        run: () => on.sends({ destination: on.child.two }),
        counted: 2,
        sent: true,
      },
      "leaving: the host's to a container": { ...redirect, run: () => on.leaves({}), counted: 1 },
      "leaving: a container's to the host": {
        ...redirect,
        run: () => on.sends({ destination: host }),
        counted: 1,
        sent: true,
      },
      [translated]: {
        ...next,
        before: () => {
          on.put("one", { masquerade: true });
          on.sends({ flags: tcpFlag.syn });
          on.fromOutside(on.answer({ flags: tcpFlag.syn | tcpFlag.ack }));
          on.sends({});
        },
        run: () => on.sends({}),
        counted: 1,
      },
      "coming in: the host's own": { ...next, run: () => on.arrives({}), counted: 0 },
      "coming in: a container's": {
        ...next,
        run: () => on.arrives({ destination: on.child.one }),
        counted: 1,
      },
    };
  }

  get names(): string[] {
    return Object.keys(this.#kinds);
  }

  /**
   * Puts there who is needed for a kind, and returns how to run it, the frame, and whether a container sends it.
   * @throws Error if a run does not do what is to be measured
   */
  prepare(name: string): { run: () => Run; frame: Buffer; sent: boolean } {
    const kind = this.#kinds[name];
    if (kind === undefined) throw new Error(`no kind of packet: ${name}`);
    kind.before();
    const before = this.#counted();
    const { verdict, before: frame } = kind.run();
    const counted = this.#counted() - before;
    if (verdict !== kind.verdict || counted !== kind.counted)
      throw new Error(`${name}: ${verdict}, counted ${counted} times`);
    return { run: kind.run, frame, sent: kind.sent === true };
  }

  #counted(): number {
    return Object.values(childSlot)
      .map((slot) => this.on.datapath.counters(slot))
      .flatMap(({ receive, transmit }) => [receive.fast, receive.slow, transmit.fast, transmit.slow])
      .reduce((sum, { packets }) => sum + packets, 0);
  }
}
