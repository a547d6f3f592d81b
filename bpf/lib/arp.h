/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ARP (RFC 826) for IPv4 on Ethernet: answers to what host and container ask of each other at a parent. */
#pragma once

#include "parent.h"
#include <bpf/bpf_endian.h>

struct arp_frame {
	struct ethhdr eth;
	__be16 hardware;
	__be16 proto;
	__u8 hardware_length;
	__u8 proto_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	struct ipv4_address sender;
	__u8 target_mac[ETH_ALEN];
	struct ipv4_address target;
} __attribute__((packed));

enum {
	ARP_ETHERNET = 1,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

/* Makes the request, in place, the answer that mac has its target. */
static __always_inline void arp_answer(struct arp_frame *arp, const __u8 *mac)
{
	struct ipv4_address target = arp->target;

	arp->operation = bpf_htons(ARP_REPLY);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	arp->target = arp->sender;
	__builtin_memcpy(arp->sender_mac, mac, ETH_ALEN);
	arp->sender = target;
}

/* A request that leaves by a parent: answered from here if host and container ask for each other. Returns the program's verdict. */
static __always_inline int arp_at_parent(struct __sk_buff *skb)
{
	struct ipv4_address sender, target;
	struct arp_frame *arp;
	const __u8 *mac;
	__u8 own[ETH_ALEN];

	if ((void *)(long)skb->data + sizeof(*arp) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	arp = (void *)(long)skb->data;
	if (arp->operation != bpf_htons(ARP_REQUEST) || arp->hardware != bpf_htons(ARP_ETHERNET) ||
	    arp->proto != bpf_htons(ETH_P_IP))
		return TCX_NEXT;
	sender = arp->sender;
	target = arp->target;
	/* It only looks whether somebody else has it (RFC 5227). */
	if (!sender.word[0] || sender.word[0] == target.word[0])
		return TCX_NEXT;
	mac = solicited_mac(bpf_map_lookup_elem(&host_addresses_ipv4, &sender),
			    endpoint_on_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv4, &target), skb->ifindex),
			    endpoint_on_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv4, &sender), skb->ifindex),
			    bpf_map_lookup_elem(&host_addresses_ipv4, &target));
	if (!mac)
		return TCX_NEXT;
	arp_answer(arp, mac);
	__builtin_memcpy(own, arp->target_mac, ETH_ALEN);
	return turn_back(skb, own, mac);
}
