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

/*
 * The MAC by which the host and a container on a parent know each other, for a neighbour's solicitation that leaves by the parent:
 * the host asks for the container (host, target), or the container for the host (sender, to_host). NULL: nobody's that we know.
 */
static __always_inline const __u8 *solicited_mac(bool from_host, const struct endpoint *target,
						 const struct endpoint *sender, bool to_host)
{
	if (from_host && target && target->flags & ENDPOINT_HOST)
		return target->mac;
	if (to_host && sender && sender->flags & ENDPOINT_HOST)
		return sender->bridge_mac;
	return NULL;
}

/* Back into the receive path of the parent by which the frame is leaving, addressed to dest. Returns the program's verdict. */
static __always_inline int turn_back(struct __sk_buff *skb, const __u8 *dest, const __u8 *source)
{
	struct ethhdr *eth = (void *)(long)skb->data;

	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	__builtin_memcpy(eth->h_dest, dest, ETH_ALEN);
	__builtin_memcpy(eth->h_source, source, ETH_ALEN);
	skb->tc_index = FORWARDED;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}
