/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose an address at a parent is, by a hash of it, so that the packets of others, which are the most there, are told by a few
 * instructions each, and a container's by a few more. src/datapath/parent_filter.ts writes it with the same hash.
 */
#pragma once

#include "family.h"
#include "parent.h"

/*
 * Addresses of one subnet of up to 65,536 differ in it. Of IPv6's only the words that tell networks of one site apart and containers
 * of one network, as a rule.
 */
static __always_inline __u32 address_hash(const address_t *address)
{
#if FAMILY == 4
	__u32 word = address->word[0];
#else
	__u32 word = address->word[1] ^ address->word[3];
#endif

	word ^= word >> 16;
	/* The mask comes last: verifiers of 6.1 forget the bounds of what an exclusive or is made of. */
	barrier_var(word);
	return word & (PARENT_FILTER_HASHES - 1);
}

/* Of an address of a packet and a record's. */
static __always_inline bool address_is(const address_t *packet, const address_t *record)
{
	const address_word_t *a = (const void *)packet, *b = (const void *)record;

	for (__u32 i = 0; i < sizeof(*packet) / sizeof(*a); i++) {
		if (a[i] != b[i])
			return false;
	}
	return true;
}

static __always_inline __u32 owner_of(const struct parent_filter *filter, const address_t *address)
{
	return filter->owners[address_hash(address)];
}

/* The endpoint on a parent that has the address, which is owner's, or NULL; else slot is its own. */
static __always_inline const struct endpoint *endpoint_of(__u32 owner, const address_t *address, __u32 *slot)
{
	const struct endpoint_ref *ref;
	const struct endpoint *endpoint;

	if (!(owner & PARENT_OWNER_ENDPOINT))
		return NULL;
	if (__builtin_expect(owner == PARENT_OWNER_ASK, 0)) {
		ref = bpf_map_lookup_elem(&endpoint_addresses, address);
		endpoint = endpoint_on_any_parent(ref);
		if (endpoint)
			*slot = ref->slot;
		return endpoint;
	}
	*slot = owner & ~PARENT_OWNER_ENDPOINT;
	endpoint = bpf_map_lookup_elem(&endpoints, slot);
	/* Whoever has the slot by now. On a bridge it is on no parent that a packet can be at. */
	if (endpoint && endpoint->generation && address_is(address, &endpoint->ip_part.address))
		return endpoint;
	return NULL;
}

/* Whether the address, which is owner's, is the host's. */
static __always_inline bool is_host(const struct parent_filter *filter, __u32 owner, const address_t *address)
{
	if (!(owner & PARENT_OWNER_HOST))
		return false;
	if (__builtin_expect(owner == PARENT_OWNER_ASK, 0))
		return bpf_map_lookup_elem(&host_addresses, address);
	return address_is(address, &filter->OF_FAMILY(hosts)[owner & (PARENT_FILTER_HOSTS - 1)]);
}

/* Whether the address may be in a subnet of a routed network's: where not, parent_subnets need not be looked at. */
static __always_inline bool may_be_in_subnet(const struct parent_filter *filter, const address_t *address)
{
	const __u16 *part = (const void *)address;

	return filter->subnets[part[FAMILY == 4 ? 0 : 2]];
}
