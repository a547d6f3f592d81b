/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting what opens and resets TCP connections among packets that are not parsed otherwise. Ethernet devices, either family. */
#pragma once

#include "tcp_flags.h"
#include "vmlinux.h"
#include <bpf/bpf_endian.h>

int count_tcp_control(struct __sk_buff *skb, __u32 from, __u32 to);

/* Whether it may be a TCP packet with SYN or RST. Such are no GSO packets. */
static __always_inline bool may_be_tcp_control(const struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	const struct iphdr *ipv4 = data + ETH_HLEN;
	const struct ipv6hdr *ipv6 = data + ETH_HLEN;
	const struct tcphdr *tcp;
	__u32 length;

	if (skb->gso_size)
		return false;
	if ((void *)(ipv4 + 1) > data_end)
		return skb->len > ETH_HLEN + sizeof(*ipv4);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (ipv4->protocol != IPPROTO_TCP)
			return false;
		length = ipv4->ihl * 4;
	} else {
		if ((void *)(ipv6 + 1) > data_end)
			return skb->len > ETH_HLEN + sizeof(*ipv6);
		if (ipv6->nexthdr != IPPROTO_TCP)
			return false;
		length = sizeof(*ipv6);
	}
	tcp = data + ETH_HLEN + (length & 0x3c);
	return (void *)(tcp + 1) > data_end || tcp->flags & (TCP_SYN | TCP_RST);
}

/* Counts a packet from the endpoint in one slot to that in another; SLOT_NONE: not an endpoint's. */
static __always_inline void tcp_control(struct __sk_buff *skb, __u32 from, __u32 to)
{
	if (may_be_tcp_control(skb))
		count_tcp_control(skb, from, to);
}
