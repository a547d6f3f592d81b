/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Published ports: a connection from outside to a port of the host becomes one to a container. */
#pragma once

#include "connections.h"
#include "port_counts.h"

/*
 * Gives a packet from outside to a published port its connection: conntrack's entry with its DNAT, and the flow entries.
 * REASON_NONE, or why the kernel has to do it; slot tells whose it is.
 */
static __always_inline enum reason portmap(struct __sk_buff *skb, const struct packet *packet, const port_t *port,
					   __u32 *slot)
{
	struct endpoint *endpoint = endpoint_get(port->slot, port->generation);
	struct flow_ends ends = {
		.endpoint = endpoint, .slot = port->slot, .uplink_ifindex = skb->ifindex, .judged = true
	};
	enum reason reason;
	struct route route;
	struct nf_conn *ct;
	bool refused;
	__u8 dir;

	if (!endpoint)
		return REASON_STALE_FLOW;
	*slot = port->slot;
	if (!is_global_unicast(&packet->key.saddr))
		return REASON_NOT_UNICAST;
	reason = route_of_endpoint(skb, packet, endpoint, &port->address, &packet->key.saddr, &route);
	if (reason != REASON_NONE)
		return reason;
	if (route.ifindex != skb->ifindex)
		return REASON_ASYMMETRIC_ROUTE;
	ends.route = &route;
	ct = conntrack_lookup(skb, packet, &dir);
	if (ct) {
		if (!conntrack_is_reopened(ct, packet, dir)) {
			/* A reply here is a connection of the host's or a container's own, from a port that is published too. */
			reason =
				dir == IP_CT_DIR_ORIGINAL ? flow_adopt(ct, packet, &ends, dir) : REASON_CONNTRACK_STATE;
			bpf_ct_release(ct);
			return reason;
		}
		conntrack_expire(ct);
		bpf_ct_release(ct);
		conntrack_collect(skb, packet);
	}
	if (packet->key.proto == IPPROTO_TCP && !is_first_syn(packet))
		return REASON_NO_FLOW;
	if (endpoint->ip_part.flags & ENDPOINT_IP_FILTERED)
		return REASON_FILTERED;
	/* It goes no further: no connection comes of it. */
	if (packet->ttl <= 1)
		return REASON_TTL_EXPIRED;
	ct = conntrack_make(skb, packet, &port->address, bpf_ntohs(port->port), NF_NAT_MANIP_DST, &refused);
	if (!ct)
		return REASON_CONNTRACK_FAILED;
	if (refused) {
		conntrack_expire(ct);
		reason = REASON_CONNTRACK_FAILED;
	} else {
		ends.port_number = port->number;
		reason = flow_open(ct, packet, &ends, FLOW_MADE);
		if (reason == REASON_NONE) {
			count_made(packet, ends.slot, DIRECTION_RECEIVE);
			count_port_opened(port->number);
		}
	}
	bpf_ct_release(ct);
	return reason;
}
