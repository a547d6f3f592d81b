// The questions of the matrix: who asks, whom, how. Pure.

import { members, publisherOf } from "./cast.js";
import type { Setting } from "./settings.js";

export type Protocol = "TCP" | "UDP" | "ICMP";
export type FamilyName = "IPv4" | "IPv6";

/**
 * Where a question goes: an address by the name of whose it is ("web", "GW app", "host", "host2", "127.0.0.1"; "web@other": its
 * address on that network), and a port, which an echo hasn't.
 */
export interface Destination {
  readonly at: string;
  readonly port: number;
}

/** One question. */
export interface Row {
  readonly section: string;
  readonly from: string;
  readonly to: Destination;
  /** What is special about it, for people. */
  readonly note: string;
  readonly protocol: Protocol;
  readonly family: FamilyName;
  /** The container whose packets tell which path the connection took; none where it is the kernel's in any case. */
  readonly counted?: string;
  /** The fast path claims it: where it is slow, there must be a reason (exceptions.ts). */
  readonly claimed: boolean;
}

/** Several questions of one kind. */
interface Group {
  readonly from: string | readonly string[];
  /** "AT:PORT" or, for echoes only, "AT". */
  readonly to: string;
  readonly note?: string;
  readonly protocols?: string;
  readonly families?: "4" | "6" | "46";
  /** Claimed by the fast path, and the container that is counted: TCP and UDP, and echoes of IPv4 between neighbours. */
  readonly fast?: string;
  /** The container that is counted where nothing is claimed: what is learned depends on how the engine does it. */
  readonly count?: string;
}

const T = "TCP";
const TU = "TCP UDP";
const TUI = "TCP UDP ICMP";

