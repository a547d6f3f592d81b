/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every map: what it is for, key, value, who writes and who reads. All are pinned by name under the bpffs directory.
 * __weak, because every program's source includes this file and bpf-linker joins them into one object.
 */
#pragma once

#include "types.h"
#include <bpf/bpf_helpers.h>

/* The record that voids: epoch and generations. Written by the control plane, read by every program. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} control SEC(".maps") __weak;

/*
 * The endpoints by slot. Written by the control plane (a slot is cleared before it is given away), read on every
 * fast packet: a flow entry whose generation is not the slot's is void (invariant 4).
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENDPOINTS_MAX);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps") __weak;

/* Which endpoint sends at a host-side veth: its ifindex to its slot. Written by the control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__type(key, __u32);
	__type(value, struct endpoint_ref);
} endpoint_devices SEC(".maps") __weak;

/* Which endpoint has a container address. Written by the control plane; read when a masqueraded connection's entry is restored. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__type(key, struct endpoint_address_key);
	__type(value, struct endpoint_ref);
} endpoint_addresses SEC(".maps") __weak;

/* Bridging: which endpoint has a MAC on a bridge. Written by the control plane; only networks whose bridging is ours. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINTS_MAX);
	__type(key, struct fdb_key);
	__type(value, struct endpoint_ref);
} fdb SEC(".maps") __weak;

/* Published ports. Written by the control plane; read by the first packet of a connection from outside. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct port_key);
	__type(value, struct port);
} ports SEC(".maps") __weak;

/* The host's own unicast addresses, those that a port published on "any address" answers on. Written by the control plane. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __be32);
	__type(value, __u32);
} host_addresses SEC(".maps") __weak;

/*
 * The host ports that masqueraded connections have used, 1 where one has: only there can a packet from outside without a
 * flow entry be such a connection's answer, so the host's own traffic to other ports is spared the conntrack lookup.
 * Written and read by the programs; never cleared, since a port too many costs little and one too few a connection.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} masquerade_ports SEC(".maps") __weak;

/* The uplinks that we are attached to, by ifindex. Written by the control plane; read when a connection is made. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps") __weak;

/*
 * The flow table: conntrack's cache. Written by the programs; the control plane lists it and sweeps out idle entries.
 * LRU: a full table forgets the coldest flow, which costs it one restored entry (invariant 5). max_entries is set at load.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct flow_key);
	__type(value, struct flow);
} flows SEC(".maps") __weak;

/* Packets and bytes by slot, direction and path. Written by the programs, read by the metrics. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ENDPOINTS_MAX);
	__type(key, __u32);
	__type(value, struct endpoint_counters);
} endpoint_counters SEC(".maps") __weak;

/* Packets by endpoint, direction, verdict and reason. Written by the programs, read by the metrics. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct reason_key);
	__type(value, struct counter);
} reasons SEC(".maps") __weak;
