/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one place where packets change: addresses, ports, TTL, and their checksums by RFC 1624 (sum.h). */
#pragma once

#include "checksum.h"
#include "parse.h"
#include "settings.h"
#include "sum.h"

static __always_inline __u32 both_ports(__be16 sport, __be16 dport)
{
	return (__u32)sport | (__u32)dport << 16;
}

/* A UDP packet sent without a checksum stays without (RFC 768). */
static __always_inline bool is_checksummed(const struct packet *packet, __sum16 check)
{
	return packet->key.proto == IPPROTO_TCP || check;
}

/*
 * Updates the L4 checksum by the kernel's helper, which knows how far it has come. In two steps, since where it is still to be computed
 * (CHECKSUM_PARTIAL) only the addresses, in the pseudo header, are in it.
 */
static __always_inline long replace_l4_checksum(struct __sk_buff *skb, const struct packet *packet, const flow_t *flow)
{
	bool tcp = packet->key.proto == IPPROTO_TCP;
	__u32 offset =
		L4_OFFSET + (tcp ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__u32 from = both_ports(packet->key.sport, packet->key.dport);
	__u32 to = both_ports(flow->flow.sport, flow->flow.dport);
	long error = 0;

	if (flow->flow.addresses_difference != NO_DIFFERENCE)
		error = bpf_l4_csum_replace(skb, offset, 0, flow->flow.addresses_difference, flags | BPF_F_PSEUDO_HDR);
	if (from != to)
		error |= bpf_l4_csum_replace(skb, offset, from, to, flags | sizeof(from));
	return error;
}

/* The same, as the helper does it (net/core/utils.c, inet_proto_csum_replace_by_diff). */
static __always_inline void rewrite_l4_checksum(__sum16 *check, const struct packet *packet, const struct flow *flow,
						enum checksum_state state)
{
	if (!is_checksummed(packet, *check))
		return;
	if (state == CHECKSUM_PARTIAL)
		*check = fold(*check + flow->addresses_difference);
	else
		*check = ~fold((__u16) ~*check + flow->addresses_difference + flow->ports_difference);
	if (packet->key.proto == IPPROTO_UDP && !*check)
		*check = 0xffff;
}

#if FAMILY == 4

/* TTL is the first byte of its 16-bit word. */
#define HOP_DIFFERENCE word_difference(bpf_htons(1 << 8), 0)

static __always_inline void rewrite_ip(struct iphdr *ip, const flow_t *flow)
{
	ip->check = ~fold((__u16)~ip->check + flow->flow.addresses_difference + HOP_DIFFERENCE);
	address_move(&ip->saddr, &flow->saddr);
	address_move(&ip->daddr, &flow->daddr);
	ip->ttl--;
}

/* What becomes of the sum of an IP header and all behind it: the header's own is always the same, for its checksum. */
static __always_inline __u32 packet_difference(const struct flow *flow, bool checksummed)
{
	return checksummed ? (__u16)~flow->addresses_difference : flow->ports_difference;
}

#else

#define HOP_DIFFERENCE word_difference(bpf_htons(1), 0)

static __always_inline void rewrite_ip(struct ipv6hdr *ip, const flow_t *flow)
{
	address_move(ip->saddr, &flow->saddr);
	address_move(ip->daddr, &flow->daddr);
	ip->hop_limit--;
}

/* The addresses are made up for by the L4 checksum. */
static __always_inline __u32 packet_difference(const struct flow *flow, bool checksummed)
{
	return HOP_DIFFERENCE + (checksummed ? 0 : flow->addresses_difference + flow->ports_difference);
}

#endif

/* Where the L4 checksum is; NULL: not in the linear part. */
static __always_inline __sum16 *l4_checksum(const struct packet *packet, void *l4, void *data_end)
{
	__sum16 *check =
		packet->key.proto == IPPROTO_TCP ? &((struct tcphdr *)l4)->check : &((struct udphdr *)l4)->check;

	return (void *)(check + 1) > data_end ? NULL : check;
}

/*
 * Turns the parsed packet into what the flow entry says, one hop further, and returns where it begins. NULL when it could not: the packet
 * may be half rewritten then and must be dropped. Packet pointers taken before are void. arrived: it comes from outside. Where it is not
 * known whether there is a sum of the whole packet, there may be one only then: who forwards lets go of it (skb_forward_csum).
 */
static __always_inline void *rewrite(struct __sk_buff *skb, const struct packet *packet, const flow_t *flow,
				     bool arrived)
{
	enum checksum_state state = checksum_state(skb);
	void *data, *data_end;
	struct udphdr *l4; /* TCP's ports lie in the same place */
	__u32 difference;
	__sum16 *check;

	if (state == CHECKSUM_UNKNOWN && replace_l4_checksum(skb, packet, flow))
		return NULL;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	l4 = data + L4_OFFSET;
	if ((void *)(l4 + 1) > data_end)
		return NULL;
	if (arrived || state != CHECKSUM_UNKNOWN) {
		check = l4_checksum(packet, l4, data_end);
		if (!check)
			return NULL;
		difference = packet_difference(&flow->flow, is_checksummed(packet, *check));
		if (state != CHECKSUM_UNKNOWN)
			rewrite_l4_checksum(check, packet, &flow->flow, state);
		else if (is_checksummed(packet, *check))
			/* The helper has taken them out, as those of an IPv4 header. */
			difference += flow->flow.addresses_difference;
		checksum_changed(skb, state, difference);
	}
	rewrite_ip(data + IP_OFFSET, flow);
	l4->source = flow->flow.sport;
	l4->dest = flow->flow.dport;
	return data;
}

/* Writes the Ethernet header; a packet that came without one gets it. False when it could not, as rewrite()'s NULL. */
static __always_inline bool rewrite_link(struct __sk_buff *skb, const __u8 *dest, const __u8 *source)
{
	struct ethhdr *eth;

	if (!LINK_HEADER_LENGTH && bpf_skb_change_head(skb, ETH_HLEN, 0))
		return false;
	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(eth->h_dest, dest, ETH_ALEN);
	__builtin_memcpy(eth->h_source, source, ETH_ALEN);
	if (!LINK_HEADER_LENGTH)
		eth->h_proto = skb->protocol;
	return true;
}
