// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What the programs at a parent are measured against: one that finds the IP header and looks an address up by longest prefix, the
 * source or the destination, and does nothing with it. And what a measurement itself is measured by.
 */
#include "maps.h"
#include <bpf/bpf_endian.h>

struct route_ipv4 {
	__u32 prefix_length;
	struct ipv4_address network;
};

struct route_ipv6 {
	__u32 prefix_length;
	struct ipv6_address network;
};

MAP(LPM_TRIE, routes_ipv4, 4096, struct route_ipv4, __u32, SPARSE);
MAP(LPM_TRIE, routes_ipv6, 4096, struct route_ipv6, __u32, SPARSE);

static __always_inline int lookup_ipv4(struct __sk_buff *skb, bool source)
{
	struct route_ipv4 key = { .prefix_length = 32 };
	struct iphdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	key.network.word[0] = source ? ip->saddr : ip->daddr;
	return bpf_map_lookup_elem(&routes_ipv4, &key) ? TCX_NEXT : TC_ACT_SHOT;
}

static __always_inline int lookup_ipv6(struct __sk_buff *skb, bool source)
{
	struct route_ipv6 key = { .prefix_length = 128 };
	struct ipv6hdr *ip = (void *)(long)skb->data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	for (int i = 0; i < 4; i++)
		key.network.word[i] = source ? ip->saddr[i] : ip->daddr[i];
	return bpf_map_lookup_elem(&routes_ipv6, &key) ? TCX_NEXT : TC_ACT_SHOT;
}

static __always_inline int lookup(struct __sk_buff *skb, bool source)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return lookup_ipv4(skb, source);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return lookup_ipv6(skb, source);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int by_destination(struct __sk_buff *skb)
{
	return lookup(skb, false);
}

SEC("tcx/egress")
int by_source(struct __sk_buff *skb)
{
	return lookup(skb, true);
}

/* No more than to be run. */
SEC("tcx/egress")
int nothing(struct __sk_buff *skb)
{
	(void)skb;
	return TCX_NEXT;
}

/* As many instructions and no other, one of the machine's each: what is measured of them must differ by their number. */
#define ADDITIONS(count) asm volatile(".rept " #count "\n%0 += 1\n.endr" : "+r"(sum))

SEC("tcx/egress")
int additions_100(struct __sk_buff *skb)
{
	__u64 sum = skb->len;

	ADDITIONS(100);
	return sum;
}

SEC("tcx/egress")
int additions_1100(struct __sk_buff *skb)
{
	__u64 sum = skb->len;

	ADDITIONS(1100);
	return sum;
}
