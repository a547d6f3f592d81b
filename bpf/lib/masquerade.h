/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Masquerade: a container's connection to the outside leaves with the host's address. */
#pragma once

#include "connections.h"

#if FAMILY == 4

/*
 * The uplink's address that the kernel's MASQUERADE would take: inet_select_addr (net/ipv4/devinet.c) prefers the one whose
 * subnet has the next hop, else the first.
 */
static __always_inline address_t uplink_address(const struct route *route)
{
	const struct uplink *uplink = route->uplink;

	for (__u32 i = 0; i < UPLINK_ADDRESSES_MAX && i < uplink->ipv4_count; i++) {
		const struct uplink_address *candidate = &uplink->ipv4[i];

		if (!((candidate->address.word[0] ^ route->next_hop.word[0]) & candidate->netmask.word[0]))
			return candidate->address;
	}
	return uplink->ipv4[0].address;
}

#else

static __always_inline address_t uplink_address(const struct route *route)
{
	return route->uplink->ipv6;
}

#endif

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
						   const struct flow_ends *ends)
{
	const endpoint_ip_t *endpoint = &ends->endpoint->ip_part;
	enum reason reason;
	struct nf_conn *ct;
	address_t address;
	bool refused;

	if (packet->key.proto == IPPROTO_TCP && !is_first_syn(packet))
		return REASON_NO_FLOW;
	if (!(endpoint->flags & ENDPOINT_IP_MASQUERADE))
		return REASON_NO_MASQUERADE;
	if (!address_equal(&packet->key.saddr, &endpoint->address))
		return REASON_FOREIGN_SOURCE;
	if (endpoint->flags & ENDPOINT_IP_FILTERED)
		return REASON_FILTERED;
	address = endpoint->snat_address;
	if (address_is_zero(&address))
		address = uplink_address(ends->route);
	if (address_is_zero(&address))
		return REASON_NO_MASQUERADE;
	/* It goes no further: no connection comes of it. */
	if (packet->ttl <= 1)
		return REASON_TTL_EXPIRED;
	ct = conntrack_make(skb, packet, &address, 0, NF_NAT_MANIP_SRC, &refused);
	if (!ct) {
		count_snat_port(ends->slot, SNAT_FAILED);
		return REASON_CONNTRACK_FAILED;
	}
	if (refused) {
		count_snat_port(ends->slot, SNAT_FAILED);
		conntrack_expire(ct);
		reason = REASON_CONNTRACK_FAILED;
	} else {
		count_snat(packet, ends->slot, &ct->tuplehash[IP_CT_DIR_REPLY].tuple);
		masquerade_port_mark(ct);
		reason = flow_open(ct, packet, ends, FLOW_MADE);
		if (reason == REASON_NONE)
			count_made(packet, ends->slot, DIRECTION_TRANSMIT);
	}
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
	struct flow_ends ends = { .endpoint = endpoint, .slot = slot, .endpoint_originated = true };
	enum reason reason;
	struct route route;
	struct nf_conn *ct;
	__u8 dir;

	if (!is_global_unicast(&packet->key.daddr))
		return REASON_NOT_UNICAST;
	if (bpf_map_lookup_elem(&host_addresses, &packet->key.daddr))
		return REASON_TO_HOST;
	reason = route_of_endpoint(skb, packet, endpoint, &packet->key.saddr, &packet->key.daddr, &route);
	if (reason != REASON_NONE)
		return reason;
	ends.route = &route;
	ends.uplink_ifindex = route.ifindex;
	ct = conntrack_lookup(skb, packet, &dir);
	if (ct) {
		if (!conntrack_is_reopened(ct, packet, dir)) {
			ends.endpoint_originated = dir == IP_CT_DIR_ORIGINAL;
			if (ends.endpoint_originated)
				masquerade_port_mark(ct);
			reason = flow_adopt(ct, packet, &ends, dir);
			bpf_ct_release(ct);
			return reason;
		}
		conntrack_expire(ct);
		bpf_ct_release(ct);
		conntrack_collect(skb, packet);
	}
	return masquerade_open(skb, packet, &ends);
}

/*
 * Restores the flow entries of a masqueraded connection from an answer that came from outside, when they were evicted or
 * voided. REASON_TO_HOST: it is none, but the host's own traffic. Without this the answer would meet the kernel's tracker,
 * which may not have seen the connection yet (flow_wants_anchor) and would take it for invalid.
 */
static __always_inline enum reason masquerade_answer(struct __sk_buff *skb, const struct packet *packet, __u32 *slot)
{
	struct flow_ends ends = { .endpoint_originated = true, .judged = true, .uplink_ifindex = skb->ifindex };
	__u32 port = bpf_ntohs(packet->key.dport);
	__u8 *used = bpf_map_lookup_elem(&masquerade_ports, &port);
	enum reason reason = REASON_TO_HOST;
	address_t address;
	struct endpoint_ref *ref;
	struct route route;
	struct nf_conn *ct;
	__u8 dir;

	if (!used || !*used)
		return REASON_TO_HOST;
	ct = conntrack_lookup(skb, packet, &dir);
	if (!ct)
		return REASON_TO_HOST;
	tuple_source(&address, &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple);
	ref = bpf_map_lookup_elem(&endpoint_addresses, &address);
	if (dir != IP_CT_DIR_REPLY || !ref)
		goto release;
	ends.endpoint = endpoint_get(ref->slot, ref->generation);
	if (!ends.endpoint)
		goto release;
	ends.slot = ref->slot;
	*slot = ref->slot;
	reason = route_of_endpoint(skb, packet, ends.endpoint, &address, &packet->key.saddr, &route);
	if (reason != REASON_NONE)
		goto release;
	ends.route = &route;
	reason = flow_adopt(ct, packet, &ends, dir);
release:
	bpf_ct_release(ct);
	return reason;
}
