/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting at XDP, where a packet is what it was on the wire. */
#pragma once

#include "maps.h"

static __always_inline struct counter *xdp_counter(__u32 reason)
{
	return bpf_map_lookup_elem(&xdp_drops, &reason);
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

/* length: from the IP header on. Returns XDP's verdict. */
static __always_inline int xdp_drop(__u32 length, __u32 slot, enum reason reason)
{
	struct counter *counter = slot == SLOT_NONE ? xdp_counter(reason) : xdp_endpoint_counter(slot, reason);

	if (counter) {
		counter->packets++;
		counter->bytes += length;
	}
	return XDP_DROP;
}
