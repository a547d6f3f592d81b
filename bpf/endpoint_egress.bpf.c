// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc egress of an endpoint's host-side veth: what the kernel delivers to the container, the slow path. Counting only. */
#include "lib/count.h"
#include "lib/endpoint.h"

SEC("tcx/egress")
int endpoint_egress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint_ref *receiver = bpf_map_lookup_elem(&endpoint_devices, &ifindex);
	struct packet packet;
	__u32 headers_length;

	if (!receiver || !endpoint_get(receiver->slot, receiver->generation))
		return TCX_NEXT;
	headers_length = parse(skb, &packet) == REASON_NONE ? packet.headers_length : 0;
	count(skb, headers_length, receiver->slot, DIRECTION_RECEIVE, PATH_SLOW);
	return TCX_NEXT;
}
