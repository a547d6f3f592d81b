// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From outside, one family: to a container through a flow entry, or one made for it; else the kernel's. */
#include "../lib/forward.h"
#include "../lib/masquerade.h"
#include "../lib/parent_filter.h"
#include "../lib/portmap.h"

/* What has a flow entry; NO_FLOW_VERDICT: it has none that holds, or can't have one, and the policy is to be asked. */
__noinline int FAMILY_NAME(uplink_receive)(struct __sk_buff *skb)
{
	__u32 slot = SLOT_NONE;
	struct packet packet;
	int verdict = TCX_NEXT;
	enum reason reason;

	if (parse(skb, &packet) != REASON_NONE)
		return NO_FLOW_VERDICT;
	packet.key.ifindex = skb->ifindex;
	reason = forward(skb, &packet, &verdict, &slot);
	if (reason == REASON_NO_FLOW || reason == REASON_STALE_FLOW)
		return NO_FLOW_VERDICT;
	return reason == REASON_NONE ? verdict : leave_to_kernel(skb, slot, DIRECTION_RECEIVE, reason);
}

/* The connection that a packet without a flow entry belongs to gets its entries; REASON_TO_HOST: it is the host's own. */
static __always_inline enum reason make_flow(struct __sk_buff *skb, const struct packet *packet, __u32 *slot)
{
	port_t *port = port_find(&packet->key.daddr, packet->key.dport, packet->key.proto);
	enum reason reason;

	if (port) {
		reason = portmap(skb, packet, port, slot);
		if (reason != REASON_CONNTRACK_STATE)
			return reason;
	}
	/* A published port may be a masqueraded connection's as well: towards another peer. */
	reason = masquerade_answer(skb, packet, slot);
	return port && reason == REASON_TO_HOST ? REASON_CONNTRACK_STATE : reason;
}

/* Whether it is for a container's own address on a parent, where there is nothing to translate. */
static __always_inline bool is_for_child(const struct __sk_buff *skb)
{
	const ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;
	const struct parent_filter *filter;
	const address_t *daddr = (const void *)DESTINATION(ip);
	__u32 zero = 0, slot;

	filter = bpf_map_lookup_elem(&parent_filter, &zero);
	if (!filter || (void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	return endpoint_of(owner_of(filter, daddr), daddr, &slot);
}

__noinline int FAMILY_NAME(uplink_open)(struct __sk_buff *skb)
{
	__u32 slot = SLOT_NONE;
	struct packet packet;
	int verdict = TCX_NEXT;
	enum reason reason;

	if (is_for_child(skb))
		return TCX_NEXT;
	/* The host's own traffic passes here too: what is not for a container is not counted. */
	if (parse(skb, &packet) != REASON_NONE)
		return TCX_NEXT;
	packet.key.ifindex = skb->ifindex;
	reason = make_flow(skb, &packet, &slot);
	if (reason == REASON_TO_HOST)
		return TCX_NEXT;
	if (reason == REASON_NONE)
		reason = forward(skb, &packet, &verdict, &slot);
	return reason == REASON_NONE ? verdict : leave_to_kernel(skb, slot, DIRECTION_RECEIVE, reason);
}
