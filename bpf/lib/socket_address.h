/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The addresses of a socket call, as IPv6's: IPv4's as ::ffff:a.b.c.d. The context's words are fetched one by one, since the
 * verifier knows it only by constant offsets.
 */
#pragma once

#include "family.h"
#include <bpf/bpf_endian.h>

#define MAPPED_PREFIX bpf_htonl(0xffff)

static __always_inline void mapped_write(struct ipv6_address *to, __be32 ipv4)
{
	to->word[0] = 0;
	to->word[1] = 0;
	to->word[2] = MAPPED_PREFIX;
	to->word[3] = ipv4;
}

static __always_inline void words_copy(__be32 *to, const struct ipv6_address *from)
{
	to[0] = from->word[0];
	to[1] = from->word[1];
	to[2] = from->word[2];
	to[3] = from->word[3];
}

static __always_inline bool is_mapped(const struct ipv6_address *address)
{
	return !(address->word[0] | address->word[1]) && address->word[2] == MAPPED_PREFIX;
}

static __always_inline bool is_unset(const struct ipv6_address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2] | address->word[3]);
}

/* 0.0.0.0 or :: */
static __always_inline bool is_unspecified(const struct ipv6_address *address)
{
	return is_unset(address) || (is_mapped(address) && !address->word[3]);
}

/* 127.0.0.0/8 or ::1 */
static __always_inline bool is_loopback(const struct ipv6_address *address)
{
	if (is_mapped(address))
		return (bpf_ntohl(address->word[3]) >> 24) == 127;
	return !(address->word[0] | address->word[1] | address->word[2]) && address->word[3] == bpf_htonl(1);
}

/* The loopback address of the same family that connections to any loopback address come from. */
static __always_inline void first_loopback(struct ipv6_address *to, const struct ipv6_address *family_of)
{
	if (is_mapped(family_of)) {
		mapped_write(to, bpf_htonl(0x7f000001));
		return;
	}
	__builtin_memset(to, 0, sizeof(*to));
	to->word[3] = bpf_htonl(1);
}

static __always_inline bool same_address(const struct ipv6_address *a, const struct ipv6_address *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
		 (a->word[3] ^ b->word[3]));
}

#ifdef FAMILY
#if FAMILY == 4

/* The address of the call: whom it dials, or what it is about to tell. */
static __always_inline void call_address(const struct bpf_sock_addr *ctx, struct ipv6_address *address)
{
	mapped_write(address, ctx->user_ip4);
}

static __always_inline void call_set_address(struct bpf_sock_addr *ctx, const struct ipv6_address *address)
{
	ctx->user_ip4 = address->word[3];
}

/* The address that the socket is bound to; unset: to none. */
static __always_inline void socket_address(const struct bpf_sock_addr *ctx, struct ipv6_address *address)
{
	__u32 own = ctx->sk->src_ip4;

	__builtin_memset(address, 0, sizeof(*address));
	if (own)
		mapped_write(address, own);
}

/* The source that a datagram is to have; unset: the route's. */
static __always_inline void message_source(const struct bpf_sock_addr *ctx, struct ipv6_address *address)
{
	__u32 source = ctx->msg_src_ip4;

	__builtin_memset(address, 0, sizeof(*address));
	if (source)
		mapped_write(address, source);
}

static __always_inline void message_set_source(struct bpf_sock_addr *ctx, const struct ipv6_address *address)
{
	ctx->msg_src_ip4 = address->word[3];
}

/* Binds to an address, unset: to none, and to no port. Returns an error where a port is bound. */
static __always_inline int bind_socket(struct bpf_sock_addr *ctx, const struct ipv6_address *address)
{
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_addr = address->word[3] };

	return bpf_bind(ctx, (struct sockaddr *)&own, sizeof(own));
}

#else

static __always_inline void call_address(const struct bpf_sock_addr *ctx, struct ipv6_address *address)
{
	address->word[0] = ctx->user_ip6[0];
	address->word[1] = ctx->user_ip6[1];
	address->word[2] = ctx->user_ip6[2];
	address->word[3] = ctx->user_ip6[3];
}

static __always_inline void call_set_address(struct bpf_sock_addr *ctx, const struct ipv6_address *address)
{
	ctx->user_ip6[0] = address->word[0];
	ctx->user_ip6[1] = address->word[1];
	ctx->user_ip6[2] = address->word[2];
	ctx->user_ip6[3] = address->word[3];
}

static __always_inline void socket_address(const struct bpf_sock_addr *ctx, struct ipv6_address *address)
{
	const struct bpf_sock *socket = ctx->sk;

	address->word[0] = socket->src_ip6[0];
	address->word[1] = socket->src_ip6[1];
	address->word[2] = socket->src_ip6[2];
	address->word[3] = socket->src_ip6[3];
}

static __always_inline void message_source(const struct bpf_sock_addr *ctx, struct ipv6_address *address)
{
	address->word[0] = ctx->msg_src_ip6[0];
	address->word[1] = ctx->msg_src_ip6[1];
	address->word[2] = ctx->msg_src_ip6[2];
	address->word[3] = ctx->msg_src_ip6[3];
}

static __always_inline void message_set_source(struct bpf_sock_addr *ctx, const struct ipv6_address *address)
{
	ctx->msg_src_ip6[0] = address->word[0];
	ctx->msg_src_ip6[1] = address->word[1];
	ctx->msg_src_ip6[2] = address->word[2];
	ctx->msg_src_ip6[3] = address->word[3];
}

static __always_inline int bind_socket(struct bpf_sock_addr *ctx, const struct ipv6_address *address)
{
	struct sockaddr_in6 own = { .sin6_family = AF_INET6 };

	words_copy(own.sin6_addr, address);
	return bpf_bind(ctx, (struct sockaddr *)&own, sizeof(own));
}

#endif
#endif
