// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a container that is masqueraded or has published ports sends outside by its parent, one family: what a flow entry is there for,
 * or is made for, is rewritten; the rest goes as the kernel sends it.
 */
#include "../lib/icmp.h"
#include "../lib/segments.h"
#include "../lib/tcp_control.h"
#include "../lib/transmit.h"

/* The address of the parent's that its containers are behind; all zero: none. */
static __always_inline address_t parent_address(__u32 ifindex)
{
	const struct uplink *uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	address_t none = {};

	if (!uplink)
		return none;
#if FAMILY == 4
	return uplink->ipv4[0].address;
#else
	return uplink->ipv6;
#endif
}

static __always_inline bool is_icmp(const struct __sk_buff *skb)
{
	const ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;

	return (void *)(ip + 1) <= (void *)(long)skb->data_end && PROTOCOL(ip) == ICMP_PROTOCOL;
}

static __always_inline enum reason translate_icmp(struct __sk_buff *skb, __u32 from)
{
	const struct endpoint *sender = bpf_map_lookup_elem(&endpoints, &from);
	address_t source = parent_address(skb->ifindex);
	enum reason reason;

	if (!sender || !(sender->ip_part.flags & ENDPOINT_IP_MASQUERADE) || address_is_zero(&source))
		return REASON_NO_MASQUERADE;
	reason = icmp_masquerade(skb, sender, from, &source);
	if (reason == REASON_NONE)
		count(skb, 0, from, DIRECTION_TRANSMIT, PATH_FAST);
	return reason;
}

/* slot: the sender's, on a parent. Returns the program's verdict. */
__noinline int FAMILY_NAME(parent_translate)(struct __sk_buff *skb, __u32 slot)
{
	int verdict = TCX_NEXT;
	enum reason reason = transmit(skb, slot, PARENT_CHILD | skb->ifindex, &verdict);

	if (reason == REASON_NONE)
		return verdict;
	if (is_icmp(skb))
		reason = translate_icmp(skb, slot);
	if (reason == REASON_NONE)
		return TCX_NEXT;
	if (reason == REASON_REWRITE_FAILED)
		return drop(skb, slot, DIRECTION_TRANSMIT, reason);
	leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, reason);
	count(skb, segment_headers_length(skb), slot, DIRECTION_TRANSMIT, PATH_SLOW);
	tcp_control(skb, slot, SLOT_NONE);
	return TCX_NEXT;
}
