/** What the addon takes and gives of rtnetlink's messages, as plain values. */

export interface NetLink {
  ifindex: number;
  name: string;
  /** IFLA_INFO_KIND: "veth", "bridge", "vlan", ...; absent for physical devices and lo. */
  kind?: string;
  /** ARPHRD_*: 1 Ethernet, 772 loopback. */
  type: number;
  /** IFF_*. */
  flags: number;
  mtu: number;
  /** "02:42:ac:11:00:02"; only of devices with a six-byte address. */
  mac?: string;
  /** Ifindex of the bridge, bond, ... that it is a port of. */
  master?: number;
  /** IFLA_LINK: the peer's or lower device's ifindex, in the namespace that linkNetnsid names (absent: in ours). */
  link?: number;
  linkNetnsid?: number;
  /** Of a bridge's port (IFLA_BRPORT_MODE): frames may leave by the port that they came in by. */
  hairpin?: boolean;
}

export interface NetAddress {
  ifindex: number;
  family: 4 | 6;
  /** The device's own address (IFA_LOCAL), also on point-to-point devices. */
  address: string;
  prefixLength: number;
  /** RT_SCOPE_*: 0 global, 253 link, 254 host. */
  scope: number;
  /** IFA_F_*: 1 secondary, 128 permanent, ... */
  flags: number;
  label?: string;
}

/** A route of any table. One with several next hops gives one entry for each. */
export interface NetRoute {
  family: 4 | 6;
  table: number;
  /** RTN_*: 1 unicast, 2 local, ... */
  type: number;
  /** RTPROT_*: 2 kernel, 3 boot, 4 static, ... */
  protocol: number;
  scope: number;
  /** "0.0.0.0" or "::" with prefix length 0 is the default route. */
  destination: string;
  prefixLength: number;
  gateway?: string;
  oif?: number;
  prefsrc?: string;
  /** The metric; absent is 0. */
  priority?: number;
  /** The route's own, where it has one. */
  mtu?: number;
}

export interface NetNeighbour {
  ifindex: number;
  family: 4 | 6;
  address: string;
  mac?: string;
  /** NUD_*: 2 reachable, 4 stale, 128 permanent, ... */
  state: number;
}

/** "firewall": a transaction of nftables (iptables-nft is one of its users), of whatever content. */
export type NetGroup = "link" | "address" | "route" | "neighbour" | "rule" | "firewall";

export interface NetEvent {
  kind: NetGroup;
  /** Of kind "firewall" always "new". */
  action: "new" | "del";
  /** Of the device concerned; of a route the outgoing device, where it has exactly one. */
  ifindex?: number;
  /** Of kind "route": of its destination; 0 is a default route. */
  prefixLength?: number;
  /** Of kind "link": the device as it is now, or was. */
  link?: NetLink;
}
