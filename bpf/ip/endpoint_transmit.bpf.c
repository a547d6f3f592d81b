// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the container in slot sends to its gateway, one family: through a flow entry, or one made for it; else the kernel's. */
#include "../lib/forward.h"
#include "../lib/masquerade.h"

static __always_inline enum reason transmit(struct __sk_buff *skb, const struct endpoint *endpoint, __u32 slot,
					    int *verdict)
{
	struct packet packet;
	enum reason reason;
	flow_key_t key;

	reason = parse(skb, &packet);
	if (reason != REASON_NONE)
		return reason;
	flow_key_of(&packet, skb->ifindex, &key);
	reason = forward(skb, &packet, &key, verdict, &slot);
	if (reason != REASON_NO_FLOW && reason != REASON_STALE_FLOW)
		return reason;
	reason = masquerade(skb, &packet, endpoint, slot);
	if (reason != REASON_NONE)
		return reason;
	return forward(skb, &packet, &key, verdict, &slot);
}

__noinline int FAMILY_NAME(endpoint_transmit)(struct __sk_buff *skb, __u32 slot)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	int verdict = TCX_NEXT;
	enum reason reason;

	if (!endpoint)
		return TCX_NEXT;
	reason = transmit(skb, endpoint, slot, &verdict);
	return reason == REASON_NONE ? verdict : leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, reason);
}
