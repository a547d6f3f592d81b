/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Published ports: which one a packet is for, and which one a connection is counted for. */
#pragma once

#include "conntrack.h"
#include "maps.h"

/*
 * The published port at an address and port of the host's (of proto), or NULL. As Docker's rule has it: "any address" means one of the host's
 * own.
 */
static __always_inline port_t *port_find(const address_t *address, __be16 number, __u8 proto)
{
	port_key_t key = { .address = *address, .port = number, .proto = proto };
	port_t *port;

	/* All zero is a key of ours, not an address that a packet could be for. */
	if (address_is_zero(address))
		return NULL;
	port = bpf_map_lookup_elem(&ports, &key);
	if (port)
		return port;
	__builtin_memset(&key.address, 0, sizeof(key.address));
	port = bpf_map_lookup_elem(&ports, &key);
	if (!port || !bpf_map_lookup_elem(&host_addresses, address))
		return NULL;
	return port;
}

/* Whether a port of the endpoint's own may be published, of whatever protocol and family: most that are not need not be looked for. */
static __always_inline bool may_be_published(const struct endpoint *endpoint, __be16 port)
{
	return endpoint->published >> bpf_ntohs(port) % PUBLISHED_BITS & 1;
}

/* What a connection's first packet was for, and what its DNAT has made of that. */
struct OF_FAMILY(dialled) {
	address_t address;
	address_t container;
	__be16 port;
	__be16 container_port;
	__u8 proto;
	__u8 pad[3];
};

/* In ip/port_number.bpf.c. */
int OF_FAMILY(port_number)(const struct OF_FAMILY(dialled) * dialled);

/* The number of the published port that the connection is to, whoever has translated it; 0: to none, or to one without a number. */
static __always_inline __u32 conntrack_port_number(const struct nf_conn *ct, __u8 proto)
{
	const struct nf_conntrack_tuple *original = &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	const struct nf_conntrack_tuple *reply = &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	struct OF_FAMILY(dialled) dialled = { .proto = proto };

	tuple_destination(&dialled.address, original);
	tuple_source(&dialled.container, reply);
	dialled.port = original->dst.u.all;
	dialled.container_port = reply->src.u.all;
	/* Who was dialled answers: nothing was translated. */
	if (dialled.port == dialled.container_port && address_equal(&dialled.address, &dialled.container))
		return 0;
	return OF_FAMILY(port_number)(&dialled);
}
