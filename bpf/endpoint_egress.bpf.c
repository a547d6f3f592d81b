// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * tc egress of an endpoint's host-side veth: what the kernel delivers to the container, the slow path. It is counted, and
 * learned where it came from elsewhere.
 */
#include "lib/count.h"
#include "lib/endpoint.h"
#include "lib/pairs.h"
#include "lib/segments.h"
#include "lib/tcp_control.h"
#include <bpf/bpf_endian.h>

int endpoint_learn_ipv4(struct __sk_buff *skb, __u32 slot);
int endpoint_learn_ipv6(struct __sk_buff *skb, __u32 slot);

SEC("tcx/egress")
int endpoint_egress(struct __sk_buff *skb)
{
	__u32 slot, headers_length;
	const struct endpoint *endpoint = endpoint_of_device(skb->ifindex, &slot);

	if (!endpoint)
		return TCX_NEXT;
	headers_length = segment_headers_length(skb);
	count(skb, headers_length, slot, DIRECTION_RECEIVE, PATH_SLOW);
	if (endpoint->flags & ENDPOINT_MATRIX)
		count_delivered_pair(skb, endpoint, slot, headers_length);
	tcp_control(skb, SLOT_NONE, slot);
	if (!skb->ingress_ifindex)
		return leave_to_kernel(skb, slot, DIRECTION_RECEIVE, REASON_FROM_HOST);
	if (skb->vlan_present)
		return TCX_NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return endpoint_learn_ipv4(skb, slot);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return endpoint_learn_ipv6(skb, slot);
	return TCX_NEXT;
}
