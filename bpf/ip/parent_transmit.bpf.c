// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What leaves by a parent, one family: a container's own, and the host's. Between the two it is turned back; what a flow entry is
 * there for, or is made for, is rewritten; the rest goes as the kernel sends it.
 */
#include "../lib/forward.h"
#include "../lib/icmp.h"
#include "../lib/masquerade.h"
#include "../lib/parent_filter.h"
#include "../lib/parent_route.h"
#include "../lib/segments.h"
#include "../lib/tcp_control.h"

/* False: it is none of ours, and can't be looked at any further. */
static __always_inline bool look(struct __sk_buff *skb, const struct parent_filter *filter, struct leaving *leaving)
{
	ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	address_read(&leaving->saddr, SOURCE(ip));
	address_read(&leaving->daddr, DESTINATION(ip));
	leaving->proto = PROTOCOL(ip);
	leaving->sender = endpoint_of(filter, &leaving->saddr, &leaving->from);
	leaving->receiver = endpoint_of(filter, &leaving->daddr, &leaving->to);
	return true;
}

/* From the host itself: what is forwarded has come in by a device. */
static __always_inline int to_container(struct __sk_buff *skb, const struct leaving *leaving)
{
	const struct endpoint *receiver = leaving->receiver;

	if (skb->ingress_ifindex || receiver->bridge_ifindex != skb->ifindex || !(receiver->flags & ENDPOINT_HOST))
		return TCX_NEXT;
	count(skb, segment_headers_length(skb), leaving->to, DIRECTION_RECEIVE, PATH_FAST);
	tcp_control(skb, SLOT_NONE, leaving->to);
	return turn_back(skb, receiver->mac, receiver->bridge_mac);
}

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

static __always_inline enum reason translate_icmp(struct __sk_buff *skb, const struct leaving *leaving)
{
	address_t source = parent_address(skb->ifindex);
	enum reason reason;

	if (!(leaving->sender->ip_part.flags & ENDPOINT_IP_MASQUERADE) || address_is_zero(&source))
		return REASON_NO_MASQUERADE;
	reason = icmp_masquerade(skb, leaving->sender, leaving->from, &source);
	if (reason == REASON_NONE)
		count(skb, 0, leaving->from, DIRECTION_TRANSMIT, PATH_FAST);
	return reason;
}

static __always_inline enum reason translate(struct __sk_buff *skb, const struct leaving *leaving, int *verdict)
{
	__u32 slot = leaving->from;
	struct packet packet;
	enum reason reason;
	flow_key_t key;

	reason = parse(skb, &packet);
	if (reason != REASON_NONE)
		return reason;
	flow_key_of(&packet, leaving->sender->ifindex, &key);
	reason = forward(skb, &packet, &key, verdict, &slot);
	if (reason != REASON_NO_FLOW && reason != REASON_STALE_FLOW)
		return reason;
	reason = masquerade(skb, &packet, leaving->sender, leaving->from);
	if (reason != REASON_NONE)
		return reason;
	return forward(skb, &packet, &key, verdict, &slot);
}

static __always_inline int from_container(struct __sk_buff *skb, const struct parent_filter *filter,
					  const struct leaving *leaving)
{
	const struct endpoint *sender = leaving->sender;
	int verdict = TCX_NEXT;
	enum reason reason;

	/*
	 * ipvlan l3 looks its routes up in the host's namespace, where IPv6 takes the device for a wish (drivers/net/ipvlan/ipvlan_core.c:
	 * ipvlan_route_v6_outbound): by the host's own way to a container it comes to that one's parent. It is not the host's for that.
	 */
	if (sender->bridge_ifindex != skb->ifindex && !(leaving->receiver && is_routed(sender, leaving->receiver)))
		return TCX_NEXT;
	if (sender->flags & ENDPOINT_HOST && is_host(filter, &leaving->daddr)) {
		count(skb, segment_headers_length(skb), leaving->from, DIRECTION_TRANSMIT, PATH_FAST);
		tcp_control(skb, leaving->from, SLOT_NONE);
		return turn_back(skb, sender->bridge_mac, sender->mac);
	}
	if (leaving->receiver && is_routed(sender, leaving->receiver))
		return route_to(skb, leaving);
	if (sender->flags & ENDPOINT_PARENT_ROUTE && !leaving->receiver && is_nobody(leaving))
		return REFUSED + REASON_UNREACHABLE;
	if (sender->flags & ENDPOINT_TRANSLATED) {
		reason = leaving->proto == ICMP_PROTOCOL ? translate_icmp(skb, leaving) :
							   translate(skb, leaving, &verdict);
		if (reason == REASON_NONE)
			return verdict;
		if (reason == REASON_REWRITE_FAILED)
			return drop(skb, leaving->from, DIRECTION_TRANSMIT, reason);
		leave_to_kernel(skb, leaving->from, DIRECTION_TRANSMIT, reason);
	}
	count(skb, segment_headers_length(skb), leaving->from, DIRECTION_TRANSMIT, PATH_SLOW);
	tcp_control(skb, leaving->from, SLOT_NONE);
	return TCX_NEXT;
}

/* Returns a verdict, or REFUSED and the reason. */
__noinline int FAMILY_NAME(parent_transmit)(struct __sk_buff *skb)
{
	const struct parent_filter *filter;
	struct leaving leaving;
	__u32 zero = 0;

	filter = bpf_map_lookup_elem(&parent_filter, &zero);
	if (!filter || !look(skb, filter, &leaving))
		return TCX_NEXT;
	if (leaving.sender)
		return from_container(skb, filter, &leaving);
	if (leaving.receiver)
		return to_container(skb, &leaving);
	if (leaving.proto == ICMP_PROTOCOL && !skb->ingress_ifindex)
		icmp_of_host(skb);
	return TCX_NEXT;
}
