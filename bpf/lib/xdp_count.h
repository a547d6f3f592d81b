/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting at XDP, where a packet is what it was on the wire. */
#pragma once

#include "maps.h"

/* A packet that is dropped, but for the reason why. */
struct xdp_dropped {
	__u32 length; /* from the IP header on */
	__u32 slot;   /* whose published port it was for, else SLOT_NONE */
};

/* The device's own, or what is nobody's. */
static __always_inline struct xdp_counters *xdp_counters_of(__u32 ifindex)
{
	__u32 place = 1 + ifindex % XDP_PLACES;
	struct xdp_counters *counters;

	for (int i = 0; i < XDP_PROBES; i++, place++) {
		counters = bpf_map_lookup_elem(&xdp_counters, &place);
		if (counters && counters->ifindex == ifindex)
			return counters;
	}
	place = 0;
	return bpf_map_lookup_elem(&xdp_counters, &place);
}

static __always_inline struct counter *xdp_endpoint_counter(__u32 slot, enum reason reason)
{
	struct reason_key key = {
		.slot = slot, .direction = DIRECTION_RECEIVE, .verdict = VERDICT_DROP, .reason = reason
	};
	struct counter *counter = bpf_map_lookup_elem(&reasons, &key);
	struct counter zero = {};

	if (counter)
		return counter;
	bpf_map_update_elem(&reasons, &key, &zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&reasons, &key);
}

/* Returns XDP's verdict. */
static __always_inline int xdp_drop(struct xdp_counters *counters, __u32 reason, const struct xdp_dropped *dropped)
{
	__u32 index = reason - XDP_REASON_FIRST;
	struct counter *counter = NULL;

	counters->dropped++;
	if (dropped->slot != SLOT_NONE)
		counter = xdp_endpoint_counter(dropped->slot, reason);
	else if (index < REASON_MAX - XDP_REASON_FIRST)
		counter = &counters->drops[index];
	if (counter) {
		counter->packets++;
		counter->bytes += dropped->length;
	}
	return XDP_DROP;
}

/* Returns XDP's verdict. */
static __always_inline int xdp_pass(struct xdp_counters *counters)
{
	counters->passed++;
	return XDP_PASS;
}
