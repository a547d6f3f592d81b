/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Masquerade: a container's connection to the outside leaves with the host's address. */
#pragma once

#include "flow.h"

/*
 * The uplink's address that the kernel's MASQUERADE would take: inet_select_addr (net/ipv4/devinet.c) prefers the one whose
 * subnet has the next hop, else the first.
 */
static __always_inline __be32 uplink_address(const struct uplink *uplink, __be32 next_hop)
{
	for (__u32 i = 0; i < UPLINK_ADDRESSES_MAX && i < uplink->address_count; i++) {
		const struct uplink_address *candidate = &uplink->addresses[i];

		if (!((candidate->address ^ next_hop) & candidate->netmask))
			return candidate->address;
	}
	return uplink->addresses[0].address;
}

/* Remembers the host port of a masqueraded connection for masquerade_answer(). */
static __always_inline void masquerade_port_mark(const struct nf_conn *ct)
{
	__u32 port = bpf_ntohs(ct->tuplehash[IP_CT_DIR_REPLY].tuple.dst.u.all);
	__u8 *used = bpf_map_lookup_elem(&masquerade_ports, &port);

	if (used && !*used)
		*used = 1;
}

/* Opens a container's new connection: conntrack's entry with its SNAT, and the flow entries. */
static __always_inline enum reason masquerade_open(struct __sk_buff *skb, const struct packet *packet,
						   const struct flow_origin *origin)
{
	const struct endpoint *endpoint = origin->endpoint;
	enum reason reason;
	struct nf_conn *ct;
	__be32 address;

	if (packet->proto == IPPROTO_TCP && !is_first_syn(packet))
		return REASON_NO_FLOW;
	if (!(endpoint->flags & ENDPOINT_MASQUERADE))
		return REASON_NO_MASQUERADE;
	if (packet->saddr != endpoint->address)
		return REASON_FOREIGN_SOURCE;
	if (endpoint->flags & ENDPOINT_FILTERED)
		return REASON_FILTERED;
	address = endpoint->snat_address;
	if (!address)
		address = uplink_address(origin->route->uplink, origin->route->next_hop);
	if (!address)
		return REASON_NO_MASQUERADE;
	ct = conntrack_make(skb, packet, address, 0, NF_NAT_MANIP_SRC);
	if (!ct)
		return REASON_CONNTRACK_FAILED;
	masquerade_port_mark(ct);
	reason = flow_open(ct, packet, origin);
	bpf_ct_release(ct);
	return reason;
}

/*
 * Gives a container's packet to the outside its flow entries: those of the connection that conntrack knows (a published
 * port's answer, a masqueraded connection whose entry was evicted or that is older than we are), or of a new one.
 * REASON_NONE, or why the kernel has to do it.
 */
static __always_inline enum reason masquerade(struct __sk_buff *skb, const struct packet *packet,
					      const struct endpoint *endpoint, __u32 slot)
{
	struct flow_origin origin = { .endpoint = endpoint, .slot = slot, .endpoint_originated = true };
	enum reason reason;
	struct route route;
	struct nf_conn *ct;
	__u8 dir;

	if (!is_global_unicast(packet->daddr))
		return REASON_NOT_UNICAST;
	if (bpf_map_lookup_elem(&host_addresses, &packet->daddr))
		return REASON_TO_HOST;
	reason = route_to_outside(skb, packet, packet->saddr, packet->daddr, endpoint->bridge_ifindex, &route);
	if (reason != REASON_NONE)
		return reason;
	origin.route = &route;
	origin.uplink_ifindex = route.ifindex;
	ct = conntrack_lookup_open(skb, packet, &dir);
	if (!ct)
		return masquerade_open(skb, packet, &origin);
	origin.endpoint_originated = dir == IP_CT_DIR_ORIGINAL;
	if (origin.endpoint_originated)
		masquerade_port_mark(ct);
	reason = flow_adopt(ct, packet, &origin);
	bpf_ct_release(ct);
	return reason;
}

/*
 * Restores the flow entries of a masqueraded connection from an answer that came from outside, when they were evicted or
 * voided. REASON_TO_HOST: it is none, but the host's own traffic. Without this the answer would meet the kernel's tracker,
 * which may not have seen the connection yet (flow_wants_anchor) and would take it for invalid.
 */
static __always_inline enum reason masquerade_answer(struct __sk_buff *skb, const struct packet *packet, __u32 *slot)
{
	struct flow_origin origin = { .endpoint_originated = true, .uplink_ifindex = skb->ifindex };
	__u32 port = bpf_ntohs(packet->dport);
	__u8 *used = bpf_map_lookup_elem(&masquerade_ports, &port);
	enum reason reason = REASON_TO_HOST;
	struct endpoint_address_key address = {};
	struct endpoint_ref *ref;
	struct route route;
	struct nf_conn *ct;
	__u8 dir;

	if (!used || !*used)
		return REASON_TO_HOST;
	ct = conntrack_lookup(skb, packet, &dir);
	if (!ct)
		return REASON_TO_HOST;
	address.address = ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple.src.u3.ip;
	ref = bpf_map_lookup_elem(&endpoint_addresses, &address);
	if (dir != IP_CT_DIR_REPLY || !ref)
		goto release;
	origin.endpoint = endpoint_get(ref->slot, ref->generation);
	if (!origin.endpoint)
		goto release;
	origin.slot = ref->slot;
	*slot = ref->slot;
	reason = route_to_outside(skb, packet, address.address, packet->saddr, origin.endpoint->bridge_ifindex, &route);
	if (reason != REASON_NONE)
		goto release;
	origin.route = &route;
	reason = flow_adopt(ct, packet, &origin);
release:
	bpf_ct_release(ct);
	return reason;
}
