import { randomInt } from "node:crypto";
import { isHostSocketPin } from "../datapath/host_sockets.js";
import type { Maps } from "../datapath/maps.js";
import type { Pins } from "../datapath/pins.js";
import { FlowOrigin, FlowOriginName, Verdict } from "../generated/index.js";
import type { Family } from "../ip.js";
import { deleteConntrack } from "../native/index.js";
import { type Parties, partiesOf } from "./ends.js";
import { frameOf, type Packet, protocolNumber, readFrame } from "./frame.js";
import { copyKnown, type FlowEntry, flowKeyOf, flowTable, isInConntrack, isToOutside } from "./known.js";
import { type Hook, type Passage, passageOf } from "./passage.js";
import type { Question } from "./question.js";
import { nameOfReason, reasonText } from "./reasons.js";
import { type Counted, type HookRun, Replica } from "./replica.js";
import { ledTo } from "./sockets.js";
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
  /** Of a packet that is fast: whom it reaches; null: the outside. */
  to?: ExplainedEndpoint | null;
  /** Of a packet that is fast: the device by which it leaves. */
  by?: string;
  /** Of one that is fast by a flow entry: "new" where it would be made now, else how the one that is there came about. */
  flow?: string;
}

/** First ports of those that hosts choose from for themselves (RFC 6335, 6), and how many. */
const DYNAMIC_PORTS = [49152, 65536] as const;

/**
 * Tells what would become of a packet, by running it through the programs as they are attached (Replica).
 * @param maps the pinned ones
 * @throws UserError where nothing is pinned, or names mean nobody
 */
export function explain(question: Question, world: World, pins: Pins, maps: Maps): Explanation {
  const parties = partiesOf(question, world);
  const { family } = parties;
  const passage = passageOf(parties, world);
  const packet: Packet = {
    protocol: question.protocol,
    source: passage.source,
    destination: passage.destination,
    sourcePort: question.sourcePort ?? randomInt(...DYNAMIC_PORTS),
    destinationPort: question.port,
    established: false,
  };
  if (passage.hooks.length === 0) return beside(packet, family, passage, maps, world, pins);

  const slots = 1 + Math.max(-1, ...world.endpoints.map(({ slot }) => slot));
  const replica = Replica.load(pins, slots);
  try {
    const entry = copyKnown(packet, family, passage.flowsOf, maps, replica.maps);
    const known = entry !== undefined || (question.sourcePort !== undefined && isInConntrack(packet, family));
    const sent = { ...packet, established: known && packet.protocol === "tcp" };
    const runs = runThrough(replica, sent, passage);
    const made = flowTable(replica.maps, family).get(flowKeyOf(sent, family, passage.flowsOf));
    if (made?.flow.origin === FlowOrigin.MADE && entry === undefined) forget(sent, family);
    return conclude(sent, runs, { known: entry, now: made }, parties, world);
  } finally {
    replica.close();
  }
}

interface Run extends HookRun {
  hook: Hook;
  packet: Packet;
}

function runThrough(replica: Replica, packet: Packet, passage: Passage): Run[] {
  const runs: Run[] = [];
  let frame = frameOf(packet, passage.ends);
  for (const hook of passage.hooks) {
    const run = replica.run(hook.program, hook.ifindex, hook.arrivedBy, frame);
    frame = run.frame;
    runs.push({ ...run, hook, packet: run.verdict === "drop" ? packet : readFrame(frame, packet) });
    if (run.verdict !== "next" || run.fast.length > 0) break;
  }
  return runs;
}

/** Takes out the entry that a program has made of a connection that there is none of. */
function forget(packet: Packet, family: Family): void {
  deleteConntrack({
    family,
    proto: protocolNumber(packet.protocol, family),
    saddr: packet.source,
    daddr: packet.destination,
    sport: packet.sourcePort,
    dport: packet.destinationPort,
  });
}

interface Flows {
  known: FlowEntry | undefined;
  /** After the programs have run. */
  now: FlowEntry | undefined;
}

function conclude(
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
  if (last.fast.length > 0) return { ...base, ...fastOf(last, flows, world) };
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

function fastOf(run: Run, { known, now }: Flows, world: World): Omit<Explanation, "packet" | "steps"> {
  const receiver = run.fast.find(({ direction }) => direction === 0);
  const reached = world.endpoints.find(({ slot }) => slot === receiver?.slot);
  const device = now !== undefined && isToOutside(now) ? now.flow.ifindex : run.hook.ifindex;
  const by = reached === undefined ? deviceName(world, device) : deviceOf(reached, world);
  const flow = now === undefined ? undefined : known === undefined ? newOrAdopted(now) : originName(known);
  const whom = reached === undefined ? `leaves by ${by}` : `reaches ${endpointName(reached)} by ${by}`;
  const how =
    flow === undefined ? "" : flow === "new" ? ", as a new connection" : `, by a flow entry that was ${flow}`;
  return {
    verdict: "fast",
    reason: null,
    why: `${whom}${how}`,
    to: reached === undefined ? null : explained(reached, world),
    by,
    ...(flow === undefined ? {} : { flow }),
  };
}

/** Made of a connection that conntrack knew, or with it. */
const newOrAdopted = (entry: FlowEntry) =>
  entry.flow.origin === FlowOrigin.MADE ? "new" : originName(entry);
const originName = ({ flow }: FlowEntry): string => FlowOriginName[flow.origin] ?? String(flow.origin);

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

/** A packet that passes none of the programs: a socket that is led, or what is the kernel's. */
function beside(
  packet: Packet,
  family: Family,
  passage: Passage,
  maps: Maps,
  world: World,
  pins: Pins,
): Explanation {
  const attached = pins.list(pins.links).some(isHostSocketPin);
  const led = passage.isHosts && attached ? ledTo(packet, family, maps, world) : undefined;
  const why = `left to the kernel: ${passage.beside ?? "no program of fairway's is on its way"}`;
  if (led === undefined) return { packet, steps: [], verdict: "slow", reason: null, why };
  const condition = led.whileProxied ? ", while docker-proxy listens there" : "";
  const program = `host_${packet.protocol === "tcp" ? "connect" : "sendmsg"}_ipv${family}`;
  const translated = { ...packet, destination: led.address, destinationPort: led.port };
  return {
    packet,
    steps: [{ device: "socket", program, verdict: "redirect", reasons: [], packet: translated }],
    verdict: "fast",
    reason: null,
    why: `the host's socket is led to ${endpointName(led.known)}${condition}`,
    to: explained(led.known, world),
    by: deviceOf(led.known, world),
  };
}

function explained(known: KnownEndpoint, world: World): ExplainedEndpoint {
  return {
    container: known.container ?? null,
    network: known.network ?? null,
    device: deviceOf(known, world),
  };
}

/** The endpoint's veth, or its parent. */
function deviceOf({ endpoint }: KnownEndpoint, world: World): string {
  return deviceName(world, world.devices.has(endpoint.ifindex) ? endpoint.ifindex : endpoint.bridgeIfindex);
}
