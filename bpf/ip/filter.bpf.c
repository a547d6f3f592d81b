// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* XDP at an uplink, one family: what is dropped before the kernel has made an skb of it. */
#include "../lib/policy.h"
#include "../lib/xdp_count.h"
#include "../lib/xdp_parse.h"

/*
 * Whether the source is an address of the host's own, which only the host has. The kernel itself says so for IPv4, unless it is
 * told otherwise or a packet can come back to it by a device on top of this one (UPLINK_XDP_OWN_SOURCES). ICMPv6 passes: by it the kernel
 * learns that another host has its address.
 */
static __always_inline bool is_own_source(struct xdp_md *ctx, const struct subject *subject)
{
	__u32 ifindex = ctx->ingress_ifindex;
	const struct uplink *uplink;

	if (subject->proto == IPPROTO_ICMPV6 || !bpf_map_lookup_elem(&host_addresses, &subject->saddr))
		return false;
	uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	return uplink && uplink->xdp & UPLINK_XDP_ATTACHED && !(uplink->xdp & UPLINK_XDP_OWN_SOURCES);
}

/*
 * offset: of the IP header. group: whether the frame is to all, or to a group. Returns REASON_NONE, or why it is to be dropped, and
 * what is to be counted of it; slot is SLOT_NONE at first.
 */
__noinline int FAMILY_NAME(filter)(struct xdp_md *ctx, __u32 offset, __u32 group, struct xdp_dropped *dropped)
{
	struct subject subject = { .group = group };
	__u32 zero = 0;
	struct control *settings;
	const ip_header_t *ip;
	enum reason reason;
	ip_header_t copy;

	settings = bpf_map_lookup_elem(&control, &zero);
	ip = xdp_header(ctx, offset, &copy, sizeof(copy));
	if (!settings || !dropped)
		return REASON_NONE;
	if (!ip || is_bad_ip(ctx, ip, offset)) {
		dropped->length = bpf_xdp_get_buff_len(ctx) - offset;
		return REASON_BAD_HEADER;
	}
	dropped->length = ip_length(ip);
	if (is_martian(ctx, ip, offset))
		return REASON_MARTIAN;
	subject_read(ctx, HOOK_XDP, offset, ip, &subject);
	reason = policy_check(ctx, HOOK_XDP, &subject, settings->policy, ctx->ingress_ifindex, &dropped->slot);
	if (reason != REASON_NONE)
		return reason;
	if (is_own_source(ctx, &subject))
		return REASON_MARTIAN;
	/* Only where it ends: a router does not look. */
	if (is_bad_transport(ctx, ip, offset) && bpf_map_lookup_elem(&host_addresses, &subject.daddr))
		return REASON_BAD_HEADER;
	return REASON_NONE;
}
