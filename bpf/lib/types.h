/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every layout that the programs and the control plane share. TypeScript's codecs are generated from this
 * file's BTF: a layout is written here and nowhere else.
 *
 * Addresses and ports are in network byte order and typed __be32/__be16; everything else is in host order.
 * Paddings are named and must be zero in keys: the kernel compares keys byte by byte.
 */
#pragma once

#include "vmlinux.h"

/* How many endpoints, and so slots of the endpoint arrays, a host can have. */
#define ENDPOINTS_MAX 16384
/* A power of two: devices that are numbered one after the other have places of their own. */
#define DEVICE_SLOTS 65536
/* How many published ports are counted each on its own: their numbers, from 1 on. */
#define PORT_NUMBERS 16384
/* How many addresses of an uplink masquerading can choose from. */
#define UPLINK_ADDRESSES_MAX 8

/* Seen from the container: receive is towards it. */
enum direction {
	DIRECTION_RECEIVE = 0,
	DIRECTION_TRANSMIT = 1,
};

/* How a packet came to the other side. */
enum traffic_path {
	PATH_FAST = 0,
	PATH_SLOW = 1,
};

/* What a connection is counted as. */
enum transport {
	TRANSPORT_TCP = 0,
	TRANSPORT_UDP = 1,
};

/* Which way of a connection a flow entry carries, as conntrack's IP_CT_DIR_*. */
enum flow_direction {
	FLOW_ORIGINAL = 0,
	FLOW_REPLY = 1,
};

enum flow_state {
	FLOW_NEW = 0,         /* conntrack has not been told of this direction's first packet */
	FLOW_ESTABLISHED = 1, /* seen both ways */
	FLOW_CLOSING = 2,     /* TCP: a FIN has passed in one direction */
	FLOW_CLOSED = 3,      /* TCP: a RST, or a FIN in both; a SYN may take the tuple over */
};

/* What fairway did with a packet. Fast is counted in endpoint_counters; the others have a reason. */
enum verdict {
	VERDICT_FAST = 0,
	VERDICT_SLOW = 1,
	VERDICT_DROP = 2,
};

/* Why a packet was left to the kernel (the slow path) or dropped. */
enum reason {
	REASON_NONE = 0,
	/* left to the kernel */
	REASON_NOT_IP = 1,          /* another protocol than IP: ARP, VLAN-tagged, ... */
	REASON_MALFORMED = 2,       /* headers cut short or lengths that contradict each other */
	REASON_IP_OPTIONS = 3,      /* an IPv4 header with options, an IPv6 one with extension headers */
	REASON_FRAGMENT = 4,        /* only the first fragment carries ports */
	REASON_NOT_TCP_UDP = 5,     /* ICMP, SCTP, ... */
	REASON_TTL_EXPIRED = 6,     /* the kernel answers with ICMP time exceeded */
	REASON_NO_FLOW = 7,         /* no flow entry and none could be made: not a first packet */
	REASON_TO_HOST = 8,         /* for one of the host's own addresses */
	REASON_NOT_UNICAST = 9,     /* multicast, broadcast, loopback, link-local */
	REASON_FOREIGN_SOURCE = 10, /* the source is not the endpoint's address: an extra address, a nested bridge */
	REASON_UNKNOWN_MAC = 11,    /* bridging: the destination is not an endpoint that we know */
	REASON_BRIDGE_POLICY = 12,  /* bridging: the network's rules are the kernel's to apply */
	REASON_NO_MASQUERADE = 13, /* the network is internal, not masqueraded, or its address is the kernel's choice */
	REASON_NO_ROUTE = 14,      /* no route, or not through an uplink that we are attached to */
	REASON_TOO_BIG = 15,       /* larger than the way's MTU: the kernel fragments or answers with ICMP */
	REASON_CONNTRACK_STATE = 16,  /* the kernel's entry is not (any more) in a state we can take over */
	REASON_CONNTRACK_FAILED = 17, /* no entry could be made: conntrack full, the tuple taken, no port free */
	REASON_STALE_FLOW = 18,       /* the entry's endpoint or epoch is gone */
	REASON_FLOW_TABLE_FULL = 19,  /* the flow entry could not be written */
	REASON_ANCHOR = 20,           /* once per long-lived TCP flow, so that the kernel's tracker sees it up */
	REASON_ENDPOINT_UNKNOWN = 21, /* the device is no endpoint that the plan knows (yet) */
	REASON_NO_NEIGHBOUR = 22, /* the next hop's MAC is not known: the kernel resolves it, or says that it can't */
	REASON_ASYMMETRIC_ROUTE = 23, /* answers would leave by another device: its reverse path filter decides */
	REASON_FILTERED = 24,         /* a new connection that a firewall's rules may concern: theirs to decide */
	REASON_FROM_HOST = 25,        /* from the host itself to a container */
	REASON_TCP_CONTROL =
		26, /* SYN, FIN or RST of a connection that the kernel's tracker follows: it has to see it */
	/* dropped */
	REASON_REWRITE_FAILED = 27, /* a packet half rewritten can't be given to anyone */
	REASON_BAD_HEADER = 28,     /* XDP: lengths or a version that no stack accepts */
	REASON_MARTIAN = 29, /* XDP: a source that can't be outside: loopback, multicast, the host's own address */
	REASON_SOURCE_DENIED = 30, /* on the deny list */
	REASON_PORT_DENIED = 31,   /* on the published port's deny list, or not on its allow list */
	REASON_LIMITED = 32,       /* more new connections per second than the published port takes of a source */
	REASON_UNREACHABLE = 33,   /* nobody has the address, though it is of a network that is routed here */
	REASON_MAX = 34,
};

