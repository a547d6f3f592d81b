// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What comes in at a parent, one family: a container's is counted; ICMP may be one's that is translated. */
#include "../lib/icmp.h"
#include "../lib/segments.h"
#include "../lib/tcp_control.h"

__noinline int FAMILY_NAME(parent_receive)(struct __sk_buff *skb)
{
	struct endpoint_ref *ref;
	address_t daddr;
	ip_header_t *ip = (void *)(long)skb->data + IP_OFFSET;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	address_read(&daddr, DESTINATION(ip));
	ref = bpf_map_lookup_elem(&endpoint_addresses, &daddr);
	if (ref && endpoint_on_parent(ref, skb->ifindex)) {
		count(skb, segment_headers_length(skb), ref->slot, DIRECTION_RECEIVE, PATH_SLOW);
		tcp_control(skb, SLOT_NONE, ref->slot);
	} else if (PROTOCOL(ip) == ICMP_PROTOCOL)
		return icmp_deliver(skb);
	return TCX_NEXT;
}
