// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc egress of an uplink: what the kernel sends outside for a container is learned. */
#include "lib/family.h"
#include "lib/forwarded.h"
#include "lib/maps.h"
#include <bpf/bpf_endian.h>

int IPV4_NAME(uplink_learn)(struct __sk_buff *skb);
int IPV6_NAME(uplink_learn)(struct __sk_buff *skb);

SEC("tcx/egress")
int LINK_NAME(uplink_egress)(struct __sk_buff *skb)
{
	if (skb->tc_index == FORWARDED) {
		skb->tc_index = 0;
		return TCX_NEXT;
	}
	/* The host's own packets have come by no device. */
	if (!skb->ingress_ifindex || skb->vlan_present)
		return TCX_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return IPV4_NAME(uplink_learn)(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return IPV6_NAME(uplink_learn)(skb);
	return TCX_NEXT;
}
