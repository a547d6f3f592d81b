import { randomInt } from "node:crypto";
import { isHostSocketPin } from "../datapath/host_sockets.js";
import type { Maps } from "../datapath/maps.js";
import type { PinnedMaps } from "../datapath/pinned_maps.js";
import type { Pins } from "../datapath/pins.js";
import type { Family } from "../ip.js";
import { deleteConntrack } from "../native/index.js";
import { conclude, deviceOf, type Explanation, explainedEndpoint, flowSource, type Run } from "./conclude.js";
import { partiesOf } from "./ends.js";
import { frameOf, type Packet, protocolNumber, readFrame } from "./frame.js";
import { copyKnown, flowKeyOf, flowTable, isInConntrack } from "./known.js";
import { type Passage, passageOf } from "./passage.js";
import type { Question } from "./question.js";
import { Replica } from "./replica.js";
import { ledTo } from "./sockets.js";
import { endpointName, type World } from "./world.js";

/** The ports that hosts choose from for themselves (RFC 6335, 6): the first, and the one after the last. */
const DYNAMIC_PORTS = [49152, 65536] as const;

/**
 * Tells what would become of a packet, by running it through the programs as they are attached (Replica).
 * @param pinned the maps in use
 * @throws UserError where nothing is pinned, or names mean nobody
 */
export function explain(question: Question, world: World, pins: Pins, pinned: PinnedMaps): Explanation {
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
  if (passage.beside !== undefined) {
    const led = passage.isHosts ? ledBySocket(packet, family, pins, pinned.maps, world) : undefined;
    return led ?? leftBeside(packet, passage.beside);
  }

  const slots = 1 + Math.max(-1, ...world.endpoints.map(({ slot }) => slot));
  const replica = Replica.load(pins, pinned, slots);
  try {
    const before = copyKnown(packet, family, passage.flowsOf, pinned.maps, replica.maps);
    const known =
      before !== undefined || (question.sourcePort !== undefined && isInConntrack(packet, family));
    const sent = { ...packet, established: known && packet.protocol === "tcp" };
    const runs = runThrough(replica, sent, passage);
    const after = flowTable(replica.maps, family).get(flowKeyOf(sent, family, passage.flowsOf));
    const flows = { before, after };
    if (flowSource(flows) === "new") forget(sent, family);
    return conclude(sent, runs, flows, parties, world);
  } finally {
    replica.close();
  }
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

/** A packet that passes no program. */
function leftBeside(packet: Packet, beside: string): Explanation {
  return { packet, steps: [], verdict: "slow", reason: null, why: `left to the kernel: ${beside}` };
}

/** What becomes of a packet of the host's own whose socket is led to a container; undefined: it is not. */
function ledBySocket(
  packet: Packet,
  family: Family,
  pins: Pins,
  maps: Maps,
  world: World,
): Explanation | undefined {
  if (!pins.list(pins.links).some(isHostSocketPin)) return undefined;
  const led = ledTo(packet, family, maps, world);
  if (led === undefined) return undefined;
  const condition = led.whileProxied ? ", while docker-proxy listens there" : "";
  const program = `host_${packet.protocol === "tcp" ? "connect" : "sendmsg"}_ipv${family}`;
  const translated = { ...packet, destination: led.address, destinationPort: led.port };
  return {
    packet,
    steps: [{ device: "socket", program, verdict: "redirect", reasons: [], packet: translated }],
    verdict: "fast",
    reason: null,
    why: `the host's socket is led to ${endpointName(led.known)}${condition}`,
    to: explainedEndpoint(led.known, world),
    by: deviceOf(led.known, world),
  };
}
