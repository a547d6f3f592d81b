// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the container in slot sends to its gateway, one family: through a flow entry, or one made for it; else the kernel's. */
#include "../lib/port_counts.h"
#include "../lib/transmit.h"

__noinline int FAMILY_NAME(endpoint_transmit)(struct __sk_buff *skb, __u32 slot)
{
	int verdict = TCX_NEXT;
	enum reason reason = transmit(skb, slot, skb->ifindex, &verdict);

	return reason == REASON_NONE ? verdict : leave_to_kernel(skb, slot, DIRECTION_TRANSMIT, reason);
}

/* Whether the connection is one of the host's own: what it sends is counted for no port. */
static __always_inline bool is_of_host(const struct nf_conn *ct)
{
	address_t opener;

	tuple_source(&opener, &ct->tuplehash[IP_CT_DIR_ORIGINAL].tuple);
	return bpf_map_lookup_elem(&host_addresses, &opener);
}

/* Counts what the container in slot sends by the slow path for its published port, if it is an answer from one. */
__noinline int FAMILY_NAME(endpoint_answers)(struct __sk_buff *skb, __u32 slot)
{
	const struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &slot);
	struct packet packet;
	struct nf_conn *ct;
	__u8 dir;

	if (!endpoint || parse(skb, &packet) != REASON_NONE || !may_be_published(endpoint, packet.key.sport))
		return 0;
	ct = conntrack_lookup(skb, &packet, &dir);
	if (!ct)
		return 0;
	if (dir == IP_CT_DIR_REPLY && !is_of_host(ct))
		count_port_packet(amount_of(skb, packet.headers_length), conntrack_port_number(ct, packet.key.proto),
				  DIRECTION_TRANSMIT);
	bpf_ct_release(ct);
	return 0;
}
