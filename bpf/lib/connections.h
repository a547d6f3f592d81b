/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting connections: at the packets that make, complete or refuse one, and at no others (connections.bpf.c). */
#pragma once

#include "connection_counts.h"
#include "flow.h"

/* A connection that the programs have made, with its flow entries. */
static __always_inline void count_made(const struct packet *packet, __u32 slot, enum direction direction)
{
	count_opened(slot, direction, packet->key.proto == IPPROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP);
}

/* reply: conntrack's tuple of the answers. */
static __always_inline void count_snat(const struct packet *packet, __u32 slot, const struct nf_conntrack_tuple *reply)
{
	count_snat_port(slot, reply->dst.u.all == packet->key.sport ? SNAT_KEPT : SNAT_OTHER);
}

/* The ACK that completes a TCP handshake, in its original direction's entry. Only of connections that we made is the SYN's time known. */
static __always_inline void count_established(const struct flow *flow)
{
	__u32 us = handshake_clock() - flow->created;

	if (flow->from_slot != SLOT_OUTSIDE)
		count_handshake(flow->from_slot, DIRECTION_TRANSMIT, us);
	else
		count_handshake(flow->to_slot, DIRECTION_RECEIVE, us);
}