const sections: Readonly<Record<string, readonly Group[]>> = {
  "From outside to a published port": [
    { from: ["client", "neighbour"], to: "host:7000", note: "any address", protocols: TU, fast: "web" },
    { from: "client", to: "host2:7000", note: "any address", families: "4", protocols: TU, fast: "web" },
    { from: "client", to: "host:7001", note: "the host's address", protocols: TU, fast: "web" },
    {
      from: "client",
      to: "host2:7001",
      note: "another of the host's addresses",
      families: "4",
      protocols: TU,
    },
    {
      from: "client",
      to: "host2:7002",
      note: "the host's second address",
      families: "4",
      protocols: TU,
      fast: "web",
    },
    { from: "client", to: "host:7003", note: "loopback only", protocols: TU },
    {
      from: "neighbour",
      to: "127.0.0.1:7003",
      note: "loopback only, routed in",
      families: "4",
      protocols: TU,
    },
    {
      from: "neighbour",
      to: "127.0.0.1:7000",
      note: "any address, loopback routed in",
      families: "4",
      protocols: TU,
    },
    { from: "client", to: "host:7012", note: "in a range", protocols: TU, fast: "web" },
    {
      from: "client",
      to: "host:7011",
      note: "a listener in a container that shares web's network",
      protocols: TU,
      fast: "web",
    },
    { from: "client", to: "host:7013", note: "published, nobody listens", protocols: TU },
    { from: "client", to: "host:7099", note: "not published", protocols: TU },
    { from: "client", to: "host:7020", note: "of another network", protocols: TU, fast: "shop" },
    { from: "client", to: "host:7021", note: "of a container on two networks", protocols: TU, fast: "both" },
    {
      from: "client",
      to: "host:7022",
      note: "of a network without IPv6",
      families: "4",
      protocols: TU,
      fast: "plain",
    },
    { from: "client", to: "host:7022", note: "of a network without IPv6", families: "6", protocols: TU },
    { from: "client", to: "host:7023", note: "of a network without icc", protocols: TU, fast: "hushed" },
    {
      from: "client",
      to: "host:7024",
      note: "of the default bridge, without icc",
      protocols: TU,
      fast: "lone",
    },
    { from: "client", to: "host:7025", note: "of an internal network", protocols: TU },
    { from: "client", to: "host:7026", note: "of a network without masquerade", protocols: TU, fast: "open" },
    {
      from: "client",
      to: "host:7027",
      note: "of a network with host_ipv4",
      families: "4",
      protocols: TU,
      fast: "fixed",
    },
    {
      from: "client",
      to: "host2:7028",
      note: "host_binding_ipv4",
      families: "4",
      protocols: TU,
      fast: "bound",
    },
    {
      from: "client",
      to: "host:7028",
      note: "host_binding_ipv4 is another address",
      families: "4",
      protocols: TU,
    },
    { from: "client", to: "host:7030", note: "of a routed network", protocols: TU },
    {
      from: "client",
      to: "host:7031",
      note: "of a nat-unprotected network",
      protocols: TU,
      fast: "unprotected",
    },
    { from: "client", to: "host:7032", note: "of an isolated network", protocols: TU },
    {
      from: "client",
      to: "host:7033",
      note: "of a network that trusts eth0",
      protocols: TU,
      fast: "trusting",
    },
    { from: "client", to: "host:7101", note: "a container with the host's network", protocols: TU },
    { from: "client", to: "host", note: "the host itself", protocols: "ICMP" },
  ],
  "From outside to a container's own address": [
    { from: ["client", "neighbour"], to: "web:7000", note: "published", protocols: TUI, count: "web" },
    { from: "client", to: "web:7009", note: "not published", protocols: TU, count: "web" },
    { from: "client", to: "lone:7000", note: "of the default bridge", protocols: TUI, count: "lone" },
    { from: "client", to: "plain:7000", families: "4", protocols: TUI, count: "plain" },
    {
      from: "client",
      to: "open:7000",
      note: "of a network without masquerade",
      protocols: TUI,
      count: "open",
    },
    { from: "client", to: "inner:7000", note: "of an internal network", protocols: TUI },
    { from: "client", to: "isolated:7000", note: "of an isolated network", protocols: TUI },
    {
      from: "client",
      to: "routed:7000",
      note: "of a routed network, published",
      protocols: TUI,
      count: "routed",
    },
    {
      from: "client",
      to: "routed:7009",
      note: "of a routed network, not published",
      protocols: TU,
      count: "routed",
    },
    {
      from: "client",
      to: "unprotected:7000",
      note: "of a nat-unprotected network, published",
      protocols: TUI,
      count: "unprotected",
    },
    {
      from: "client",
      to: "unprotected:7009",
      note: "of a nat-unprotected network, not published",
      protocols: TU,
      count: "unprotected",
    },
    {
      from: "client",
      to: "trusting:7000",
      note: "of a network that trusts eth0, published",
      protocols: TUI,
      count: "trusting",
    },
    {
      from: "client",
      to: "trusting:7009",
      note: "of a network that trusts eth0, not published",
      protocols: TU,
      count: "trusting",
    },
    { from: "client", to: "GW app", note: "the network's gateway", protocols: "ICMP" },
  ],
  "From a container to the outside": [
    { from: "peer", to: "internet:7000", protocols: TUI, fast: "peer" },
    { from: "peer", to: "neighbour:7000", note: "on the host's LAN", protocols: TUI, fast: "peer" },
    { from: "both", to: "internet:7000", note: "on two networks", protocols: TUI, fast: "both" },
    { from: "plain", to: "internet:7000", note: "no IPv6", families: "4", protocols: TUI, fast: "plain" },
    { from: "plain", to: "internet:7000", note: "no IPv6", families: "6", protocols: T },
    { from: "stray", to: "internet:7000", note: "the default bridge", protocols: TUI, fast: "stray" },
    { from: "mute", to: "internet:7000", note: "no icc", protocols: TU, fast: "mute" },
    { from: "inmate", to: "internet:7000", note: "internal", protocols: TUI },
    { from: "hermit", to: "internet:7000", note: "isolated", protocols: TUI },
    { from: "open", to: "internet:7000", note: "no masquerade", protocols: TUI, fast: "open" },
    { from: "fixed", to: "internet:7000", note: "host_ipv4", families: "4", protocols: TUI, fast: "fixed" },
    { from: "routed", to: "internet:7000", note: "routed", protocols: TUI, fast: "routed" },
    {
      from: "unprotected",
      to: "internet:7000",
      note: "nat-unprotected",
      protocols: TUI,
      fast: "unprotected",
    },
    { from: "none", to: "internet:7000", note: "no network", protocols: TUI },
    { from: "hostly", to: "internet:7000", note: "the host's network", protocols: TUI },
  ],
  "Between containers of one network": [
    { from: "peer", to: "web:7000", note: "published", protocols: TUI, fast: "web" },
    { from: "peer", to: "web:7009", note: "not published", protocols: TU, fast: "web" },
    { from: "peer", to: "both:7009", note: "one on two networks", protocols: TU, fast: "both" },
    {
      from: "shop",
      to: "both@other:7009",
      note: "the same, its other network",
      protocols: TUI,
      fast: "shop",
    },
    { from: "mute", to: "hushed:7000", note: "no icc, published", protocols: TUI },
    { from: "mute", to: "hushed:7009", note: "no icc, not published", protocols: TU },
    { from: "stray", to: "lone:7000", note: "default bridge, no icc, exposed", protocols: TUI },
    { from: "linked", to: "lone:7000", note: "--link, exposed", families: "4", protocols: TUI },
    { from: "linked", to: "lone:7009", note: "--link, not exposed", families: "4", protocols: TU },
    { from: "lone", to: "linked:7009", note: "back along a --link", families: "4", protocols: TU },
    { from: "inmate", to: "inner:7009", note: "internal", protocols: TUI, fast: "inner" },
    { from: "hermit", to: "isolated:7009", note: "isolated", protocols: TUI, fast: "isolated" },
    { from: "web", to: "side:7011", note: "one that shares the network of the other", protocols: TU },
  ],
  "Between networks, to a container's own address": [
    { from: "peer", to: "shop:7000", note: "published", protocols: TUI },
    { from: "peer", to: "shop:7009", note: "not published", protocols: TU },
    { from: "peer", to: "both@other:7000", note: "one on both networks", protocols: TU },
    { from: "peer", to: "plain:7000", families: "4", protocols: TU },
    { from: "peer", to: "lone:7000", note: "of the default bridge", protocols: TU },
    { from: "stray", to: "web:7000", note: "from the default bridge", protocols: TU },
    { from: "peer", to: "hushed:7000", note: "of one without icc", protocols: TU },
    { from: "peer", to: "inner:7000", note: "of an internal network", protocols: TUI },
    { from: "inmate", to: "web:7000", note: "from an internal network", protocols: TUI },
    { from: "peer", to: "isolated:7000", note: "of an isolated network", protocols: TU },
    { from: "hermit", to: "web:7000", note: "from an isolated network", protocols: TU },
    {
      from: "peer",
      to: "routed:7000",
      note: "of a routed network, published",
      protocols: TUI,
      count: "routed",
    },
    {
      from: "peer",
      to: "routed:7009",
      note: "of a routed network, not published",
      protocols: TU,
      count: "routed",
    },
    { from: "routed", to: "web:7000", note: "from a routed network", protocols: TU },
    {
      from: "peer",
      to: "unprotected:7009",
      note: "of a nat-unprotected network",
      protocols: TU,
      count: "unprotected",
    },
    { from: "unprotected", to: "web:7000", note: "from a nat-unprotected network", protocols: TU },
    { from: "peer", to: "trusting:7009", note: "of a network that trusts eth0", protocols: TU },
    { from: "none", to: "web:7000", note: "no network", protocols: T },
  ],
  "From a container to a published port, by the host's addresses": [
    { from: "web", to: "host:7000", note: "its own", protocols: TU, count: "web" },
    { from: "web", to: "GW app:7000", note: "its own, by its gateway", protocols: TU, count: "web" },
    { from: "web", to: "host:7001", note: "its own, on the host's address", protocols: TU, count: "web" },
    { from: "peer", to: "host:7000", note: "of the same network", protocols: TU, count: "peer" },
    {
      from: "peer",
      to: "GW app:7000",
      note: "of the same network, by the gateway",
      protocols: TU,
      count: "peer",
    },
    {
      from: "peer",
      to: "host2:7002",
      note: "of the same network, the host's second address",
      families: "4",
      protocols: TU,
      count: "peer",
    },
    {
      from: "peer",
      to: "host:7003",
      note: "of the same network, loopback only",
      protocols: TU,
      count: "peer",
    },
    { from: "shop", to: "host:7000", note: "of another network", protocols: TU, count: "shop" },
    {
      from: "shop",
      to: "GW app:7000",
      note: "of another network, by its gateway",
      protocols: TU,
      count: "shop",
    },
    {
      from: "shop",
      to: "GW other:7000",
      note: "of another network, by the own gateway",
      protocols: TU,
      count: "shop",
    },
    {
      from: "shop",
      to: "host:7001",
      note: "of another network, on the host's address",
      protocols: TU,
      count: "shop",
    },
    {
      from: "shop",
      to: "host2:7028",
      note: "of another network, host_binding_ipv4",
      families: "4",
      protocols: TU,
      count: "shop",
    },
    { from: "peer", to: "host:7022", note: "of a network without IPv6", protocols: TU, count: "peer" },
    {
      from: "plain",
      to: "host:7000",
      note: "from a network without IPv6",
      families: "4",
      protocols: TU,
      count: "plain",
    },
    { from: "stray", to: "host:7000", note: "from the default bridge", protocols: TU, count: "stray" },
    { from: "stray", to: "host:7024", note: "of the default bridge, no icc", protocols: TU, count: "stray" },
    { from: "mute", to: "host:7023", note: "of the same network, no icc", protocols: TU, count: "mute" },
    { from: "mute", to: "host:7000", note: "from one without icc", protocols: TU, count: "mute" },
    { from: "open", to: "host:7000", note: "from one without masquerade", protocols: TU, count: "open" },
    {
      from: "fixed",
      to: "host:7000",
      note: "from one with host_ipv4",
      families: "4",
      protocols: TU,
      count: "fixed",
    },
    { from: "both", to: "host:7020", note: "on two networks", protocols: TU, count: "both" },
    { from: "inmate", to: "host:7000", note: "from an internal network", protocols: TU, count: "inmate" },
    {
      from: "inmate",
      to: "GW inner:7000",
      note: "from an internal network, by its gateway",
      protocols: TU,
      count: "inmate",
    },
    { from: "hermit", to: "host:7000", note: "from an isolated network", protocols: TU, count: "hermit" },
    { from: "routed", to: "host:7000", note: "from a routed network", protocols: TU, count: "routed" },
    {
      from: "unprotected",
      to: "host:7000",
      note: "from a nat-unprotected network",
      protocols: TU,
      count: "unprotected",
    },
    { from: "peer", to: "host:7030", note: "of a routed network", protocols: TU, count: "peer" },
    { from: "peer", to: "host:7031", note: "of a nat-unprotected network", protocols: TU, count: "peer" },
    { from: "none", to: "host:7000", note: "no network", protocols: T },
    { from: "hostly", to: "host:7000", note: "from the host's network", protocols: TU },
  ],
  "From a container to the host": [
    { from: "peer", to: "GW app:7100", note: "a process there", protocols: TUI },
    { from: "peer", to: "host:7100", note: "a process there", protocols: TUI },
    { from: "peer", to: "GW other:7100", note: "by another network's gateway", protocols: TUI },
    { from: "inmate", to: "GW inner:7100", note: "from an internal network", protocols: TUI },
    { from: "inmate", to: "host:7100", note: "from an internal network", protocols: TUI },
    { from: "hermit", to: "host:7100", note: "from an isolated network", protocols: TU },
    { from: "routed", to: "GW routed:7100", note: "from a routed network", protocols: TUI },
    { from: "stray", to: "GW bridge:7100", note: "from the default bridge", protocols: TUI },
  ],
  "From the host to a container's own address": [
    { from: "host", to: "web:7000", note: "published", protocols: TUI },
    { from: "host", to: "web:7009", note: "not published", protocols: TU },
    { from: "host", to: "both@other:7009", note: "of a container on two networks", protocols: TU },
    { from: "host", to: "plain:7009", families: "4", protocols: TUI },
    { from: "host", to: "hushed:7009", note: "no icc", protocols: TU },
    { from: "host", to: "lone:7009", note: "of the default bridge", protocols: TUI },
    { from: "host", to: "inner:7009", note: "internal", protocols: TUI },
    { from: "host", to: "isolated:7009", note: "isolated", protocols: TUI },
    { from: "host", to: "routed:7009", note: "routed", protocols: TU },
    { from: "host", to: "unprotected:7009", note: "nat-unprotected", protocols: TU },
  ],
  "From the host to a published port": [
    { from: "host", to: "localhost:7000", note: "any address", protocols: TU },
    { from: "host", to: "host:7000", note: "any address", protocols: TU },
    { from: "host", to: "GW app:7000", note: "any address, by the gateway", protocols: TU },
    { from: "host", to: "GW other:7000", note: "any address, by another network's gateway", protocols: TU },
    { from: "host", to: "localhost:7001", note: "the host's address only", protocols: TU },
    { from: "host", to: "host:7001", note: "the host's address only", protocols: TU },
    { from: "host", to: "localhost:7003", note: "loopback only", protocols: TU },
    { from: "host", to: "host:7003", note: "loopback only", protocols: TU },
    { from: "host", to: "localhost:7012", note: "in a range", protocols: TU },
    { from: "host", to: "localhost:7022", note: "of a network without IPv6", protocols: TU },
    { from: "host", to: "host:7022", note: "of a network without IPv6", protocols: TU },
    { from: "host", to: "localhost:7023", note: "of one without icc", protocols: TU },
    { from: "host", to: "localhost:7024", note: "of the default bridge", protocols: TU },
    { from: "host", to: "localhost:7025", note: "of an internal network", protocols: TU },
    {
      from: "host",
      to: "localhost:7028",
      note: "host_binding_ipv4 is another address",
      families: "4",
      protocols: TU,
    },
    { from: "host", to: "localhost:7030", note: "of a routed network", protocols: TU },
    { from: "host", to: "localhost:7031", note: "of a nat-unprotected network", protocols: TU },
    { from: "host", to: "localhost:7099", note: "not published", protocols: TU },
  ],
};

