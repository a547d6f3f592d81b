// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of an uplink: what comes from outside. */
#include "lib/forward.h"
#include "lib/portmap.h"

SEC("tcx/ingress")
int uplink_ingress(struct __sk_buff *skb)
{
	struct endpoint *endpoint;
	struct packet packet;
	struct flow_key key;
	enum reason reason;
	struct port *port;
	int verdict = TCX_NEXT;

	/* The host's own traffic passes here too: what is not for a container is not counted. */
	if (skb->pkt_type != PACKET_HOST || parse(skb, &packet) != REASON_NONE)
		return TCX_NEXT;

	flow_key_of(&packet, skb->ifindex, &key);
	reason = forward(skb, &packet, &key, &verdict);
	if (reason == REASON_NONE)
		return verdict;
	if (reason != REASON_NO_FLOW && reason != REASON_STALE_FLOW)
		return leave_to_kernel(skb, SLOT_NONE, DIRECTION_RECEIVE, reason);

	port = port_find(&packet);
	if (!port)
		return TCX_NEXT;
	endpoint = endpoint_get(port->slot, port->generation);
	if (!endpoint)
		return leave_to_kernel(skb, SLOT_NONE, DIRECTION_RECEIVE, REASON_STALE_FLOW);
	reason = portmap(skb, &packet, port, endpoint);
	if (reason == REASON_NONE)
		reason = forward(skb, &packet, &key, &verdict);
	if (reason != REASON_NONE)
		return leave_to_kernel(skb, port->slot, DIRECTION_RECEIVE, reason);
	return verdict;
}

char LICENSE[] SEC("license") __attribute__((weak)) = "Dual BSD/GPL";