/*
 * The one record that says which endpoints and flow entries hold. Written by the control plane; the generation
 * counter is its own, kept here so that a restarted daemon goes on counting.
 */
struct control {
	__u32 epoch;           /* a flow entry of another epoch is void */
	__u32 next_generation; /* of the next endpoint to be written; never 0 */
	__u32 policy;          /* enum policy_flags: which lists there are to look at */
};

enum policy_flags {
	POLICY_SOURCES = 1 << 0, /* the host's own list of sources is not empty */
	POLICY_PORTS = 1 << 1,   /* a published port has a policy */
};

/* What an endpoint does whatever the family. */
enum endpoint_flags {
	ENDPOINT_BRIDGING = 1 << 0, /* endpoints of its network reach it by MAC, unfiltered */
	/* On ipvlan or macvlan: no device of its own here, but its parent, which is bridge_ifindex; bridge_mac is that's. */
	ENDPOINT_PARENT = 1 << 1,
	ENDPOINT_HOST = 1 << 2, /* with ENDPOINT_PARENT: the host reaches it, and it the host */
	/* With ENDPOINT_PARENT: masqueraded, or with published ports: what it sends may have flow entries. */
	ENDPOINT_TRANSLATED = 1 << 3,
	/* With ENDPOINT_PARENT: on macvlan in mode bridge: what others of it send it comes by the parent's receive path alone. */
	ENDPOINT_SIBLINGS = 1 << 4,
	ENDPOINT_MATRIX = 1 << 5, /* what it and others of its network send each other is counted by pair */
};

/* What an endpoint's traffic of one family may do on the fast path. */
enum endpoint_ip_flags {
	ENDPOINT_IP_MASQUERADE = 1 << 0, /* new connections to the outside are source-NATed */
	ENDPOINT_IP_FILTERED = 1 << 1,   /* a firewall's rules may concern it: the kernel decides its new connections */
};

/* Addresses. In TypeScript they are text ("192.0.2.1", "2001:db8::1"); all zero is "0.0.0.0" or "::". */
struct ipv4_address {
	__be32 word[1];
};

struct ipv6_address {
	__be32 word[4];
};

