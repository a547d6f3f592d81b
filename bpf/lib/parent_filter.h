/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What need not be looked for at a parent: a bit for each hash of an address, so that the packets of others, which are the most
 * there, are told by a few instructions each. src/datapath/parent_filter.ts writes it with the same hash.
 */
#pragma once

#include "family.h"
#include "parent.h"

/* Addresses of one subnet of up to 65,536 differ in it. */
static __always_inline __u32 address_hash(const address_t *address)
{
	__u32 word = 0;

	for (int i = 0; i < ADDRESS_WORDS; i++)
		word ^= address->word[i];
	word ^= word >> 16;
	/* The mask comes last: verifiers of 6.1 forget the bounds of what an exclusive or is made of. */
	barrier_var(word);
	return word & (PARENT_FILTER_BITS - 1);
}

static __always_inline bool filter_has(const __u32 *words, __u32 hash)
{
	return words[hash / 32] >> hash % 32 & 1;
}

/* The endpoint on a parent that has the address, or NULL; slot is its own. */
static __always_inline const struct endpoint *endpoint_of(const struct parent_filter *filter, const address_t *address,
							  __u32 *slot)
{
	const struct endpoint_ref *ref;
	const struct endpoint *endpoint;

	*slot = SLOT_NONE;
	if (!filter_has(filter->endpoints, address_hash(address)))
		return NULL;
	ref = bpf_map_lookup_elem(&endpoint_addresses, address);
	endpoint = endpoint_on_any_parent(ref);
	if (endpoint)
		*slot = ref->slot;
	return endpoint;
}

static __always_inline bool is_host(const struct parent_filter *filter, const address_t *address)
{
	return filter_has(filter->hosts, address_hash(address)) && bpf_map_lookup_elem(&host_addresses, address);
}
