/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Endpoints on parents, the devices under ipvlan and macvlan. The kernel lets such a container and its host not talk to each
 * other: what one sends to the other leaves by the parent. There it is turned back into the parent's receive path, as if it had come
 * from outside; the kernel finds the receiver in it (drivers/net/ipvlan/ipvlan_core.c, macvlan.c: rx_handler).
 */
#pragma once

#include "endpoint.h"
#include "forwarded.h"
#include <bpf/bpf_helpers.h>

/* The endpoint that ref names, if it is one on the device with ifindex; else NULL. */
static __always_inline const struct endpoint *endpoint_on_parent(const struct endpoint_ref *ref, __u32 ifindex)
{
	const struct endpoint *endpoint;

	if (!ref)
		return NULL;
	endpoint = endpoint_get(ref->slot, ref->generation);
	if (!endpoint || !(endpoint->flags & ENDPOINT_PARENT) || endpoint->bridge_ifindex != ifindex)
		return NULL;
	return endpoint;
}

/* The endpoint that ref names, if it is on a parent, whichever; else NULL. */
static __always_inline const struct endpoint *endpoint_on_any_parent(const struct endpoint_ref *ref)
{
	const struct endpoint *endpoint;

	if (!ref)
		return NULL;
	endpoint = endpoint_get(ref->slot, ref->generation);
	return endpoint && endpoint->flags & ENDPOINT_PARENT ? endpoint : NULL;
}

/* Who asks for a MAC by a neighbour's solicitation that leaves by the parent with ifindex, and for whose. */
struct solicitation {
	__u32 ifindex;
	const __u8 *asker; /* its MAC */
	bool from_host;
	bool for_host;
	const struct endpoint *sender; /* on this parent */
	const struct endpoint *target; /* on any */
};

/*
 * The answer: host and container know each other by the parent's and the container's own. For a container on another parent, which
 * is routed to from here, it is the asker's: parent_egress takes the packet on. NULL: nobody's that we know.
 */
static __always_inline const __u8 *solicited_mac(const struct solicitation *asked)
{
	const struct endpoint *target = asked->target;

	if (asked->from_host && target && target->bridge_ifindex == asked->ifindex && target->flags & ENDPOINT_HOST)
		return target->mac;
	if (asked->from_host && target && target->bridge_ifindex != asked->ifindex &&
	    target->flags & ENDPOINT_PARENT_ROUTE)
		return asked->asker;
	if (asked->for_host && asked->sender && asked->sender->flags & ENDPOINT_HOST)
		return asked->sender->bridge_mac;
	return NULL;
}

/* Addresses the frame to dest, and sends it by the parent at which it is: flags as of bpf_redirect(). Returns the program's verdict. */
static __always_inline int redirect_at_parent(struct __sk_buff *skb, const __u8 *dest, const __u8 *source, __u64 flags)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	mac_copy(eth->h_dest, dest);
	mac_copy(eth->h_source, source);
	skb->tc_index = FORWARDED;
	return bpf_redirect(skb->ifindex, flags);
}

/* Out by the parent by which the frame has come in. Returns the program's verdict. */
static __always_inline int send_back(struct __sk_buff *skb, const __u8 *dest, const __u8 *source)
{
	return redirect_at_parent(skb, dest, source, 0);
}

/* Back into the receive path of the parent by which the frame is leaving, addressed to dest. Returns the program's verdict. */
static __always_inline int turn_back(struct __sk_buff *skb, const __u8 *dest, const __u8 *source)
{
	return redirect_at_parent(skb, dest, source, BPF_F_INGRESS);
}
