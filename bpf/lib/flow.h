/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow table: how entries come about (always from a conntrack entry's tuples, so that the two can't disagree), how
 * they keep conntrack's entry alive, and when they are void.
 */
#pragma once

#include "conntrack.h"
#include "endpoint.h"
#include "route.h"

static __always_inline struct control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static __always_inline void flow_key_of(const struct packet *packet, __u32 ifindex, struct flow_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->ifindex = ifindex;
	key->saddr = packet->saddr;
	key->daddr = packet->daddr;
	key->sport = packet->sport;
	key->dport = packet->dport;
	key->proto = packet->proto;
}

/* The other direction's entry, or NULL: its key is what the answer to the rewritten packet arrives as. */
static __always_inline struct flow *flow_answer(const struct flow *flow, __u8 proto)
{
	struct flow_key key = {};

	key.ifindex = flow->ifindex;
	key.saddr = flow->daddr;
	key.daddr = flow->saddr;
	key.sport = flow->dport;
	key.dport = flow->sport;
	key.proto = proto;
	return bpf_map_lookup_elem(&flows, &key);
}

/* Whether the entry's epoch is the current one; its endpoint is checked with endpoint_get(). */
static __always_inline bool flow_is_current(const struct flow *flow)
{
	struct control *record = control_get();

	return record && flow->epoch == record->epoch;
}

/* One end of a connection as the flow table sees it. */
struct flow_origin {
	const struct endpoint *endpoint;
	__u32 slot;
	bool endpoint_originated; /* the container opened the connection */
	const struct route *route;
	__u32 uplink_ifindex; /* where the outside's packets arrive */
};

/*
 * Writes one direction's entry: what arrives with tuple arriving leaves as the answer to tuple answered. (Conntrack's
 * tuples: a packet of one direction becomes the inverse of the other direction's tuple.)
 */
static __always_inline long flow_write(const struct nf_conntrack_tuple *arriving,
				       const struct nf_conntrack_tuple *answered, const struct packet *packet,
				       const struct flow_origin *origin, enum flow_direction flow_direction,
				       bool anchored)
{
	bool transmit = origin->endpoint_originated == (flow_direction == FLOW_ORIGINAL);
	struct control *record = control_get();
	struct flow_key key = {};
	struct flow flow = {};

	if (!record)
		return -1;
	key.ifindex = transmit ? origin->endpoint->ifindex : origin->uplink_ifindex;
	key.saddr = arriving->src.u3.ip;
	key.daddr = arriving->dst.u3.ip;
	key.sport = arriving->src.u.all;
	key.dport = arriving->dst.u.all;
	key.proto = packet->proto;

	flow.created = bpf_ktime_get_coarse_ns();
	flow.last_seen = flow.created;
	flow.conntrack_synced = flow.created;
	flow.epoch = record->epoch;
	flow.generation = origin->endpoint->generation;
	flow.slot = origin->slot;
	flow.saddr = answered->dst.u3.ip;
	flow.daddr = answered->src.u3.ip;
	flow.sport = answered->dst.u.all;
	flow.dport = answered->src.u.all;
	flow.flow_direction = flow_direction;
	flow.state = FLOW_NEW;
	flow.anchored = anchored;
	if (transmit) {
		flow.direction = DIRECTION_TRANSMIT;
		flow.ifindex = origin->route->ifindex;
		flow.next_hop = origin->route->next_hop;
		flow.mtu = origin->route->uplink->mtu;
	} else {
		flow.direction = DIRECTION_RECEIVE;
		flow.ifindex = origin->endpoint->ifindex;
		flow.mtu = origin->endpoint->mtu;
	}
	return bpf_map_update_elem(&flows, &key, &flow, BPF_ANY);
}

/* The address at the container's end of a connection. */
static __always_inline __be32 conntrack_endpoint_address(const struct nf_conn *ct, bool endpoint_originated)
{
	return endpoint_originated ? ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple.src.u3.ip :
				     ct->tuplehash[IP_CT_DIR_REPLY].tuple.src.u3.ip;
}

/*
 * Gives a connection the flow entries of both directions, from its conntrack entry. REASON_NONE, or why not. Does not
 * release ct.
 */
static __always_inline enum reason flow_open(const struct nf_conn *ct, const struct packet *packet,
					     const struct flow_origin *origin)
{
	const struct nf_conntrack_tuple *original = &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple;
	const struct nf_conntrack_tuple *reply = &ct->tuplehash[IP_CT_DIR_REPLY].tuple;
	bool anchored = packet->proto != IPPROTO_TCP || ct->proto.tcp.state == TCP_CONNTRACK_ESTABLISHED;

	if (flow_write(original, reply, packet, origin, FLOW_ORIGINAL, anchored) ||
	    flow_write(reply, original, packet, origin, FLOW_REPLY, anchored))
		return REASON_FLOW_TABLE_FULL;
	return REASON_NONE;
}

/*
 * As flow_open(), for a connection that conntrack knew already: REASON_CONNTRACK_STATE when it is not (yet, or any more) ours
 * to take over.
 */