/* An endpoint in one family; address 0: it has none there. */
struct endpoint_ipv4 {
	struct ipv4_address address;      /* the container's */
	struct ipv4_address snat_address; /* masquerade to this address; 0: to the uplink's, as the kernel chooses it */
	__u32 flags;                      /* enum endpoint_ip_flags */
};

struct endpoint_ipv6 {
	struct ipv6_address address;
	struct ipv6_address snat_address;
	__u32 flags;
};

/*
 * Where what an endpoint on a parent sends is told from what arrives at the parent: in its ifindex and in the keys of its flows,
 * the parent's has this bit. No device's index has.
 */
#define PARENT_CHILD 0x80000000

/* A prime: ports that differ by a power of two have other bits. */
#define PUBLISHED_BITS 61

/*
 * An endpoint: a container's attachment to one network. Its slot in the endpoints array is its identity while
 * it lives; the generation tells it from whoever had the slot before.
 */
struct endpoint {
	__u64 id_hash; /* first 8 bytes of the engine's endpoint id: lets a restarted daemon know it again */
	__u64 published; /* bit N % PUBLISHED_BITS for each of its ports N that is published: what is of none needs no lookup */
	__u32 generation;     /* 0: the slot is free */
	__u32 ifindex;        /* the veth's host side; on a parent PARENT_CHILD and the parent's */
	__u32 bridge_ifindex; /* its network's bridge, or parent */
	__u32 mtu;            /* of the veth, IP packet length */
	__u32 flags;          /* enum endpoint_flags, enum endpoint_parent_flags */
	__u32 network;        /* on a parent: tells its network from others */
	__u8 mac[6];          /* the container's */
	__u8 bridge_mac[6];   /* its gateway's */
	struct endpoint_ipv4 ipv4;
	struct endpoint_ipv6 ipv6;
};

/* A slot of the endpoints array, with the generation that it was meant for. */
struct endpoint_ref {
	__u32 slot;
	__u32 generation;
};

struct fdb_key {
	__u32 bridge_ifindex;
	__u8 mac[6];
	__u8 pad[2];
};

/* A published port; address 0 is "any of the host's addresses" (host_addresses decides). */
struct port_key_ipv4 {
	struct ipv4_address address;
	__be16 port;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 pad;
};

struct port_key_ipv6 {
	struct ipv6_address address;
	__be16 port;
	__u8 proto;
	__u8 pad;
};

struct port_ipv4 {
	__u32 slot;
	__u32 generation;
	struct ipv4_address address; /* the container's */
	__be16 port;                 /* the container's */
	__u16 number;                /* of its counters; 0: none was free */
};

struct port_ipv6 {
	__u32 slot;
	__u32 generation;
	struct ipv6_address address;
	__be16 port;
	__u16 number;
};

/* How many pairs of endpoints are counted, of all networks together. */
#define PAIRS_MAX 16384

/* Two endpoints of one network, by what one sends the other. */
struct pair_key {
	struct endpoint_ref from;
	struct endpoint_ref to;
};

struct uplink_address {
	struct ipv4_address address;
	struct ipv4_address netmask;
};

enum uplink_xdp_flags {
	UPLINK_XDP_ATTACHED = 1 << 0,    /* uplink_xdp has looked at the policy of whatever arrives */
	UPLINK_XDP_OWN_SOURCES = 1 << 1, /* packets from the host's own addresses may come back by it */
};

/* A host device that leads outside. */
struct uplink {
	__u32 xdp;                                        /* enum uplink_xdp_flags */
	__u32 mtu;                                        /* the smallest of the device's and its routes' own */
	__u32 ipv4_count;                                 /* of ipv4 */
	struct uplink_address ipv4[UPLINK_ADDRESSES_MAX]; /* primary addresses in the kernel's order */
	/*
	 * Its one global, preferred IPv6 address. 0 when it has none or several: choosing among several is RFC 6724's, and so
	 * the kernel's.
	 */
	struct ipv6_address ipv6;
};