/** Containers that only a current engine can have. */
const current =
  /^(routed|unprotected|isolated|hermit|trusting)\b|GW (routed|unprotected|trusting)\b|:703[0-3]$/;

/** Whether a setting's engine has what a row is about. */
export const isFor = (row: Row, { kind }: Setting): boolean =>
  kind !== "20.10" || ![row.from, keyOf(row.to)].some((end) => current.test(end));

const keyOf = ({ at, port }: Destination) => (port === 0 ? at : `${at}:${port}`);

function expand(section: string, group: Group): Row[] {
  const { to, note = "", protocols = TU, families = "46", fast, count = fast } = group;
  const [, at = "", port = "0"] = /^(.*?)(?::(\d+))?$/.exec(to) ?? [];
  const froms = typeof group.from === "string" ? [group.from] : group.from;
  return froms.flatMap((from) =>
    (protocols.split(" ") as Protocol[]).flatMap((protocol) =>
      ([...families] as ("4" | "6")[]).map((family): Row => {
        // Echoes leave the network by the kernel; between neighbours they are frames like others, but IPv6's: among them may be
        // neighbour discovery.
        const counted =
          protocol !== "ICMP" || (section === "Between containers of one network" && family === "4");
        return {
          section,
          from,
          to: { at, port: protocol === "ICMP" ? 0 : Number(port) },
          note,
          protocol,
          family: `IPv${family}`,
          ...(count && counted && { counted: count }),
          claimed: fast !== undefined && counted,
        };
      }),
    ),
  );
}

/** All of them, in the order of the table. */
export const rows: readonly Row[] = Object.entries(sections).flatMap(([section, groups]) =>
  groups.flatMap((group) => expand(section, group)),
);

/** "AT:PORT", or "AT" of an echo. */
export const destinationOf = (row: Row): string => keyOf(row.to);

/** What tells a row from every other, section and note aside. */
export const titleOf = (row: Row): string =>
  `${row.from} -> ${destinationOf(row)} ${row.protocol} ${row.family}`;

/** The containers that a question has to do with. */
export const endsOf = ({ from, to, counted = "" }: Row): string[] =>
  [from, to.at.split("@")[0] ?? "", publisherOf(to.port) ?? "", counted].filter((end) => end in members);
