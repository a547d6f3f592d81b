// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the kernel sends outside for a container, one family. */
#include "../lib/learn.h"

__noinline int FAMILY_NAME(uplink_learn)(struct __sk_buff *skb)
{
	struct packet packet;

	if (parse(skb, &packet) == REASON_NONE)
		learn(skb, &packet, NULL, SLOT_NONE);
	return TCX_NEXT;
}
