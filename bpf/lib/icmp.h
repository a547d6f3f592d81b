/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ICMP of containers on parents that are translated: echo (ping), whose identifiers are for it what ports are for others (RFC 3022,
 * 4.1), and errors about their TCP and UDP, which bear the packet that they are about (RFC 5508). The kernel's functions for
 * conntrack take no ICMP, so echo has a table of its own.
 */
#pragma once

#include "conntrack.h"
#include "count.h"
#include "parent.h"
#include "rewrite.h"
#include "sum.h"

#if FAMILY == 4
#define ICMP_PROTOCOL IPPROTO_ICMP
#define ICMP_ECHO_REQUEST 8
#define ICMP_ECHO_REPLY 0
/* Destination unreachable, time exceeded, parameter problem. */
#define ICMP_IS_ERROR(type) ((type) == 3 || (type) == 11 || (type) == 12)
#else
#define ICMP_PROTOCOL IPPROTO_ICMPV6
#define ICMP_ECHO_REQUEST 128
#define ICMP_ECHO_REPLY 129
/* Destination unreachable, packet too big, time exceeded, parameter problem. */
#define ICMP_IS_ERROR(type) ((type) >= 1 && (type) <= 4)
#endif

/* How many identifiers are tried for an echo request whose own is another's. */
#define ECHO_TRIES 8
/* From one to the next: odd, so that all come in turn. */
#define ECHO_STEP 0x3779

struct icmp_header {
	__u8 type;
	__u8 code;
	__sum16 check;
	__be16 id;
	__be16 sequence;
};

struct icmp_packet {
	ip_header_t ip;
	struct icmp_header icmp;
};

/* The packet that an error is about, as far as its ports. */
struct icmp_about {
	ip_header_t ip;
	__be16 sport;
	__be16 dport;
};

#define ABOUT_OFFSET (L4_OFFSET + (int)sizeof(struct icmp_header))

/* Reads the headers, if it is ICMP and can be translated: no fragment, no options. */
static __always_inline bool icmp_read(struct __sk_buff *skb, struct icmp_packet *packet)
{
	struct packet parsed = {};

	if (bpf_skb_load_bytes(skb, IP_OFFSET, packet, sizeof(*packet)))
		return false;
	return parse_ip(&packet->ip, &parsed) == REASON_NONE && parsed.key.proto == ICMP_PROTOCOL;
}

#define ICMP_CHECK_OFFSET (L4_OFFSET + (int)__builtin_offsetof(struct icmp_header, check))

#if FAMILY == 4

/* Replaces the address at offset in an IPv4 header at ip, whose checksum keeps what is around it true as well. */
static __always_inline long replace_address(struct __sk_buff *skb, __u32 ip, __u32 offset, const address_t *from,
					    const address_t *to)
{
	long error = bpf_l3_csum_replace(skb, ip + __builtin_offsetof(struct iphdr, check), from->word[0], to->word[0],
					 sizeof(to->word[0]));

	return error | bpf_skb_store_bytes(skb, ip + offset, to, sizeof(*to), 0);
}

#else

/* The same of IPv6, which has no checksum of its own: it is in ICMPv6's, whether as the packet's or of the one that it is about. */
static __always_inline long replace_address(struct __sk_buff *skb, __u32 ip, __u32 offset, const address_t *from,
					    const address_t *to)
{
	__u64 flags = ip == IP_OFFSET ? BPF_F_PSEUDO_HDR | ipv6_checksum_flag : 0;
	__u16 difference = fold(address_difference(from, to));
	long error = bpf_l4_csum_replace(skb, ICMP_CHECK_OFFSET, 0, difference, flags);

	if (!ipv6_checksum_flag && flags)
		checksum_changed(skb, checksum_state(skb), difference);
	return error | bpf_skb_store_bytes(skb, ip + offset, to, sizeof(*to), 0);
}

#endif

/* Replaces an identifier or a port, which ICMP's checksum has. */
static __always_inline long replace_number(struct __sk_buff *skb, __u32 offset, __be16 from, __be16 to)
{
	if (from == to)
		return 0;
	return bpf_l4_csum_replace(skb, ICMP_CHECK_OFFSET, from, to, sizeof(to)) |
	       bpf_skb_store_bytes(skb, offset, &to, sizeof(to), 0);
}

#define ECHO_ID_OFFSET (L4_OFFSET + (int)__builtin_offsetof(struct icmp_header, id))
#define SOURCE_OFFSET __builtin_offsetof(ip_header_t, saddr)
#define DESTINATION_OFFSET __builtin_offsetof(ip_header_t, daddr)

static __always_inline bool echo_is(const echo_t *echo, __u32 slot, __u32 generation, __be16 id)
{
	return echo->slot == slot && echo->generation == generation && echo->id == id;
}

/* Finds an identifier under which the container's request can go, and notes whose it is. False: none is free. */
static __always_inline bool echo_open(echo_key_t *key, const struct endpoint *sender, __u32 slot, __be16 id)
{
	echo_t own = { .slot = slot, .generation = sender->generation, .id = id };
	const echo_t *echo;

	key->id = id;
	for (int i = 0; i < ECHO_TRIES; i++) {
		echo = bpf_map_lookup_elem(&echoes, key);
		if (echo && echo_is(echo, slot, own.generation, id))
			return true;
		if ((!echo || (echo->slot != SLOT_NONE && !endpoint_get(echo->slot, echo->generation))) &&
		    !bpf_map_update_elem(&echoes, key, &own, BPF_ANY))
			return true;
		key->id += ECHO_STEP;
	}
	return false;
}

