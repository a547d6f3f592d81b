// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What comes in at a parent, one family: a container's is counted; ICMP may be one's that is translated. */
#include "../lib/icmp.h"
#include "../lib/parent_filter.h"
#include "../lib/segments.h"
#include "../lib/tcp_control.h"

/*
 * macvlan in mode bridge hands a packet for another container to its parent's receive path, and it is seen nowhere else
 * (drivers/net/macvlan.c: macvlan_queue_xmit): there the sender is counted as well.
 */
__noinline int FAMILY_NAME(parent_sibling)(struct __sk_buff *skb)
{
	const struct ethhdr *eth = (void *)(long)skb->data;
	ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;
	const struct endpoint *sender;
	struct endpoint_ref *ref;
	address_t saddr;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	address_read(&saddr, SOURCE(ip));
	ref = bpf_map_lookup_elem(&endpoint_addresses, &saddr);
	sender = endpoint_on_parent(ref, skb->ifindex);
	/* Anybody outside may write its address. */
	if (!sender || !(sender->flags & ENDPOINT_SIBLINGS) || !mac_is(eth->h_source, sender->mac))
		return TCX_NEXT;
	count(skb, segment_headers_length(skb), ref->slot, DIRECTION_TRANSMIT, PATH_SLOW);
	tcp_control(skb, ref->slot, SLOT_NONE);
	return TCX_NEXT;
}

__noinline int FAMILY_NAME(parent_receive)(struct __sk_buff *skb)
{
	const struct parent_filter *filter;
	const struct endpoint *receiver;
	struct endpoint_ref *ref = NULL;
	address_t daddr;
	__u32 ifindex = skb->ifindex;
	__u32 zero = 0;
	ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	address_read(&daddr, DESTINATION(ip));
	filter = bpf_map_lookup_elem(&parent_filter, &zero);
	if (filter && filter_has(filter->endpoints, address_hash(&daddr)))
		ref = bpf_map_lookup_elem(&endpoint_addresses, &daddr);
	/* Read before the ways part: the compiler would keep its address instead, which the verifier takes for a changed context. */
	barrier_var(ifindex);
	receiver = endpoint_on_parent(ref, ifindex);
	if (!receiver)
		return PROTOCOL(ip) == ICMP_PROTOCOL ? icmp_deliver(skb) : TCX_NEXT;
	count(skb, segment_headers_length(skb), ref->slot, DIRECTION_RECEIVE, PATH_SLOW);
	tcp_control(skb, SLOT_NONE, ref->slot);
	if (receiver->flags & ENDPOINT_SIBLINGS)
		return FAMILY_NAME(parent_sibling)(skb);
	return TCX_NEXT;
}