/* The tuple of a packet as it arrives at a device of ours. The device is part of it: a spoofed tuple from elsewhere misses. */
struct flow_key_ipv4 {
	__u32 ifindex;
	__u32 proto;
	struct ipv4_address saddr;
	struct ipv4_address daddr;
	__be16 sport;
	__be16 dport;
};

struct flow_key_ipv6 {
	__u32 ifindex;
	__u32 proto;
	struct ipv6_address saddr; /* in words of 64 bits */
	struct ipv6_address daddr;
	__be16 sport;
	__be16 dport;
};

/*
 * The flow table's clock (clock.h) counts 2^20 ns (1.05 ms) a tick. It wraps after 52 days: only differences mean something, and those
 * of up to 26 days.
 */
#define FLOW_TICK_SHIFT 20

/* Where a flow entry names an endpoint's slot: none. */
#define SLOT_OUTSIDE 0xffff

/* How a flow entry came about. */
enum flow_origin {
	FLOW_MADE = 0,    /* with its connection, at the first packet */
	FLOW_ADOPTED = 1, /* from a connection that conntrack knew, where its rewrite and its way are the plan's */
	FLOW_LEARNED = 2, /* from a packet that the kernel let pass, as it left */
};

/*
 * What an established packet needs, but for the addresses: where it leaves, whose it is, and what of conntrack's entry is to
 * be kept true. One entry per direction of a connection. With its key and what the kernel's hash table adds to it, an IPv4 entry
 * is 128 bytes and an IPv6 one 192: two and three cache lines, and no more are touched by a packet of a flow that is cold.
 */
struct flow {
	__u32 last_seen;        /* ticks (FLOW_TICK_SHIFT); bumped by the packets */
	__u32 conntrack_synced; /* when conntrack's timeout was last refreshed, ticks */
	__u32 created; /* ticks; of a TCP connection's original direction that we made, in FLOW_NEW: its SYN, handshake_clock() */
	__u32 epoch;
	__u32 ifindex;         /* leaves by: an endpoint's veth or an uplink */
	__u32 from_generation; /* the endpoint that sends */
	__u32 to_generation;   /* the endpoint that receives */
	__u16 from_slot;       /* SLOT_OUTSIDE: it comes from outside */
	__u16 to_slot;         /* SLOT_OUTSIDE: it goes outside */
	__u16 mtu;             /* of the way out, IP packet length */
	__be16 sport;          /* the packet as it leaves */
	__be16 dport;
	/* What the change of addresses adds to a ones' complement sum, and that of ports (RFC 1624): it is the same for each packet. */
	__u16 addresses_difference;
	__u16 ports_difference;
	/* In one byte what stays as it was written. */
	__u8 flow_direction : 1; /* enum flow_direction */
	__u8 origin : 2;         /* enum flow_origin */
	__u8 provisional : 1;    /* holds only until the kernel's tracker has seen the connection */
	__u8 state;              /* enum flow_state */
	__u16 port_number;       /* of the published port that it is counted for; 0: none */
	__u8 anchored;           /* TCP: the kernel's tracker has seen a packet of the original direction */
	__u8 fin_seen;           /* TCP: in this direction */
};

/*
 * Outside: the neighbour to send to. The entries begin with what bpf_redirect_neigh() takes, so that it need not be put together for each
 * packet: struct bpf_redir_neigh, of which IPv4's address is the first word of a union.
 */
struct flow_ipv4 {
	__u32 next_hop_family; /* AF_INET */
	struct ipv4_address next_hop;
	struct flow flow;
	struct ipv4_address saddr; /* the packet as it leaves */
	struct ipv4_address daddr;
	__u8 next_hop_mac[6]; /* as the entry was made; all zero: it was not known */
	__u8 pad[2];
};

struct flow_ipv6 {
	__u32 next_hop_family; /* AF_INET6 */
	struct ipv6_address next_hop;
	struct flow flow;
	struct ipv6_address saddr;
	struct ipv6_address daddr;
	__u8 next_hop_mac[6];
	__u8 pad[2];
};

/* An entry that is being put together. */
struct flow_draft_ipv4 {
	struct flow_key_ipv4 key;
	struct flow_ipv4 flow;
};

