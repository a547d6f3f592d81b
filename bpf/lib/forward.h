/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fast path's last steps: rewrite, count, redirect. */
#pragma once

#include "connections.h"
#include "count.h"
#include "forwarded.h"
#include "port_counts.h"
#include "rewrite.h"
#include "sync.h"

/* Whose packet it is where only one can be named: the receiver's, else the sender's. */
static __always_inline __u32 flow_slot(const struct flow *flow)
{
	return flow->to_slot == SLOT_OUTSIDE ? flow->from_slot : flow->to_slot;
}

static __always_inline void count_fast_end(const struct packet *packet, struct amount amount, __u16 slot,
					   enum direction direction)
{
	if (slot == SLOT_OUTSIDE)
		return;
	count_amount(amount, slot, direction, PATH_FAST);
	if (packet->tcp_flags & (TCP_SYN | TCP_RST))
		count_tcp_flags(slot, direction, packet->tcp_flags);
}

static __always_inline void count_fast(const struct __sk_buff *skb, const struct packet *packet,
				       const struct flow *flow)
{
	struct amount amount = amount_of(skb, packet->headers_length);

	count_fast_end(packet, amount, flow->from_slot, DIRECTION_TRANSMIT);
	count_fast_end(packet, amount, flow->to_slot, DIRECTION_RECEIVE);
	if (flow->port_number)
		count_port_packet(amount, flow->port_number,
				  flow->flow_direction == FLOW_ORIGINAL ? DIRECTION_RECEIVE : DIRECTION_TRANSMIT);
}

/*
 * Into a container on a parent, at which the packet has just come in: the kernel goes on with it as rewritten, and finds the
 * container by its address (ipvlan) or MAC (macvlan).
 */
static __always_inline int deliver_by_parent(struct __sk_buff *skb)
{
	skb->tc_index = FORWARDED;
	return TCX_NEXT;
}

/* Into the container, past its veth: as if it had come from its gateway. */
static __always_inline int deliver(struct __sk_buff *skb, const struct packet *packet, const flow_t *flow)
{
	__u32 slot = flow->flow.to_slot;
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);

	if (!endpoint || !rewrite(skb, packet, flow, flow->flow.from_slot == SLOT_OUTSIDE))
		return drop(skb, slot, DIRECTION_RECEIVE, REASON_REWRITE_FAILED);
	count_fast(skb, packet, &flow->flow);
	if (!rewrite_link(skb, endpoint->mac, endpoint->bridge_mac))
		return drop(skb, slot, DIRECTION_RECEIVE, REASON_REWRITE_FAILED);
	if (endpoint->flags & ENDPOINT_PARENT)
		return deliver_by_parent(skb);
	return bpf_redirect_peer(flow->flow.ifindex, 0);
}

/*
 * Whether a container on a parent has sent the packet, which leaves by that parent, to the next hop: then it is on its way already, and
 * need not find there once more.
 */
static __always_inline bool is_on_its_way(const struct ethhdr *eth, const struct packet *packet, const flow_t *flow)
{
	return LINK_HEADER_LENGTH && packet->key.ifindex == (PARENT_CHILD | flow->flow.ifindex) &&
	       mac_is(eth->h_dest, flow->next_hop_mac);
}

/* Out by an uplink, to the next hop that routing chose; the kernel's neighbour table knows its MAC, always the current one. */
static __always_inline int send_out(struct __sk_buff *skb, const struct packet *packet, const flow_t *flow)
{
	const void *data = rewrite(skb, packet, flow, false);
	bool on_its_way;

	if (!data)
		return drop(skb, flow->flow.from_slot, DIRECTION_TRANSMIT, REASON_REWRITE_FAILED);
	on_its_way = is_on_its_way(data, packet, flow);
	count_fast(skb, packet, &flow->flow);
	if (on_its_way)
		return TCX_NEXT;
	skb->tc_index = FORWARDED;
	return bpf_redirect_neigh(flow->flow.ifindex, (void *)flow, sizeof(struct bpf_redir_neigh), 0);
}