static __always_inline enum reason flow_adopt(const struct nf_conn *ct, const struct packet *packet,
					      const struct flow_origin *origin)
{
	if (!conntrack_is_adoptable(ct, packet))
		return REASON_CONNTRACK_STATE;
	/* The entry may be older than the plan: another container's, or docker-proxy's, which is the host's. */
	if (conntrack_endpoint_address(ct, origin->endpoint_originated) != origin->endpoint->address)
		return REASON_CONNTRACK_STATE;
	return flow_open(ct, packet, origin);
}

/*
 * What a first packet in this direction tells conntrack, as its own trackers would (nf_conntrack_proto_tcp.c and _udp.c):
 * an answer marks the entry as replied to; the original side's ACK after it makes it assured.
 */
static __always_inline void flow_settle(struct nf_conn *ct, const struct packet *packet, struct flow *flow)
{
	bool tcp = packet->proto == IPPROTO_TCP;
	struct flow *answer;

	if (flow->flow_direction == FLOW_REPLY) {
		bpf_ct_change_status(ct, ct->status | IPS_SEEN_REPLY);
		if (!(tcp && packet->tcp_flags & TCP_SYN))
			flow->state = FLOW_ESTABLISHED;
		else
			bpf_ct_change_timeout(ct, tcp_timeout_syn_recv * 1000);
		return;
	}
	if (!tcp) {
		flow->state = FLOW_ESTABLISHED;
		return;
	}
	if (!(ct->status & IPS_SEEN_REPLY) || packet->tcp_flags & TCP_SYN)
		return;
	bpf_ct_change_status(ct, ct->status | IPS_ASSURED);
	bpf_ct_change_timeout(ct, tcp_timeout_established * 1000);
	flow->state = FLOW_ESTABLISHED;
	answer = flow_answer(flow, packet->proto);
	if (answer)
		answer->state = FLOW_ESTABLISHED;
}

/* Keeps the entry of a busy flow alive with the timeout that the kernel would give it now. */
static __always_inline void flow_refresh(struct nf_conn *ct, const struct packet *packet, const struct flow *flow,
					 __u64 now)
{
	if (packet->proto == IPPROTO_TCP) {
		bpf_ct_change_timeout(
			ct, (flow->state == FLOW_ESTABLISHED ? tcp_timeout_established : tcp_timeout_fin_wait) * 1000);
		return;
	}
	if (ct->status & IPS_SEEN_REPLY && now - flow->created > UDP_STREAM_AGE) {
		bpf_ct_change_status(ct, ct->status | IPS_ASSURED);
		bpf_ct_change_timeout(ct, udp_timeout_stream * 1000);
		return;
	}
	bpf_ct_change_timeout(ct, udp_timeout * 1000);
}

/*
 * A FIN or RST on the fast path: the kernel's tracker does not see it, so the entry's timeout is shortened here. After a FIN
 * both ways or a RST the entry stays for tcp_timeout_close rather than the kernel's longer TIME_WAIT, since an entry in the
 * tracker's state NONE can't be dropped early when conntrack is full.
 */
static __always_inline void flow_close(struct nf_conn *ct, const struct packet *packet, struct flow *flow)
{
	struct flow *answer = flow_answer(flow, packet->proto);
	bool closed;

	if (packet->tcp_flags & TCP_FIN)
		flow->fin_seen = 1;
	closed = packet->tcp_flags & TCP_RST || (flow->fin_seen && answer && answer->fin_seen);
	flow->state = closed ? FLOW_CLOSED : FLOW_CLOSING;
	if (answer)
		answer->state = flow->state;
	bpf_ct_change_timeout(ct, (closed ? tcp_timeout_close : tcp_timeout_fin_wait) * 1000);
}

/*
 * Keeps conntrack true for a packet that takes the fast path: at a direction's first packets, at a FIN or RST, and once in
 * CONNTRACK_SYNC_INTERVAL. False when conntrack no longer knows the connection: the entry is void.
 */
static __always_inline bool flow_sync_conntrack(struct __sk_buff *skb, const struct packet *packet, struct flow *flow,
						__u64 now)
{
	bool closing = packet->tcp_flags & (TCP_FIN | TCP_RST);
	bool due = now - flow->conntrack_synced > CONNTRACK_SYNC_INTERVAL;
	struct nf_conn *ct;
	__u8 dir;

	if (!closing && !due && flow->state != FLOW_NEW)
		return true;
	ct = conntrack_lookup(skb, packet, &dir);
	if (!ct)
		return false;
	flow->conntrack_synced = now;
	if (closing)
		flow_close(ct, packet, flow);
	else if (flow->state == FLOW_NEW)
		flow_settle(ct, packet, flow);
	else
		flow_refresh(ct, packet, flow, now);
	bpf_ct_release(ct);
	return true;
}

/*
 * Whether this packet goes through the kernel so that its tracker sees the connection up: entries that we made are in the
 * tracker's state NONE, in which a first packet from the reply's side would be invalid. Once per flow, when it has lived for
 * ANCHOR_AGE; the entry is marked.
 */
static __always_inline bool flow_wants_anchor(const struct packet *packet, struct flow *flow, __u64 now)
{
	if (flow->anchored || flow->flow_direction != FLOW_ORIGINAL || flow->state != FLOW_ESTABLISHED)
		return false;
	if (now - flow->created < ANCHOR_AGE || packet->tcp_flags & (TCP_FIN | TCP_RST))
		return false;
	flow->anchored = 1;
	return true;
}
