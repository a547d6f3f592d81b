// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * XDP at an uplink: drops what is malformed, from nowhere, or refused by the policy, before there is an skb. Everything else
 * passes untouched.
 *
 * Frames with VLAN tags are judged as well: they came in by this uplink, and where the driver has taken the tag out (as most
 * do) they can't be told from others.
 */
#include "lib/family.h"
#include "lib/maps.h"
#include "lib/xdp_count.h"
#include <bpf/bpf_endian.h>

#define VLAN_TAGS_MAX 2

struct vlan_tag {
	__be16 tci;
	__be16 proto;
};

int IPV4_NAME(filter)(struct xdp_md *ctx, __u32 offset, __u32 group, struct xdp_dropped *dropped);
int IPV6_NAME(filter)(struct xdp_md *ctx, __u32 offset, __u32 group, struct xdp_dropped *dropped);

/*
 * The drop that a flood is made of, before anything else is looked at: IPv4 from a /16 that the host's list denies as a whole. What
 * else may be wrong with it does not matter.
 */
static __always_inline bool is_denied_at_once(const struct iphdr *ip)
{
	__u32 zero = 0, block = bpf_ntohl(ip->saddr) >> 16;
	const struct control *settings = bpf_map_lookup_elem(&control, &zero);
	const __u8 *whole;

	if (!settings || !(settings->policy & POLICY_SOURCES))
		return false;
	whole = bpf_map_lookup_elem(&source_blocks, &block);
	return whole && *whole == BLOCK_DENIED;
}

/* Returns REASON_NONE, or why the packet is to be dropped, and what is to be counted of it. */
static __always_inline int judge(struct xdp_md *ctx, struct xdp_dropped *dropped)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	const struct ethhdr *eth = data;
	__u32 offset = sizeof(*eth);
	__be16 proto;

	if (data + sizeof(*eth) > data_end)
		return REASON_NONE;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_IP)) {
		const struct iphdr *ip = data + offset;

		if ((void *)(ip + 1) <= data_end && is_denied_at_once(ip)) {
			dropped->length = bpf_ntohs(ip->tot_len);
			return REASON_SOURCE_DENIED;
		}
	}
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		const struct vlan_tag *tag = data + offset;

		if (proto != bpf_htons(ETH_P_8021Q) && proto != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > data_end)
			return REASON_NONE;
		proto = tag->proto;
		offset += sizeof(*tag);
	}
	if (proto == bpf_htons(ETH_P_IP))
		return IPV4_NAME(filter)(ctx, offset, eth->h_dest[0] & 1, dropped);
	if (proto == bpf_htons(ETH_P_IPV6))
		return IPV6_NAME(filter)(ctx, offset, eth->h_dest[0] & 1, dropped);
	return REASON_NONE;
}

SEC("xdp.frags")
int uplink_xdp(struct xdp_md *ctx)
{
	struct xdp_counters *counters = xdp_counters_of(ctx->ingress_ifindex);
	struct xdp_dropped dropped = { .slot = SLOT_NONE };
	int reason;

	if (!counters)
		return XDP_PASS;
	reason = judge(ctx, &dropped);
	return reason == REASON_NONE ? xdp_pass(counters) : xdp_drop(counters, reason, &dropped);
}
