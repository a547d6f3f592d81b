// A script: what is done to both hosts, step by step. The same script, the same questions; only ports that a host's NAT chose
// are filled in as they turn out there.

import { replace16 } from "./frame.js";
import type { Offload } from "./player.js";
import type { Place } from "./world.js";

/** A field that holds a port (or an echo id) that NAT chose for the packet of an earlier step. */
export interface Learned {
  /** Where in the frame. */
  readonly at: number;
  /** Checksums over it. */
  readonly checksums: readonly number[];
  /** The first of them is UDP's, in which 0 says that there is none. */
  readonly udp?: boolean;
  /** The step whose packet showed the port at its arrival outside. */
  readonly of: number;
}

/** What a packet of a connection is when its other end gets it: routed and translated, or bridged as it is. */
export interface Through {
  readonly place: Place;
  readonly bridged: boolean;
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly source: string;
  readonly destination: string;
  readonly dport: number;
}

export interface FrameStep {
  readonly kind: "frame";
  readonly from: Place;
  readonly frame: Uint8Array;
  readonly offload?: Offload;
  readonly learned?: Learned;
  readonly through?: Through;
  /** Not what an end that follows the rules sends: in its IP header, or to a TCP connection in this state. */
  readonly odd?: "ip" | "tcp";
  /** Which flow of the generator's it belongs to: the shrinker tries these together. */
  readonly flow?: number;
  /** What it is meant to be. */
  readonly note: string;
}

/** What is done to fairway (and on the other host in the way that has the same meaning there, if any). */
export type Control =
  /** Every flow entry is void, as after a change of routes. */
  | "epoch"
  /** Every flow entry is gone, as if evicted. */
  | "evict"
  /** The daemon is killed; what it attached and pinned goes on. */
  | "down"
  /** The daemon is started, where it is down. */
  | "up"
  /** a2 is removed and made again with the same addresses, on both hosts. */
  | "replace";

export interface ControlStep {
  readonly kind: "control";
  readonly control: Control;
}

export interface PauseStep {
  readonly kind: "pause";
  readonly ms: number;
}

export type Step = FrameStep | ControlStep | PauseStep;

/** The frame of a step as one of the hosts gets it. */
export function frameFor(step: FrameStep, ports: ReadonlyMap<number, number>): Uint8Array {
  const { learned } = step;
  const port = learned && ports.get(learned.of);
  if (!learned || port === undefined) return step.frame;
  const frame = step.frame.slice();
  replace16(frame, learned.at, port, learned.checksums);
  const [checksum] = learned.checksums;
  if (learned.udp && checksum !== undefined && frame[checksum] === 0 && frame[checksum + 1] === 0)
    frame.fill(0xff, checksum, checksum + 2);
  return frame;
}
