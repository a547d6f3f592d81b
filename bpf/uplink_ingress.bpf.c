// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of an uplink: what comes from outside. */
#include "lib/family.h"
#include "lib/maps.h"
#include <bpf/bpf_endian.h>

int IPV4_NAME(uplink_receive)(struct __sk_buff *skb);
int IPV6_NAME(uplink_receive)(struct __sk_buff *skb);
int IPV4_NAME(uplink_policy)(struct __sk_buff *skb);
int IPV6_NAME(uplink_policy)(struct __sk_buff *skb);
int IPV4_NAME(uplink_open)(struct __sk_buff *skb);
int IPV6_NAME(uplink_open)(struct __sk_buff *skb);

SEC("tcx/ingress")
int LINK_NAME(uplink_ingress)(struct __sk_buff *skb)
{
	/* What is not for this host, or for a device on top of this one, came in here all the same. */
	bool ours = skb->pkt_type == PACKET_HOST && !skb->vlan_present;
	bool ipv6 = skb->protocol == bpf_htons(ETH_P_IPV6);
	int verdict;

	if (!ipv6 && skb->protocol != bpf_htons(ETH_P_IP))
		return TCX_NEXT;
	if (ours) {
		verdict = ipv6 ? IPV6_NAME(uplink_receive)(skb) : IPV4_NAME(uplink_receive)(skb);
		if (verdict != NO_FLOW_VERDICT)
			return verdict;
	}
	verdict = ipv6 ? IPV6_NAME(uplink_policy)(skb) : IPV4_NAME(uplink_policy)(skb);
	if (verdict != TCX_NEXT || !ours)
		return verdict;
	return ipv6 ? IPV6_NAME(uplink_open)(skb) : IPV4_NAME(uplink_open)(skb);
}

char LICENSE[] SEC("license") __attribute__((weak)) = "Dual BSD/GPL";
