/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: how entries come about (always from a conntrack entry's tuples, so that the two can't disagree) and when
 * they are void. How they keep conntrack's entry alive is in sync.h.
 */
#pragma once

#include "clock.h"
#include "conntrack.h"
#include "endpoint.h"
#include "ports.h"
#include "route.h"

static __always_inline struct control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline void flow_key_of_tuple(const struct nf_conntrack_tuple *tuple, __u32 ifindex, __u8 proto,
					      flow_key_t *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->ifindex = ifindex;
	tuple_source(&key->saddr, tuple);
	tuple_destination(&key->daddr, tuple);
	key->sport = tuple->src.u.all;
	key->dport = tuple->dst.u.all;
	key->proto = proto;
}

static __always_inline struct flow_table_counters *flow_table_counters_get(void)
{
	__u32 index = FAMILY_INDEX;

	return bpf_map_lookup_elem(&flow_table_counters, &index);
}

/* Writes an entry, whole but for its differences, over the one that may be there. Nonzero: the table has no room. */
int OF_FAMILY(flow_put)(const flow_key_t *key, flow_t *flow);

static __always_inline void flow_delete(const flow_key_t *key)
{
	struct flow_table_counters *counters;

	if (bpf_map_delete_elem(&flows, key))
		return;
	counters = flow_table_counters_get();
	if (counters)
		counters->deleted++;
}

/* The key of the other direction's entry: what the answer to the rewritten packet arrives as. */
static __always_inline void flow_answer_key(const flow_t *flow, __u8 proto, flow_key_t *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->ifindex = flow->flow.ifindex;
	key->saddr = flow->daddr;
	key->daddr = flow->saddr;
	key->sport = flow->flow.dport;
	key->dport = flow->flow.sport;
	key->proto = proto;
}

/* Whether the entry's epoch is the current one and its endpoints are the same still. */
static __always_inline bool flow_holds(const struct flow *flow)
{
	struct control *record = control_get();

	return record && flow->epoch == record->epoch && ends_hold(flow);
}

static __always_inline void flow_from(struct flow *flow, const struct endpoint_ref *endpoint)
{
	flow->from_slot = endpoint->slot;
	flow->from_generation = endpoint->generation;
}

static __always_inline void flow_to(struct flow *flow, const struct endpoint_ref *endpoint)
{
	flow->to_slot = endpoint->slot;
	flow->to_generation = endpoint->generation;
}

/* A device may have an MTU of 65536 (loopback's), an IP packet has 65535 bytes at most. */
static __always_inline __u16 flow_mtu(__u32 mtu)
{
	return mtu > 0xffff ? 0xffff : mtu;
}

/* Whether two entries are of the same epoch and between the same endpoints: the one holds if the other does. */
static __always_inline bool flow_is_pair(const struct flow *flow, const struct flow *answer)
{
	return answer->epoch == flow->epoch && answer->from_generation == flow->to_generation &&
	       answer->to_generation == flow->from_generation;
}

/*
 * The other direction's entry of an entry that holds, or NULL. One of an earlier connection with this tuple may still be there:
 * it says nothing.
 */
static __always_inline flow_t *flow_answer(const flow_t *flow, __u8 proto)
{
	flow_key_t key;
	flow_t *answer;

	flow_answer_key(flow, proto, &key);
	answer = bpf_map_lookup_elem(&flows, &key);
	return answer && flow_is_pair(&flow->flow, &answer->flow) ? answer : NULL;
}

/* What every new entry has in common. False without a control record: nothing holds then. */
static __always_inline bool flow_begin(struct flow *flow, enum flow_origin origin)
{
	struct control *record = control_get();

	if (!record)
		return false;
	flow->created = flow_clock();
	flow->last_seen = flow->created;
	flow->conntrack_synced = flow->created;
	flow->epoch = record->epoch;
	flow->origin = origin;
	flow->from_slot = SLOT_OUTSIDE;
	flow->to_slot = SLOT_OUTSIDE;
	return true;
}

/* The two ends of a connection between an endpoint and the outside, and the way between them. */
struct flow_ends {
	const struct endpoint *endpoint;
	const struct route *route;
	__u32 slot;
	__u32 uplink_ifindex;     /* where the outside's packets arrive */
	bool endpoint_originated; /* the container opened the connection */
	bool judged;              /* the packet came from outside, so the policy has let it in */
	__u16 port_number;        /* as struct flow's */
};

/*
 * As route_to_outside(), for an endpoint's packets. What is on a parent has no way through the kernel: what is sent for it waits for
 * its next hop's MAC where it is redirected.
 */
static __always_inline enum reason route_of_endpoint(struct __sk_buff *skb, const struct packet *packet,
						     const struct endpoint *endpoint, const address_t *saddr,
						     const address_t *daddr, struct route *route)
{
	enum reason reason = route_to_outside(skb, packet, saddr, daddr, endpoint->bridge_ifindex, route);

	return reason == REASON_NO_NEIGHBOUR && endpoint->flags & ENDPOINT_PARENT ? REASON_NONE : reason;
}

/* Whether a direction's packets leave the endpoint. */
static __always_inline bool is_transmit(const struct flow_ends *ends, enum flow_direction flow_direction)
{
	return ends->endpoint_originated == (flow_direction == FLOW_ORIGINAL);
}

/*
 * Writes one direction's entry: what arrives with tuple arriving leaves as the answer to tuple answered. (Conntrack's
 * tuples: a packet of one direction becomes the inverse of the other direction's tuple.)
 */
