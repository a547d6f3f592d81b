/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Bridging: between endpoints of one network by MAC, stateless. What is not known is the kernel's bridge's. */
#pragma once

#include "count.h"
#include "endpoint.h"
#include "pairs.h"
#include "segments.h"
#include "tcp_control.h"
#include <bpf/bpf_endian.h>

/*
 * What goes by MAC here: IPv4, and IPv6 but for ICMPv6 and hop-by-hop options. Like ARP, neighbour discovery and multicast
 * listeners' reports go through the kernel's bridge, whose own tables stay warm by them.
 */
static __always_inline bool is_bridged_here(const struct __sk_buff *skb)
{
	const struct ipv6hdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if (skb->vlan_present)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return true;
	if (skb->protocol != bpf_htons(ETH_P_IPV6) || (void *)(ip + 1) > (void *)(long)skb->data_end)
		return false;
	return ip->nexthdr != IPPROTO_ICMPV6 && ip->nexthdr != IPPROTO_HOPOPTS;
}

/* A frame that sender sends to another host of its network; its Ethernet header is there. Returns the program's verdict. */
static __always_inline int bridge(struct __sk_buff *skb, const struct endpoint *sender, __u32 slot)
{
	struct fdb_key key = { .bridge_ifindex = sender->bridge_ifindex };
	void *data = (void *)(long)skb->data;
	const struct endpoint *receiver;
	const struct endpoint_ref *ref;
	__u32 headers_length;

	if (!is_bridged_here(skb))
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_NOT_IP);
	if (!(sender->flags & ENDPOINT_BRIDGING))
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_BRIDGE_POLICY);
	if (data + sizeof(struct ethhdr) > (void *)(long)skb->data_end)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_MALFORMED);
	__builtin_memcpy(key.mac, ((struct ethhdr *)data)->h_dest, ETH_ALEN);
	ref = bpf_map_lookup_elem(&fdb, &key);
	/* To itself: the kernel's bridge does not send a frame back to where it came from. */
	if (!ref || ref->slot == slot)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_UNKNOWN_MAC);
	receiver = endpoint_get(ref->slot, ref->generation);
	if (!receiver)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_STALE_FLOW);
	headers_length = segment_headers_length(skb);
	if (skb->gso_size ? skb->gso_size + headers_length > receiver->mtu : skb->len - ETH_HLEN > receiver->mtu)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_TOO_BIG);
	count(skb, headers_length, slot, DIRECTION_TRANSMIT, PATH_FAST);
	count(skb, headers_length, ref->slot, DIRECTION_RECEIVE, PATH_FAST);
	if (sender->flags & ENDPOINT_MATRIX) {
		struct pair_key pair = { .from = { slot, sender->generation }, .to = *ref };

		count_pair(skb, &pair, headers_length);
	}
	tcp_control(skb, slot, ref->slot);
	/* The veth's host side took it for a frame to someone else. */
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(receiver->ifindex, 0);
}
