/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Neighbour discovery (RFC 4861): answers to what host and container ask of each other at a parent, and others of it. */
#pragma once

#include "parent.h"
#include <bpf/bpf_endian.h>

enum {
	ND_SOLICITATION = 135,
	ND_ADVERTISEMENT = 136,
	ND_OPTION_SOURCE = 1,
	ND_OPTION_TARGET = 2,
	ND_SOLICITED_OVERRIDE = 0x60000000,
};

/* A solicitation or an advertisement with its one option. */
struct nd_frame {
	struct ethhdr eth;
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 flags;
	struct ipv6_address target;
	__u8 option;
	__u8 option_length; /* in 8 bytes */
	__u8 mac[ETH_ALEN];
} __attribute__((packed));

#define ND_LENGTH (sizeof(struct nd_frame) - ETH_HLEN - sizeof(struct ipv6hdr))

/* The checksum of the ICMPv6 message, whose own field is 0, and its pseudo header (RFC 4443, 2.3). */
static __always_inline __sum16 nd_checksum(const struct nd_frame *nd)
{
	/* Both addresses lie right before the message. */
	const __u16 *word = (const void *)nd->ip.saddr;
	__u64 sum = bpf_htons(ND_LENGTH) + bpf_htons(IPPROTO_ICMPV6);

	for (__u32 i = 0; i < (2 * sizeof(struct ipv6_address) + ND_LENGTH) / sizeof(*word); i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

/* Makes the solicitation, in place, the advertisement that mac has its target. */
static __always_inline void nd_answer(struct nd_frame *nd, const __u8 *mac)
{
	__builtin_memcpy(nd->ip.daddr, nd->ip.saddr, sizeof(nd->ip.daddr));
	__builtin_memcpy(nd->ip.saddr, &nd->target, sizeof(nd->ip.saddr));
	nd->type = ND_ADVERTISEMENT;
	nd->flags = bpf_htonl(ND_SOLICITED_OVERRIDE);
	nd->option = ND_OPTION_TARGET;
	__builtin_memcpy(nd->mac, mac, ETH_ALEN);
	nd->check = 0;
	nd->check = nd_checksum(nd);
}

/* Whether it may be a solicitation: what is seen at once of the most that is none. */
static __always_inline bool is_nd(const struct __sk_buff *skb)
{
	const struct nd_frame *nd = (void *)(long)skb->data;

	return (void *)(nd + 1) <= (void *)(long)skb->data_end && nd->ip.nexthdr == IPPROTO_ICMPV6 &&
	       nd->type == ND_SOLICITATION;
}

/* The solicitation that the frame is, with the asker's address and MAC, or NULL. */
static __always_inline struct nd_frame *nd_solicitation(struct __sk_buff *skb)
{
	struct nd_frame *nd = (void *)(long)skb->data;

	if ((void *)(nd + 1) > (void *)(long)skb->data_end)
		return NULL;
	if (nd->ip.nexthdr != IPPROTO_ICMPV6 || nd->type != ND_SOLICITATION || nd->option != ND_OPTION_SOURCE ||
	    nd->option_length != 1 || nd->ip.payload_len != bpf_htons(ND_LENGTH))
		return NULL;
	return nd;
}

/*
 * A solicitation that leaves by a parent: answered from here if host and container ask for each other. False: it is none, or
 * nobody's that we know; else verdict is the program's.
 */
static __noinline __attribute__((unused)) bool nd_at_parent(struct __sk_buff *skb, int *verdict)
{
	struct nd_frame *nd = nd_solicitation(skb);
	struct solicitation asked = { .ifindex = skb->ifindex };
	struct ipv6_address sender, target;
	__u8 asker[ETH_ALEN], own[ETH_ALEN];
	const __u8 *mac;

	if (!nd)
		return false;
	__builtin_memcpy(&sender, nd->ip.saddr, sizeof(sender));
	__builtin_memcpy(&target, &nd->target, sizeof(target));
	__builtin_memcpy(asker, nd->mac, ETH_ALEN);
	asked.asker = asker;
	asked.from_host = bpf_map_lookup_elem(&host_addresses_ipv6, &sender);
	asked.for_host = bpf_map_lookup_elem(&host_addresses_ipv6, &target);
	asked.sender = endpoint_on_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv6, &sender), skb->ifindex);
	asked.target = endpoint_on_any_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv6, &target));
	/* Where the parent has no address but its link's own, as a VLAN's device that the engine has made, the host asks from that. */
	if (asked.target && asked.target->bridge_ifindex == asked.ifindex &&
	    (sender.word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000) &&
	    mac_is(asker, asked.target->bridge_mac))
		asked.from_host = true;
	mac = solicited_mac(&asked);
	if (!mac)
		return false;
	__builtin_memcpy(own, mac, ETH_ALEN);
	nd_answer(nd, own);
	*verdict = turn_back(skb, asker, own);
	return true;
}

/* A solicitation that has come in by a parent: answered for containers that are announced. As nd_at_parent(). */
static __noinline __attribute__((unused)) bool nd_of_announced(struct __sk_buff *skb, int *verdict)
{
	struct nd_frame *nd = nd_solicitation(skb);
	const struct endpoint *endpoint;
	struct ipv6_address target;
	__u8 asker[ETH_ALEN];

	/* From a neighbour: no router has passed it on (RFC 4861, 7.1.1). */
	if (!nd || nd->ip.hop_limit != 255)
		return false;
	__builtin_memcpy(&target, &nd->target, sizeof(target));
	endpoint = endpoint_on_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv6, &target), skb->ifindex);
	if (!endpoint || !(endpoint->ipv6.flags & ENDPOINT_IP_PARENT_ANNOUNCE))
		return false;
	__builtin_memcpy(asker, nd->mac, ETH_ALEN);
	nd_answer(nd, endpoint->mac);
	*verdict = send_back(skb, asker, endpoint->mac);
	return true;
}
