/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP errors of the router that is between networks on parents (RFC 792, RFC 1812, RFC 4443): the packet itself becomes the error
 * about it, and goes back to the container that has sent it.
 */
#pragma once

#include "count.h"
#include "icmp.h"
#include "policy.h"

#define ICMP_TTL 64
/* One a second for each who is told, six at once: as the kernel does (net.ipv4.icmp_ratelimit, net/ipv4/inetpeer.c). */
#define ICMP_PER_1000_S 1000
#define ICMP_BURST 6

#if FAMILY == 4

enum {
	ICMP_TIME_EXCEEDED = 11,
	ICMP_UNREACHABLE = 3,
	ICMP_UNREACHABLE_HOST = 1,
	ICMP_TOO_BIG = 3,
	ICMP_TOO_BIG_CODE = 4,
};
/* With its own headers no longer than 576 bytes. */
#define ICMP_ABOUT_MAX (576 - (int)sizeof(struct iphdr) - ICMP_HEADER_LENGTH)

#else

enum {
	ICMP_TIME_EXCEEDED = 3,
	ICMP_UNREACHABLE = 1,
	ICMP_UNREACHABLE_HOST = 3,
	ICMP_TOO_BIG = 2,
	ICMP_TOO_BIG_CODE = 0,
};
/* With its own headers no longer than the smallest MTU, 1280. */
#define ICMP_ABOUT_MAX (1280 - (int)sizeof(struct ipv6hdr) - ICMP_HEADER_LENGTH)

#endif

#define ICMP_HEADER_LENGTH 8

struct icmp_error_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be32 rest;
};

/* Whether a packet may be answered with an error at all (RFC 1812, 4.3.2.7; RFC 4443, 2.4 (e)). */
static __always_inline bool icmp_may_answer(struct __sk_buff *skb, const ip_header_t *ip)
{
	struct subject subject = {};
	__u8 type;

	subject_read(skb, HOOK_TC, IP_OFFSET, ip, &subject);
	if (subject.later_fragment || subject.hidden || !is_global_unicast(&subject.daddr))
		return false;
	if (subject.proto != ICMP_PROTOCOL)
		return true;
	if (bpf_skb_load_bytes(skb, subject.l4_offset, &type, sizeof(type)))
		return false;
#if FAMILY == 4
	return type == ICMP_ECHO_REQUEST || type == ICMP_ECHO_REPLY || type == 13 || type == 14;
#else
	/* Not about redirects either. */
	return type >= 128 && type != ICMPV6_REDIRECT;
#endif
}

/* Whether the one who is to be told has not been told too often. */
static __always_inline bool icmp_budget_take(const address_t *told)
{
	struct port_policy budget = { .limit = ICMP_PER_1000_S, .burst = ICMP_BURST };
	__u64 now = bpf_ktime_get_coarse_ns();
	struct limit full = { .refilled = now, .tokens = ICMP_BURST * 1000ULL };
	struct limit *bucket = bpf_map_lookup_elem(&icmp_budgets, told);

	if (!bucket) {
		bpf_map_update_elem(&icmp_budgets, told, &full, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&icmp_budgets, told);
		if (!bucket)
			return false;
	}
	return bucket_take(bucket, &budget, now);
}

/* The sum of the packet's first length bytes from its IP header on; -1: they can't be read. */
static __always_inline __s64 icmp_sum_about(struct __sk_buff *skb, __u32 length)
{
	struct icmp_scratch *scratch;
	__u32 zero = 0;
	__u64 sum = 0;

	scratch = bpf_map_lookup_elem(&icmp_scratch, &zero);
	if (!scratch || !length || length > ICMP_ABOUT_MAX)
		return -1;
	/* It is as it was: verifiers of 6.1 forget that it is not 0. */
	barrier_var(length);
	length = ((length - 1) & (ICMP_SCRATCH_LENGTH - 1)) + 1;
	/* What is read last may end within a word. */
	scratch->words[length / sizeof(__u32)] = 0;
	if (bpf_skb_load_bytes(skb, IP_OFFSET, scratch->words, length))
		return -1;
	for (__u32 i = 0; i < ICMP_ABOUT_WORDS && i * sizeof(__u32) < length; i++)
		sum += scratch->words[i];
	return sum;
}

#if FAMILY == 4

static __always_inline void icmp_error_write_ip(struct iphdr *ip, const address_t *from, const address_t *to,
						__u32 length)
{
	__u32 *word = (__u32 *)ip;
	__u64 sum = 0;

	word[0] = bpf_htonl(0x45c00000 | (sizeof(*ip) + length));
	word[1] = bpf_get_prandom_u32() & 0xffff;
	word[2] = bpf_htonl(ICMP_TTL << 24 | IPPROTO_ICMP << 16);
	word[3] = from->word[0];
	word[4] = to->word[0];
	for (int i = 0; i < 5; i++)
		sum += word[i];
	ip->check = ~fold_wide(sum);
}

#else

static __always_inline void icmp_error_write_ip(struct ipv6hdr *ip, const address_t *from, const address_t *to,
						__u32 length)
{
	__u32 *word = (__u32 *)ip;

	word[0] = bpf_htonl(6 << 28);
	word[1] = bpf_htonl(length << 16 | IPPROTO_ICMPV6 << 8 | ICMP_TTL);
	address_copy(ip->saddr, from);
	address_copy(ip->daddr, to);
}

#endif

/* What the pseudo header adds to the sum: ICMP for IPv4 has none. */
static __always_inline __u64 icmp_pseudo_sum(const address_t *from, const address_t *to, __u32 length)
{
	__u64 sum = 0;

	if (FAMILY == 4)
		return 0;
	for (int i = 0; i < ADDRESS_WORDS; i++)
		sum += (__u64)from->word[i] + to->word[i];
	return sum + bpf_htonl(length) + bpf_htonl(IPPROTO_ICMPV6);
}

/*
 * Makes the packet, which a container has sent by its parent, the error about it, from router, addressed to the container. False where
 * it may have no answer or could not be made one: it is to be dropped, and nothing of it holds any more.
 */
static __always_inline bool icmp_error_make(struct __sk_buff *skb, const struct endpoint *sender,
					    const address_t *router, const struct icmp_error_header *header)
{
	struct icmp_error_header icmp = *header;
	__u32 about = skb->len - IP_OFFSET;
	const address_t to = sender->ip_part.address;
	struct icmp_error_header *written;
	struct ethhdr *eth;
	ip_header_t *ip;
	__s64 sum;

	if (about > ICMP_ABOUT_MAX)
		about = ICMP_ABOUT_MAX;
	/* Segments are one packet from here on, whatever their length. */
	if (bpf_skb_change_tail(skb, IP_OFFSET + about, 0))
		return false;
	sum = icmp_sum_about(skb, about);
	if (sum < 0 || bpf_skb_adjust_room(skb, sizeof(ip_header_t) + sizeof(icmp), BPF_ADJ_ROOM_MAC, 0))
		return false;
	eth = (void *)(long)skb->data;
	ip = (void *)(eth + 1);
	written = (void *)(ip + 1);
	if ((void *)(written + 1) > (void *)(long)skb->data_end)
		return false;
	sum += icmp_pseudo_sum(router, &to, sizeof(icmp) + about);
	sum += (icmp.type | icmp.code << 8) + (__u64)icmp.rest;
	icmp.check = ~fold_wide(sum);
	__builtin_memcpy(eth->h_dest, sender->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, sender->bridge_mac, ETH_ALEN);
	eth->h_proto = skb->protocol;
	icmp_error_write_ip(ip, router, &to, sizeof(icmp) + about);
	*written = icmp;
	return true;
}
