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
	REASON_NOT_IPV4 = 1,          /* another protocol than IPv4: ARP, IPv6, VLAN-tagged, ... */
	REASON_MALFORMED = 2,         /* headers cut short or lengths that contradict each other */
	REASON_IP_OPTIONS = 3,        /* an IPv4 header with options */
	REASON_FRAGMENT = 4,          /* only the first fragment carries ports */
	REASON_NOT_TCP_UDP = 5,       /* ICMP, SCTP, ... */
	REASON_TTL_EXPIRED = 6,       /* the kernel answers with ICMP time exceeded */
	REASON_NO_FLOW = 7,           /* no flow entry and none could be made: not a first packet */
	REASON_TO_HOST = 8,           /* for one of the host's own addresses */
	REASON_NOT_UNICAST = 9,       /* multicast, broadcast, loopback, link-local */
	REASON_FOREIGN_SOURCE = 10,   /* the source is not the endpoint's address: an extra address, a nested bridge */
	REASON_UNKNOWN_MAC = 11,      /* bridging: the destination is not an endpoint that we know */
	REASON_BRIDGE_POLICY = 12,    /* bridging: the network's rules are the kernel's to apply */
	REASON_NO_MASQUERADE = 13,    /* the network is internal or not masqueraded */
	REASON_NO_ROUTE = 14,         /* no route, or not through an uplink that we are attached to */
	REASON_TOO_BIG = 15,          /* larger than the way's MTU: the kernel fragments or answers with ICMP */
	REASON_CONNTRACK_STATE = 16,  /* the kernel's entry is not (any more) in a state we can take over */
	REASON_CONNTRACK_FAILED = 17, /* no entry could be made: conntrack full, the tuple taken, no port free */
	REASON_STALE_FLOW = 18,       /* the entry's endpoint or epoch is gone */
	REASON_FLOW_TABLE_FULL = 19,  /* the flow entry could not be written */
	REASON_ANCHOR = 20,           /* once per long-lived TCP flow, so that the kernel's tracker sees it up */
	REASON_ENDPOINT_UNKNOWN = 21, /* the device is no endpoint that the plan knows (yet) */
	REASON_NO_NEIGHBOUR = 22, /* the next hop's MAC is not known: the kernel resolves it, or says that it can't */
	REASON_ASYMMETRIC_ROUTE = 23, /* answers would leave by another device: its reverse path filter decides */
	REASON_FILTERED = 24,         /* a new connection that a firewall's rules may concern: theirs to decide */
	/* dropped */
	REASON_REWRITE_FAILED = 25, /* a packet half rewritten can't be given to anyone */
	REASON_MAX = 26,
};

/*
 * The one record that says which endpoints and flow entries hold. Written by the control plane; the generation
 * counter is its own, kept here so that a restarted daemon goes on counting.
 */
struct control {
	__u32 epoch;           /* a flow entry of another epoch is void */
	__u32 next_generation; /* of the next endpoint to be written; never 0 */
};

/* What an endpoint's traffic may do on the fast path. */
enum endpoint_flags {
	ENDPOINT_MASQUERADE = 1 << 0, /* new connections to the outside are source-NATed */
	ENDPOINT_BRIDGING = 1 << 1,   /* endpoints of its network reach it by MAC, unfiltered */
	ENDPOINT_FILTERED = 1 << 2,   /* a firewall's rules may concern it: the kernel decides its new connections */
};

/*
 * An endpoint: a container's attachment to one bridge network. Its slot in the endpoints array is its identity while
 * it lives; the generation tells it from whoever had the slot before.
 */
struct endpoint {
	__u32 generation;     /* 0: the slot is free */
	__u32 ifindex;        /* the veth's host side */
	__u32 bridge_ifindex; /* its network's bridge */
	__be32 address;       /* the container's IPv4 address */
	__be32 snat_address;  /* masquerade to this address; 0: to the uplink's, as the kernel chooses it */
	__u32 flags;          /* enum endpoint_flags */
	__u32 mtu;            /* of the veth, IP packet length */
	__u8 mac[6];          /* the container's */
	__u8 bridge_mac[6];   /* its gateway's */
	__u64 id_hash;        /* first 8 bytes of the engine's endpoint id: lets a restarted daemon know it again */
};

struct endpoint_address_key {
	__be32 address;
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
struct port_key {
	__be32 address;
	__be16 port;
	__u8 proto; /* IPPROTO_TCP, IPPROTO_UDP */
	__u8 pad;
};

struct port {
	__u32 slot;
	__u32 generation;
	__be32 address; /* the container's */
	__be16 port;    /* the container's */
	__u8 pad[2];
};

struct uplink_address {
	__be32 address;
	__be32 netmask;
};

/* A host device that leads outside. */
struct uplink {
	__u32 mtu;
	__u32 address_count;
	struct uplink_address addresses[UPLINK_ADDRESSES_MAX]; /* primary addresses in the kernel's order */
};

/* The tuple of a packet as it arrives at a device of ours. The device is part of it: a spoofed tuple from elsewhere misses. */
struct flow_key {
	__u32 ifindex;
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 pad[3];
};

/* Everything that an established packet needs: what it becomes and where it leaves. One entry per direction. */
struct flow {
	__u64 last_seen;        /* ns of CLOCK_MONOTONIC_COARSE; bumped by the packets */
	__u64 conntrack_synced; /* when conntrack's timeout was last refreshed, same clock */
	__u64 created;          /* same clock */
	__u32 epoch;
	__u32 generation; /* of the endpoint below */
	__u32 slot;       /* the endpoint whose traffic this is */
	__u32 ifindex;    /* leaves by: the endpoint's veth (receive) or an uplink (transmit) */
	__be32 saddr;     /* the packet as it leaves */
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__be32 next_hop;     /* transmit: the neighbour to send to */
	__u32 mtu;           /* of the way out, IP packet length */
	__u8 direction;      /* enum direction */
	__u8 flow_direction; /* enum flow_direction */
	__u8 state;          /* enum flow_state */
	__u8 anchored;       /* TCP: the kernel's tracker has seen a packet of the original direction */
	__u8 fin_seen;       /* TCP: in this direction */
	__u8 pad[3];
};

struct counter {
	__u64 packets; /* as on a wire: a GSO packet counts as its segments */
	__u64 bytes;   /* from the IP header on, headers of every segment included */
};

/* Per CPU and slot. Indexed by enum direction, then enum traffic_path. */
struct endpoint_counters {
	struct counter path[2][2];
};

/* Why packets were not fast, per endpoint where one is known (slot), else SLOT_NONE. */
struct reason_key {
	__u32 slot;
	__u8 direction; /* enum direction */
	__u8 verdict;   /* enum verdict: VERDICT_SLOW or VERDICT_DROP */
	__u16 reason;   /* enum reason */
};

#define SLOT_NONE 0xffffffff
