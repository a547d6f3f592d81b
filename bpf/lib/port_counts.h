/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting for published ports: their connections as they are made, and what their policies refuse. */
#pragma once

#include "family.h"

/* In port_counts.bpf.c. */
int count_port_event(const struct port_key_ipv6 *key, __u32 event);

/* any: the port is published on any address, else on this one. */
static __always_inline void count_port(const address_t *address, bool any, __be16 port, __u8 proto,
				       enum port_event event)
{
	struct port_key_ipv6 key = { .port = port, .proto = proto };

#if FAMILY == 4
	key.address.word[2] = bpf_htonl(0xffff);
	key.address.word[3] = any ? 0 : address->word[0];
#else
	if (!any)
		key.address = *address;
#endif
	count_port_event(&key, event);
}
