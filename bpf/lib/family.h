/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two families from one source: a source that names things by FAMILY_NAME() is compiled with -DFAMILY=4 and with
 * -DFAMILY=6, one that uses LINK_NAME() with -DLINK_HEADER_LENGTH=14 (Ethernet) and 0 (tun, wireguard: an IP packet and no
 * more). All that differs between the families is here, in parse.h and in rewrite.h.
 */
#pragma once

#include "types.h"
#include <bpf/bpf_helpers.h>

#ifndef LINK_HEADER_LENGTH
#define LINK_HEADER_LENGTH ETH_HLEN
#endif

#if LINK_HEADER_LENGTH
#define LINK_NAME(name) name
#else
#define LINK_NAME(name) name##_l3
#endif

#define JOIN(a, b) a##b
#define JOIN_NAMES(a, b) JOIN(a, b)
/* A function of one family's source, called from a source that is of none. */
#define IPV4_NAME(name) JOIN_NAMES(LINK_NAME(name), _ipv4)
#define IPV6_NAME(name) JOIN_NAMES(LINK_NAME(name), _ipv6)

/* What a family's function says of a packet that it found no flow entry for; no verdict of tc's. */
#define NO_FLOW_VERDICT 100

#ifdef FAMILY
#if FAMILY == 4

#define OF_FAMILY(name) name##_ipv4
#define FAMILY_AF AF_INET
#define FAMILY_INDEX 0 /* in flow_table_counters */
#define ADDRESS_WORDS 1
#define ip_part ipv4 /* of struct endpoint */
#define FIB_SRC(fib) (&(fib)->ipv4_src)
#define FIB_DST(fib) (&(fib)->ipv4_dst)
#define SOURCE(ip) (&(ip)->saddr)
#define DESTINATION(ip) (&(ip)->daddr)
#define PROTOCOL(ip) ((ip)->protocol)
typedef struct iphdr ip_header_t;
typedef struct ipv4_address address_t;

#else

#define OF_FAMILY(name) name##_ipv6
#define FAMILY_AF AF_INET6
#define FAMILY_INDEX 1
#define ADDRESS_WORDS 4
#define ip_part ipv6
#define FIB_SRC(fib) ((fib)->ipv6_src)
#define FIB_DST(fib) ((fib)->ipv6_dst)
#define SOURCE(ip) ((ip)->saddr)
#define DESTINATION(ip) ((ip)->daddr)
#define PROTOCOL(ip) ((ip)->nexthdr)
typedef struct ipv6hdr ip_header_t;
typedef struct ipv6_address address_t;

#endif

#define FAMILY_NAME(name) JOIN_NAMES(LINK_NAME(name), OF_FAMILY())

typedef struct OF_FAMILY(endpoint) endpoint_ip_t;
typedef struct OF_FAMILY(port_key) port_key_t;
typedef struct OF_FAMILY(port) port_t;
typedef struct OF_FAMILY(flow_key) flow_key_t;
typedef struct OF_FAMILY(flow) flow_t;
typedef struct OF_FAMILY(flow_draft) flow_draft_t;
typedef struct OF_FAMILY(source_key) source_key_t;
typedef struct OF_FAMILY(limit_key) limit_key_t;
typedef struct OF_FAMILY(echo_key) echo_key_t;
typedef struct echo echo_t;
typedef struct OF_FAMILY(parent_subnet_key) parent_subnet_key_t;
typedef struct OF_FAMILY(parent_subnet) parent_subnet_t;

#define endpoint_addresses OF_FAMILY(endpoint_addresses)
#define ports OF_FAMILY(ports)
#define host_addresses OF_FAMILY(host_addresses)
#define flows OF_FAMILY(flows)
#define flow_drafts OF_FAMILY(flow_drafts)
#define sources OF_FAMILY(sources)
#define port_policies OF_FAMILY(port_policies)
#define limits OF_FAMILY(limits)
#define echoes OF_FAMILY(echoes)
#define parent_subnets OF_FAMILY(parent_subnets)
#define icmp_budgets OF_FAMILY(icmp_budgets)

static __always_inline bool address_equal(const address_t *a, const address_t *b)
{
	__u32 difference = 0;

	for (int i = 0; i < ADDRESS_WORDS; i++)
		difference |= a->word[i] ^ b->word[i];
	return !difference;
}

static __always_inline bool address_is_zero(const address_t *address)
{
	__u32 bits = 0;

	for (int i = 0; i < ADDRESS_WORDS; i++)
		bits |= address->word[i];
	return !bits;
}

/* As many bits at once as can be, where from and to may lie: in a packet or a map anywhere, on the stack aligned to them. */
#if FAMILY == 4
typedef __u32 address_word_t;
#else
typedef __u64 __attribute__((may_alias)) address_word_t;
#endif

static __always_inline void address_move(void *to, const void *from)
{
	for (__u32 i = 0; i < sizeof(address_t) / sizeof(address_word_t); i++)
		((address_word_t *)to)[i] = ((const address_word_t *)from)[i];
}

static __always_inline void address_copy(__be32 *to, const address_t *from)
{
	for (int i = 0; i < ADDRESS_WORDS; i++)
		to[i] = from->word[i];
}

static __always_inline void address_read(address_t *to, const __be32 *from)
{
	for (int i = 0; i < ADDRESS_WORDS; i++)
		to->word[i] = from[i];
}

#endif
