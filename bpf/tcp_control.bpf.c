// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* TCP's SYN and RST on ways without flow entries: within a network, and the slow path. Not behind IPv6 extension headers. */
#include "lib/connection_counts.h"
#include "lib/maps.h"
#include "lib/tcp_control.h"

/* Of an IP header, a field. */
#define READ(skb, type, field, to) \
	bpf_skb_load_bytes(skb, ETH_HLEN + __builtin_offsetof(struct type, field), to, sizeof(*(to)))

/* Fills what a connection is known by, and where its TCP header is. False: no TCP, or a later fragment, which has none. */
static __always_inline bool read_addresses(struct __sk_buff *skb, struct opening_key *key, __u32 *offset)
{
	__be16 fragment;
	__u8 byte = 0;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		*offset = ETH_HLEN + sizeof(struct ipv6hdr);
		return !READ(skb, ipv6hdr, nexthdr, &byte) && byte == IPPROTO_TCP &&
		       !READ(skb, ipv6hdr, saddr, &key->saddr) && !READ(skb, ipv6hdr, daddr, &key->daddr);
	}
	if (skb->protocol != bpf_htons(ETH_P_IP) || READ(skb, iphdr, protocol, &byte) || byte != IPPROTO_TCP ||
	    READ(skb, iphdr, frag_off, &fragment) || fragment & bpf_htons(0x1fff) ||
	    bpf_skb_load_bytes(skb, ETH_HLEN, &byte, sizeof(byte)))
		return false;
	*offset = ETH_HLEN + (byte & 0xf) * 4;
	return !READ(skb, iphdr, saddr, &key->saddr.word[0]) && !READ(skb, iphdr, daddr, &key->daddr.word[0]);
}

/* Whether a SYN is a connection's first; noted, so that the same one is not when it comes again. */
static __always_inline bool is_first(const struct opening_key *key, __be32 sequence)
{
	struct opening *before = bpf_map_lookup_elem(&openings, key);
	struct opening now = { .sequence = sequence };

	if (before && before->sequence == sequence)
		return false;
	bpf_map_update_elem(&openings, key, &now, BPF_ANY);
	return true;
}

/* Not by count_tcp_flags() and count_opened(): a call more is more than the stack has left. */
static __always_inline void count_end(__u32 slot, enum direction direction, __u8 tcp_flags, bool first)
{
	struct connection_counters *counters = bpf_map_lookup_elem(&connection_counters, &slot);

	if (!counters)
		return;
	if (tcp_flags & TCP_RST)
		counters->rst[direction]++;
	else if ((tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		counters->syn[direction]++;
	if (first)
		counters->opened[direction][TRANSPORT_TCP]++;
}

__noinline int count_tcp_control(struct __sk_buff *skb, __u32 from, __u32 to)
{
	__u32 offset, zero = 0;
	struct tcp_control *read = bpf_map_lookup_elem(&tcp_controls, &zero);
	bool first;

	if (!read || skb->vlan_present)
		return 0;
	__builtin_memset(&read->key, 0, sizeof(read->key));
	if (!read_addresses(skb, &read->key, &offset) ||
	    bpf_skb_load_bytes(skb, offset, &read->head, sizeof(read->head)))
		return 0;
	read->key.sport = read->head.source;
	read->key.dport = read->head.dest;
	read->key.slot = from == SLOT_NONE ? to : from;
	first = (read->head.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
		is_first(&read->key, read->head.sequence);
	if (from != SLOT_NONE)
		count_end(from, DIRECTION_TRANSMIT, read->head.flags, first);
	if (to != SLOT_NONE)
		count_end(to, DIRECTION_RECEIVE, read->head.flags, first);
	return 0;
}
