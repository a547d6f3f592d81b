/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting at parents, for one or two endpoints at once: what both are counted by is worked out once. */
#pragma once

#include "count.h"
#include "segments.h"
#include "tcp_control.h"

/* As may_be_tcp_control(), of a header that is at hand. */
static __always_inline bool ip_may_be_tcp_control(const struct __sk_buff *skb, const ip_header_t *ip)
{
#if FAMILY == 4
	const struct tcphdr *tcp = (void *)ip + ip->ihl * 4;
#else
	const struct tcphdr *tcp = (void *)(ip + 1);
#endif

	if (PROTOCOL(ip) != IPPROTO_TCP)
		return false;
	return (void *)(tcp + 1) > (void *)(long)skb->data_end || tcp->flags & (TCP_SYN | TCP_RST);
}

/* Counts the packet, whose IP header is at ip, from the endpoint in one slot to that in another; NULL: not an endpoint's. */
static __always_inline void count_at_parent(struct __sk_buff *skb, const ip_header_t *ip, const __u32 *from,
					    const __u32 *to, enum traffic_path path)
{
	struct amount amount = { .packets = 1, .bytes = skb->len - LINK_HEADER_LENGTH };
	bool gso = skb->gso_size;

	if (gso)
		amount = amount_of(skb, segment_headers_length(skb));
	if (from)
		count_amount(amount, *from, DIRECTION_TRANSMIT, path);
	if (to)
		count_amount(amount, *to, DIRECTION_RECEIVE, path);
	if (!gso && ip_may_be_tcp_control(skb, ip))
		count_tcp_control(skb, from ? *from : SLOT_NONE, to ? *to : SLOT_NONE);
}
