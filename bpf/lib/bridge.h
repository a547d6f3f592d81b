/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bridging: between endpoints of one network by MAC, stateless. What is not known is the kernel's bridge's. */
#pragma once

#include "count.h"
#include "endpoint.h"

static __always_inline bool mac_is(const __u8 *mac, const __u8 *other)
{
	return *(const __u32 *)mac == *(const __u32 *)other && *(const __u16 *)(mac + 4) == *(const __u16 *)(other + 4);
}

/* A frame that sender sends to another host of its network. Returns the program's verdict. */
static __always_inline int bridge(struct __sk_buff *skb, const struct endpoint *sender, __u32 slot)
{
	struct fdb_key key = { .bridge_ifindex = sender->bridge_ifindex };
	void *data = (void *)(long)skb->data;
	const struct endpoint *receiver;
	const struct endpoint_ref *ref;
	struct packet packet;
	__u32 headers_length;

	if (data + sizeof(struct ethhdr) > (void *)(long)skb->data_end)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_MALFORMED);
	/* ARP and IPv6 go through the kernel's bridge, whose own table of MACs stays warm by them. */
	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_NOT_IPV4);
	if (!(sender->flags & ENDPOINT_BRIDGING))
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_BRIDGE_POLICY);
	__builtin_memcpy(key.mac, ((struct ethhdr *)data)->h_dest, ETH_ALEN);
	ref = bpf_map_lookup_elem(&fdb, &key);
	if (!ref)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_UNKNOWN_MAC);
	receiver = endpoint_get(ref->slot, ref->generation);
	if (!receiver)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_STALE_FLOW);
	if (skb->gso_size ? skb->gso_size + HEADERS_LENGTH - IP_OFFSET > receiver->mtu :
			    skb->len - ETH_HLEN > receiver->mtu)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_TOO_BIG);
	headers_length = parse(skb, &packet) == REASON_NONE ? packet.headers_length : 0;
	count(skb, headers_length, slot, DIRECTION_TRANSMIT, PATH_FAST);
	count(skb, headers_length, ref->slot, DIRECTION_RECEIVE, PATH_FAST);
	/* The veth's host side took it for a frame to someone else. */
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(receiver->ifindex, 0);
}
