/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Between networks on parents, of which both say so: one hop, as a router takes it. What can't go on is refused (parent_refuse).
 */
#pragma once

#include "parent.h"
#include "parent_count.h"
#include "onward.h"
#include "rewrite.h"

/* A packet that leaves by a parent, and whose it is as far as that is known. */
struct leaving {
	ip_header_t *ip;
	const struct endpoint *sender;   /* on any, or NULL */
	const struct endpoint *receiver; /* on any, or NULL */
	__u32 from;                      /* slots */
	__u32 to;
	__u32 to_owner; /* of the destination: enum parent_owner */
};

/* The header's addresses, to be read where they are. */
#define SOURCE_ADDRESS(ip) ((const address_t *)SOURCE(ip))
#define DESTINATION_ADDRESS(ip) ((const address_t *)DESTINATION(ip))

/* Inside one network the kernel, or the network's own router, goes on as it does. */
static __always_inline bool is_routed(const struct endpoint *sender, const struct endpoint *receiver)
{
	return sender->flags & receiver->flags & ENDPOINT_PARENT_ROUTE && sender->network != receiver->network;
}

/* The subnet of a routed network's that has the address, or NULL. */
static __always_inline const parent_subnet_t *subnet_of(const address_t *address)
{
	parent_subnet_key_t key = { .prefix_length = 8 * sizeof(*address), .network = *address };

	return bpf_map_lookup_elem(&parent_subnets, &key);
}

/* Whether the packet, or a segment of it, is larger than the way's MTU, and may not be sent in fragments. */
static __always_inline bool exceeds(const struct __sk_buff *skb, const ip_header_t *ip, __u32 mtu)
{
#if FAMILY == 4
	if (!(ip->frag_off & bpf_htons(0x4000)))
		return false;
#else
	(void)ip;
#endif
	if (skb->gso_size)
		return skb->gso_size + segment_headers_length(skb) > mtu;
	return skb->len - IP_OFFSET > mtu;
}

#if FAMILY == 4

static __always_inline void hop(struct __sk_buff *skb, struct iphdr *ip)
{
	(void)skb;
	ip->check = ~fold((__u16)~ip->check + HOP_DIFFERENCE);
	ip->ttl--;
}

#define HOPS(ip) ((ip)->ttl)

#else

static __always_inline void hop(struct __sk_buff *skb, struct ipv6hdr *ip)
{
	ip->hop_limit--;
	checksum_changed(skb, checksum_state(skb), HOP_DIFFERENCE);
}

#define HOPS(ip) ((ip)->hop_limit)

#endif

/* Takes a packet to a container of another network: by the receive path of that one's parent. Returns the program's verdict. */
static __always_inline int route_to(struct __sk_buff *skb, const struct leaving *leaving)
{
	const struct endpoint *receiver = leaving->receiver;
	ip_header_t *ip = leaving->ip;
	struct ethhdr *eth = (void *)ip - IP_OFFSET;

	if (HOPS(ip) <= 1)
		return REFUSED + REASON_TTL_EXPIRED;
	if (exceeds(skb, ip, receiver->mtu))
		return REFUSED + REASON_TOO_BIG;
	hop(skb, ip);
	mac_copy(eth->h_dest, receiver->mac);
	mac_copy(eth->h_source, receiver->bridge_mac);
	count_at_parent(skb, ip, &leaving->from, &leaving->to, PATH_FAST);
	skb->tc_index = FORWARDED;
	return bpf_redirect(receiver->bridge_ifindex, BPF_F_INGRESS);
}

/*
 * Whether a routed network's container has sent to an address that can only be another one's container, and is none that runs: its
 * own network's are the kernel's to find.
 */
static __always_inline bool is_nobody(const struct leaving *leaving)
{
	const parent_subnet_t *subnet = subnet_of(DESTINATION_ADDRESS(leaving->ip));

	return subnet && subnet->flags & PARENT_SUBNET_OWN && subnet->network != leaving->sender->network;
}
