// Talks to a player: frames in, what arrived out.

import { type ChildProcess, spawn } from "node:child_process";
import { addressBytes } from "./frame.js";
import type { Learned, Through } from "./script.js";
import { type Place, placeNames } from "./world.js";

/** What a network card would be told with a frame: struct virtio_net_hdr, host order, without `num_buffers`. */
export interface Offload {
  readonly flags: number;
  readonly gsoType: number;
  readonly headerLength: number;
  readonly gsoSize: number;
  readonly checksumStart: number;
  readonly checksumOffset: number;
}

export interface Sent {
  readonly place: Place;
  readonly frame: Uint8Array;
  readonly offload?: Offload | undefined;
  /** How it arrives at its connection's other end: where the port that NAT chose can be read off. */
  readonly through?: Through | undefined;
  /** A field for the port that the batch's frame number `of` arrives with. */
  readonly learned?: Learned | undefined;
}

/** A frame that came to a place, after frame number `after` of the batch had been sent. */
export interface Arrival {
  readonly place: Place;
  readonly after: number;
  readonly frame: Buffer;
  readonly offload: Offload;
  /** The TCI of a VLAN tag. */
  readonly vlan?: number;
}

/** What a batch caused. */
export interface Played {
  readonly arrivals: Arrival[];
  /** Frames that couldn't be sent, with errno. */
  readonly refused: ReadonlyMap<number, number>;
}

const batchHeader = 12;
const sentHeader = 62;
const arrivedHeader = 24;
const placeError = 0xffff;
const placeNone = 0xffff;
const numbers = new Map(placeNames.map((name, number) => [name, number]));

/** A running player, with the places of one host. */
export class Player {
  #child: ChildProcess;
  #received: Buffer[] = [];
  #length = 0;
  #wanted: { resolve: (played: Played) => void; reject: (error: Error) => void } | undefined;
  #stderr = "";
  #ended: Error | undefined;

  /**
   * Starts a player.
   * @param program the compiled player.c
   * @param places where each place's device is: NAMESPACE-PATH:DEVICE
   */
  constructor(program: string, cpu: number, places: ReadonlyMap<Place, string>) {
    const at = placeNames.map((name) => places.get(name) ?? `missing-${name}:`);
    this.#child = spawn(program, [`${cpu}`, ...at], { stdio: ["pipe", "pipe", "pipe"] });
    this.#child.stdin?.on("error", () => {});
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text;
    });
    this.#child.stdout?.on("data", (chunk: Buffer) => {
      this.#received.push(chunk);
      this.#length += chunk.length;
      this.#deliver();
    });
    this.#child.once("close", (code) => {
      this.#ended = new Error(`the player ended with ${code}: ${this.#stderr}`);
      this.#wanted?.reject(this.#ended);
    });
  }

  /** Sends the frames in order and returns all that arrived until nothing had for `settleUs` microseconds. */
  play(frames: readonly Sent[], settleUs = 0): Promise<Played> {
    if (this.#ended) return Promise.reject(this.#ended);
    const length = frames.reduce((sum, { frame }) => sum + sentHeader + frame.length, batchHeader);
    const message = Buffer.allocUnsafe(length);
    message.writeUInt32LE(frames.length, 0);
    message.writeUInt32LE(settleUs, 4);
    message.writeUInt32LE(length - batchHeader, 8);
    let at = batchHeader;
    for (const sent of frames) {
      writeHeader(message, at, sent);
      message.set(sent.frame, at + sentHeader);
      at += sentHeader + sent.frame.length;
    }
    return new Promise((resolve, reject) => {
      this.#wanted = { resolve, reject };
      this.#child.stdin?.write(message);
    });
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    const closed = new Promise((resolve) => this.#child.once("close", resolve));
    this.#wanted = undefined;
    this.#child.stdin?.end();
    await closed;
  }

  #deliver(): void {
    if (this.#length < 4 || !this.#wanted) return;
    if ((this.#received[0]?.length ?? 0) < 4) this.#received = [Buffer.concat(this.#received)];
    const length = this.#received[0]?.readUInt32LE(0) ?? 0;
    if (this.#length < 4 + length) return;
    const all = Buffer.concat(this.#received);
    this.#received = all.length > 4 + length ? [all.subarray(4 + length)] : [];
    this.#length = all.length - 4 - length;
    const { resolve } = this.#wanted;
    this.#wanted = undefined;
    resolve(parse(all.subarray(4, 4 + length)));
  }
}

/** Writes a struct sent. */
function writeHeader(message: Buffer, at: number, { place, frame, offload, through, learned }: Sent): void {
  message.fill(0, at, at + sentHeader);
  message.writeUInt32LE(frame.length, at);
  message.writeUInt16LE(numbers.get(place) ?? 0, at + 4);
  if (offload) {
    message[at + 6] = offload.flags;
    message[at + 7] = offload.gsoType;
    message.writeUInt16LE(offload.headerLength, at + 8);
    message.writeUInt16LE(offload.gsoSize, at + 10);
    message.writeUInt16LE(offload.checksumStart, at + 12);
    message.writeUInt16LE(offload.checksumOffset, at + 14);
  }
  message.writeUInt16LE(through ? (numbers.get(through.place) ?? placeNone) : placeNone, at + 16);
  if (through) {
    const source = addressBytes(through.source);
    message.writeUInt16LE(source.length === 4 ? 4 : 6, at + 18);
    message.set(source, at + 20);
    message.set(addressBytes(through.destination), at + 36);
  }
  if (learned) {
    message.writeUInt16LE(learned.at, at + 52);
    message.writeUInt16LE(learned.of, at + 54);
    message.writeUInt16LE(learned.checksums[0] ?? 0, at + 56);
    message.writeUInt16LE(learned.checksums[1] ?? 0, at + 58);
    message.writeUInt16LE(learned.udp ? 1 : 0, at + 60);
  }
}

function parse(message: Buffer): Played {
  const arrivals: Arrival[] = [];
  const refused = new Map<number, number>();
  for (let at = 0; at < message.length; ) {
    const length = message.readUInt32LE(at);
    const place = message.readUInt16LE(at + 4);
    const after = message.readUInt16LE(at + 6);
    const frame = message.subarray(at + arrivedHeader, at + arrivedHeader + length);
    if (place === placeError) refused.set(after, frame.readInt32LE(0));
    else
      arrivals.push({
        place: placeNames[place] ?? "outside",
        after,
        frame,
        offload: {
          flags: message[at + 8] ?? 0,
          gsoType: message[at + 9] ?? 0,
          headerLength: message.readUInt16LE(at + 10),
          gsoSize: message.readUInt16LE(at + 12),
          checksumStart: message.readUInt16LE(at + 14),
          checksumOffset: message.readUInt16LE(at + 16),
        },
        ...(message.readUInt16LE(at + 20) && { vlan: message.readUInt16LE(at + 18) }),
      });
    at += arrivedHeader + length;
  }
  return { arrivals, refused };
}