static __always_inline long flow_write(const struct nf_conntrack_tuple *arriving,
				       const struct nf_conntrack_tuple *answered, const struct packet *packet,
				       const struct flow_ends *ends, enum flow_direction flow_direction,
				       enum flow_origin origin, bool anchored, bool provisional)
{
	bool transmit = is_transmit(ends, flow_direction);
	struct endpoint_ref endpoint = { .slot = ends->slot, .generation = ends->endpoint->generation };
	__u32 zero = 0;
	flow_draft_t *draft = bpf_map_lookup_elem(&flow_drafts, &zero);
	flow_t *flow;

	if (!draft)
		return -1;
	flow = &draft->flow;
	__builtin_memset(flow, 0, sizeof(*flow));
	if (!flow_begin(&flow->flow, origin))
		return -1;
	flow_key_of_tuple(arriving, transmit ? ends->endpoint->ifindex : ends->uplink_ifindex, packet->key.proto,
			  &draft->key);
	tuple_destination(&flow->saddr, answered);
	tuple_source(&flow->daddr, answered);
	flow->flow.sport = answered->dst.u.all;
	flow->flow.dport = answered->src.u.all;
	flow->flow.flow_direction = flow_direction;
	flow->flow.state = FLOW_NEW;
	flow->flow.anchored = anchored;
	flow->flow.provisional = provisional;
	flow->flow.port_number = ends->port_number;
	if (origin == FLOW_MADE && flow_direction == FLOW_ORIGINAL && packet->key.proto == IPPROTO_TCP)
		flow->flow.created = handshake_clock();
	if (transmit) {
		flow_from(&flow->flow, &endpoint);
		flow->flow.ifindex = ends->route->ifindex;
		flow->flow.mtu = flow_mtu(ends->route->mtu);
		flow->next_hop_family = FAMILY_AF;
		flow->next_hop = ends->route->next_hop;
		mac_copy(flow->next_hop_mac, ends->route->mac);
	} else {
		flow_to(&flow->flow, &endpoint);
		flow->flow.ifindex = ends->endpoint->ifindex;
		flow->flow.mtu = flow_mtu(ends->endpoint->mtu);
	}
	return OF_FAMILY(flow_put)(&draft->key, flow);
}

/*
 * Whether a direction may have its entry already. What has one is not judged by the policy any more, so where there is one, and
 * the packet at hand is the container's, the other side's first packet has to come past it before.
 */
static __always_inline bool is_due(const struct flow_ends *ends, enum flow_direction flow_direction)
{
	struct control *record;

	if (ends->judged || is_transmit(ends, flow_direction))
		return true;
	record = control_get();
	return record && !record->policy;
}

/* Gives a connection that we made the flow entries of both directions. REASON_NONE, or why not. Does not release ct. */
static __always_inline enum reason flow_open(const struct nf_conn *ct, const struct packet *packet,
					     const struct flow_ends *ends, enum flow_origin origin)
{
	const struct nf_conntrack_tuple *original = &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	const struct nf_conntrack_tuple *reply = &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	bool anchored =
		packet->key.proto != IPPROTO_TCP || ct->proto.tcp.state == TCP_CONNTRACK_ESTABLISHED ||
		/* On a parent the kernel has no way to translate a packet for it: its tracker sees none of these. */
		ends->endpoint->flags & ENDPOINT_PARENT;

	if (is_due(ends, FLOW_ORIGINAL) &&
	    flow_write(original, reply, packet, ends, FLOW_ORIGINAL, origin, anchored, false))
		return REASON_FLOW_TABLE_FULL;
	if (is_due(ends, FLOW_REPLY) && flow_write(reply, original, packet, ends, FLOW_REPLY, origin, anchored, false))
		return REASON_FLOW_TABLE_FULL;
	return REASON_NONE;
}

/* Whether the container's end of the connection has the endpoint's address. */
static __always_inline bool conntrack_is_of(const struct nf_conn *ct, const struct flow_ends *ends)
{
	address_t address;

	if (ends->endpoint_originated)
		tuple_source(&address, &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple);
	else
		tuple_source(&address, &ct->tuplehash[IP_CT_DIR_REPLY].tuple);
	return address_equal(&address, &ends->endpoint->ip_part.address);
}

/*
 * As flow_open(), for a connection that conntrack knew already, of which packet is one in direction dir:
 * REASON_CONNTRACK_STATE when it is not (yet, or any more) ours to take over, REASON_FILTERED when a firewall's rules may
 * concern it: what they let pass is learned where it leaves (learn.h). Answers of a connection that the kernel's tracker has
 * not seen can't be given to it, though: they go on, for as long as it hasn't.
 */
static __always_inline enum reason flow_adopt(const struct nf_conn *ct, const struct packet *packet,
					      struct flow_ends *ends, __u8 dir)
{
	if (!conntrack_is_adoptable(ct, packet))
		return REASON_CONNTRACK_STATE;
	/* A handshake on a connection that the kernel's tracker has seen open: whether it means a new one is the tracker's to say. */
	if (packet->tcp_flags & TCP_SYN && !conntrack_is_untracked(ct, packet))
		return REASON_CONNTRACK_STATE;
	/* The entry may be older than the plan: another container's, or docker-proxy's, which is the host's. */
	if (!conntrack_is_of(ct, ends))
		return REASON_CONNTRACK_STATE;
	if (!ends->endpoint_originated)
		ends->port_number = conntrack_port_number(ct, packet->key.proto);
	if (!(ends->endpoint->ip_part.flags & ENDPOINT_IP_FILTERED))
		return flow_open(ct, packet, ends, FLOW_ADOPTED);
	if (dir != IP_CT_DIR_REPLY || !conntrack_is_untracked(ct, packet))
		return REASON_FILTERED;
	if (flow_write(&ct->tuplehash[IP_CT_DIR_REPLY].tuple, &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple, packet, ends,
		       FLOW_REPLY, FLOW_ADOPTED, false, true))
		return REASON_FLOW_TABLE_FULL;
	return REASON_NONE;
}
