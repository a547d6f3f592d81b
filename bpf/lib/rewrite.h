/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one place where packets change: addresses, ports, TTL, and their checksums by RFC 1624. */
#pragma once

#include "parse.h"
#include "settings.h"

/* A ones' complement sum of 16-bit words, folded into 16 bits. */
static __always_inline __u32 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* What replacing a 32-bit field adds to a ones' complement sum, in 16-bit words. */
static __always_inline __u64 difference(__u32 from, __u32 to)
{
	__u32 inverted = ~from;

	return (__u64)(inverted & 0xffff) + (inverted >> 16) + (to & 0xffff) + (to >> 16);
}

/* The same of both addresses, folded; 0xffff, which is zero, where they stay. */
static __always_inline __u32 addresses_difference(const struct packet *packet, const flow_t *flow)
{
	__u64 sum = 0;

	for (int i = 0; i < ADDRESS_WORDS; i++) {
		sum += difference(packet->saddr.word[i], flow->saddr.word[i]);
		sum += difference(packet->daddr.word[i], flow->daddr.word[i]);
	}
	return fold(sum);
}

static __always_inline __u32 both_ports(__be16 sport, __be16 dport)
{
	return (__u32)sport | (__u32)dport << 16;
}

/*
 * Updates the L4 checksum, in two steps, since where it is still to be computed (CHECKSUM_PARTIAL) only the addresses, in the
 * pseudo header, are in it. A UDP packet sent without one stays without (RFC 768).
 */
static __always_inline long rewrite_l4_checksum(struct __sk_buff *skb, const struct packet *packet, const flow_t *flow,
						__u32 addresses)
{
	bool tcp = packet->proto == IPPROTO_TCP;
	__u32 offset =
		L4_OFFSET + (tcp ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
	__u64 flags = tcp ? 0 : BPF_F_MARK_MANGLED_0;
	__u32 from = both_ports(packet->sport, packet->dport);
	__u32 to = both_ports(flow->flow.sport, flow->flow.dport);
	long error = 0;

	if (addresses != 0xffff)
		error = bpf_l4_csum_replace(skb, offset, 0, addresses,
					    flags | BPF_F_PSEUDO_HDR | (ADDRESS_WORDS > 1 ? ipv6_checksum_flag : 0));
	if (from != to)
		error |= bpf_l4_csum_replace(skb, offset, from, to, flags | sizeof(from));
	return error;
}

#if FAMILY == 4

static __always_inline void rewrite_ip(struct iphdr *ip, const struct packet *packet, const flow_t *flow,
				       __u32 addresses)
{
	__u64 sum = (__u64)(__u16)~ip->check + addresses;

	/* TTL is the first byte of its 16-bit word. */
	sum += (__u16)~bpf_htons(packet->ttl << 8) + bpf_htons((packet->ttl - 1) << 8);
	ip->check = ~fold(sum);
	address_copy(&ip->saddr, &flow->saddr);
	address_copy(&ip->daddr, &flow->daddr);
	ip->ttl = packet->ttl - 1;
}

#else

static __always_inline void rewrite_ip(struct ipv6hdr *ip, const struct packet *packet, const flow_t *flow,
				       __u32 addresses)
{
	(void)addresses;
	address_copy(ip->saddr, &flow->saddr);
	address_copy(ip->daddr, &flow->daddr);
	ip->hop_limit = packet->ttl - 1;
}

#endif

/*
 * Turns the parsed packet into what the flow entry says, one hop further. False when it could not: the packet may be half
 * rewritten then and must be dropped. Packet pointers taken before are void.
 */
static __always_inline bool rewrite(struct __sk_buff *skb, const struct packet *packet, const flow_t *flow)
{
	__u32 addresses = addresses_difference(packet, flow);
	void *data, *data_end;
	struct udphdr *l4; /* TCP's ports lie in the same place */

	if (rewrite_l4_checksum(skb, packet, flow, addresses))
		return false;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (data + HEADERS_LENGTH_UDP > data_end)
		return false;
	rewrite_ip(data + IP_OFFSET, packet, flow, addresses);
	l4 = data + L4_OFFSET;
	l4->source = flow->flow.sport;
	l4->dest = flow->flow.dport;
	return true;
}

/* Writes the Ethernet header; a packet that came without one gets it. False as with rewrite(). */
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
