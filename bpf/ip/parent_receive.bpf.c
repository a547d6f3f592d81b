// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What comes in at a parent, one family: a container's is counted; ICMP may be one's that is translated. */
#include "../lib/icmp.h"
#include "../lib/parent_count.h"
#include "../lib/parent_filter.h"

/*
 * macvlan in mode bridge hands a packet for another container to its parent's receive path, and it is seen nowhere else
 * (drivers/net/macvlan.c: macvlan_queue_xmit): there the sender is counted as well.
 */
__noinline int FAMILY_NAME(parent_sibling)(struct __sk_buff *skb)
{
	const struct ethhdr *eth = (void *)(long)skb->data;
	const ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;
	const struct parent_filter *filter;
	const struct endpoint *sender;
	const address_t *saddr;
	__u32 zero = 0;
	__u32 slot;

	filter = bpf_map_lookup_elem(&parent_filter, &zero);
	if (!filter || (void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	saddr = (const address_t *)SOURCE(ip);
	sender = endpoint_of(owner_of(filter, saddr), saddr, &slot);
	if (!sender || sender->bridge_ifindex != skb->ifindex || !(sender->flags & ENDPOINT_SIBLINGS))
		return TCX_NEXT;
	/* Anybody outside may write its address. */
	if (mac_is(eth->h_source, sender->mac))
		count_at_parent(skb, ip, &slot, NULL, PATH_SLOW);
	return TCX_NEXT;
}

__noinline int FAMILY_NAME(parent_receive)(struct __sk_buff *skb)
{
	const ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;
	const struct parent_filter *filter;
	const struct endpoint *receiver;
	const address_t *daddr;
	__u32 ifindex = skb->ifindex;
	__u32 zero = 0;
	__u32 slot;

	filter = bpf_map_lookup_elem(&parent_filter, &zero);
	if (!filter || (void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	daddr = (const address_t *)DESTINATION(ip);
	/* Read before the ways part: the compiler would keep its address instead, which the verifier takes for a changed context. */
	barrier_var(ifindex);
	receiver = endpoint_of(owner_of(filter, daddr), daddr, &slot);
	if (!receiver || receiver->bridge_ifindex != ifindex)
		return PROTOCOL(ip) == ICMP_PROTOCOL ? icmp_deliver(skb) : TCX_NEXT;
	count_at_parent(skb, ip, NULL, &slot, PATH_SLOW);
	if (receiver->flags & ENDPOINT_SIBLINGS)
		return FAMILY_NAME(parent_sibling)(skb);
	return TCX_NEXT;
}
