/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a flow entry keeps conntrack's true: what its trackers would do with the packets that they don't see. */
#pragma once

#include "connections.h"

/*
 * What a first packet in this direction tells conntrack, as its own trackers would (nf_conntrack_proto_tcp.c and _udp.c):
 * an answer marks the entry as replied to; the original side's ACK after it makes it assured.
 */
static __always_inline void flow_settle(struct nf_conn *ct, const struct packet *packet, flow_t *flow, __u32 now)
{
	bool tcp = packet->key.proto == IPPROTO_TCP;
	flow_t *answer;

	if (flow->flow.flow_direction == FLOW_REPLY) {
		bpf_ct_change_status(ct, ct->status | IPS_SEEN_REPLY);
		if (!(tcp && packet->tcp_flags & TCP_SYN))
			flow->flow.state = FLOW_ESTABLISHED;
		else
			bpf_ct_change_timeout(ct, tcp_timeout_syn_recv * 1000);
		return;
	}
	if (!tcp) {
		flow->flow.state = FLOW_ESTABLISHED;
		return;
	}
	if (!(ct->status & IPS_SEEN_REPLY) || packet->tcp_flags & TCP_SYN)
		return;
	/* Assured already: a restored entry, perhaps by a late packet of a closed connection, which must not bring it back to life. */
	if (!(ct->status & IPS_ASSURED)) {
		bpf_ct_change_status(ct, ct->status | IPS_ASSURED);
		bpf_ct_change_timeout(ct, tcp_timeout_established * 1000);
	}
	if (flow->flow.origin == FLOW_MADE) {
		count_established(&flow->flow);
		flow->flow.created = now;
	}
	flow->flow.state = FLOW_ESTABLISHED;
	answer = flow_answer(flow, packet->key.proto);
	if (answer)
		answer->flow.state = FLOW_ESTABLISHED;
}

