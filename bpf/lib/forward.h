/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The fast path's last steps: rewrite, count, redirect. */
#pragma once

#include "count.h"
#include "flow.h"
#include "rewrite.h"

/* Into the container, past its veth: as if it had come from its gateway. */
static __always_inline int deliver(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow,
				   const struct endpoint *endpoint)
{
	if (!rewrite(skb, packet, flow) || !rewrite_macs(skb, endpoint->mac, endpoint->bridge_mac))
		return drop(skb, flow->slot, DIRECTION_RECEIVE, REASON_REWRITE_FAILED);
	count(skb, packet->headers_length, flow->slot, DIRECTION_RECEIVE, PATH_FAST);
	return bpf_redirect_peer(endpoint->ifindex, 0);
}

/* Out by an uplink, to the next hop that routing chose; the kernel's neighbour table knows its MAC, always the current one. */
static __always_inline int send_out(struct __sk_buff *skb, const struct packet *packet, const struct flow *flow)
{
	struct bpf_redir_neigh next_hop = { .nh_family = AF_INET, .ipv4_nh = flow->next_hop };

	if (!rewrite(skb, packet, flow))
		return drop(skb, flow->slot, DIRECTION_TRANSMIT, REASON_REWRITE_FAILED);
	count(skb, packet->headers_length, flow->slot, DIRECTION_TRANSMIT, PATH_FAST);
	return bpf_redirect_neigh(flow->ifindex, &next_hop, sizeof(next_hop), 0);
}

/*
 * Sends an established packet its way. REASON_NONE: verdict is the program's return value. REASON_NO_FLOW or
 * REASON_STALE_FLOW: there is no entry (any more), and one may be made. Any other: the packet is the kernel's, and slot
 * tells whose it is.
 */
static __always_inline enum reason forward(struct __sk_buff *skb, const struct packet *packet,
					   const struct flow_key *key, int *verdict, __u32 *slot)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, key);
	struct endpoint *endpoint;
	__u64 now;

	if (!flow)
		return REASON_NO_FLOW;
	endpoint = endpoint_get(flow->slot, flow->generation);
	if (!endpoint || !flow_is_current(flow) || (flow->state == FLOW_CLOSED && is_first_syn(packet))) {
		bpf_map_delete_elem(&flows, key);
		return REASON_STALE_FLOW;
	}
	*slot = flow->slot;
	if (packet->ttl <= 1)
		return REASON_TTL_EXPIRED;
	if (is_too_big(skb, packet, flow->mtu))
		return REASON_TOO_BIG;
	now = bpf_ktime_get_coarse_ns();
	if (!flow_sync_conntrack(skb, packet, flow, now)) {
		bpf_map_delete_elem(&flows, key);
		return REASON_STALE_FLOW;
	}
	flow->last_seen = now;
	if (flow_wants_anchor(packet, flow, now))
		return REASON_ANCHOR;
	*verdict = flow->direction == DIRECTION_RECEIVE ? deliver(skb, packet, flow, endpoint) :
							  send_out(skb, packet, flow);
	return REASON_NONE;
}
