// Steps and what they caused, in words.

import { protocol } from "./frame.js";
import type { Arrival } from "./player.js";
import type { Step } from "./script.js";
import { isIcmpError, read16, type View, view, viewIp } from "./view.js";

const flagNames = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];

/** A frame in one line. */
export function describeFrame(frame: Uint8Array, vlan?: number): string {
  const macs = `${mac(frame, 6)} > ${mac(frame, 0)}`;
  const tag = vlan === undefined ? "" : ` vlan ${vlan}`;
  const seen = view(frame);
  if (!seen) return `${macs}${tag} ethertype ${read16(frame, 12).toString(16)}, ${frame.length} B`;
  return `${macs}${tag} ${describeIp(frame, seen)}`;
}

function describeIp(frame: Uint8Array, seen: View): string {
  const { ip, family } = seen;
  const parts = [`${seen.source} > ${seen.destination}`, describeL4(frame, seen)];
  if (family === 4) {
    const fragment = read16(frame, ip + 6);
    parts.push(`ttl ${frame[ip + 8]}`, `id ${read16(frame, ip + 4)}`, `len ${read16(frame, ip + 2)}`);
    if (fragment & 0x4000) parts.push("DF");
    if (fragment & 0x2000) parts.push("MF");
    if (fragment & 0x1fff) parts.push(`offset ${(fragment & 0x1fff) * 8}`);
    if (((frame[ip] ?? 0) & 15) !== 5) parts.push(`header ${((frame[ip] ?? 0) & 15) * 4}`);
    if (frame[ip + 1]) parts.push(`tos ${frame[ip + 1]}`);
    parts.push(`sum ${read16(frame, ip + 10).toString(16)}`);
  } else parts.push(`hops ${frame[ip + 7]}`, `len ${read16(frame, ip + 4)}`);
  return `${parts.join(" ")} (${frame.length} B)`;
}

function describeL4(frame: Uint8Array, seen: View): string {
  const { l4, proto } = seen;
  if (l4 === undefined) return `protocol ${proto}`;
  const ports = `${read16(frame, l4)} > ${read16(frame, l4 + 2)}`;
  if (proto === protocol.tcp) {
    const flags = flagNames.filter((_, bit) => (frame[l4 + 13] ?? 0) & (1 << bit)).join(" ");
    return `TCP ${ports} [${flags}] seq ${read32(frame, l4 + 4)} ack ${read32(frame, l4 + 8)} sum ${read16(frame, l4 + 16).toString(16)}`;
  }
  if (proto === protocol.udp)
    return `UDP ${ports} length ${read16(frame, l4 + 4)} sum ${read16(frame, l4 + 6).toString(16)}`;
  if (proto === protocol.icmp || proto === protocol.icmp6) {
    const type = frame[l4] ?? 0;
    const about = isIcmpError(proto, type) ? viewIp(frame, l4 + 8) : undefined;
    const quote = about ? ` about {${describeIp(frame, about)}}` : ` id ${read16(frame, l4 + 4)}`;
    return `ICMP ${type}/${frame[l4 + 1]}${quote}`;
  }
  return `protocol ${proto}`;
}

const read32 = (bytes: Uint8Array, at: number) => read16(bytes, at) * 65536 + read16(bytes, at + 2);

const mac = (frame: Uint8Array, at: number) =>
  [...frame.subarray(at, at + 6)].map((byte) => byte.toString(16).padStart(2, "0")).join(":");

/** A step in one line. */
export function describeStep(index: number, step: Step): string {
  if (step.kind === "pause") return `${index}. ${step.ms} ms pass`;
  if (step.kind === "control") return `${index}. control: ${step.control}`;
  return `${index}. ${step.from} sends ${describeFrame(step.frame)}\n      -- ${step.note}`;
}

/** What arrived, one line each. */
export function describeArrivals(arrivals: readonly Arrival[]): string[] {
  if (arrivals.length === 0) return ["nothing arrives"];
  return arrivals.map(({ place, frame, vlan, offload }) => {
    const gso = offload.gsoSize ? ` gso ${offload.gsoSize}` : "";
    return `${place} gets ${describeFrame(frame, vlan)}${gso}`;
  });
}
