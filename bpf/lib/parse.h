/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an skb to the few facts that a decision needs. Whatever is not plain TCP or UDP over IPv4 is the kernel's. */
#pragma once

#include "types.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_FRAGMENT_MASK 0x3fff /* more fragments, or an offset: all but "reserved" and "don't fragment" */

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

#define IP_OFFSET ETH_HLEN
#define L4_OFFSET (IP_OFFSET + (int)sizeof(struct iphdr))
/* What is looked at of any packet: Ethernet, IPv4 without options, TCP without options. */
#define HEADERS_LENGTH (L4_OFFSET + (int)sizeof(struct tcphdr))
#define HEADERS_LENGTH_UDP (L4_OFFSET + (int)sizeof(struct udphdr))

struct packet {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u16 length;         /* of the IP packet, as its header says */
	__u16 headers_length; /* IP and L4 header: what a GSO packet repeats in every segment */
	__u8 proto;
	__u8 ttl;
	__u8 tos;
	__u8 tcp_flags; /* 0 for UDP */
};

static __always_inline bool parse_tcp(const struct tcphdr *tcp, struct packet *packet)
{
	__u32 header = tcp->doff * 4;

	if (header < sizeof(*tcp) || sizeof(struct iphdr) + header > packet->length)
		return false;
	packet->sport = tcp->source;
	packet->dport = tcp->dest;
	packet->tcp_flags = tcp->flags;
	packet->headers_length = sizeof(struct iphdr) + header;
	/* SYN with FIN or RST is no TCP: the kernel's tracker says so too (tcp_error). */
	return !(packet->tcp_flags & TCP_SYN) || !(packet->tcp_flags & (TCP_FIN | TCP_RST));
}

static __always_inline bool parse_udp(const struct udphdr *udp, bool gso, struct packet *packet)
{
	__u32 length = bpf_ntohs(udp->len);

	/* A GSO packet's UDP length is not (always) that of the whole. */
	if (length < sizeof(*udp) || (!gso && sizeof(struct iphdr) + length > packet->length))
		return false;
	packet->sport = udp->source;
	packet->dport = udp->dest;
	packet->tcp_flags = 0;
	packet->headers_length = sizeof(struct iphdr) + sizeof(*udp);
	return true;
}

/*
 * Reads the headers of skb into packet. REASON_NONE: packet is filled, and the headers are linear and whole. Otherwise
 * the reason why the packet is the kernel's, and packet is not to be used.
 */
static __always_inline enum reason parse(struct __sk_buff *skb, struct packet *packet)
{
	void *data, *data_end;
	const struct iphdr *ip;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present)
		return REASON_NOT_IPV4;
	if (skb->len < HEADERS_LENGTH_UDP)
		return REASON_MALFORMED;
	data = (void *)(long)skb->data;
	data_end = (void *)(long)skb->data_end;
	if (data + HEADERS_LENGTH > data_end) {
		/* The headers may lie in page fragments. */
		if (bpf_skb_pull_data(skb, skb->len < HEADERS_LENGTH ? skb->len : HEADERS_LENGTH))
			return REASON_MALFORMED;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
		if (data + HEADERS_LENGTH_UDP > data_end)
			return REASON_MALFORMED;
	}

	ip = data + IP_OFFSET;
	if (ip->version != 4 || ip->ihl < 5)
		return REASON_MALFORMED;
	if (ip->ihl != 5)
		return REASON_IP_OPTIONS;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return REASON_FRAGMENT;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return REASON_NOT_TCP_UDP;
	packet->length = bpf_ntohs(ip->tot_len);
	if (packet->length > skb->len - IP_OFFSET)
		return REASON_MALFORMED;
	packet->saddr = ip->saddr;
	packet->daddr = ip->daddr;
	packet->proto = ip->protocol;
	packet->ttl = ip->ttl;
	packet->tos = ip->tos;

	if (packet->proto == IPPROTO_UDP)
		return parse_udp(data + L4_OFFSET, skb->gso_size, packet) ? REASON_NONE : REASON_MALFORMED;
	if (data + HEADERS_LENGTH > data_end)
		return REASON_MALFORMED;
	return parse_tcp(data + L4_OFFSET, packet) ? REASON_NONE : REASON_MALFORMED;
}

/* Addresses that are never routed: 0/8, 127/8, 169.254/16, multicast, reserved and broadcast. */
static __always_inline bool is_global_unicast(__be32 address)
{
	__u32 host_order = bpf_ntohl(address);
	__u8 first = host_order >> 24;

	return first != 0 && first != 127 && first < 224 && host_order >> 16 != (169 << 8 | 254);
}

/* The packet that opens a TCP connection. */
static __always_inline bool is_first_syn(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* Whether the packet, or a segment of it, is larger than the way's MTU. */
static __always_inline bool is_too_big(const struct __sk_buff *skb, const struct packet *packet, __u32 mtu)
{
	if (skb->gso_size)
		return skb->gso_size + packet->headers_length > mtu;
	return packet->length > mtu;
}
