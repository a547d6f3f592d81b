// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a container has sent to another network on a parent and can't go on, one family: it is dropped, and the container told why. */
#include "../lib/icmp_error.h"
#include "../lib/parent_route.h"

static __always_inline struct icmp_error_header error_for(enum reason reason, const struct endpoint *receiver)
{
	struct icmp_error_header error = { .type = ICMP_UNREACHABLE, .code = ICMP_UNREACHABLE_HOST };

	if (reason == REASON_TTL_EXPIRED) {
		error.type = ICMP_TIME_EXCEEDED;
		error.code = 0;
	} else if (reason == REASON_TOO_BIG && receiver) {
		error.type = ICMP_TOO_BIG;
		error.code = ICMP_TOO_BIG_CODE;
		error.rest = bpf_htonl(receiver->mtu);
	}
	return error;
}

/* Path MTU discovery is not limited, as the kernel's is not. */
static __always_inline bool may_tell(const address_t *told, enum reason reason)
{
	return reason == REASON_TOO_BIG || icmp_budget_take(told);
}

/* reason: why. Returns the program's verdict. */
__noinline int FAMILY_NAME(parent_refuse)(struct __sk_buff *skb, __u32 reason)
{
	const struct endpoint_ref *from, *to;
	const parent_subnet_t *own;
	const struct endpoint *sender;
	struct icmp_error_header error;
	address_t saddr, daddr, router;
	ip_header_t header;
	__u32 slot;

	if (bpf_skb_load_bytes(skb, IP_OFFSET, &header, sizeof(header)))
		return TC_ACT_SHOT;
	address_read(&saddr, SOURCE(&header));
	address_read(&daddr, DESTINATION(&header));
	from = bpf_map_lookup_elem(&endpoint_addresses, &saddr);
	sender = endpoint_on_any_parent(from);
	if (!sender)
		return drop(skb, SLOT_NONE, DIRECTION_TRANSMIT, reason);
	slot = from->slot;
	count_reason(skb, slot, DIRECTION_TRANSMIT, VERDICT_DROP, reason);
	own = subnet_of(&saddr);
	if (!own || address_is_zero(&own->router) || !icmp_may_answer(skb, &header) || !may_tell(&saddr, reason))
		return TC_ACT_SHOT;
	router = own->router;
	to = bpf_map_lookup_elem(&endpoint_addresses, &daddr);
	error = error_for(reason, endpoint_on_any_parent(to));
	if (!icmp_error_make(skb, sender, &router, &error))
		return TC_ACT_SHOT;
	count(skb, 0, slot, DIRECTION_RECEIVE, PATH_FAST);
	skb->tc_index = FORWARDED;
	return bpf_redirect(sender->bridge_ifindex, BPF_F_INGRESS);
}
