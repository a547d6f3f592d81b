// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Run by the control plane now and then: takes the flow entries out that are idle or void, and counts the others. Nothing
 * depends on it but the gauge and room in the table (an entry that is void is noticed by its next packet), and that what was learned
 * under other rules is asked for anew.
 */
#include "lib/endpoint.h"
#include "lib/maps.h"
#include "lib/settings.h"
#include <bpf/bpf_helpers.h>

struct sweep {
	struct flow_sweep result;
	__u32 now; /* ticks */
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

/* Learned under rules that have changed since: the kernel has to let a packet pass again. */
static __always_inline bool is_outdated(const struct flow *flow, const struct flow_sweep *asked)
{
	__u32 before = asked->learned_before >> FLOW_TICK_SHIFT;

	return asked->learned_before && flow->origin == FLOW_LEARNED && (__s32)(before - flow->created) > 0;
}

static __always_inline void visit(void *map, void *key, const struct flow *flow, __u8 proto, __u32 family,
				  struct sweep *sweep)
{
	bool holds = flow->epoch == sweep->epoch && ends_hold(flow) && !is_outdated(flow, &sweep->result);
	struct flow_table_counters *counters;

	if (holds && !is_idle(flow, proto, sweep)) {
		sweep->result.entries[family]++;
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
	struct sweep sweep = { .now = bpf_ktime_get_ns() >> FLOW_TICK_SHIFT };
	struct control *record;
	__u32 zero = 0;

	record = bpf_map_lookup_elem(&control, &zero);
	if (!record)
		return -1;
	sweep.epoch = record->epoch;
	sweep.result.tcp_idle_ns = context->tcp_idle_ns;
	sweep.result.opening_idle_ns = context->opening_idle_ns;
	sweep.result.closing_idle_ns = context->closing_idle_ns;
	sweep.result.closed_idle_ns = context->closed_idle_ns;
	sweep.result.udp_idle_ns = context->udp_idle_ns;
	sweep.result.stream_idle_ns = context->stream_idle_ns;
	sweep.result.learned_before = context->learned_before;
	bpf_for_each_map_elem(&flows_ipv4, visit_ipv4, &sweep, 0);
	bpf_for_each_map_elem(&flows_ipv6, visit_ipv6, &sweep, 0);
	*context = sweep.result;
	return 0;
}
