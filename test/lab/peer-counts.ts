// What a container itself has counted of its packets, and what fairway has: the same, by definition.

import { Capture, type Container, type Disposers, type Metrics } from "./lib/index.js";

/** Of one direction as the container sees it. */
export interface Traffic {
  readonly packets: number;
  readonly bytes: number;
  /** Packets. */
  readonly syn: number;
  readonly rst: number;
  /** TCP connections. */
  readonly opened: number;
}

/** Receive is towards the container. */
export type Counts = Readonly<Record<"receive" | "transmit", Traffic>>;

/** A port of the container's own. */
export interface Port {
  readonly proto: "tcp" | "udp";
  readonly port: number;
}

/** Packets and bytes of a port of the container's, or of what it is published as. */
export type PortCounts = Readonly<Record<"receive" | "transmit", { packets: number; bytes: number }>>;

const directions = ["receive", "transmit"] as const;
const kinds = ["all", "syn", "rst"] as const;
type Direction = (typeof directions)[number];

const rules = (direction: Direction) =>
  [
    `counter name ${direction}_all`,
    `tcp flags & (syn | ack) == syn counter name ${direction}_syn`,
    `tcp flags & rst == rst counter name ${direction}_rst`,
  ].join("; ");

const portCounter = (direction: Direction, { proto, port }: Port) => `${direction}_${proto}_${port}`;
const portRules = (direction: Direction, ports: readonly Port[]) =>
  ports.map((one) => {
    const own = direction === "receive" ? "dport" : "sport";
    return `; ${one.proto} ${own} ${one.port} counter name ${portCounter(direction, one)}`;
  });

/** Counts every frame at the container's device, in its own namespace. */
const table = (ports: readonly Port[]) => {
  const names = directions.flatMap((direction) => [
    ...kinds.map((kind) => `${direction}_${kind}`),
    ...ports.map((port) => portCounter(direction, port)),
  ]);
  const all = (direction: Direction) => `${rules(direction)}${portRules(direction, ports).join("")}`;
  return `table netdev counts {
${names.map((name) => `  counter ${name} {}`).join("\n")}
  chain receive { type filter hook ingress device eth0 priority 0; ${all("receive")}; }
  chain transmit { type filter hook egress device eth0 priority 0; ${all("transmit")}; }
}
`;
};

/** What leaves has its Ethernet header at that hook, what arrives has not. */
const LINK_HEADER = { receive: 0, transmit: 14 } as const;
/** Of the lab's devices. */
const MTU = 1500;

interface Counter {
  readonly packets: number;
  readonly bytes: number;
}

/**
 * The container's own counts, since start(). A GSO packet is one packet at its device: such are captured there as well, and count as
 * the segments that they are on a wire, each with the headers that the packet has.
 */
export class PeerCounts {
  private constructor(
    private readonly container: Container,
    private readonly large: Capture,
    private readonly opened: Record<Direction, number>,
  ) {}

  /**
   * Begins to count.
   * @param ports of its own that are counted each by itself, whoever is at the other end
   */
  static async start(
    container: Container,
    disposers: Disposers,
    ports: readonly Port[] = [],
  ): Promise<PeerCounts> {
    const { namespace } = container;
    const filter = `tcp and greater ${MTU + 15}`;
    const large = await Capture.start(namespace, { device: "eth0", filter, headersOnly: true, disposers });
    await namespace.exec(["nft", "-f", "-"], { input: table(ports) });
    return new PeerCounts(container, large, await opened(container));
  }

  async read(): Promise<Counts> {
    const counters = await this.#counters();
    const connections = await opened(this.container);
    const of = (direction: Direction): Traffic => {
      const all = counters(`${direction}_all`);
      const more = this.#moreSegments(direction);
      return {
        packets: all.packets + more.packets,
        bytes: all.bytes - all.packets * LINK_HEADER[direction] + more.bytes,
        syn: counters(`${direction}_syn`).packets,
        rst: counters(`${direction}_rst`).packets,
        opened: connections[direction] - this.opened[direction],
      };
    };
    return { receive: of("receive"), transmit: of("transmit") };
  }

  /** Of one of the ports that it was started with. */
  async readPort(port: Port): Promise<PortCounts> {
    const counters = await this.#counters();
    const of = (direction: Direction) => {
      const all = counters(portCounter(direction, port));
      const more = port.proto === "tcp" ? this.#moreSegments(direction, port.port) : { packets: 0, bytes: 0 };
      return {
        packets: all.packets + more.packets,
        bytes: all.bytes - all.packets * LINK_HEADER[direction] + more.bytes,
      };
    };
    return { receive: of("receive"), transmit: of("transmit") };
  }

