/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A process of the host's own network namespace dials: is it a published port, and is the container to be reached directly? */
#pragma once

#include "endpoint.h"
#include "settings.h"
#include "socket_address.h"
#include <bpf/bpf_core_read.h>

/* Of dial_find(), besides enum host_outcome: no published port is dialled, or none that we do anything for. */
#define NOT_PUBLISHED HOST_OUTCOME_MAX

struct dial {
	struct ipv6_address address; /* dialled; the unspecified address has become the loopback one that it means */
	struct ipv6_address bound;   /* the socket's own; unset: none */
	__be16 port;
	bool connects; /* by connect(), not with each datagram */
	/* What dial_find() finds. */
	struct port_key_ipv6 key;   /* the published port */
	struct ipv6_address to;     /* the container */
	struct ipv6_address source; /* that the socket has to send from; unset: whatever it does */
	struct ipv6_address local;  /* that the socket would have had; unset: what it has */
	struct endpoint_ref endpoint;
	__be16 to_port;
};

static __always_inline bool is_of_host(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == host_netns_cookie;
}

static __always_inline void count_outcome(const struct port_key_ipv6 *key, __u32 outcome)
{
	struct host_outcomes *outcomes = bpf_map_lookup_elem(&host_port_counters, key);

	if (!outcomes) {
		struct host_outcomes zero = {};

		bpf_map_update_elem(&host_port_counters, key, &zero, BPF_NOEXIST);
		outcomes = bpf_map_lookup_elem(&host_port_counters, key);
	}
	if (outcomes && outcome < HOST_OUTCOME_MAX)
		outcomes->sockets[outcome]++;
}

/*
 * Whether what listens there is docker-proxy: the socket that the kernel would give the connection to is one on the address of the
 * published port, of its family. Nobody else can have that while the port is published.
 */
static __always_inline bool proxy_listens(struct bpf_sock_addr *ctx, const struct dial *dial)
{
	const struct ipv6_address *published = &dial->key.address;
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *socket;
	bool found = false;
	__u32 length;

	if (is_mapped(&dial->address)) {
		tuple.ipv4.saddr = dial->address.word[3];
		tuple.ipv4.daddr = dial->address.word[3];
		tuple.ipv4.dport = dial->port;
		length = sizeof(tuple.ipv4);
	} else {
		words_copy(tuple.ipv6.saddr, &dial->address);
		words_copy(tuple.ipv6.daddr, &dial->address);
		tuple.ipv6.dport = dial->port;
		length = sizeof(tuple.ipv6);
	}
	if (dial->key.proto == IPPROTO_TCP)
		socket = bpf_sk_lookup_tcp(ctx, &tuple, length, BPF_F_CURRENT_NETNS, 0);
	else
		socket = bpf_sk_lookup_udp(ctx, &tuple, length, BPF_F_CURRENT_NETNS, 0);
	if (!socket)
		return false;
	if (is_mapped(published))
		found = socket->family == AF_INET && socket->src_ip4 == published->word[3];
	else
		found = socket->family == AF_INET6 && socket->src_ip6[0] == published->word[0] &&
			socket->src_ip6[1] == published->word[1] && socket->src_ip6[2] == published->word[2] &&
			socket->src_ip6[3] == published->word[3];
	bpf_sk_release(socket);
	return found;
}

/* Whether an IPv6 socket may not send IPv4 (IPV6_V6ONLY). When unsure it may not. */
static __always_inline bool is_ipv6_only(struct bpf_sock_addr *ctx)
{
	struct sock *socket;

	if (ctx->protocol == IPPROTO_TCP)
		socket = (struct sock *)bpf_skc_to_tcp6_sock(ctx->sk);
	else
		socket = (struct sock *)bpf_skc_to_udp6_sock(ctx->sk);
	return !socket || BPF_CORE_READ_BITFIELD(&socket->__sk_common, skc_ipv6only);
}

