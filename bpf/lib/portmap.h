/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Published ports: a connection from outside to a port of the host becomes one to a container. */
#pragma once

#include "flow.h"

/* The published port that the packet is for, or NULL. As Docker's rule has it: "any address" means one of the host's own. */
static __always_inline struct port *port_find(const struct packet *packet)
{
	struct port_key key = { .address = packet->daddr, .port = packet->dport, .proto = packet->proto };
	struct port *port = bpf_map_lookup_elem(&ports, &key);

	if (port)
		return port;
	key.address = 0;
	port = bpf_map_lookup_elem(&ports, &key);
	if (!port || !bpf_map_lookup_elem(&host_addresses, &packet->daddr))
		return NULL;
	return port;
}

/*
 * Gives a packet from outside to a published port its connection: conntrack's entry with its DNAT, and the flow entries.
 * REASON_NONE, or why the kernel has to do it; slot tells whose it is.
 */
static __always_inline enum reason portmap(struct __sk_buff *skb, const struct packet *packet, const struct port *port,
					   __u32 *slot)
{
	struct endpoint *endpoint = endpoint_get(port->slot, port->generation);
	struct flow_origin origin = { .endpoint = endpoint, .slot = port->slot, .uplink_ifindex = skb->ifindex };
	enum reason reason;
	struct route route;
	struct nf_conn *ct;
	__u8 dir;

	if (!endpoint)
		return REASON_STALE_FLOW;
	*slot = port->slot;
	if (!is_global_unicast(packet->saddr))
		return REASON_NOT_UNICAST;
	reason = route_to_outside(skb, packet, port->address, packet->saddr, endpoint->bridge_ifindex, &route);
	if (reason != REASON_NONE)
		return reason;
	if (route.ifindex != skb->ifindex)
		return REASON_ASYMMETRIC_ROUTE;
	origin.route = &route;
	ct = conntrack_lookup_open(skb, packet, &dir);
	if (ct) {
		/* A reply here is a connection of the host's or a container's own, from a port that is published too. */
		reason = dir == IP_CT_DIR_ORIGINAL ? flow_adopt(ct, packet, &origin) : REASON_CONNTRACK_STATE;
		bpf_ct_release(ct);
		return reason;
	}
	if (packet->proto == IPPROTO_TCP && !is_first_syn(packet))
		return REASON_NO_FLOW;
	if (endpoint->flags & ENDPOINT_FILTERED)
		return REASON_FILTERED;
	ct = conntrack_make(skb, packet, port->address, bpf_ntohs(port->port), NF_NAT_MANIP_DST);
	if (!ct)
		return REASON_CONNTRACK_FAILED;
	reason = flow_open(ct, packet, &origin);
	bpf_ct_release(ct);
	return reason;
}
