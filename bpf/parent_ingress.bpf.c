// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of a parent: what comes in for its containers is counted. The kernel delivers it. Who asks for one is answered. */
#include "lib/arp.h"
#include "lib/nd.h"

int parent_receive_ipv4(struct __sk_buff *skb);
int parent_receive_ipv6(struct __sk_buff *skb);

SEC("tcx/ingress")
int parent_ingress(struct __sk_buff *skb)
{
	int verdict;

	/* Turned back or delivered by us, and counted. */
	if (skb->tc_index == FORWARDED) {
		skb->tc_index = 0;
		return TCX_NEXT;
	}
	if (skb->vlan_present)
		return TCX_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return parent_receive_ipv4(skb);
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return arp_of_announced(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return is_nd(skb) && nd_of_announced(skb, &verdict) ? verdict : parent_receive_ipv6(skb);
	return TCX_NEXT;
}