  /** Segments of GSO packets but for each one's first, and the bytes of their headers. */
  #moreSegments(direction: Direction, port?: number): Counter {
    const own = new Set([this.container.address(), this.container.address6()]);
    let [packets, bytes] = [0, 0];
    for (const text of this.large.packets) {
      const { source, sport, dport, headers, payload } = gsoPacket(text);
      if (own.has(source) !== (direction === "transmit")) continue;
      if (port !== undefined && port !== (direction === "transmit" ? sport : dport)) continue;
      const more = Math.ceil(payload / (MTU - headers)) - 1;
      packets += more;
      bytes += more * headers;
    }
    return { packets, bytes };
  }

  /** Segments that were part of a GSO packet, but for its first. */
  get extraSegments(): number {
    return this.#moreSegments("receive").packets + this.#moreSegments("transmit").packets;
  }

  async #counters(): Promise<(name: string) => Counter> {
    const { stdout } = await this.container.namespace.exec(["nft", "-j", "list", "counters"]);
    const listed = (JSON.parse(stdout) as { nftables: { counter?: Counter & { name: string } }[] }).nftables;
    const byName = new Map(listed.flatMap(({ counter }) => (counter ? [[counter.name, counter]] : [])));
    return (name) => {
      const found = byName.get(name);
      if (found === undefined) throw new Error(`no counter ${name}`);
      return found;
    };
  }
}

/** What tcpdump -v says of a TCP packet: IP's length, or what it says comes after the IPv6 header, and TCP's payload. */
function gsoPacket(text: string) {
  const ip = /, length (\d+)\)\s+(\S+)\.(\d+) > \S+\.(\d+): /.exec(text);
  const ip6 = /payload length: (\d+)\) (\S+)\.(\d+) > \S+\.(\d+): /.exec(text);
  const payload = Number(/length (\d+)(?::|\s*$)/.exec(text.slice(text.indexOf(" > ")))?.[1]);
  const [, length, source = "", sport, dport] = ip ?? ip6 ?? [];
  const headers = Number(length) + (ip ? 0 : 40) - payload;
  if (!(headers > 0)) throw new Error(`not as tcpdump has it: ${text}`);
  return { source, sport: Number(sport), dport: Number(dport), headers, payload };
}

/** Connections that its namespace's TCP has accepted and opened. */
async function opened({ namespace }: Container): Promise<Record<Direction, number>> {
  const { stdout } = await namespace.exec(["cat", "/proc/net/snmp"]);
  const [names = "", values = ""] = stdout.split("\n").filter((line) => line.startsWith("Tcp:"));
  const of = (name: string) => Number(values.split(" ")[names.split(" ").indexOf(name)]);
  return { receive: of("PassiveOpens"), transmit: of("ActiveOpens") };
}

/** What fairway has counted of a container, by both paths. */
export function fairwayCounts(metrics: Metrics, container: string): Counts {
  const of = (direction: Direction): Traffic => {
    const ofDirection = { container, direction };
    return {
      packets: metrics.sum(`fairway_endpoint_${direction}_packets_total`, { container }),
      bytes: metrics.sum(`fairway_endpoint_${direction}_bytes_total`, { container }),
      syn: metrics.sum("fairway_endpoint_tcp_syn_packets_total", ofDirection),
      rst: metrics.sum("fairway_endpoint_tcp_rst_packets_total", ofDirection),
      opened: metrics.sum("fairway_endpoint_connections_opened_total", { ...ofDirection, proto: "tcp" }),
    };
  };
  return { receive: of("receive"), transmit: of("transmit") };
}

/** What fairway has counted of a port of the container's as it is published, by both paths. */
export function fairwayPortCounts(
  metrics: Metrics,
  container: string,
  proto: Port["proto"],
  published: string,
): PortCounts {
  const of = (direction: Direction) => {
    const figure = (unit: string) =>
      metrics.sum(`fairway_published_port_${direction}_${unit}_total`, { container, proto, published });
    return { packets: figure("packets"), bytes: figure("bytes") };
  };
  return { receive: of("receive"), transmit: of("transmit") };
}

/** later - earlier, each figure. */
export function since(earlier: Counts, later: Counts): Counts {
  const minus = (a: Traffic, b: Traffic): Traffic => ({
    packets: a.packets - b.packets,
    bytes: a.bytes - b.bytes,
    syn: a.syn - b.syn,
    rst: a.rst - b.rst,
    opened: a.opened - b.opened,
  });
  return {
    receive: minus(later.receive, earlier.receive),
    transmit: minus(later.transmit, earlier.transmit),
  };
}
