/** What is to be said of a packet that has been run through the programs. Pure. */
import { Direction, FlowOrigin, Verdict } from "../generated/index.js";
import type { Parties } from "./ends.js";
import type { Packet } from "./frame.js";
import { type FlowEntry, isToOutside } from "./known.js";
import type { Hook } from "./passage.js";
import { nameOfReason, reasonText } from "./reasons.js";
import type { Counted, HookRun } from "./replica.js";
import { deviceName, endpointName, type KnownEndpoint, type World } from "./world.js";

/** Whose a packet is: an endpoint by container and network where a daemon knows them, with its device. */
export interface ExplainedEndpoint {
  container: string | null;
  network: string | null;
  device: string;
}

/** What one program does with the packet. */
export interface Step {
  device: string;
  program: string;
  verdict: "next" | "drop" | "redirect";
  /** Names of enum reason, as in the metrics. */
  reasons: string[];
  /** The packet after it, where it has changed. */
  packet?: Packet;
}

export interface Explanation {
  packet: Packet;
  steps: Step[];
  verdict: "fast" | "slow" | "drop";
  /** A name of enum reason; null: there is none, fairway has no part in it, or it is fast. */
  reason: string | null;
  /** One sentence for people. */
  why: string;
  /** Of a packet that is fast: whom it reaches; null: the outside, or the host itself. */
  to?: ExplainedEndpoint | null;
  /** Of a packet that is fast: the device by which it leaves. */
  by?: string;
  flow?: FlowSource;
}

/** Of a packet that is fast by a flow entry: "new": its connection would be made now; else how the entry came about. */
export type FlowSource = "new" | "made" | "adopted" | "learned";

/** One program at a device, and the packet after it. */
export interface Run extends HookRun {
  hook: Hook;
  packet: Packet;
}

/** The packet's flow entry, before and after the programs have run. */
export interface Flows {
  before: FlowEntry | undefined;
  after: FlowEntry | undefined;
}

/** What the programs' runs come to. runs: in the packet's order. */
export function conclude(
  packet: Packet,
  runs: readonly Run[],
  flows: Flows,
  parties: Parties,
  world: World,
): Explanation {
  const base = { packet, steps: runs.map((run) => stepOf(run, packet, world)) };
  const last = runs.at(-1);
  const dropped = last?.reasons.find(({ verdict }) => verdict === Verdict.DROP);
  if (last === undefined || last.verdict === "drop" || dropped !== undefined) {
    const told = last?.verdict === "redirect" ? "; its sender is told by ICMP" : "";
    return { ...base, verdict: "drop", ...because(dropped), why: `dropped: ${textOf(dropped)}${told}` };
  }
  if (last.fast.length > 0) return { ...base, ...fastOf(last, flows, packet, world) };
  const left = last.reasons.at(-1);
  const text = left === undefined ? passedBy(packet, parties, world) : reasonText(left.reason);
  return { ...base, verdict: "slow", ...because(left), why: `left to the kernel: ${text}` };
}

/** Why nothing was counted: it is not for what fairway sends on. */
function passedBy(packet: Packet, { source, destination }: Parties, world: World): string {
  if (source.kind === "endpoint")
    return "it is sent as it is, with nothing to translate and nobody else to lead it to";
  if (destination.kind === "endpoint")
    return "it is for a container's own address, to which no entry leads: what the kernel lets pass is learned";
  if (!world.hostAddresses.has(packet.destination)) return "it is for no container, and not for the host";
  if (packet.protocol === "icmp") return "it is the host's own";
  return `it is the host's own: no container has published ${packet.destinationPort}/${packet.protocol} there`;
}

function fastOf(run: Run, flows: Flows, packet: Packet, world: World): Omit<Explanation, "packet" | "steps"> {
  const receiver = run.fast.find(({ direction }) => direction === Direction.RECEIVE);
  const reached = world.endpoints.find(({ slot }) => slot === receiver?.slot);
  const { after } = flows;
  const device = after !== undefined && isToOutside(after) ? after.flow.ifindex : run.hook.ifindex;
  const by = reached === undefined ? deviceName(world, device) : deviceOf(reached, world);
  const isToHost = world.hostAddresses.has(packet.destination);
  const whom =
    reached !== undefined ? `reaches ${endpointName(reached)}` : isToHost ? "reaches the host" : "leaves";
  const flow = flowSource(flows);
  return {
    verdict: "fast",
    reason: null,
    why: `${whom} by ${by}${flow === undefined ? "" : HOW[flow]}`,
    to: reached === undefined ? null : explainedEndpoint(reached, world),
    by,
    ...(flow === undefined ? {} : { flow }),
  };
}

/** How the packet's flow entry came about; undefined: it has none, and needs none. */
export function flowSource({ before, after }: Flows): FlowSource | undefined {
  if (after === undefined) return undefined;
  const { origin, created } = after.flow;
  if (origin === FlowOrigin.MADE) return created === before?.flow.created ? "made" : "new";
  return origin === FlowOrigin.ADOPTED ? "adopted" : "learned";
}

const HOW: Readonly<Record<FlowSource, string>> = {
  new: ", as a new connection",
  made: ", of a connection that fairway made",
  adopted: ", of a connection that conntrack knew",
  learned: ", of a connection that the kernel let pass",
};

function stepOf(run: Run, sent: Packet, world: World): Step {
  const { hook, verdict, reasons, packet } = run;
  const changed = JSON.stringify(packet) !== JSON.stringify(sent);
  return {
    device: deviceName(world, hook.ifindex),
    program: hook.program,
    verdict,
    reasons: reasons.map(({ reason }) => nameOfReason(reason)),
    ...(changed ? { packet } : {}),
  };
}

const textOf = (counted: Counted | undefined) =>
  counted === undefined ? "no reason was counted" : reasonText(counted.reason);
const because = (counted: Counted | undefined) => ({
  reason: counted === undefined ? null : nameOfReason(counted.reason),
});

export function explainedEndpoint(known: KnownEndpoint, world: World): ExplainedEndpoint {
  return {
    container: known.container ?? null,
    network: known.network ?? null,
    device: deviceOf(known, world),
  };
}

/** The endpoint's veth, or its parent. */
export function deviceOf({ endpoint }: KnownEndpoint, world: World): string {
  return deviceName(world, world.devices.has(endpoint.ifindex) ? endpoint.ifindex : endpoint.bridgeIfindex);
}
