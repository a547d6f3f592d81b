// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Run by the control plane now and then: takes the flow entries out that are idle or void, and counts the others. Nothing
 * depends on it but the gauge and room in the table (an entry that is void is noticed by its next packet), and that what was learned
 * under other rules is asked for anew.
 */
#include "lib/clock.h"
#include "lib/endpoint.h"
#include "lib/maps.h"
#include <bpf/bpf_helpers.h>

struct sweep {
	struct flow_sweep result;
	__u32 now;            /* ticks */
	__u32 learned_before; /* ticks */
	__u32 epoch;
};

/* As conntrack's timeouts, which differ by what it has seen of the connection: no entry outlives conntrack's for long. */
static __always_inline __u64 idle_limit(const struct flow *flow, __u8 proto, const struct flow_sweep *asked)
{
	if (proto != IPPROTO_TCP)
		return flow->last_seen - flow->created > UDP_STREAM_AGE ? asked->stream_idle_ns : asked->udp_idle_ns;
	switch (flow->state) {
	case FLOW_NEW:
		return asked->opening_idle_ns;
	case FLOW_CLOSING:
		return asked->closing_idle_ns;
	case FLOW_CLOSED:
		return asked->closed_idle_ns;
	default:
		return asked->tcp_idle_ns;
	}
}

static __always_inline bool is_idle(const struct flow *flow, __u8 proto, const struct sweep *sweep)
{
	__u64 limit = idle_limit(flow, proto, &sweep->result);
	/* last_seen may be newer than now: packets go on. */
	__s32 idle = sweep->now - flow->last_seen;

	return limit && idle > 0 && (__u64)idle > limit >> FLOW_TICK_SHIFT;
}

/* Counts an open connection for the endpoint in slot. What an earlier sweep has counted there is begun anew. */
static __always_inline void count_open(__u32 slot, enum direction direction, const struct flow *flow, __u8 proto,
				       __u32 number)
{
	struct open_connections *found = bpf_map_lookup_elem(&open_connections, &slot);

	if (!found)
		return;
	if (found->sweep != number) {
		__builtin_memset(found, 0, sizeof(*found));
		found->sweep = number;
	}
	found->open[direction][proto == IPPROTO_TCP ? TRANSPORT_TCP : TRANSPORT_UDP]++;
	if (proto == IPPROTO_TCP && flow->state == FLOW_NEW && flow->origin == FLOW_MADE)
		found->half_open[direction]++;
}

/* Once a connection, by its original direction: who sends there has opened it. */
static __always_inline void count_ends(const struct flow *flow, __u8 proto, __u32 number)
{
	if (flow->flow_direction != FLOW_ORIGINAL || flow->state == FLOW_CLOSED)
		return;
	if (flow->from_slot != SLOT_OUTSIDE)
		count_open(flow->from_slot, DIRECTION_TRANSMIT, flow, proto, number);
	if (flow->to_slot != SLOT_OUTSIDE)
		count_open(flow->to_slot, DIRECTION_RECEIVE, flow, proto, number);
}

/* Learned under rules that have changed since: the kernel has to let a packet pass again. */
static __always_inline bool is_outdated(const struct flow *flow, const struct sweep *sweep)
{
	return sweep->result.learned_before && flow->origin == FLOW_LEARNED &&
	       (__s32)(sweep->learned_before - flow->created) > 0;
}

static __always_inline void visit(void *map, void *key, const struct flow *flow, __u8 proto, __u32 family,
				  struct sweep *sweep)
{
	bool holds = flow->epoch == sweep->epoch && ends_hold(flow) && !is_outdated(flow, sweep);
	struct flow_table_counters *counters;

	if (holds && !is_idle(flow, proto, sweep)) {
		sweep->result.entries[family]++;
		count_ends(flow, proto, sweep->result.number);
		return;
	}
	if (bpf_map_delete_elem(map, key))
		return;
	sweep->result.deleted[family]++;
	if (!holds)
		sweep->result.void_entries[family]++;
	counters = bpf_map_lookup_elem(&flow_table_counters, &family);
	if (counters)
		counters->deleted++;
}

static long visit_ipv4(void *map, struct flow_key_ipv4 *key, struct flow_ipv4 *flow, struct sweep *sweep)
{
	visit(map, key, &flow->flow, key->proto, 0, sweep);
	return 0;
}

static long visit_ipv6(void *map, struct flow_key_ipv6 *key, struct flow_ipv6 *flow, struct sweep *sweep)
{
	visit(map, key, &flow->flow, key->proto, 1, sweep);
	return 0;
}

SEC("syscall")
int flow_sweep(struct flow_sweep *context)
{
	struct sweep sweep = { .now = flow_clock() };
	struct control *record;
	__u32 zero = 0;

	record = bpf_map_lookup_elem(&control, &zero);
	if (!record)
		return -1;
	sweep.epoch = record->epoch;
	sweep.result.number = context->number;
	sweep.result.tcp_idle_ns = context->tcp_idle_ns;
	sweep.result.opening_idle_ns = context->opening_idle_ns;
	sweep.result.closing_idle_ns = context->closing_idle_ns;
	sweep.result.closed_idle_ns = context->closed_idle_ns;
	sweep.result.udp_idle_ns = context->udp_idle_ns;
	sweep.result.stream_idle_ns = context->stream_idle_ns;
	sweep.result.learned_before = context->learned_before;
	sweep.learned_before = flow_clock_at(context->learned_before);
	bpf_for_each_map_elem(&flows_ipv4, visit_ipv4, &sweep, 0);
	bpf_for_each_map_elem(&flows_ipv6, visit_ipv6, &sweep, 0);
	*context = sweep.result;
	return 0;
}
