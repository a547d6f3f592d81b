// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Run by the control plane, not attached: the frame that it is run on is sent by the device that it is run at. So neighbours learn where
 * a container's address is that somebody else may have had before.
 */
#include "lib/maps.h"

SEC("tc")
int parent_announce(struct __sk_buff *skb)
{
	return bpf_clone_redirect(skb, skb->ifindex, 0);
}
