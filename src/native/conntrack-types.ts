/** What the addon takes and gives of conntrack's entries, as plain values. */

/** Addresses as text, ports in host order. ICMP: sport is the id, dport is type * 256 + code. */
export interface ConntrackTuple {
  family: 4 | 6;
  /** IPPROTO_*. */
  proto: number;
  saddr: string;
  daddr: string;
  sport: number;
  dport: number;
}

export interface ConntrackEntry {
  original: ConntrackTuple;
  reply: ConntrackTuple;
  /** IPS_* of linux/netfilter/nf_conntrack_common.h. */
  status: number;
  /** Seconds left. */
  timeout?: number;
  /** TCP_CONNTRACK_*: 0 none, 1 SYN sent, 2 SYN received, 3 established, ... */
  tcpState?: number;
  mark: number;
  /** Absent: zone 0. */
  zone?: number;
}

export interface ConntrackTcpUpdate {
  original: ConntrackTuple;
  /** TCP_CONNTRACK_* to set. */
  state?: number;
  /** Change the state only from this one (read just before; not atomic with the change). */
  onlyFrom?: number;
  /** Set IP_CT_TCP_FLAG_BE_LIBERAL both ways: segments out of the window are still part of the connection. */
  liberal: boolean;
}