/* The published port that is dialled, or NULL; dial->key is it. */
static __always_inline struct host_port *dial_port(struct dial *dial)
{
	struct host_port *port;

	dial->key.address = dial->address;
	dial->key.port = dial->port;
	port = bpf_map_lookup_elem(&host_ports, &dial->key);
	if (port)
		return port;
	dial->key.address.word[3] = 0;
	if (!is_mapped(&dial->address))
		__builtin_memset(&dial->key.address, 0, sizeof(dial->key.address));
	return bpf_map_lookup_elem(&host_ports, &dial->key);
}

/*
 * Where a dial leads. HOST_LED: to dial->to, from dial->source; else why it goes the engine's own way, or NOT_PUBLISHED.
 * address, bound, port and connects of the dial are given, and its key is zero.
 */
static __always_inline __u32 dial_find(struct bpf_sock_addr *ctx, struct dial *dial)
{
	struct host_address *own = NULL;
	struct endpoint *endpoint;
	struct host_port *port;
	bool loopback, proxied, keeps_source;

	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
		return NOT_PUBLISHED;
	dial->key.proto = ctx->protocol;
	/* As the kernel has it; of a bound socket it would be the address that it is bound to. */
	if (is_unspecified(&dial->address) && is_unset(&dial->bound))
		first_loopback(&dial->address, &dial->address);
	loopback = is_loopback(&dial->address);
	if (!loopback) {
		own = bpf_map_lookup_elem(&host_dialled, &dial->address);
		if (!own)
			return NOT_PUBLISHED;
	}
	port = dial_port(dial);
	if (!port || !(port->flags & (loopback ? HOST_PORT_LOOPBACK : HOST_PORT_ADDRESSES)))
		return NOT_PUBLISHED;
	/* The kernel refuses that. */
	if (ctx->user_family == AF_INET6 && is_mapped(&dial->address) && is_ipv6_only(ctx))
		return NOT_PUBLISHED;
	proxied = port->flags & (loopback ? HOST_PORT_LOOPBACK_PROXIED : HOST_PORT_ADDRESSES_PROXIED);
	keeps_source = !loopback && !proxied && port->flags & HOST_PORT_KEEP_SOURCE;

	endpoint = endpoint_get(port->slot, port->generation);
	if (!endpoint || !bpf_map_lookup_elem(&host_devices, &endpoint->ifindex))
		return HOST_STALE;
	if (own && !proxied && own->bridge_ifindex && own->bridge_ifindex != endpoint->bridge_ifindex)
		return HOST_OTHER_NETWORK;
	if (ctx->sk->bound_dev_if)
		return HOST_BOUND;
	if (!is_unset(&dial->bound) && (!keeps_source || is_loopback(&dial->bound)))
		return HOST_BOUND;
	if (is_mapped(&port->address) != is_mapped(&dial->address) && (!dial->connects || is_ipv6_only(ctx)))
		return HOST_OTHER_FAMILY;
	dial->to = port->address;
	dial->to_port = port->port;
	dial->endpoint.slot = port->slot;
	dial->endpoint.generation = port->generation;
	if (is_unset(&dial->bound)) {
		if (loopback)
			first_loopback(&dial->local, &dial->address);
		else
			dial->local = own->source;
		if (keeps_source)
			dial->source = dial->local;
		else if (!proxied)
			dial->source = port->source;
	}
	/* A UDP socket that is bound once is so for good, also when it connects to someone else later. */
	if (dial->connects && ctx->protocol == IPPROTO_UDP && !is_unset(&dial->source))
		return HOST_SOURCE;
	if (!proxied)
		return HOST_LED;
	if (loopback && ctx->protocol == IPPROTO_UDP && !same_address(&dial->address, &dial->local))
		return HOST_ALIAS;
	return proxy_listens(ctx, dial) ? HOST_LED : HOST_NO_PROXY;
}
