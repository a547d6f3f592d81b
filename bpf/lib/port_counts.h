/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Counting for published ports, by number: their traffic, connections as they are made, and what their policies refuse. */
#pragma once

#include "count.h"

/* NULL where number is 0, which is no port's. */
static __always_inline struct port_counters *port_counters_of(__u32 number)
{
	return number ? bpf_map_lookup_elem(&port_counters, &number) : NULL;
}

static __always_inline void count_port_packet(struct amount amount, __u32 number, enum direction direction)
{
	struct port_counters *counters = port_counters_of(number);

	if (counters)
		add_to_counter(&counters->traffic[direction & 1], amount);
}

/* A connection that the programs have made, with its flow entries. */
static __always_inline void count_port_opened(__u32 number)
{
	struct port_counters *counters = port_counters_of(number);

	if (counters)
		counters->opened++;
}

/* A packet that its policy has refused. */
static __always_inline void count_port_refused(__u32 number)
{
	struct port_counters *counters = port_counters_of(number);

	if (counters)
		counters->refused++;
}
