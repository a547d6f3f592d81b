// Datagrams and echoes both ways.

import type { Connection, End } from "./ends.js";
import { icmp, type Payload, udp } from "./frame.js";
import { endsOf, icmpError, type Origin, send } from "./packets.js";
import type { Random } from "./random.js";
import type { FrameStep } from "./script.js";

/** A connection that is going on. */
export interface Flow {
  /** True: it has nothing more to say. */
  readonly over: boolean;
  /**
   * Its next packet; none, or more than one (fragments).
   * @param index the number that the first of them has in the script
   */
  next(index: number): FrameStep[];
}

/** A UDP flow: unreplied, one answer, or a long talk. */
export class UdpFlow implements Flow {
  over = false;
  #left: number;
  #opened: number | undefined;
  readonly #oneWay: boolean;

  constructor(
    private readonly random: Random,
    private readonly connection: Connection,
    private readonly number: number,
  ) {
    this.#left = random.pick([1, 2, 2, 10, 50, 300]);
    this.#oneWay = !connection.server || random.chance(0.15);
  }

  next(index: number): FrameStep[] {
    const { random, connection } = this;
    if (--this.#left <= 0) this.over = true;
    const { client, server } = connection;
    // A server that speaks first is nobody's answer.
    const answers =
      server && !this.#oneWay && (this.#opened !== undefined ? random.chance(0.5) : random.chance(0.02));
    const end = answers ? server : client;
    if (this.#opened !== undefined && random.chance(0.006)) {
      const receiver = random.chance(0.5) && server ? server : client;
      const got = {
        ...endsOf(connection.family, receiver),
        source: receiver.peer,
        destination: receiver.address,
      };
      const quoted = udp(got, { sport: receiver.dport, dport: receiver.sport, payload: random.bytes(20) });
      return [icmpError(random, connection, receiver, this.#origin(), index, quoted)];
    }
    const length = random.weighted([
      [70, random.below(120)],
      [20, random.between(120, 1472)],
      [1, 1472],
    ]);
    const badChecksum = this.#opened !== undefined && random.chance(0.002);
    const noChecksum = connection.family === 4 && random.chance(0.05);
    const lengthError =
      this.#opened !== undefined && random.chance(0.003) ? random.pick([-8, -1, 1, 20, -length - 8]) : 0;
    const payload = udp(endsOf(connection.family, end), {
      sport: end.sport,
      dport: end.dport,
      payload: random.bytes(length),
      badChecksum,
      noChecksum,
      lengthError,
    });
    const note = `${answers ? "server" : "client"} datagram ${length} B${badChecksum ? ", bad checksum" : ""}${noChecksum ? ", no checksum" : ""}${lengthError ? `, UDP length off by ${lengthError}` : ""}`;
    const steps = send(random, connection, end, this.#origin(), index, note, payload);
    if (!answers) this.#opened ??= index;
    return steps;
  }

  #origin(): Origin {
    return { flow: this.number, name: `flow ${this.number} (${this.connection.name})`, opened: this.#opened };
  }
}

/** Echo requests, and the answers where a kernel doesn't give them. */
export class EchoFlow implements Flow {
  over = false;
  #left: number;
  #opened: number | undefined;

  constructor(
    private readonly random: Random,
    private readonly connection: Connection,
    private readonly number: number,
  ) {
    this.#left = random.between(1, 10);
  }

  next(index: number): FrameStep[] {
    const { random, connection } = this;
    if (--this.#left <= 0) this.over = true;
    const { client, server } = connection;
    const answers = server !== undefined && this.#opened !== undefined && random.chance(0.5);
    const end: End = answers && server ? server : client;
    const [request, reply] = connection.family === 4 ? [8, 0] : [128, 129];
    const payload: Payload = icmp(endsOf(connection.family, end), {
      type: answers ? reply : request,
      code: 0,
      rest: [end.dport, this.#left],
      payload: random.bytes(random.below(80)),
    });
    const origin: Origin = {
      flow: this.number,
      name: `flow ${this.number} (${connection.name})`,
      opened: this.#opened,
    };
    const steps = send(
      random,
      connection,
      end,
      origin,
      index,
      answers ? "echo reply" : "echo request",
      payload,
    );
    if (!answers) this.#opened ??= index;
    return steps;
  }
}
