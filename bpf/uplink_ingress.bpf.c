// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* tc ingress of an uplink: what comes from outside. */
#include "lib/forward.h"
#include "lib/masquerade.h"
#include "lib/portmap.h"

/* The connection that a packet without a flow entry belongs to gets its entries; REASON_TO_HOST: it is the host's own. */
static __always_inline enum reason make_flow(struct __sk_buff *skb, const struct packet *packet, __u32 *slot)
{
	struct port *port = port_find(packet);

	if (port)
		return portmap(skb, packet, port, slot);
	return masquerade_answer(skb, packet, slot);
}

SEC("tcx/ingress")
int uplink_ingress(struct __sk_buff *skb)
{
	__u32 slot = SLOT_NONE;
	struct packet packet;
	struct flow_key key;
	enum reason reason;
	int verdict = TCX_NEXT;

	/* The host's own traffic passes here too: what is not for a container is not counted. */
	if (skb->pkt_type != PACKET_HOST || parse(skb, &packet) != REASON_NONE)
		return TCX_NEXT;

	flow_key_of(&packet, skb->ifindex, &key);
	reason = forward(skb, &packet, &key, &verdict, &slot);
	if (reason == REASON_NO_FLOW || reason == REASON_STALE_FLOW) {
		reason = make_flow(skb, &packet, &slot);
		if (reason == REASON_TO_HOST)
			return TCX_NEXT;
		if (reason == REASON_NONE)
			reason = forward(skb, &packet, &key, &verdict, &slot);
	}
	return reason == REASON_NONE ? verdict : leave_to_kernel(skb, slot, DIRECTION_RECEIVE, reason);
}

char LICENSE[] SEC("license") __attribute__((weak)) = "Dual BSD/GPL";
