/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ARP (RFC 826) for IPv4 on Ethernet: answers to what host and container ask of each other at a parent, and others of it. */
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

/* The request that the frame is, or NULL. */
static __always_inline struct arp_frame *arp_request(struct __sk_buff *skb)
{
	struct arp_frame *arp = (void *)(long)skb->data;

	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return NULL;
	if (arp->operation != bpf_htons(ARP_REQUEST) || arp->hardware != bpf_htons(ARP_ETHERNET) ||
	    arp->proto != bpf_htons(ETH_P_IP))
		return NULL;
	return arp;
}

/*
 * For an address of the host's own, which the host never looks for by a device, but ipvlan does in modes l3 and l3s, for a container that
 * sends to the host by a parent without that address. It is told the parent's own MAC, by which parent_egress gets the packet. What is
 * sent to announce an address looks the same: the request goes on as well.
 */
static __always_inline int arp_for_own(struct __sk_buff *skb, struct arp_frame *arp)
{
	struct arp_frame request = *arp;
	__u8 own[ETH_ALEN];

	__builtin_memcpy(own, request.sender_mac, ETH_ALEN);
	arp_answer(arp, own);
	__builtin_memcpy(arp->eth.h_dest, own, ETH_ALEN);
	skb->tc_index = FORWARDED;
	bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS);
	skb->tc_index = 0;
	bpf_skb_store_bytes(skb, 0, &request, sizeof(request), 0);
	return TCX_NEXT;
}

/* A request that leaves by a parent: answered from here if host and container ask for each other. Returns the program's verdict. */
static __noinline __attribute__((unused)) int arp_at_parent(struct __sk_buff *skb)
{
	struct arp_frame *arp = arp_request(skb);
	struct solicitation asked = { .ifindex = skb->ifindex };
	struct ipv4_address sender, target;
	__u8 asker[ETH_ALEN], own[ETH_ALEN];
	const __u8 *mac;

	if (!arp)
		return TCX_NEXT;
	sender = arp->sender;
	target = arp->target;
	asked.from_host = bpf_map_lookup_elem(&host_addresses_ipv4, &sender);
	asked.for_host = bpf_map_lookup_elem(&host_addresses_ipv4, &target);
	if (asked.from_host && asked.for_host)
		return arp_for_own(skb, arp);
	/* It only looks whether somebody else has it (RFC 5227). */
	if (!sender.word[0] || sender.word[0] == target.word[0])
		return TCX_NEXT;
	__builtin_memcpy(asker, arp->sender_mac, ETH_ALEN);
	asked.asker = asker;
	asked.sender = endpoint_on_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv4, &sender), skb->ifindex);
	asked.target = endpoint_on_any_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv4, &target));
	mac = solicited_mac(&asked);
	if (!mac)
		return TCX_NEXT;
	__builtin_memcpy(own, mac, ETH_ALEN);
	arp_answer(arp, own);
	return turn_back(skb, asker, own);
}

/*
 * A request that has come in by a parent: answered for containers that are announced. Who looks whether the address is free is told
 * that it is not.
 */
static __noinline __attribute__((unused)) int arp_of_announced(struct __sk_buff *skb)
{
	struct arp_frame *arp = arp_request(skb);
	const struct endpoint *endpoint;
	struct ipv4_address target;
	__u8 asker[ETH_ALEN];

	if (!arp || arp->sender.word[0] == arp->target.word[0])
		return TCX_NEXT;
	target = arp->target;
	endpoint = endpoint_on_parent(bpf_map_lookup_elem(&endpoint_addresses_ipv4, &target), skb->ifindex);
	if (!endpoint || !(endpoint->ipv4.flags & ENDPOINT_IP_PARENT_ANNOUNCE))
		return TCX_NEXT;
	__builtin_memcpy(asker, arp->sender_mac, ETH_ALEN);
	arp_answer(arp, endpoint->mac);
	return send_back(skb, asker, endpoint->mac);
}
