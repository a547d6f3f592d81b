/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a container's packet to the outside leaves: the kernel's own routing decision. */
#pragma once

#include "maps.h"
#include "parse.h"

struct route {
	__u32 ifindex;   /* an uplink that we are attached to */
	__be32 next_hop; /* the gateway, or the destination itself where it is on the link */
	const struct uplink *uplink;
};

/*
 * Routes saddr -> daddr as the host forwards what comes in by the bridge. REASON_NONE: route is filled. REASON_NO_ROUTE: none,
 * not through an uplink of ours, or of a kind that the kernel has to handle (another family's gateway, encapsulation).
 * REASON_NO_NEIGHBOUR: the kernel sends this packet, resolves the next hop or answers "host unreachable".
 */
static __always_inline enum reason route_to_outside(struct __sk_buff *skb, const struct packet *packet, __be32 saddr,
						    __be32 daddr, __u32 bridge_ifindex, struct route *route)
{
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = packet->proto,
		.tos = packet->tos,
		.ipv4_src = saddr,
		.ipv4_dst = daddr,
		.ifindex = bridge_ifindex,
	};
	long result = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return REASON_NO_ROUTE;
	if (fib.family != AF_INET)
		return REASON_NO_ROUTE;
	route->ifindex = fib.ifindex;
	route->next_hop = fib.ipv4_dst;
	route->uplink = bpf_map_lookup_elem(&uplinks, &route->ifindex);
	if (!route->uplink)
		return REASON_NO_ROUTE;
	return result == BPF_FIB_LKUP_RET_SUCCESS ? REASON_NONE : REASON_NO_NEIGHBOUR;
}
