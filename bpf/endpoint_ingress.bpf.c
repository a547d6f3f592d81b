// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of an endpoint's host-side veth: what the container sends. */
#include "lib/bridge.h"

int endpoint_transmit_ipv4(struct __sk_buff *skb, __u32 slot);
int endpoint_transmit_ipv6(struct __sk_buff *skb, __u32 slot);
int endpoint_answers_ipv4(struct __sk_buff *skb, __u32 slot);
int endpoint_answers_ipv6(struct __sk_buff *skb, __u32 slot);

/* By the slow path. Only what publishes ports can have sent for one. */
static __always_inline void count_answers(struct __sk_buff *skb, const struct endpoint *endpoint, __u32 slot)
{
	if (!endpoint->published || skb->vlan_present)
		return;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		endpoint_answers_ipv4(skb, slot);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		endpoint_answers_ipv6(skb, slot);
}

SEC("tcx/ingress")
int endpoint_ingress(struct __sk_buff *skb)
{
	__u32 slot;
	struct endpoint *endpoint = endpoint_of_device(skb->ifindex, &slot);
	int verdict = TCX_NEXT;
	struct ethhdr *eth;

	if (!endpoint)
		return leave_to_kernel(skb, SLOT_NONE, DIRECTION_TRANSMIT, REASON_ENDPOINT_UNKNOWN);

	eth = (void *)(long)skb->data;
	if ((void *)(eth + 1) > (void *)(long)skb->data_end)
		return leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_MALFORMED);
	/* Another MAC than its own: a device of the container's making, or a forgery. The kernel's bridge knows it, or learns it. */
	if (!mac_is(eth->h_source, endpoint->mac))
		leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_FOREIGN_SOURCE);
	else if (!mac_is(eth->h_dest, endpoint->bridge_mac))
		verdict = bridge(skb, endpoint, slot);
	else if (skb->vlan_present)
		leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_NOT_IP);
	else if (skb->protocol == bpf_htons(ETH_P_IP))
		verdict = endpoint_transmit_ipv4(skb, slot);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		verdict = endpoint_transmit_ipv6(skb, slot);
	else
		leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, REASON_NOT_IP);
	if (verdict == TCX_NEXT) {
		count(skb, segment_headers_length(skb), slot, DIRECTION_TRANSMIT, PATH_SLOW);
		tcp_control(skb, slot, SLOT_NONE);
		count_answers(skb, endpoint, slot);
	}
	return verdict;
}
