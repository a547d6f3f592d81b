/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The one place where packets change: addresses, ports, TTL, and their checksums by RFC 1624. */
#pragma once

#include "parse.h"

static __always_inline __sum16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* What replacing a 32-bit field adds to a ones' complement sum, in 16-bit words. */
static __always_inline __u64 difference(__u32 from, __u32 to)
{
	__u32 inverted = ~from;

	return (__u64)(inverted & 0xffff) + (inverted >> 16) + (to & 0xffff) + (to >> 16);
}

static __always_inline __u32 both_ports(__be16 sport, __be16 dport)
{
	return (__u32)sport | (__u32)dport << 16;
}

/* Updates the L4 checksum; a UDP packet sent without one stays without (RFC 768). */
static __always_inline long rewrite_l4_checksum(struct __sk_buff *skb, const struct packet *packet,
						const struct flow *flow)
{
	bool tcp = packet->proto == IPPROTO_TCP;
	__u32 offset =
		L4_OFFSET + (tcp ? __builtin_offsetof(struct tcphdr, check) : __builtin_offsetof(struct udphdr, check));
	__u64 flags = 4 | (tcp ? 0 : BPF_F_MARK_MANGLED_0);
	__u32 ports = both_ports(packet->sport, packet->dport);
	__u32 new_ports = both_ports(flow->sport, flow->dport);
	long error = 0;

	if (packet->saddr != flow->saddr)
		error |= bpf_l4_csum_replace(skb, offset, packet->saddr, flow->saddr, flags | BPF_F_PSEUDO_HDR);
	if (packet->daddr != flow->daddr)
		error |= bpf_l4_csum_replace(skb, offset, packet->daddr, flow->daddr, flags | BPF_F_PSEUDO_HDR);
	if (ports != new_ports)
		error |= bpf_l4_csum_replace(skb, offset, ports, new_ports, flags);
	return error;
}

/*
 * Turns the parsed packet into what the flow entry says, one hop further. False when it could not: the packet may be half
 * rewritten then and must be dropped. Packet pointers taken before are void.
 */
static __always_inline bool rewrite(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	void *data, *data_end;
	struct iphdr *ip;
	struct udphdr *ports; /* TCP's lie in the same place */
	__u64 sum;

	if (rewrite_l4_checksum(skb, packet, flow))
		return false;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (data + HEADERS_LENGTH_UDP > data_end)
		return false;
	ip = data + IP_OFFSET;
	ports = data + L4_OFFSET;
	sum = (__u16)~ip->check;
	sum += difference(packet->saddr, flow->saddr);
	sum += difference(packet->daddr, flow->daddr);
	/* TTL is the first byte of its 16-bit word. */
	sum += (__u16)~bpf_htons(packet->ttl << 8) + bpf_htons((packet->ttl - 1) << 8);
	ip->check = fold(sum);
	ip->saddr = flow->saddr;
	ip->daddr = flow->daddr;
	ip->ttl = packet->ttl - 1;
	ports->source = flow->sport;
	ports->dest = flow->dport;
	return true;
}

static __always_inline bool rewrite_macs(struct __sk_buff *skb, const __u8 *dest, const __u8 *source)
{
	void *data = (void *)(long)skb->data;
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) > (void *)(long)skb->data_end)
		return false;
	__builtin_memcpy(eth->h_dest, dest, ETH_ALEN);
	__builtin_memcpy(eth->h_source, source, ETH_ALEN);
	return true;
}
