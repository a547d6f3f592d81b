// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the kernel delivers to the endpoint in slot, one family. */
#include "../lib/learn.h"

__noinline int FAMILY_NAME(endpoint_learn)(struct __sk_buff *skb, __u32 slot)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	struct packet packet;

	if (endpoint && parse(skb, &packet) == REASON_NONE)
		learn(skb, &packet, endpoint, slot);
	return TCX_NEXT;
}