static __always_inline void flow_delete_both(const flow_key_t *key, const flow_t *flow)
{
	flow_key_t answer;

	flow_answer_key(flow, key->proto, &answer);
	flow_delete(&answer);
	flow_delete(key);
}

/*
 * A SYN, FIN or RST of a learned connection, and what begins or ends any that the tracker follows, is for the tracker: it
 * decides about what comes next with this tuple. A half-closed connection goes on; after the second FIN all is the kernel's, or
 * after the first where only one way is known, for the other's FIN would not be seen here.
 */
static __always_inline void flow_yield(const struct packet *packet, flow_t *flow)
{
	flow_t *answer = flow_answer(flow, packet->key.proto);

	if (!(packet->tcp_flags & TCP_FIN) || !answer || answer->flow.fin_seen) {
		flow_delete_both(&packet->key, flow);
		return;
	}
	flow->flow.fin_seen = 1;
	flow->flow.state = FLOW_CLOSING;
	answer->flow.state = FLOW_CLOSING;
}

/* Whether nothing is expected of the connection after this packet: a RST, or what acknowledges the second FIN. */
static __always_inline bool is_last(const struct packet *packet, const struct flow *flow)
{
	return packet->tcp_flags & TCP_RST ||
	       (flow->state == FLOW_CLOSED && (packet->tcp_flags & (TCP_FIN | TCP_SYN | TCP_ACK)) == TCP_ACK);
}

/* Whether the packet is the first of a new connection on a closed one's tuple. */
static __always_inline bool reopens(const struct packet *packet, const struct flow *flow)
{
	return flow->state == FLOW_CLOSED && flow->flow_direction == FLOW_ORIGINAL && is_first_syn(packet);
}

/*
 * Sends an established packet its way. REASON_NONE: verdict is the program's return value. REASON_NO_FLOW or
 * REASON_STALE_FLOW: there is no entry (any more), and one may be made. Any other: the packet is the kernel's, and slot
 * tells whose it is.
 */
static __always_inline enum reason forward(struct __sk_buff *skb, const struct packet *packet, int *verdict,
					   __u32 *slot)
{
	flow_t *flow = bpf_map_lookup_elem(&flows, &packet->key);
	enum reason reason;
	__u32 now;

	if (!flow)
		return REASON_NO_FLOW;
	if (!flow_holds(&flow->flow) || reopens(packet, &flow->flow)) {
		flow_delete(&packet->key);
		return REASON_STALE_FLOW;
	}
	*slot = flow_slot(&flow->flow);
	if (packet->ttl <= 1)
		return REASON_TTL_EXPIRED;
	if (is_too_big(skb, packet, flow->flow.mtu))
		return REASON_TOO_BIG;
	if (flow->flow.origin == FLOW_LEARNED && packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) {
		flow_yield(packet, flow);
		return REASON_TCP_CONTROL;
	}
	now = flow_clock();
	reason = flow_sync_conntrack(skb, packet, flow, now);
	if (reason == REASON_STALE_FLOW)
		flow_delete(&packet->key);
	else if (reason == REASON_TCP_CONTROL)
		flow_yield(packet, flow);
	if (reason != REASON_NONE)
		return reason;
	flow->flow.last_seen = now;
	if (flow_wants_anchor(packet, &flow->flow, now))
		return REASON_ANCHOR;
	*verdict = flow->flow.to_slot == SLOT_OUTSIDE ? send_out(skb, packet, flow) : deliver(skb, packet, flow);
	/*
	 * A closed connection's entries go at once: the next connection gets them, still in the CPU's cache, and the table
	 * holds what lives. A packet that comes all the same restores them from conntrack.
	 */
	if (is_last(packet, &flow->flow))
		flow_delete_both(&packet->key, flow);
	return REASON_NONE;
}
