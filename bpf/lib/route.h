/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a container's packet to the outside leaves: the kernel's own routing decision. */
#pragma once

#include "maps.h"
#include "parse.h"
#include "settings.h"

struct route {
	const struct uplink *uplink;
	__u32 ifindex; /* an uplink that we are attached to */
	__u32 mtu;
	address_t next_hop; /* the gateway, or the destination itself where it is on the link */
	__u8 mac[ETH_ALEN]; /* the next hop's; all zero: it is not known */
};

/*
 * Routes saddr -> daddr as the host forwards what comes in by the bridge. REASON_NONE: route is filled. REASON_NO_ROUTE: none,
 * not through an uplink of ours, or of a kind that the kernel has to handle (another family's gateway, encapsulation).
 * REASON_NO_NEIGHBOUR: the kernel sends this packet, resolves the next hop or answers "host unreachable"; route is filled.
 */
static __always_inline enum reason route_to_outside(struct __sk_buff *skb, const struct packet *packet,
						    const address_t *saddr, const address_t *daddr,
						    __u32 bridge_ifindex, struct route *route)
{
	struct bpf_fib_lookup fib = {
		.family = FAMILY_AF,
		.l4_protocol = packet->key.proto,
		.ifindex = bridge_ifindex,
		/* Any length: the route's MTU is the answer only where one is given. */
		.tot_len = 1,
		.mark = skb->mark,
	};
	long result;

	fib.flowinfo = traffic_class(skb);
	address_copy(FIB_SRC(&fib), saddr);
	address_copy(FIB_DST(&fib), daddr);
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), fib_mark_flag);
	if (result != BPF_FIB_LKUP_RET_SUCCESS && result != BPF_FIB_LKUP_RET_NO_NEIGH)
		return REASON_NO_ROUTE;
	if (fib.family != FAMILY_AF)
		return REASON_NO_ROUTE;
	route->ifindex = fib.ifindex;
	route->uplink = bpf_map_lookup_elem(&uplinks, &route->ifindex);
	if (!route->uplink)
		return REASON_NO_ROUTE;
	route->mtu = route->uplink->mtu;
	address_read(&route->next_hop, FIB_DST(&fib));
	__builtin_memcpy(route->mac, fib.dmac, ETH_ALEN);
	if (result != BPF_FIB_LKUP_RET_SUCCESS)
		return REASON_NO_NEIGHBOUR;
	if (fib.mtu_result < route->mtu)
		route->mtu = fib.mtu_result;
	return REASON_NONE;
}
