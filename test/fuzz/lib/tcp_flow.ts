// A TCP connection: a handshake, data both ways, an end, sometimes again on the same tuple; and everything out of order.

import type { Connection, End } from "./ends.js";
import { flag, type Payload, tcp } from "./frame.js";
import { icmpError, type Origin, send } from "./packets.js";
import type { Random } from "./random.js";
import type { FrameStep } from "./script.js";
import type { Flow } from "./udp_flow.js";

type Phase = "new" | "syn" | "answered" | "open" | "closed";

interface Half {
  readonly end: End;
  seq: number;
  ack: number;
  fin: boolean;
}

/** A packet that went out last. */
interface Last {
  readonly half: Half;
  readonly note: string;
  readonly payload: Payload;
}

/** A connection of TCP. */
export class TcpFlow implements Flow {
  over = false;
  #phase: Phase = "new";
  #client: Half;
  #server: Half | undefined;
  #opened: number | undefined;
  #last: Last | undefined;
  /** How often a packet is not what a well-behaved end would send. */
  readonly #oddness: number;
  /** The two ends don't tell the same story. */
  #loose: boolean;
  #acknowledged = false;
  /** How many packets of data it has before it ends. */
  #left: number;

  constructor(
    private readonly random: Random,
    private readonly connection: Connection,
    private readonly number: number,
  ) {
    const { client, server, loose = false } = connection;
    this.#loose = loose;
    this.#client = { end: client, seq: random.u32(), ack: 0, fin: false };
    this.#server = server && { end: server, seq: random.u32(), ack: 0, fin: false };
    this.#oddness = random.weighted([
      [75, 0],
      [15, 0.03],
      [10, 0.3],
    ]);
    this.#left = server ? random.pick([0, 1, 4, 20, 100, 400]) : random.below(4);
    // Data of a connection that nobody has seen the beginning of.
    if (random.chance(0.03)) {
      this.#phase = "open";
      this.#loose = true;
    }
  }

  next(index: number): FrameStep[] {
    const { random } = this;
    if (random.chance(this.#oddness)) return this.#odd(index);
    const last = this.#last;
    if (last && random.chance(0.03))
      return this.#transmit(index, last.half, `${last.note} again`, last.payload);
    if (last && this.#server && random.chance(0.006)) return this.#error(index, last);
    const server = this.#server;
    switch (this.#phase) {
      case "new":
        this.#phase = "syn";
        return this.#segment(index, this.#client, flag.syn, 0, "SYN");
      case "syn":
        if (!server) return this.#end(index);
        // Nobody there.
        if (random.chance(0.05)) return this.#reset(index, server);
        if (random.chance(0.03)) return this.#end(index);
        this.#phase = "answered";
        server.ack = this.#client.seq;
        return this.#segment(index, server, flag.syn | flag.ack, 0, "SYN ACK");
      case "answered":
        if (!server) return this.#end(index);
        if (random.chance(0.02)) return this.#end(index); // Half open.
        this.#phase = "open";
        this.#client.ack = server.seq;
        return this.#segment(index, this.#client, flag.ack, 0, "ACK");
      case "open":
        return this.#data(index);
      case "closed":
        return this.#end(index);
    }
  }

  #data(index: number): FrameStep[] {
    const { random } = this;
    const server = this.#server;
    if (!server) return this.#end(index);
    const [from, to] = random.chance(0.5) ? [this.#client, server] : [server, this.#client];
    if (from.fin && to.fin) {
      if (random.chance(0.7)) {
        this.#acknowledged = true;
        from.ack = to.seq;
        return this.#segment(index, from, flag.ack, 0, "last ACK");
      }
      this.#phase = "closed";
      // An end that waits for the last ACK does not use the tuple again.
      if (!this.#acknowledged) this.#loose = true;
      return [];
    }
    if (this.#left-- <= 0 && !from.fin) {
      if (random.chance(0.15)) return this.#reset(index, from);
      from.fin = true;
      from.ack = to.seq;
      return this.#segment(index, from, flag.fin | flag.ack, 0, "FIN");
    }
    from.ack = to.seq;
    if (from.fin || random.chance(0.3)) return this.#segment(index, from, flag.ack, 0, "ACK");
    const length = random.weighted([
      [60, random.between(1, 64)],
      [20, random.between(65, 600)],
      [5, random.between(1200, 1448)],
    ]);
    const flags = flag.ack | (random.chance(0.5) ? flag.psh : 0);
    // As a stack sends it that leaves the rest to its network card. In an odd connection what becomes of it is harder to tell.
    if (this.#oddness === 0 && !this.#loose && random.chance(0.15)) {
      const large = random.chance(0.3);
      const segment = random.pick([536, 1000, 1400]);
      const size = large ? random.between(segment + 1, 60_000) : length;
      return this.#segment(
        index,
        from,
        flags,
        size,
        large ? "GSO data" : "offloaded data",
        large ? segment : 0,
      );
    }
    return this.#segment(index, from, flags, length, "data");
  }

  #reset(index: number, half: Half): FrameStep[] {
    this.#phase = "closed";
    return this.#segment(index, half, flag.rst | flag.ack, 0, "RST");
  }

  /** After the end: silence, late packets, or the same tuple again. */
  #end(index: number): FrameStep[] {
    const { random } = this;
    if (random.chance(0.25)) {
      this.#client = { end: this.connection.client, seq: random.u32(), ack: 0, fin: false };
      const { server } = this.connection;
      this.#server = server && { end: server, seq: random.u32(), ack: 0, fin: false };
      this.#phase = "syn";
      // Its NAT may choose anew.
      this.#opened = undefined;
      this.#acknowledged = false;
      this.#left = random.below(8);
      return this.#segment(index, this.#client, flag.syn, 0, "SYN on the same tuple");
    }
    if (this.#server && random.chance(0.3)) {
      const half = random.chance(0.5) ? this.#client : this.#server;
      this.#loose = true;
      return this.#segment(index, half, flag.ack, random.below(2) * 20, "late packet");
    }
    this.over = true;
    return [];
  }

  /** Anything from any end. */
  #odd(index: number): FrameStep[] {
    const { random } = this;
    const half = this.#server && random.chance(0.5) ? this.#server : this.#client;
    const sideways = random.weighted([
      [3, 0],
      [1, random.between(1, 70000)],
      [1, -random.between(1, 70000)],
      [1, random.u32()],
    ]);
    const flags = random.weighted<[number, string]>([
      [3, [flag.ack, "ACK"]],
      [3, [flag.syn, "SYN"]],
      [3, [flag.syn | flag.ack, "SYN ACK"]],
      [2, [flag.rst, "RST"]],
      [2, [flag.rst | flag.ack, "RST ACK"]],
      [2, [flag.fin | flag.ack, "FIN"]],
      [1, [flag.fin, "FIN without ACK"]],
      [1, [0, "no flags"]],
      [1, [flag.syn | flag.fin, "SYN FIN"]],
      [1, [flag.syn | flag.rst, "SYN RST"]],
      [1, [flag.fin | flag.psh | flag.urg, "FIN PSH URG"]],
      [1, [random.below(256), "random flags"]],
    ]);
    const length = random.chance(0.5) ? 0 : random.between(1, 100);
    // One that opens or ends the connection would do so for fairway alone: see "bad-checksum" in docs/fuzzing.md.
    const badChecksum = random.chance(0.1) && !(flags[0] & (flag.syn | flag.fin | flag.rst));
    const payload = this.#build(half, flags[0], length, sideways, badChecksum);
    const note = `odd: ${flags[1]}${sideways ? ", sequence off" : ""}${badChecksum ? ", bad checksum" : ""}`;
    return this.#transmit(index, half, note, payload, "tcp");
  }

  #segment(
    index: number,
    half: Half,
    flags: number,
    length: number,
    what: string,
    segments?: number,
  ): FrameStep[] {
    const payload = this.#build(half, flags, length, 0, false, segments);
    half.seq = (half.seq + length + (flags & (flag.syn | flag.fin) ? 1 : 0)) >>> 0;
    const note = length > 0 ? `${what} ${length} B` : what;
    this.#last = { half, note, payload };
    return this.#transmit(index, half, note, payload);
  }

  #build(
    half: Half,
    flags: number,
    length: number,
    sideways: number,
    badChecksum: boolean,
    segments?: number,
  ): Payload {
    const { random, connection } = this;
    const { end } = half;
    const ends = {
      family: connection.family,
      sourceMac: end.mac,
      destinationMac: end.nextMac,
      source: end.address,
      destination: end.peer,
    };
    const options = flags & flag.syn ? synOptions : random.chance(0.3) ? timestamps : undefined;
    return tcp(ends, {
      sport: end.sport,
      dport: end.dport,
      seq: (half.seq + sideways) >>> 0,
      ack: flags & flag.ack ? half.ack : 0,
      flags,
      ...(random.chance(0.05) && { window: random.pick([0, 1, 65535]) }),
      ...(options && { options }),
      payload: length > 0 ? random.bytes(length) : new Uint8Array(),
      badChecksum,
      ...(segments !== undefined && { segments }),
    });
  }

  #transmit(index: number, half: Half, note: string, payload: Payload, odd?: "tcp"): FrameStep[] {
    const { random, connection } = this;
    const who = half === this.#server || half.end === connection.server ? "server" : "client";
    const origin = this.#origin();
    const manner = odd ?? (this.#loose ? "tcp" : undefined);
    const steps = send(random, connection, half.end, origin, index, `${who} ${note}`, payload, manner);
    if (who === "client" && this.#opened === undefined) this.#opened = index;
    return steps;
  }

  #error(index: number, last: Last): FrameStep[] {
    const { random, connection } = this;
    const receiver = last.half.end === connection.client ? connection.server : connection.client;
    if (!receiver) return [];
    // The quote is what the receiver saw: with its own view of addresses and ports.
    const ends = {
      family: connection.family,
      sourceMac: "",
      destinationMac: "",
      source: receiver.peer,
      destination: receiver.address,
    };
    const quoted = tcp(ends, {
      sport: receiver.dport,
      dport: receiver.sport,
      seq: last.half.seq,
      ack: last.half.ack,
      flags: flag.ack,
    });
    return [icmpError(random, connection, receiver, this.#origin(), index, quoted)];
  }

  #origin(): Origin {
    return { flow: this.number, name: `flow ${this.number} (${this.connection.name})`, opened: this.#opened };
  }
}

const synOptions = Uint8Array.from([2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 3, 7]);
const timestamps = Uint8Array.from([1, 1, 8, 10, 0, 0, 2, 0, 0, 0, 1, 0]);
