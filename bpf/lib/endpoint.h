/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Endpoints by slot and generation. */
#pragma once

#include "maps.h"

/* The endpoint in slot, or NULL when the slot is not (any more) of that generation. */
static __always_inline struct endpoint *endpoint_get(__u32 slot, __u32 generation)
{
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

	if (!endpoint || !generation || endpoint->generation != generation)
		return NULL;
	return endpoint;
}

/* The endpoint whose veth has ifindex on the host's side, then slot is its own; NULL when there is none (any more) that we know. */
static __always_inline struct endpoint *endpoint_of_device(__u32 ifindex, __u32 *slot)
{
	__u32 place = ifindex & (DEVICE_SLOTS - 1);
	__u16 *hint = bpf_map_lookup_elem(&device_slots, &place);
	const struct endpoint_ref *ref;
	struct endpoint *endpoint;

	if (!hint)
		return NULL;
	*slot = *hint;
	endpoint = bpf_map_lookup_elem(&endpoints, slot);
	if (endpoint && endpoint->ifindex == ifindex && endpoint->generation)
		return endpoint;
	ref = bpf_map_lookup_elem(&endpoint_devices, &ifindex);
	if (!ref)
		return NULL;
	endpoint = endpoint_get(ref->slot, ref->generation);
	if (!endpoint)
		return NULL;
	*slot = ref->slot;
	*hint = ref->slot;
	return endpoint;
}

/* Whether an end of a flow is still the endpoint that the entry was made for, or is outside. */
static __always_inline bool end_holds(__u16 slot, __u32 generation)
{
	return slot == SLOT_OUTSIDE || endpoint_get(slot, generation);
}

static __always_inline bool ends_hold(const struct flow *flow)
{
	return end_holds(flow->from_slot, flow->from_generation) && end_holds(flow->to_slot, flow->to_generation);
}

static __always_inline void mac_copy(__u8 *to, const __u8 *from)
{
	*(__u32 *)to = *(const __u32 *)from;
	*(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

static __always_inline bool mac_is(const __u8 *mac, const __u8 *other)
{
	return *(const __u32 *)mac == *(const __u32 *)other && *(const __u16 *)(mac + 4) == *(const __u16 *)(other + 4);
}
