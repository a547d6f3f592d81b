// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is counted of pairs of endpoints (lib/pairs.h). */
#include "lib/pairs.h"
#include "lib/count.h"

/* headers_length: as count()'s. */
__noinline int count_pair(struct __sk_buff *skb, const struct pair_key *pair, __u32 headers_length)
{
	struct counter *counter;
	__u32 zero = 0;

	if (!pair)
		return 0;
	counter = bpf_map_lookup_elem(&pairs, pair);
	if (!counter) {
		struct counter none = {};

		bpf_map_update_elem(&pairs, pair, &none, BPF_NOEXIST);
		counter = bpf_map_lookup_elem(&pairs, pair);
		if (!counter)
			counter = bpf_map_lookup_elem(&pairs_uncounted, &zero);
	}
	if (counter)
		add_to_counter(counter, amount_of(skb, headers_length));
	return 0;
}