struct flow_draft_ipv6 {
	struct flow_key_ipv6 key;
	struct flow_ipv6 flow;
};

/* An echo request of a container on a parent, as it has left: by the identifier of its answer. */
struct echo_key_ipv4 {
	__u32 ifindex; /* the parent's */
	struct ipv4_address peer;
	__be16 id;
	__u8 pad[2];
};

struct echo_key_ipv6 {
	__u32 ifindex;
	struct ipv6_address peer;
	__be16 id;
	__u8 pad[2];
};

/* Whose it is, with the container's own identifier; slot SLOT_NONE: the host's. */
struct echo {
	__u32 slot;
	__u32 generation;
	__be16 id;
	__u8 pad[2];
};

/* What became of flow entries, per CPU: what is not there any more and was not deleted has been evicted. */
struct flow_table_counters {
	__u64 inserted;
	__u64 deleted; /* void entries that a packet met, and those that the sweep took out */
};

/* How many flows a CPU has refreshed in conntrack since begin. */
struct sync_budget {
	__u32 begin; /* ticks */
	__u32 used;
};

/* What flow_sweep is asked for and what it found: its context. Times in ns. */
struct flow_sweep {
	__u32 number; /* of this sweep: what it has counted of connections has it */
	__u32 pad;
	__u64 tcp_idle_ns;     /* delete TCP entries idle for longer than this; 0: delete none */
	__u64 opening_idle_ns; /* TCP entries in FLOW_NEW */
	__u64 closing_idle_ns; /* TCP entries in FLOW_CLOSING */
	__u64 closed_idle_ns;  /* TCP entries in FLOW_CLOSED */
	__u64 udp_idle_ns;
	__u64 stream_idle_ns; /* UDP entries that have lived for UDP_STREAM_AGE */
	__u64 learned_before; /* ns of CLOCK_MONOTONIC: delete FLOW_LEARNED entries older than this; 0: none */
	__u64 entries[2];     /* found alive, IPv4 and IPv6 */
	__u64 deleted[2];
	__u64 void_entries[2]; /* deleted because they hold no more; part of deleted */
};

struct counter {
	__u64 packets; /* as on a wire: a GSO packet counts as its segments */
	__u64 bytes;   /* from the IP header on, headers of every segment included */
};

/* Per CPU and slot. Indexed by enum direction, then enum traffic_path. */
struct endpoint_counters {
	struct counter path[2][2];
};

/* Per CPU and published port, by its number. */
struct port_counters {
	struct counter traffic[2]; /* by enum direction, by both paths */
	__u64 opened;              /* connections that we made */
	__u64 refused;             /* packets, by its policy */
};

/*
 * What became of connections, per CPU and slot. Arrays without another word are by enum direction: receive is what others open
 * to the container.
 */
struct connection_counters {
	__u64 opened[2][2];   /* then by enum transport; UDP: those that we made */
	__u64 established[2]; /* TCP connections that we made and whose handshake was completed */
	__u64 syn[2];         /* packets that ask for a connection: SYN without ACK, sent again or not */
	__u64 rst[2];         /* packets */
	__u64 snat_allocated; /* source ports for masqueraded connections that we made */
	__u64 snat_retried;   /* of these, where the container's own port was taken */
	__u64 snat_failed;    /* no port was free, or conntrack full: left to the kernel */
};

/* Connections of a slot that the flow tables hold, by enum direction, as the sweep of that number has counted them. */
struct open_connections {
	__u32 sweep;
	__u32 open[2][2];   /* then by enum transport; TCP's half open ones included */
	__u32 half_open[2]; /* TCP: made, and the handshake is not over */
};

/* A TCP connection's first packet on a way without flow entries: within a network, or on the slow path. */
struct opening_key {
	struct ipv6_address saddr; /* IPv4's in the first word */
	struct ipv6_address daddr;
	__be16 sport;
	__be16 dport;
	__u32 slot; /* whose: the sender's, else the receiver's */
};

