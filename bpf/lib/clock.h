/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What time it is, of which only differences mean something. */
#pragma once

#include "settings.h"

/*
 * Now, in ticks (FLOW_TICK_SHIFT), by the kernel's jiffies: that is a load, where the functions that tell nanoseconds take fifty
 * instructions and more.
 */
static __always_inline __u32 flow_clock(void)
{
	return bpf_jiffies64() * ns_per_jiffy >> FLOW_TICK_SHIFT;
}

/* Microseconds, for differences of up to an hour: a tick is too coarse for a LAN. */
static __always_inline __u32 handshake_clock(void)
{
	return bpf_ktime_get_ns() / 1000;
}

/*
 * A time of CLOCK_MONOTONIC that has gone by, by flow_clock(): not before what bears an earlier time, which may be up to a jiffy older
 * than it is.
 */
static __always_inline __u32 flow_clock_at(__u64 ns)
{
	__u64 age = bpf_ktime_get_ns() - ns;

	return flow_clock() + (ns_per_jiffy >> FLOW_TICK_SHIFT) + 1 - (age >> FLOW_TICK_SHIFT);
}
