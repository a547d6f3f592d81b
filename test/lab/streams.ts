// Live streams that tell of every loss: TCP whose every byte is known, and numbered datagrams both ways.

import { type Background, type Disposers, type Namespace, until } from "./lib/index.js";

/** stream.mjs: what the receiver has. */
export interface StreamAnswer {
  readonly bytes: number;
  /** Every byte is the one that was sent. */
  readonly exact: boolean;
  readonly error?: string;
}

/** datagrams.mjs: one way. */
export interface DatagramCounts {
  readonly sent: number;
  readonly received?: number;
  readonly lost?: number;
  readonly repeated?: number;
  readonly late?: number;
}

/** datagrams.mjs */
export interface DatagramAnswer {
  readonly toServer: DatagramCounts;
  readonly toClient: DatagramCounts;
  readonly errors: Readonly<Record<string, number>>;
}

/** A running stream. */
export class Live<T> {
  /** @param receiver where what arrives is counted: the client itself, or the server of an upload */
  constructor(
    readonly client: Background,
    private readonly receiver: Background,
  ) {}

  /** Bytes or datagrams so far, of all the receiver's streams; printed ten times a second. */
  get received(): number {
    const at = this.receiver.stdout.lastIndexOf("received ");
    return at < 0 ? 0 : Number.parseInt(this.receiver.stdout.slice(at + 9), 10);
  }

  /** Waits until more has arrived than now. */
  async moves(timeout = 10_000): Promise<void> {
    const before = this.received;
    await until("the stream goes on", () => this.received > before, { timeout });
  }

  /** Ends it in good order and returns what came of it. */
  async end(): Promise<T> {
    this.client.kill("SIGUSR1");
    await this.client.exited;
    const answer = this.client.stdout.trim().split("\n").at(-1) ?? "";
    if (!answer.startsWith("{")) throw new Error(`a stream ended without an answer: ${this.client.stderr}`);
    return JSON.parse(answer) as T;
  }
}

/** A server of streams or datagrams; each of the tests' streams has one of its own, so that what arrives is told apart. */
export async function serveLive(
  kind: "stream" | "datagrams",
  at: Namespace,
  port: number,
  disposers: Disposers,
): Promise<Background> {
  const server = at.agent(`${kind}.mjs`, ["serve", port], disposers);
  await server.waitFor(/ready/);
  return server;
}

/** Where a stream leads. */
export interface Destination {
  readonly host: string;
  readonly port: number;
}

/**
 * A container's or a client's download or upload of a known stream, as soon as it is under way.
 * @param server of an upload: there progress is seen; without one the first moment is not waited for
 */
export async function stream(
  direction: "download" | "upload",
  from: Namespace,
  to: Destination,
  rate: number,
  server: Background | undefined,
  disposers: Disposers,
): Promise<Live<StreamAnswer>> {
  const client = from.agent("stream.mjs", [direction, to.host, to.port, rate], disposers);
  const live = new Live<StreamAnswer>(client, direction === "download" ? client : (server ?? client));
  await client.waitFor(/^connected$/m);
  if (direction === "download" || server) await live.moves();
  return live;
}

/** Numbered datagrams both ways; progress is what the server receives where one is given, else what the client does. */
export async function datagrams(
  from: Namespace,
  to: Destination,
  interval: number,
  disposers: Disposers,
  server?: Background,
): Promise<Live<DatagramAnswer>> {
  const client = from.agent("datagrams.mjs", ["talk", to.host, to.port, interval], disposers);
  await client.waitFor(/^up$/m);
  return new Live<DatagramAnswer>(client, server ?? client);
}

/** What the kernel of a namespace has counted. */
export interface Counted {
  /** IP packets as on a wire: a GSO packet counts as its segments. */
  readonly sent: number;
  readonly received: number;
  readonly retransmits: number;
  /** Connections that were reset, by either end. */
  readonly resets: number;
}

/**
 * A namespace's counters of /proc/net/snmp and netstat. Of what is sent only TCP and UDP are counted, of what is received
 * everything: in a namespace that speaks nothing else, what one end sent and the other did not receive was lost.
 */
export async function counted(at: Namespace): Promise<Counted> {
  const { stdout } = await at.exec(["cat", "/proc/net/snmp", "/proc/net/netstat"]);
  const lines = stdout.trim().split("\n");
  const counters = new Map<string, number>();
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [group = "", ...names] = (lines[i] ?? "").split(/\s+/);
    const [, ...values] = (lines[i + 1] ?? "").split(/\s+/);
    for (const [j, name] of names.entries()) counters.set(group + name, Number(values[j]));
  }
  const sum = (...names: string[]) =>
    names.reduce((total, name) => total + (counters.get(name) ?? Number.NaN), 0);
  return {
    sent: sum("Tcp:OutSegs", "Tcp:RetransSegs", "Udp:OutDatagrams"),
    received: sum("IpExt:InNoECTPkts", "IpExt:InECT1Pkts", "IpExt:InECT0Pkts", "IpExt:InCEPkts"),
    retransmits: sum("Tcp:RetransSegs"),
    resets: sum("Tcp:OutRsts", "Tcp:EstabResets"),
  };
}

/** later - earlier. */
export const countedSince = (later: Counted, earlier: Counted): Counted => ({
  sent: later.sent - earlier.sent,
  received: later.received - earlier.received,
  retransmits: later.retransmits - earlier.retransmits,
  resets: later.resets - earlier.resets,
});
