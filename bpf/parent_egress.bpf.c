// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc egress of a parent: what its containers send outside, and what they and the host would send each other. */
#include "lib/arp.h"
#include "lib/nd.h"
#include "lib/onward.h"

int parent_transmit_ipv4(struct __sk_buff *skb);
int parent_transmit_ipv6(struct __sk_buff *skb);
int parent_translate_ipv4(struct __sk_buff *skb, __u32 slot);
int parent_translate_ipv6(struct __sk_buff *skb, __u32 slot);
int parent_refuse_ipv4(struct __sk_buff *skb, __u32 reason);
int parent_refuse_ipv6(struct __sk_buff *skb, __u32 reason);

SEC("tcx/egress")
int parent_egress(struct __sk_buff *skb)
{
	int verdict;

	/* What we have sent, rewritten already. */
	if (skb->tc_index == FORWARDED) {
		skb->tc_index = 0;
		return TCX_NEXT;
	}
	/* A VLAN's on top of this device. */
	if (skb->vlan_present)
		return TCX_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		verdict = parent_transmit_ipv4(skb);
		if (verdict < REFUSED)
			return verdict;
		if (verdict < TRANSLATED)
			return parent_refuse_ipv4(skb, verdict - REFUSED);
		return parent_translate_ipv4(skb, verdict - TRANSLATED);
	}
	if (skb->protocol == bpf_htons(ETH_P_ARP))
		return arp_at_parent(skb);
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (is_nd(skb) && nd_at_parent(skb, &verdict))
			return verdict;
		verdict = parent_transmit_ipv6(skb);
		if (verdict < REFUSED)
			return verdict;
		if (verdict < TRANSLATED)
			return parent_refuse_ipv6(skb, verdict - REFUSED);
		return parent_translate_ipv6(skb, verdict - TRANSLATED);
	}
	return TCX_NEXT;
}
