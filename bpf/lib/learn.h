/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Learning: a packet of an established connection that the kernel sends on, seen as it leaves, tells how the next ones of its
 * direction are to be rewritten and where they leave. Whatever decided it (foreign rules, hairpins, odd routes) has decided.
 */
#pragma once

#include "flow.h"
#include "port_counts.h"

/* Where a packet arrived that is about to leave: the device, and the endpoint that sent it, if it was one. */
struct arrival {
	__u32 ifindex;
	struct endpoint_ref from;
};

/*
 * Finds the device by which packets of tuple arrive. A container's were routed by its bridge, whose index the skb bears: the
 * source address tells which of its endpoints. False: neither an uplink of ours nor an endpoint.
 */
static __always_inline bool arrival_find(const struct __sk_buff *skb, const struct nf_conntrack_tuple *tuple,
					 struct arrival *arrival)
{
	__u32 ifindex = skb->ingress_ifindex;
	const struct endpoint *endpoint;
	const struct endpoint_ref *ref;
	address_t source;

	if (bpf_map_lookup_elem(&uplinks, &ifindex)) {
		arrival->ifindex = ifindex;
		arrival->from.slot = SLOT_NONE;
		arrival->from.generation = 0;
		return true;
	}
	tuple_source(&source, tuple);
	ref = bpf_map_lookup_elem(&endpoint_addresses, &source);
	if (!ref)
		return false;
	endpoint = endpoint_get(ref->slot, ref->generation);
	if (!endpoint || endpoint->bridge_ifindex != ifindex)
		return false;
	arrival->ifindex = endpoint->ifindex;
	arrival->from = *ref;
	return true;
}

/* An entry that is there and holds is left alone: it was made with more knowledge. */
static __always_inline bool flow_is_known(const flow_key_t *key)
{
	const flow_t *flow = bpf_map_lookup_elem(&flows, key);

	return flow && flow_holds(&flow->flow);
}

/* The tuple that the answer to the packet has. */
static __always_inline void invert(const struct packet *packet, struct packet *answer)
{
	*answer = *packet;
	answer->key.saddr = packet->key.daddr;
	answer->key.daddr = packet->key.saddr;
	answer->key.sport = packet->key.dport;
	answer->key.dport = packet->key.sport;
}

/*
 * The way out, written into the flow entry. To an endpoint: to and mtu. Outside: the next hop, if the route of the packet is
 * the one that it takes (else something chose that routing does not know, and so don't we).
 */
static __always_inline bool way_to_endpoint(const struct endpoint *endpoint, __u32 slot, flow_t *flow)
{
	flow->flow.to_slot = slot;
	flow->flow.to_generation = endpoint->generation;
	flow->flow.mtu = flow_mtu(endpoint->mtu);
	return address_equal(&flow->daddr, &endpoint->ip_part.address);
}

static __always_inline bool way_outside(struct __sk_buff *skb, const struct packet *packet,
					const struct nf_conntrack_tuple *arriving, __u32 bridge_ifindex, flow_t *flow)
{
	const struct ethhdr *eth = (void *)(long)skb->data;
	struct route route;
	address_t source;

	tuple_source(&source, arriving);
	if (route_to_outside(skb, packet, &source, &packet->key.daddr, bridge_ifindex, &route) != REASON_NONE)
		return false;
	if (route.ifindex != skb->ifindex)
		return false;
	if (LINK_HEADER_LENGTH) {
		if ((void *)(eth + 1) > (void *)(long)skb->data_end || !mac_is(eth->h_dest, route.mac))
			return false;
	}
	flow->next_hop_family = FAMILY_AF;
	flow->next_hop = route.next_hop;
	flow->flow.mtu = flow_mtu(route.mtu);
	return true;
}

/*
 * Learns from the packet, which leaves by skb->ifindex: into the endpoint in slot, or outside where endpoint is NULL. Only
 * established connections, unicast, and no more than one entry, that of the packet's own direction. What reaches a published port of the
 * endpoint's is counted for it here, which is asked of conntrack for what can't be learned from, too.
 */
static __always_inline void learn(struct __sk_buff *skb, const struct packet *packet, const struct endpoint *endpoint,
				  __u32 slot)
{
	const struct nf_conntrack_tuple *arriving;
	bool control = packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST);
	bool counted = endpoint && may_be_published(endpoint, packet->key.dport);
	struct arrival arrival;
	struct packet answer;
	struct nf_conn *ct;
	flow_key_t key;
	flow_t flow = {};
	__u32 number = 0;
	bool way;
	__u8 dir;

	if (!is_global_unicast(&packet->key.daddr))
		return;
	if (control && !counted)
		return;
	invert(packet, &answer);
	ct = conntrack_lookup(skb, &answer, &dir);
	if (!ct)
		return;
	counted = counted && dir == IP_CT_DIR_REPLY;
	if (counted) {
		number = conntrack_port_number(ct, packet->key.proto);
		count_port_packet(amount_of(skb, packet->headers_length), number, DIRECTION_RECEIVE);
	}
	if (control)
		goto release;
	if (!conntrack_is_adoptable(ct, packet) || !flow_begin(&flow.flow, FLOW_LEARNED))
		goto release;
	arriving = dir == IP_CT_DIR_REPLY ? &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple :
					    &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	if (!arrival_find(skb, arriving, &arrival))
		goto release;
	flow_key_of_tuple(arriving, arrival.ifindex, packet->key.proto, &key);
	if (flow_is_known(&key))
		goto release;
	flow.saddr = packet->key.saddr;
	flow.daddr = packet->key.daddr;
	flow.flow.sport = packet->key.sport;
	flow.flow.dport = packet->key.dport;
	flow.flow.ifindex = skb->ifindex;
	flow_from(&flow.flow, &arrival.from);
	flow.flow.flow_direction = dir == IP_CT_DIR_REPLY ? FLOW_ORIGINAL : FLOW_REPLY;
	flow.flow.state = FLOW_ESTABLISHED;
	flow.flow.port_number = counted ? number : conntrack_port_number(ct, packet->key.proto);
	flow.flow.anchored = !conntrack_is_untracked(ct, packet);
	if (endpoint)
		way = way_to_endpoint(endpoint, slot, &flow);
	else
		way = arrival.from.slot != SLOT_NONE && way_outside(skb, packet, arriving, skb->ingress_ifindex, &flow);
	if (way)
		OF_FAMILY(flow_put)(&key, &flow);
release:
	bpf_ct_release(ct);
}
