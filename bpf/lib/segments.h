/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a GSO packet repeats in every segment, for packets that are not parsed otherwise. Ethernet devices, either family. */
#pragma once

#include "vmlinux.h"
#include <bpf/bpf_endian.h>

/* IP and L4 header of a GSO packet's segments, which is TCP or UDP; 0 for others, or where they don't lie in the linear part. */
static __always_inline __u32 segment_headers_length(const struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	const struct iphdr *ipv4 = data + ETH_HLEN;
	const struct ipv6hdr *ipv6 = data + ETH_HLEN;
	const struct tcphdr *tcp;
	__u32 length;
	__u8 proto;

	if (!skb->gso_size || (void *)(ipv6 + 1) > data_end)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		length = ipv4->ihl * 4;
		proto = ipv4->protocol;
	} else {
		length = sizeof(*ipv6);
		proto = ipv6->nexthdr;
	}
	if (proto == IPPROTO_UDP)
		return length + sizeof(struct udphdr);
	tcp = data + ETH_HLEN + (length & 0x3c);
	if (proto != IPPROTO_TCP || (void *)(tcp + 1) > data_end)
		return 0;
	return length + tcp->doff * 4;
}
