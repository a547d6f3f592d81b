// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of an endpoint's host-side veth: what the container sends. */
#include "lib/bridge.h"
#include "lib/forward.h"
#include "lib/masquerade.h"

/* To the network's gateway: through a flow entry, or one made for it. */
static __always_inline enum reason route_packet(struct __sk_buff *skb, const struct endpoint *endpoint, __u32 slot,
						struct packet *packet, int *verdict)
{
	enum reason reason = parse(skb, packet);
	struct flow_key key;

	if (reason != REASON_NONE)
		return reason;
	flow_key_of(packet, skb->ifindex, &key);
	reason = forward(skb, packet, &key, verdict, &slot);
	if (reason != REASON_NO_FLOW && reason != REASON_STALE_FLOW)
		return reason;
	reason = masquerade(skb, packet, endpoint, slot);
	if (reason != REASON_NONE)
		return reason;
	return forward(skb, packet, &key, verdict, &slot);
}

SEC("tcx/ingress")
int endpoint_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct endpoint_ref *sender = bpf_map_lookup_elem(&endpoint_devices, &ifindex);
	struct packet packet = {};
	struct endpoint *endpoint;
	int verdict = TCX_NEXT;
	enum reason reason;
	void *data;

	if (!sender)
		return leave_to_kernel(skb, SLOT_NONE, DIRECTION_TRANSMIT, REASON_ENDPOINT_UNKNOWN);
	endpoint = endpoint_get(sender->slot, sender->generation);
	if (!endpoint)
		return leave_to_kernel(skb, SLOT_NONE, DIRECTION_TRANSMIT, REASON_ENDPOINT_UNKNOWN);

	data = (void *)(long)skb->data;
	if (data + sizeof(struct ethhdr) > (void *)(long)skb->data_end)
		return leave_to_kernel(skb, sender->slot, DIRECTION_TRANSMIT, REASON_MALFORMED);
	if (mac_is(((struct ethhdr *)data)->h_dest, endpoint->bridge_mac)) {
		reason = route_packet(skb, endpoint, sender->slot, &packet, &verdict);
		if (reason == REASON_NONE)
			return verdict;
		count(skb, packet.headers_length, sender->slot, DIRECTION_TRANSMIT, PATH_SLOW);
		return leave_to_kernel(skb, sender->slot, DIRECTION_TRANSMIT, reason);
	}
	verdict = bridge(skb, endpoint, sender->slot);
	if (verdict == TCX_NEXT)
		count(skb, 0, sender->slot, DIRECTION_TRANSMIT, PATH_SLOW);
	return verdict;
}