/*
 * An echo request of a container that is masqueraded: in place behind source, the parent's address. REASON_NONE: it goes on as it is
 * now. Else it is as it was, but for REASON_REWRITE_FAILED.
 */
static __always_inline enum reason icmp_masquerade(struct __sk_buff *skb, const struct endpoint *sender, __u32 slot,
						   const address_t *source)
{
	echo_key_t key = { .ifindex = skb->ifindex };
	struct icmp_packet packet;
	address_t own;

	if (!icmp_read(skb, &packet) || packet.icmp.type != ICMP_ECHO_REQUEST)
		return REASON_NOT_TCP_UDP;
	address_read(&own, SOURCE(&packet.ip));
	address_read(&key.peer, DESTINATION(&packet.ip));
	if (!echo_open(&key, sender, slot, packet.icmp.id))
		return REASON_CONNTRACK_FAILED;
	if (replace_number(skb, ECHO_ID_OFFSET, packet.icmp.id, key.id) |
	    replace_address(skb, IP_OFFSET, SOURCE_OFFSET, &own, source))
		return REASON_REWRITE_FAILED;
	return REASON_NONE;
}

/* The host's own echo request: the identifier is its own from now on, and a container that has used it takes another. */
static __always_inline void icmp_of_host(struct __sk_buff *skb)
{
	echo_t taken = { .slot = SLOT_NONE };
	echo_key_t key = { .ifindex = skb->ifindex };
	struct icmp_packet packet;
	const echo_t *echo;

	if (!icmp_read(skb, &packet) || packet.icmp.type != ICMP_ECHO_REQUEST)
		return;
	address_read(&key.peer, DESTINATION(&packet.ip));
	key.id = packet.icmp.id;
	echo = bpf_map_lookup_elem(&echoes, &key);
	if (echo && echo->slot != SLOT_NONE)
		bpf_map_update_elem(&echoes, &key, &taken, BPF_EXIST);
}

/* An answer to a container's echo request. */
static __always_inline const struct endpoint *echo_answer(struct __sk_buff *skb, const struct icmp_packet *packet,
							  __u32 *slot, __be16 *id)
{
	echo_key_t key = { .ifindex = skb->ifindex, .id = packet->icmp.id };
	const echo_t *echo;

	address_read(&key.peer, SOURCE(&packet->ip));
	echo = bpf_map_lookup_elem(&echoes, &key);
	if (!echo || echo->slot == SLOT_NONE)
		return NULL;
	*slot = echo->slot;
	*id = echo->id;
	return endpoint_get(echo->slot, echo->generation);
}

/* Whose the connection is that an error is about; port is its own, where the packet that the error bears has the host's. */
static __always_inline const struct endpoint *error_receiver(struct __sk_buff *skb, const struct icmp_about *about,
							     __u32 *slot, __be16 *port)
{
	struct packet answer = { .key.sport = about->dport, .key.dport = about->sport };
	const struct nf_conntrack_tuple *own;
	struct endpoint_ref *ref;
	address_t address;
	struct nf_conn *ct;
	__u8 dir;

	if (parse_ip(&about->ip, &answer) != REASON_NONE ||
	    (answer.key.proto != IPPROTO_TCP && answer.key.proto != IPPROTO_UDP))
		return NULL;
	address_read(&answer.key.saddr, DESTINATION(&about->ip));
	address_read(&answer.key.daddr, SOURCE(&about->ip));
	ct = conntrack_lookup(skb, &answer, &dir);
	if (!ct)
		return NULL;
	own = dir == IP_CT_DIR_REPLY ? &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple : &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	tuple_source(&address, own);
	*port = own->src.u.all;
	bpf_ct_release(ct);
	ref = bpf_map_lookup_elem(&endpoint_addresses, &address);
	if (!ref)
		return NULL;
	*slot = ref->slot;
	return endpoint_on_parent(ref, skb->ifindex);
}

/*
 * ICMP that has come in for the host, and may be for a container that is translated: then it is made that container's, and the kernel
 * goes on with it. Returns the program's verdict.
 */
static __always_inline int icmp_deliver(struct __sk_buff *skb)
{
	const struct endpoint *receiver = NULL;
	struct icmp_about about = {};
	struct icmp_packet packet;
	address_t host, own;
	__u32 slot = SLOT_NONE;
	__be16 number = 0;
	bool is_error;
	long error;

	if (!icmp_read(skb, &packet))
		return TCX_NEXT;
	is_error = ICMP_IS_ERROR(packet.icmp.type);
	if (packet.icmp.type == ICMP_ECHO_REPLY)
		receiver = echo_answer(skb, &packet, &slot, &number);
	else if (is_error && !bpf_skb_load_bytes(skb, ABOUT_OFFSET, &about, sizeof(about)))
		receiver = error_receiver(skb, &about, &slot, &number);
	if (!receiver)
		return TCX_NEXT;
	own = receiver->ip_part.address;
	if (is_error) {
		address_read(&host, SOURCE(&about.ip));
		error = replace_number(skb, ABOUT_OFFSET + sizeof(about.ip), about.sport, number) |
			replace_address(skb, ABOUT_OFFSET, SOURCE_OFFSET, &host, &own);
	} else {
		error = replace_number(skb, ECHO_ID_OFFSET, packet.icmp.id, number);
	}
	address_read(&host, DESTINATION(&packet.ip));
	error |= replace_address(skb, IP_OFFSET, DESTINATION_OFFSET, &host, &own);
	if (error || !rewrite_link(skb, receiver->mac, receiver->bridge_mac))
		return drop(skb, slot, DIRECTION_RECEIVE, REASON_REWRITE_FAILED);
	count(skb, 0, slot, DIRECTION_RECEIVE, PATH_FAST);
	return TCX_NEXT;
}