struct opening {
	__be32 sequence; /* the same: it was sent again */
};

/* A TCP header up to its flags. */
struct tcp_head {
	__be16 source;
	__be16 dest;
	__be32 sequence;
	__be32 acknowledged;
	__u8 length;
	__u8 flags;
	__u8 pad[2]; /* the window */
};

/* What is read of a packet that may open or reset a TCP connection. */
struct tcp_control {
	struct opening_key key;
	struct tcp_head head;
};

/* Whose handshakes. */
struct handshake_key {
	__u32 bridge_ifindex; /* the network's */
	__u32 direction;      /* enum direction */
};

/* Upper bounds of struct handshakes' buckets, us; above the last is one more. */
enum handshake_bound {
	HANDSHAKE_BOUND_0 = 100,
	HANDSHAKE_BOUND_1 = 250,
	HANDSHAKE_BOUND_2 = 500,
	HANDSHAKE_BOUND_3 = 1000,
	HANDSHAKE_BOUND_4 = 2500,
	HANDSHAKE_BOUND_5 = 5000,
	HANDSHAKE_BOUND_6 = 10000,
	HANDSHAKE_BOUND_7 = 25000,
	HANDSHAKE_BOUND_8 = 100000,
	HANDSHAKE_BOUND_9 = 250000,
	HANDSHAKE_BOUND_10 = 1000000,
	HANDSHAKE_BOUND_11 = 2500000,
	HANDSHAKE_BOUND_12 = 10000000,
};
#define HANDSHAKE_BUCKETS 14

/* How long handshakes took, per CPU: from the SYN to the ACK that completes it, as they pass here. */
struct handshakes {
	__u64 count[HANDSHAKE_BUCKETS]; /* of each bucket alone */
	__u64 sum;                      /* us */
};

/* Why packets were not fast, per endpoint where one is known (slot), else SLOT_NONE. */
struct reason_key {
	__u32 slot;
	__u8 direction; /* enum direction */
	__u8 verdict;   /* enum verdict: VERDICT_SLOW or VERDICT_DROP */
	__u16 reason;   /* enum reason */
};

#define SLOT_NONE 0xffffffff

/* Of what the counters of XDP are by reason: enum reason from this one on. */
#define XDP_REASON_FIRST REASON_BAD_HEADER
/* An uplink's counters lie at 1 + its ifindex modulo this, or in one of the places after that. */
#define XDP_PLACES 256
#define XDP_PROBES 4
/* Place 0 is of devices that have found none. */
#define XDP_PLACES_MAX (1 + XDP_PLACES + XDP_PROBES - 1)

/* What uplink_xdp has done at a device, per CPU. */
struct xdp_counters {
	__u64 ifindex; /* whose place it is; 0: nobody's */
	__u64 passed;  /* packets since it is that device's */
	__u64 dropped; /* packets, those for endpoints too */
	/* Dropped for no endpoint, whosever the place was: a reason's count goes on when a device is gone. */
	struct counter drops[REASON_MAX - XDP_REASON_FIRST];
};

/* What an uplink's policy says of a source: the value of the longest prefix that has it. */
enum source_verdict {
	SOURCE_UNLISTED = 0,
	SOURCE_ALLOWED = 1,
	SOURCE_DENIED = 2,
};

/* What the host's list says of all 65,536 addresses of an IPv4 /16 at once. */
enum source_block {
	BLOCK_MIXED = 0, /* not the same of all, or not known: sources_ipv4 says */
	BLOCK_UNLISTED = 1,
	BLOCK_ALLOWED = 2,
	BLOCK_DENIED = 3,
};

/* A network of sources, by longest prefix; list 0 is the host's own, others a published port's (struct port_policy). */
struct source_key_ipv4 {
	__u32 prefix_length; /* bits that count, those of list (32) included */
	__u32 list;
	struct ipv4_address network;
};

struct source_key_ipv6 {
	__u32 prefix_length;
	__u32 list;
	struct ipv6_address network;
};

