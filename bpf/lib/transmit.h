/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an endpoint sends outside its network, one family: through its flow entry, or one made for it. */
#pragma once

#include "forward.h"
#include "masquerade.h"

/*
 * slot: the sender's; ifindex: by which its flow entries are keyed. REASON_NONE: verdict is the program's return value. Else why the
 * packet is the kernel's.
 */
static __always_inline enum reason transmit(struct __sk_buff *skb, __u32 slot, __u32 ifindex, int *verdict)
{
	const struct endpoint *sender;
	struct packet packet;
	__u32 owner = slot;
	enum reason reason;

	reason = parse(skb, &packet);
	if (reason != REASON_NONE)
		return reason;
	packet.key.ifindex = ifindex;
	reason = forward(skb, &packet, verdict, &owner);
	if (reason != REASON_NO_FLOW && reason != REASON_STALE_FLOW)
		return reason;
	sender = bpf_map_lookup_elem(&endpoints, &slot);
	if (!sender)
		return REASON_ENDPOINT_UNKNOWN;
	reason = masquerade(skb, &packet, sender, slot);
	if (reason != REASON_NONE)
		return reason;
	return forward(skb, &packet, verdict, &owner);
}
