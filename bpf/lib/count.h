/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting: every packet of an endpoint once, and every packet that was not fast with its reason. */
#pragma once

#include "family.h"
#include "maps.h"

/* Of a packet, as on a wire: a GSO packet counts as its segments, each with its own headers. */
struct amount {
	__u32 packets;
	__u32 bytes;
};

/* headers_length: of IP and L4, as packet->headers_length; 0 where the packet was not parsed. */
static __always_inline struct amount amount_of(const struct __sk_buff *skb, __u32 headers_length)
{
	__u32 segments = skb->gso_segs ? skb->gso_segs : 1;

	return (struct amount){
		.packets = segments,
		.bytes = skb->len - LINK_HEADER_LENGTH + (segments - 1) * headers_length,
	};
}

static __always_inline void add_to_counter(struct counter *counter, struct amount amount)
{
	counter->packets += amount.packets;
	counter->bytes += amount.bytes;
}

static __always_inline void count_amount(struct amount amount, __u32 slot, enum direction direction,
					 enum traffic_path path)
{
	struct endpoint_counters *counters = bpf_map_lookup_elem(&endpoint_counters, &slot);

	if (counters)
		add_to_counter(&counters->path[direction & 1][path & 1], amount);
}

/* headers_length: as of amount_of(). */
static __always_inline void count(const struct __sk_buff *skb, __u32 headers_length, __u32 slot,
				  enum direction direction, enum traffic_path path)
{
	count_amount(amount_of(skb, headers_length), slot, direction, path);
}

static __always_inline void count_reason(const struct __sk_buff *skb, __u32 slot, enum direction direction,
					 enum verdict verdict, enum reason reason)
{
	struct reason_key key = { .slot = slot, .direction = direction, .verdict = verdict, .reason = reason };
	struct counter *counter = bpf_map_lookup_elem(&reasons, &key);

	if (!counter) {
		struct counter zero = {};

		bpf_map_update_elem(&reasons, &key, &zero, BPF_NOEXIST);
		counter = bpf_map_lookup_elem(&reasons, &key);
		if (!counter)
			return;
	}
	add_to_counter(counter, amount_of(skb, 0));
}

/* Leaves the packet, untouched, to the kernel and the programs after ours. */
static __always_inline int leave_to_kernel(const struct __sk_buff *skb, __u32 slot, enum direction direction,
					   enum reason reason)
{
	count_reason(skb, slot, direction, VERDICT_SLOW, reason);
	return TCX_NEXT;
}

static __always_inline int drop(const struct __sk_buff *skb, __u32 slot, enum direction direction, enum reason reason)
{
	count_reason(skb, slot, direction, VERDICT_DROP, reason);
	return TC_ACT_SHOT;
}