/* Who may open connections to a published port, and how fast. */
struct port_policy {
	__u32 list;            /* its list of sources; 0: none */
	__u32 limit;           /* new connections per 1000 seconds and source; 0: no limit */
	__u32 burst;           /* how many at once */
	__u8 unlisted_refused; /* an allow list without an entry for the source: refused */
	__u8 pad[3];
};

struct limit_key_ipv4 {
	__u32 list;
	struct ipv4_address source;
	__be16 port; /* the host's */
	__u8 proto;
	__u8 pad;
};

struct limit_key_ipv6 {
	__u32 list;
	struct ipv6_address source;
	__be16 port;
	__u8 proto;
	__u8 pad;
};

/* A token bucket. */
struct limit {
	__u64 refilled; /* ns of CLOCK_MONOTONIC_COARSE */
	__u64 tokens;   /* in 1/1000 connections */
};

/*
 * Host processes that dial a published port. Addresses are IPv6's here, IPv4's as ::ffff:a.b.c.d: a socket of either family may
 * reach a container by the other.
 */

/* What becomes of a connection to a published port of the host, by the address that is dialled. */
enum host_port_flags {
	HOST_PORT_LOOPBACK = 1 << 0,          /* loopback addresses lead to the container */
	HOST_PORT_LOOPBACK_PROXIED = 1 << 1,  /* ... because docker-proxy listens there, and while it does */
	HOST_PORT_ADDRESSES = 1 << 2,         /* the host's other addresses lead to the container */
	HOST_PORT_ADDRESSES_PROXIED = 1 << 3, /* ... because docker-proxy listens there, and while it does */
	HOST_PORT_KEEP_SOURCE = 1 << 4,       /* from those the container sees the source that the kernel first chose */
};

struct host_port {
	__u32 slot;
	__u32 generation;
	struct ipv6_address address; /* the container's */
	struct ipv6_address source;  /* as the engine's rules make it; 0: as the route to the container does */
	__be16 port;                 /* the container's */
	__u8 flags;                  /* enum host_port_flags */
	__u8 pad;
};

/* An address of the host's own that can be dialled. */
struct host_address {
	struct ipv6_address source; /* that connections to it have: the address itself, or its subnet's primary one */
	__u32 bridge_ifindex;       /* the network's bridge that it is the gateway of; 0: none */
};

/* A socket that was led to a container; gone with the socket. */
struct host_socket {
	struct ipv6_address dialled; /* by connect() */
	struct ipv6_address peer;    /* the container's */
	struct ipv6_address local;   /* what getsockname() would have said; 0: what it says */
	__be16 dialled_port;
	__be16 peer_port;
	__u8 connected; /* the above holds */
	__u8 bound;     /* connect() has bound it to an address, for one connection */
	__u8 datagrams; /* host_peers has entries of it */
	__u8 pad;
};

/* Whom a socket without connect() has sent to: the container, as answers come from it. */
struct host_peer_key {
	__u64 cookie;
	struct ipv6_address address;
	__be16 port;
	__u8 pad[6];
};

/* What it was that the socket dialled. */
struct host_peer {
	struct ipv6_address address;
	__be16 port;
	__u8 pad[2];
};

/* A UDP socket that connect() has led to a container, for the control plane to dial again when that is gone. */
struct host_stream {
	__u32 pid; /* of the process that dialled */
	__u32 slot;
	__u32 generation;
	__be16 port; /* dialled */
	__u8 pad[2];
	struct ipv6_address address; /* dialled */
};

