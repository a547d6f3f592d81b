// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is counted of published ports (lib/port_counts.h). */
#include "lib/maps.h"

__noinline int count_port_event(const struct port_key_ipv6 *key, __u32 event)
{
	struct port_counters *counters;

	if (!key)
		return 0;
	counters = bpf_map_lookup_elem(&port_counters, key);
	if (!counters) {
		struct port_counters zero = {};

		bpf_map_update_elem(&port_counters, key, &zero, BPF_NOEXIST);
		counters = bpf_map_lookup_elem(&port_counters, key);
		if (!counters)
			return 0;
	}
	if (event == PORT_REFUSED)
		counters->refused++;
	else
		counters->opened++;
	return 0;
}
