/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Endpoints by slot and generation. */
#pragma once

#include "maps.h"

/* The endpoint in slot, or NULL when the slot is not (any more) of that generation. */
static __always_inline struct endpoint *endpoint_get(__u32 slot, __u32 generation)
{
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

	if (!endpoint || !generation || endpoint->generation != generation)
		return NULL;
	return endpoint;
}
