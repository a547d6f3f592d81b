/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map: what it is for, key, value, who writes and who reads. All are pinned by name under the bpffs directory.
 * __weak, because every program's source includes this file and bpf-linker joins them into one object.
 */
#pragma once

#include "types.h"
#include <bpf/bpf_helpers.h>

#define MAP(map_type, map_name, map_entries, map_key, map_value, ...) \
	struct {                                                      \
		__uint(type, BPF_MAP_TYPE_##map_type);                \
		__uint(max_entries, map_entries);                     \
		__type(key, map_key);                                 \
		__type(value, map_value);                             \
		__VA_ARGS__                                           \
	} map_name SEC(".maps") __weak

/* Grows with use; what is written by the control plane only, one entry at a time. */
#define SPARSE __uint(map_flags, BPF_F_NO_PREALLOC);

/* The record that voids: epoch and generations. Written by the control plane, read by every program. */
MAP(ARRAY, control, 1, __u32, struct control);

/*
 * The endpoints by slot. Written by the control plane (a slot is cleared before it is given away), read on every
 * fast packet: a flow entry whose generation is not the slot's is void (invariant 4).
 */
MAP(ARRAY, endpoints, ENDPOINTS_MAX, __u32, struct endpoint);

/* Which endpoint sends at a host-side veth: its ifindex to its slot. Written by the control plane. */
MAP(HASH, endpoint_devices, ENDPOINTS_MAX, __u32, struct endpoint_ref);

/*
 * The slot that was last found there, by the end of the ifindex: a hint, which is right where the slot's endpoint has that device, and
 * spares a packet the hash table. Written and read by the programs.
 */
MAP(ARRAY, device_slots, DEVICE_SLOTS, __u32, __u16);

/*
 * Which endpoint has a container address. Written by the control plane; read when a connection's entries are restored or
 * learned.
 */
MAP(HASH, endpoint_addresses_ipv4, ENDPOINTS_MAX, struct ipv4_address, struct endpoint_ref);
MAP(HASH, endpoint_addresses_ipv6, ENDPOINTS_MAX, struct ipv6_address, struct endpoint_ref);

/* Bridging: which endpoint has a MAC on a bridge. Written by the control plane; only networks whose bridging is ours. */
MAP(HASH, fdb, ENDPOINTS_MAX, struct fdb_key, struct endpoint_ref);

/* Published ports. Written by the control plane; read by the first packet of a connection from outside. */
MAP(HASH, ports_ipv4, 65536, struct port_key_ipv4, struct port_ipv4, SPARSE);
MAP(HASH, ports_ipv6, 65536, struct port_key_ipv6, struct port_ipv6, SPARSE);

/*
 * What is counted of them, by number; 0 is nobody's. Zeroed by the control plane before it gives a number; counted by the programs, read by
 * the metrics.
 */
MAP(PERCPU_ARRAY, port_counters, PORT_NUMBERS + 1, __u32, struct port_counters);

/* The host's own unicast addresses, those that a port published on "any address" answers on. Written by the control plane. */
MAP(HASH, host_addresses_ipv4, 4096, struct ipv4_address, __u32, SPARSE);
MAP(HASH, host_addresses_ipv6, 4096, struct ipv6_address, __u32, SPARSE);

/*
 * The host ports that masqueraded connections have used, 1 where one has: only there can a packet from outside without a
 * flow entry be such a connection's answer, so the host's own traffic to other ports is spared the conntrack lookup.
 * Written and read by the programs; never cleared, since a port too many costs little and one too few a connection.
 */
MAP(ARRAY, masquerade_ports, 65536, __u32, __u8);

/* The uplinks that we are attached to, by ifindex. Written by the control plane; read when a connection is made. */
MAP(HASH, uplinks, 256, __u32, struct uplink);

/*
 * The flow table: conntrack's cache. Written by the programs; the control plane lists it, flow_sweep takes idle entries out.
 * LRU: a full table forgets the coldest flow, which costs it one restored entry (invariant 5). max_entries is set at load.
 */
MAP(LRU_HASH, flows_ipv4, 131072, struct flow_key_ipv4, struct flow_ipv4);
MAP(LRU_HASH, flows_ipv6, 131072, struct flow_key_ipv6, struct flow_ipv6);

/* Where an entry is put together: its makers are short of stack. Written and read by the programs. */
MAP(PERCPU_ARRAY, flow_drafts_ipv4, 1, __u32, struct flow_draft_ipv4);
MAP(PERCPU_ARRAY, flow_drafts_ipv6, 1, __u32, struct flow_draft_ipv6);

/*
 * Echo requests of masqueraded containers on parents. Written and read by the programs. LRU: what is forgotten is noted anew by the
 * next request.
 */
MAP(LRU_HASH, echoes_ipv4, 16384, struct echo_key_ipv4, struct echo);
MAP(LRU_HASH, echoes_ipv6, 16384, struct echo_key_ipv6, struct echo);

/* What became of flow entries; index 0 is IPv4's, 1 IPv6's. Written by the programs, read by the metrics. */
MAP(PERCPU_ARRAY, flow_table_counters, 2, __u32, struct flow_table_counters);

/* What is left of each CPU's refreshes of conntrack in the current second. Written and read by the programs. */
MAP(PERCPU_ARRAY, sync_budgets, 1, __u32, struct sync_budget);

/*
 * Policy: lists of networks of sources, by longest prefix, the host's own and those of published ports. Written by the
 * control plane; read by XDP and by first packets at tc. Sized for a country's networks.
 */
MAP(LPM_TRIE, sources_ipv4, 262144, struct source_key_ipv4, __u32, SPARSE);
MAP(LPM_TRIE, sources_ipv6, 262144, struct source_key_ipv6, __u32, SPARSE);

/*
 * The host's list by the first 16 bits of an IPv4 source (enum source_block): most sources of most lists never come to the trie,
 * which costs ten times as much. Written by the control plane, read by XDP and by first packets at tc.
 */
MAP(ARRAY, source_blocks, 65536, __u32, __u8);

/* Policy of published ports, keyed as ports are. Written by the control plane. */
MAP(HASH, port_policies_ipv4, 65536, struct port_key_ipv4, struct port_policy, SPARSE);
MAP(HASH, port_policies_ipv6, 65536, struct port_key_ipv6, struct port_policy, SPARSE);

/* Policy: token buckets of new connections by published port and source. Written and read by the programs. */
MAP(LRU_HASH, limits_ipv4, 65536, struct limit_key_ipv4, struct limit);
MAP(LRU_HASH, limits_ipv6, 65536, struct limit_key_ipv6, struct limit);

/* Packets and bytes by slot, direction and path. Written by the programs, read by the metrics. */
MAP(PERCPU_ARRAY, endpoint_counters, ENDPOINTS_MAX, __u32, struct endpoint_counters);

/*
 * Connections by slot. Entries are made and zeroed by the control plane with their endpoint, so that a host has as many as it
 * needs; counted by the programs, read by the metrics.
 */
MAP(PERCPU_HASH, connection_counters, ENDPOINTS_MAX, __u32, struct connection_counters, SPARSE);

/* Connections by slot that are open now. Written by flow_sweep, read by the metrics. */
MAP(ARRAY, open_connections, ENDPOINTS_MAX, __u32, struct open_connections);

/*
 * TCP connections that begin where there are no flow entries, so that a SYN which is sent again is told from another
 * connection's. Written and read by the programs. LRU: what is forgotten is a SYN too many.
 */
MAP(LRU_HASH, openings, 16384, struct opening_key, struct opening);

/*
 * Packets and bytes by sender and receiver, where their network is to be counted so. Entries name both generations: what is left of an
 * endpoint that is gone is no other's. Written by the programs; stale entries are taken out by the control plane; read by the metrics.
 */
MAP(PERCPU_HASH, pairs, PAIRS_MAX, struct pair_key, struct counter);

/* What found no room there. Written by the programs, read by the metrics. */
MAP(PERCPU_ARRAY, pairs_uncounted, 1, __u32, struct counter);

/* Where a packet is read into that may open or reset one: its callers are short of stack. Written and read by the programs. */
MAP(PERCPU_ARRAY, tcp_controls, 1, __u32, struct tcp_control);

/* How long handshakes took, by network and direction. Entries are made by the control plane; counted by the programs, read by the metrics. */
MAP(PERCPU_HASH, handshakes, 4096, struct handshake_key, struct handshakes, SPARSE);

/*
 * What XDP has passed and dropped, by device, and by reason what of that was for no endpoint: the same as in reasons, for packets that
 * may come in a flood. One lookup has them all. Places are given by the control plane before the program is attached; counted by the
 * program, read by the metrics.
 */
MAP(PERCPU_ARRAY, xdp_counters, XDP_PLACES_MAX, __u32, struct xdp_counters);

/* Packets by endpoint, direction, verdict and reason. Written by the programs, read by the metrics. */
MAP(LRU_PERCPU_HASH, reasons, 65536, struct reason_key, struct counter);

/* Published ports as host processes dial them; address 0 of either family (::ffff:0.0.0.0, ::) is any. Written by the control plane. */
MAP(HASH, host_ports, 131072, struct port_key_ipv6, struct host_port, SPARSE);

/* The host's own addresses that can be dialled, but for loopback. Written by the control plane; read at connect() and sendmsg(). */
MAP(HASH, host_dialled, 8192, struct ipv6_address, struct host_address, SPARSE);

/*
 * The veths of the endpoints that host_ports leads to. The kernel takes a device out when it goes, so that a daemon that is dead
 * leads nobody to an address that may be another container's by now. Written by the control plane.
 */
MAP(DEVMAP_HASH, host_devices, ENDPOINTS_MAX, __u32, __u32);

/* What is to be known of a socket that was led. Written and read by the programs. */
MAP(SK_STORAGE, host_sockets, 0, __u32, struct host_socket, SPARSE);

/* Answers to sockets without connect(): whom they are from, as the socket knows it. Written and read by the programs. */
MAP(LRU_HASH, host_peers, 65536, struct host_peer_key, struct host_peer);

/* UDP sockets with connect(), by cookie. Written by the programs, read by the control plane when an endpoint is gone. */
MAP(LRU_HASH, host_streams, 16384, __u64, struct host_stream);

/* Sockets by published port and outcome, keyed as host_ports is. Written by the programs, read by the metrics. */
MAP(LRU_PERCPU_HASH, host_port_counters, 16384, struct port_key_ipv6, struct host_outcomes);

/* Subnets of routed networks on parents, by longest prefix. Written by the control plane; read for what no endpoint has. */
MAP(LPM_TRIE, parent_subnets_ipv4, 4096, struct parent_subnet_key_ipv4, struct parent_subnet_ipv4, SPARSE);
MAP(LPM_TRIE, parent_subnets_ipv6, 4096, struct parent_subnet_key_ipv6, struct parent_subnet_ipv6, SPARSE);

/* What need not be looked for at a parent. Written by the control plane, read on every packet there. */
MAP(ARRAY, parent_filter, 1, __u32, struct parent_filter);

/* When containers on parents were last sent ICMP errors, by their address. Written and read by the programs. */
MAP(LRU_HASH, icmp_budgets_ipv4, 4096, struct ipv4_address, struct limit);
MAP(LRU_HASH, icmp_budgets_ipv6, 4096, struct ipv6_address, struct limit);

/* Where the packet that an ICMP error is about is summed up. */
MAP(PERCPU_ARRAY, icmp_scratch, 1, __u32, struct icmp_scratch);