/* Keeps the entry of a busy flow alive with the timeout that the kernel would give it now. */
static __always_inline void flow_refresh(struct nf_conn *ct, const struct packet *packet, const struct flow *flow,
					 __u32 now)
{
	if (packet->key.proto == IPPROTO_TCP) {
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
 * tracker's state NONE can't be dropped early when conntrack is full. But a RST in the midst of a connection may be one that its
 * receiver does not take (RFC 5961, 3.2), and sequence numbers are not followed here: it leaves the connection the time to go on.
 */
static __always_inline void flow_close(struct nf_conn *ct, const struct packet *packet, flow_t *flow)
{
	flow_t *answer = flow_answer(flow, packet->key.proto);
	bool doubtful = packet->tcp_flags & TCP_RST && flow->flow.state == FLOW_ESTABLISHED;
	bool closed;

	/* Refused: a RST is all the answer there is. The kernel forgets such a connection at once. */
	if (packet->tcp_flags & TCP_RST && flow->flow.state == FLOW_NEW && !(ct->status & IPS_SEEN_REPLY)) {
		bpf_ct_change_timeout(ct, 0);
		return;
	}
	if (packet->tcp_flags & TCP_FIN)
		flow->flow.fin_seen = 1;
	closed = packet->tcp_flags & TCP_RST || (flow->flow.fin_seen && answer && answer->flow.fin_seen);
	flow->flow.state = closed ? FLOW_CLOSED : FLOW_CLOSING;
	if (answer)
		answer->flow.state = flow->flow.state;
	if (flow->flow.flow_direction == FLOW_REPLY)
		bpf_ct_change_status(ct, ct->status | IPS_SEEN_REPLY);
	bpf_ct_change_timeout(ct, (closed && !doubtful ? tcp_timeout_close : tcp_timeout_fin_wait) * 1000);
}

/* Tells conntrack what its trackers would make of the packet. */
static __always_inline void flow_tell(struct nf_conn *ct, const struct packet *packet, flow_t *flow, __u32 now)
{
	if (packet->tcp_flags & (TCP_FIN | TCP_RST))
		flow_close(ct, packet, flow);
	else if (flow->flow.state == FLOW_NEW)
		flow_settle(ct, packet, flow, now);
	else
		flow_refresh(ct, packet, &flow->flow, now);
}

/*
 * Whether the kernel's tracker has seen a learned connection close by a way that this entry knows nothing of: its other way's,
 * where answers leave by another uplink than this one.
 */
static __always_inline bool flow_is_outlived(const struct nf_conn *ct, const struct packet *packet,
					     const struct flow *flow)
{
	return flow->origin == FLOW_LEARNED && flow->state == FLOW_ESTABLISHED && !conntrack_is_adoptable(ct, packet);
}

/*
 * Whether conntrack is to be looked at for a flow whose last look is that long ago. With many busy flows on a CPU only so many
 * a second are: a lookup there costs more than all the rest that the programs do with a packet.
 */
static __always_inline bool sync_is_due(const struct flow *flow, __u32 now)
{
	__u32 age = now - flow->conntrack_synced;
	struct sync_budget *budget;
	__u32 zero = 0;

	if (age <= CONNTRACK_SYNC_INTERVAL)
		return false;
	budget = bpf_map_lookup_elem(&sync_budgets, &zero);
	if (!budget || age > CONNTRACK_SYNC_LATEST || flow->provisional)
		return true;
	if (now - budget->begin > TICKS_PER_SEC) {
		budget->begin = now;
		budget->used = 0;
	}
	return budget->used++ < CONNTRACK_SYNCS_PER_SEC;
}

/*
 * Keeps conntrack true for a packet that takes the fast path: at a direction's first packets, at a FIN or RST, and once in
 * CONNTRACK_SYNC_INTERVAL (with very many flows less often). REASON_NONE: the packet may go. REASON_STALE_FLOW: the entry is
 * void, since conntrack no longer knows the connection, knows it now where the entry held only until then, or knows it closed.
 * REASON_TCP_CONTROL: the packet is for the kernel's tracker, which follows the connection's beginning or end.
 */
static __always_inline enum reason flow_sync_conntrack(struct __sk_buff *skb, const struct packet *packet, flow_t *flow,
						       __u32 now)
{
	bool closing = packet->tcp_flags & (TCP_FIN | TCP_RST);
	bool due = sync_is_due(&flow->flow, now);
	enum reason reason = REASON_NONE;
	struct nf_conn *ct;
	__u8 dir;

	if (!closing && !due && (flow->flow.state != FLOW_NEW || is_first_syn(packet)))
		return REASON_NONE;
	ct = conntrack_lookup(skb, packet, &dir);
	if (!ct)
		return REASON_STALE_FLOW;
	if ((flow->flow.provisional && !conntrack_is_untracked(ct, packet)) ||
	    flow_is_outlived(ct, packet, &flow->flow)) {
		bpf_ct_release(ct);
		return REASON_STALE_FLOW;
	}
	flow->flow.conntrack_synced = now;
	if (conntrack_wants(ct, packet))
		reason = REASON_TCP_CONTROL;
	else if (!explains)
		flow_tell(ct, packet, flow, now);
	bpf_ct_release(ct);
	return reason;
}

/*
 * Whether this packet goes through the kernel so that its tracker sees the connection up: entries that we made are in the
 * tracker's state NONE, in which a first packet from the reply's side would be invalid. Once per flow, when it has lived for
 * ANCHOR_AGE; the entry is marked.
 */
static __always_inline bool flow_wants_anchor(const struct packet *packet, struct flow *flow, __u32 now)
{
	if (flow->anchored || flow->flow_direction != FLOW_ORIGINAL || flow->state != FLOW_ESTABLISHED)
		return false;
	if (now - flow->created < ANCHOR_AGE || packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST))
		return false;
	flow->anchored = 1;
	return true;
}
