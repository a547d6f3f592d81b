// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Into the flow table, one family. A function of its own: its callers are many, and short of stack. */
#include "../lib/flow.h"
#include "../lib/sum.h"

/* Between the packets that the key is of and what becomes of them. */
static __always_inline void set_differences(const flow_key_t *key, flow_t *flow)
{
	flow->flow.addresses_difference =
		fold(address_difference(&key->saddr, &flow->saddr) + address_difference(&key->daddr, &flow->daddr));
	flow->flow.ports_difference =
		fold(word_difference(key->sport, flow->flow.sport) + word_difference(key->dport, flow->flow.dport));
}

/* Writes an entry, whole but for its differences, over the one that may be there. Nonzero: the table has no room. */
__noinline int FAMILY_NAME(flow_put)(const flow_key_t *key, flow_t *flow)
{
	struct flow_table_counters *counters;

	if (!key || !flow)
		return -1;
	set_differences(key, flow);
	if (bpf_map_update_elem(&flows, key, flow, BPF_NOEXIST))
		return bpf_map_update_elem(&flows, key, flow, BPF_EXIST);
	counters = flow_table_counters_get();
	if (counters)
		counters->inserted++;
	return 0;
}
