// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What leaves by a parent, one family: a container's own, and the host's. Between the two it is turned back, to another network it is
 * routed; what is translated parent_translate goes on with; the rest goes as the kernel sends it.
 */
#include "../lib/icmp.h"
#include "../lib/onward.h"
#include "../lib/parent_count.h"
#include "../lib/parent_filter.h"
#include "../lib/parent_route.h"

/* From the host itself: what is forwarded has come in by a device. */
static __always_inline int to_container(struct __sk_buff *skb, const struct leaving *leaving)
{
	const struct endpoint *receiver = leaving->receiver;

	if (skb->ingress_ifindex || receiver->bridge_ifindex != skb->ifindex || !(receiver->flags & ENDPOINT_HOST))
		return TCX_NEXT;
	count_at_parent(skb, leaving->ip, NULL, &leaving->to, PATH_FAST);
	return turn_back(skb, receiver->mac, receiver->bridge_mac);
}

static __always_inline int from_container(struct __sk_buff *skb, const struct parent_filter *filter,
					  const struct leaving *leaving)
{
	const struct endpoint *sender = leaving->sender;
	const address_t *daddr = DESTINATION_ADDRESS(leaving->ip);
	__u32 flags = sender->flags;

	/*
	 * ipvlan l3 looks its routes up in the host's namespace, where IPv6 takes the device for a wish (drivers/net/ipvlan/ipvlan_core.c:
	 * ipvlan_route_v6_outbound): by the host's own way to a container it comes to that one's parent. It is not the host's for that.
	 */
	if (leaving->receiver && is_routed(sender, leaving->receiver))
		return route_to(skb, leaving);
	if (sender->bridge_ifindex != skb->ifindex)
		return TCX_NEXT;
	if (is_host(filter, leaving->to_owner, daddr) && flags & ENDPOINT_HOST) {
		count_at_parent(skb, leaving->ip, &leaving->from, NULL, PATH_FAST);
		return turn_back(skb, sender->bridge_mac, sender->mac);
	}
	if (flags & ENDPOINT_PARENT_ROUTE && may_be_in_subnet(filter, daddr) && !leaving->receiver &&
	    is_nobody(leaving))
		return REFUSED + REASON_UNREACHABLE;
	if (flags & ENDPOINT_TRANSLATED)
		return TRANSLATED + leaving->from;
	count_at_parent(skb, leaving->ip, &leaving->from, NULL, PATH_SLOW);
	return TCX_NEXT;
}

/* Returns a verdict, or REFUSED and the reason, or TRANSLATED and the slot of the sender. */
__noinline int FAMILY_NAME(parent_transmit)(struct __sk_buff *skb)
{
	ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;
	const struct parent_filter *filter;
	struct leaving leaving;
	__u32 from_owner, zero = 0;

	filter = bpf_map_lookup_elem(&parent_filter, &zero);
	if (!filter || (void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	from_owner = owner_of(filter, SOURCE_ADDRESS(ip));
	leaving.to_owner = owner_of(filter, DESTINATION_ADDRESS(ip));
	leaving.ip = ip;
	leaving.receiver = endpoint_of(leaving.to_owner, DESTINATION_ADDRESS(ip), &leaving.to);
	leaving.sender = endpoint_of(from_owner, SOURCE_ADDRESS(ip), &leaving.from);
	if (leaving.sender)
		return from_container(skb, filter, &leaving);
	if (leaving.receiver)
		return to_container(skb, &leaving);
	if (PROTOCOL(ip) == ICMP_PROTOCOL && !skb->ingress_ifindex)
		icmp_of_host(skb);
	return TCX_NEXT;
}
