// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Policy at tc, one family: for what comes in by an uplink without a flow entry, whatever it is. What has an entry was judged
 * when that was made, and a change of the lists voids all entries. What a parent's program has turned back is of this host.
 */
#include "../lib/count.h"
#include "../lib/forwarded.h"
#include "../lib/policy.h"

__noinline int FAMILY_NAME(uplink_policy)(struct __sk_buff *skb)
{
	struct subject subject = {};
	__u32 slot = SLOT_NONE;
	struct control *settings;
	enum reason reason;
	ip_header_t ip;
	__u32 zero = 0;

	if (skb->tc_index == FORWARDED)
		return TCX_NEXT;
	settings = bpf_map_lookup_elem(&control, &zero);
	if (!settings || !settings->policy || !load(skb, HOOK_TC, IP_OFFSET, &ip, sizeof(ip)))
		return TCX_NEXT;
	subject.group = skb->pkt_type == PACKET_BROADCAST || skb->pkt_type == PACKET_MULTICAST;
	subject_read(skb, HOOK_TC, IP_OFFSET, &ip, &subject);
	/* What is tagged is some other device's packet, and counted there. */
	reason = policy_check(skb, HOOK_TC, &subject, settings->policy, skb->vlan_present ? 0 : skb->ifindex, &slot);
	return reason == REASON_NONE ? TCX_NEXT : drop(skb, slot, DIRECTION_RECEIVE, reason);
}
