// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is counted of connections (lib/connection_counts.h). Functions of their own: their callers are rare and short of stack. */
#include "lib/connection_counts.h"
#include "lib/maps.h"

static __always_inline struct connection_counters *connections_of(__u32 slot)
{
	return bpf_map_lookup_elem(&connection_counters, &slot);
}

__noinline int count_opened(__u32 slot, __u32 direction, __u32 transport)
{
	struct connection_counters *counters = connections_of(slot);

	if (counters)
		counters->opened[direction & 1][transport & 1]++;
	return 0;
}

__noinline int count_snat_port(__u32 slot, __u32 outcome)
{
	struct connection_counters *counters = connections_of(slot);

	if (!counters)
		return 0;
	if (outcome == SNAT_FAILED) {
		counters->snat_failed++;
		return 0;
	}
	counters->snat_allocated++;
	if (outcome == SNAT_OTHER)
		counters->snat_retried++;
	return 0;
}

__noinline int count_tcp_flags(__u32 slot, __u32 direction, __u32 tcp_flags)
{
	struct connection_counters *counters = connections_of(slot);

	if (!counters)
		return 0;
	if (tcp_flags & TCP_RST)
		counters->rst[direction & 1]++;
	else if ((tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		counters->syn[direction & 1]++;
	return 0;
}

#define UP_TO(n)                       \
	if (us <= HANDSHAKE_BOUND_##n) \
		return n;

/* Which bucket of struct handshakes. */
static __always_inline __u32 handshake_bucket(__u32 us)
{
	UP_TO(0) UP_TO(1) UP_TO(2) UP_TO(3) UP_TO(4) UP_TO(5) UP_TO(6);
	UP_TO(7) UP_TO(8) UP_TO(9) UP_TO(10) UP_TO(11) UP_TO(12);
	return HANDSHAKE_BUCKETS - 1;
}

__noinline int count_handshake(__u32 slot, __u32 direction, __u32 us)
{
	struct connection_counters *counters = connections_of(slot);
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	struct handshake_key key = { .direction = direction & 1 };
	__u32 bucket = handshake_bucket(us);
	struct handshakes *taken;

	if (counters)
		counters->established[direction & 1]++;
	if (!endpoint)
		return 0;
	key.bridge_ifindex = endpoint->bridge_ifindex;
	taken = bpf_map_lookup_elem(&handshakes, &key);
	/* The compiler knows that it is in bounds and would leave the comparison out; the verifier does not. */
	asm volatile("" : "+r"(bucket));
	if (!taken || bucket >= HANDSHAKE_BUCKETS)
		return 0;
	taken->count[bucket]++;
	taken->sum += us;
	return 0;
}
