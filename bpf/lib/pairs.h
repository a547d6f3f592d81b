/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting by pair: unicast IP frames that one endpoint of a network sends another, where the network asks for it. On the fast path as
 * they are redirected, on the slow one as the kernel's bridge delivers them: what it drops is in no pair. Ethernet devices.
 */
#pragma once

#include "endpoint.h"
#include "maps.h"
#include <bpf/bpf_endian.h>

int count_pair(struct __sk_buff *skb, const struct pair_key *pair, __u32 headers_length);

/*
 * A frame that is delivered to an endpoint: where it came in by another one's device, and is for that MAC, it was bridged. What was
 * routed came in by the bridge.
 */
static __always_inline void count_delivered_pair(struct __sk_buff *skb, const struct endpoint *endpoint, __u32 slot,
						 __u32 headers_length)
{
	const struct ethhdr *eth = (void *)(long)skb->data;
	const struct endpoint *from;
	struct pair_key pair;

	if (skb->vlan_present || (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)))
		return;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end || !mac_is(eth->h_dest, endpoint->mac))
		return;
	from = endpoint_of_device(skb->ingress_ifindex, &pair.from.slot);
	if (!from || from->bridge_ifindex != endpoint->bridge_ifindex)
		return;
	pair.from.generation = from->generation;
	pair.to = (struct endpoint_ref){ .slot = slot, .generation = endpoint->generation };
	count_pair(skb, &pair, headers_length);
}
