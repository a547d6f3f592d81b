/** Conntrack entries as the kernel makes them, which no program of ours has seen, and what is read of entries. */
import { execFileSync } from "node:child_process";
import type { Address } from "../../../src/ip.js";
import {
  type ConntrackEntry,
  type ConntrackTuple,
  deleteConntrack,
  updateConntrackTcp,
} from "../../../src/native/index.js";

/** IPS_* of linux/netfilter/nf_conntrack_common.h. */
export const seenReply = 1 << 1;
export const assured = 1 << 2;

/** TCP_CONNTRACK_* */
export const tcpState = {
  none: 0,
  synSent: 1,
  established: 3,
  finWait: 4,
  timeWait: 7,
  close: 8,
  synSent2: 9,
} as const;
const stateNames = {
  synSent: "SYN_SENT",
  established: "ESTABLISHED",
  finWait: "FIN_WAIT",
  timeWait: "TIME_WAIT",
  close: "CLOSE",
  synSent2: "SYN_SENT2",
};

/** The kernel's defaults, in seconds. */
export const timeouts = {
  synSent: 120,
  synReceived: 60,
  established: 432_000,
  finWait: 120,
  close: 10,
  udp: 30,
  udpStream: 120,
} as const;

/** For toSatisfy(): a timeout that was set to so many seconds just now. */
export function about(seconds: number): (actual: number) => boolean {
  return (actual) => actual <= seconds && actual > seconds - 4;
}

export interface End {
  address: Address;
  port: number;
}

export interface KernelConnection {
  protocol: "tcp" | "udp";
  /** Who opened it, and to what. */
  from: End;
  to: End;
  /** Source NAT: as whom its opener is answered. Default: no NAT. */
  fromAs?: End;
  /** Destination NAT: who answers. */
  toAs?: End;
  /** TCP, default established. */
  state?: keyof typeof stateNames;
  /** Default true, but for TCP in state synSent, where the tracker has seen no answer. */
  answered?: boolean;
  mark?: number;
}

function conntrack(...words: string[]): void {
  execFileSync("conntrack", words, { stdio: ["ignore", "ignore", "pipe"] });
}

/** Makes the entry that the kernel has of a connection that it let pass (the tool says of TCP that a FIN was seen). */
export function trackByKernel(connection: KernelConnection): void {
  const { protocol, from, to, fromAs = from, toAs = to, state = "established" } = connection;
  const { answered = state !== "synSent" } = connection;
  conntrack(
    ...["-I", "-p", protocol, "-t", "300"],
    ...["-s", from.address, "--sport", String(from.port), "-d", to.address, "--dport", String(to.port)],
    ...["-r", toAs.address, "--reply-port-src", String(toAs.port)],
    ...["-q", fromAs.address, "--reply-port-dst", String(fromAs.port)],
    ...(protocol === "tcp" ? ["--state", stateNames[state]] : []),
    ...(answered ? ["-u", "SEEN_REPLY,ASSURED"] : []),
    ...(connection.mark === undefined ? [] : ["-m", String(connection.mark)]),
  );
}

/** Sets how many seconds an entry has left. */
export function setTimeoutOf({ original }: ConntrackEntry, seconds: number): void {
  conntrack(
    ...["-U", "-p", original.proto === 6 ? "tcp" : "udp"],
    ...["-s", original.saddr, "--sport", String(original.sport)],
    ...["-d", original.daddr, "--dport", String(original.dport), "-t", String(seconds)],
  );
}

/** As when the kernel's tracker has seen a packet. */
export function setTcpState(entries: readonly { original: ConntrackTuple }[], state: number): void {
  updateConntrackTcp(entries.map(({ original }) => ({ original, state, liberal: false })));
}

/** As when somebody flushes the table. */
export function forget(entries: readonly { original: ConntrackTuple }[]): void {
  for (const { original } of entries) deleteConntrack(original);
}