/* What became of the sockets that dialled a published port: led to the container, or left on the engine's own way and why. */
enum host_outcome {
	HOST_LED = 0,
	HOST_STALE = 1,    /* the endpoint is gone */
	HOST_NO_PROXY = 2, /* not docker-proxy listens there: another process does, or nobody */
	HOST_BOUND = 3,    /* the socket is bound to an address or a device that does not lead there */
	HOST_OTHER_NETWORK =
		4, /* another network's gateway was dialled: whether it is masqueraded is the rules' matter */
	HOST_OTHER_FAMILY = 5, /* an IPv6 socket that can't send IPv4 to a container without IPv6 */
	HOST_SOURCE =
		6, /* the source can't be had: a port is bound already, or UDP's connect(), which may be followed by another */
	HOST_ALIAS = 7, /* UDP: another loopback address than the first, where docker-proxy's answers come from that */
	HOST_OTHER_PEER = 8, /* the socket has dialled the same container by another address */
	HOST_FAILED = 9,     /* no memory for what has to be known of the socket */
	HOST_OUTCOME_MAX = 10,
};

/* Per CPU and published port, by enum host_outcome: sockets, and for UDP without connect() sockets and peers. */
struct host_outcomes {
	__u64 sockets[HOST_OUTCOME_MAX];
};

/* Networks on parents that are routed between, and containers that are announced. */

/* Bits of struct endpoint's flags, beside enum endpoint_flags. */
enum endpoint_parent_flags {
	ENDPOINT_PARENT_ROUTE = 1 << 8, /* what goes to and comes from other networks with this flag is routed */
};

/* Bits of flags in one family, beside enum endpoint_ip_flags. */
enum endpoint_ip_parent_flags {
	ENDPOINT_IP_PARENT_ANNOUNCE = 1 << 8, /* who asks for its address on the parent's link is answered */
};

/* A subnet of a network on a parent that is routed, by longest prefix. */
struct parent_subnet_key_ipv4 {
	__u32 prefix_length;
	struct ipv4_address network;
};

struct parent_subnet_key_ipv6 {
	__u32 prefix_length;
	struct ipv6_address network;
};

enum parent_subnet_flags {
	PARENT_SUBNET_OWN = 1 << 0, /* nobody has its addresses but containers */
};

struct parent_subnet_ipv4 {
	__u32 network;              /* struct endpoint's */
	__u32 flags;                /* enum parent_subnet_flags */
	struct ipv4_address router; /* in whose name its containers get ICMP errors; 0: they get none */
};

struct parent_subnet_ipv6 {
	__u32 network;
	__u32 flags;
	struct ipv6_address router;
};

/* How many values the hash of an address has in parent_filter (bpf/lib/parent_filter.h). */
#define PARENT_FILTER_HASHES 65536
/* How many of the host's addresses have a number there. */
#define PARENT_FILTER_HOSTS 256

/* Whose an address of a hash may be, if it is anybody's at a parent. */
enum parent_owner {
	PARENT_OWNER_NOBODY = 0,
	PARENT_OWNER_ENDPOINT = 0x4000, /* and its slot, which is less */
	PARENT_OWNER_HOST = 0x8000,     /* and the address's number */
	PARENT_OWNER_ASK = 0xffff,      /* either, and more than one's: endpoint_addresses and host_addresses know */
};

/*
 * Who has an address, of the endpoints on parents and the host, by its hash: most packets that pass a parent are nobody's of these, and
 * of the others nearly all are found without a lookup in a hash table. Who is found has the address in its own record: that is compared.
 */
struct parent_filter {
	__u16 owners[PARENT_FILTER_HASHES]; /* enum parent_owner */
	/* The host's by number: each is in one of the two, and zero in the other. */
	struct ipv4_address hosts_ipv4[PARENT_FILTER_HOSTS];
	struct ipv6_address hosts_ipv6[PARENT_FILTER_HOSTS];
	/* 1 for the first 16 bits of IPv4 subnets of routed networks, and for the third 16 of IPv6's. */
	__u8 subnets[PARENT_FILTER_HASHES];
};

/* As much of a packet as an ICMP error bears at most (RFC 1812, 4.3.2.3; RFC 4443, 2.4 (c)), in 32-bit words, and one more. */
#define ICMP_ABOUT_WORDS 308
/* A power of two that is no less. */
#define ICMP_SCRATCH_LENGTH 2048
struct icmp_scratch {
	__u32 words[ICMP_SCRATCH_LENGTH / 4 + 1];
};
