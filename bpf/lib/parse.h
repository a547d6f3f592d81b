/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an skb to the few facts that a decision needs. Whatever is not plain TCP or UDP is the kernel's. */
#pragma once

#include "family.h"
#include "sum.h"
#include "tcp_flags.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define IP_OFFSET LINK_HEADER_LENGTH
#define L4_OFFSET (IP_OFFSET + (int)sizeof(ip_header_t))
/* What is looked at of any packet: link header, IP without options, TCP without options. */
#define HEADERS_LENGTH (L4_OFFSET + (int)sizeof(struct tcphdr))
#define HEADERS_LENGTH_UDP (L4_OFFSET + (int)sizeof(struct udphdr))

struct __attribute__((aligned(8))) packet {
	flow_key_t key;       /* what its flow entry has, of the device by which it comes in */
	__u32 length;         /* of the IP packet, as its header says */
	__u16 headers_length; /* IP and L4 header: what a GSO packet repeats in every segment */
	__u8 ttl;
	__u8 tcp_flags; /* 0 for UDP */
};

#if FAMILY == 4

#define IP_FRAGMENT_MASK 0x3fff /* more fragments, or an offset: all but "reserved" and "don't fragment" */

/* The ones' complement sum of a header without options, checksum included: all ones when it is right (RFC 1071). */
static __always_inline bool header_checksum_is_right(const struct iphdr *ip)
{
	const __u32 *word = (const __u32 *)ip;

	return fold_wide((__u64)word[0] + word[1] + word[2] + word[3] + word[4]) == 0xffff;
}

static __always_inline enum reason parse_ip(const struct iphdr *ip, struct packet *packet)
{
	if (ip->version != 4 || ip->ihl < 5)
		return REASON_MALFORMED;
	if (ip->ihl != 5)
		return REASON_IP_OPTIONS;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return REASON_FRAGMENT;
	if (!header_checksum_is_right(ip))
		return REASON_MALFORMED;
	packet->length = bpf_ntohs(ip->tot_len);
	address_read(&packet->key.saddr, &ip->saddr);
	address_read(&packet->key.daddr, &ip->daddr);
	packet->key.proto = ip->protocol;
	packet->ttl = ip->ttl;
	return REASON_NONE;
}

/* What routing may look at, of a packet that is parsed: TOS. */
static __always_inline __be32 traffic_class(const struct __sk_buff *skb)
{
	const struct iphdr *ip = (void *)(long)skb->data + IP_OFFSET;

	return (void *)(ip + 1) > (void *)(long)skb->data_end ? 0 : ip->tos;
}

/* Addresses that are never routed: 0/8, 127/8, 169.254/16, multicast, reserved and broadcast. */
static __always_inline bool is_global_unicast(const address_t *address)
{
	__u32 host_order = bpf_ntohl(address->word[0]);
	__u8 first = host_order >> 24;

	return first != 0 && first != 127 && first < 224 && host_order >> 16 != (169 << 8 | 254);
}

#else

static __always_inline enum reason parse_ip(const struct ipv6hdr *ip, struct packet *packet)
{
	if (ip->version != 6)
		return REASON_MALFORMED;
	switch (ip->nexthdr) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		break;
	case IPPROTO_FRAGMENT:
		return REASON_FRAGMENT;
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
		return REASON_IP_OPTIONS;
	}
	packet->length = bpf_ntohs(ip->payload_len) + sizeof(*ip);
	address_move(&packet->key.saddr, ip->saddr);
	address_move(&packet->key.daddr, ip->daddr);
	packet->key.proto = ip->nexthdr;
	packet->ttl = ip->hop_limit;
	return REASON_NONE;
}

/* What routing may look at, of a packet that is parsed: the first word but for the version. */
static __always_inline __be32 traffic_class(const struct __sk_buff *skb)
{
	const struct ipv6hdr *ip = (void *)(long)skb->data + IP_OFFSET;

	return (void *)(ip + 1) > (void *)(long)skb->data_end ? 0 : *(const __be32 *)ip & bpf_htonl(0x0fffffff);
}

/* Addresses that are never routed, or are not what they seem: ::/96 and mapped IPv4, fe80::/10, multicast. */
static __always_inline bool is_global_unicast(const address_t *address)
{
	__u32 first = bpf_ntohl(address->word[0]);

	if (!address->word[0] && !address->word[1] && (!address->word[2] || address->word[2] == bpf_htonl(0xffff)))
		return false;
	return first >> 24 != 0xff && first >> 22 != 0xfe80 >> 6;
}

#endif

#define TCP_COMBINATION(flags) (1ULL << (flags))

/* The combinations that are TCP; the kernel's tracker takes all others for invalid (nf_conntrack_proto_tcp.c, tcp_valid_flags). */
#define TCP_VALID_COMBINATIONS                                                                                \
	(TCP_COMBINATION(TCP_SYN) | TCP_COMBINATION(TCP_SYN | TCP_URG) | TCP_COMBINATION(TCP_SYN | TCP_ACK) | \
	 TCP_COMBINATION(TCP_RST) | TCP_COMBINATION(TCP_RST | TCP_ACK) | TCP_COMBINATION(TCP_FIN | TCP_ACK) | \
	 TCP_COMBINATION(TCP_FIN | TCP_ACK | TCP_URG) | TCP_COMBINATION(TCP_ACK) | TCP_COMBINATION(TCP_ACK | TCP_URG))

static __always_inline bool parse_tcp(const struct tcphdr *tcp, struct packet *packet)
{
	__u32 header = tcp->doff * 4;

	if (header < sizeof(*tcp) || sizeof(ip_header_t) + header > packet->length)
		return false;
	packet->key.sport = tcp->source;
	packet->key.dport = tcp->dest;
	packet->tcp_flags = tcp->flags;
	packet->headers_length = sizeof(ip_header_t) + header;
	return TCP_VALID_COMBINATIONS >> (tcp->flags & (TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK | TCP_URG)) & 1;
}

static __always_inline bool parse_udp(const struct udphdr *udp, bool gso, struct packet *packet)
{
	__u32 length = bpf_ntohs(udp->len);

	/* A GSO packet's UDP length is not (always) that of the whole. */
	if (length < sizeof(*udp) || (!gso && sizeof(ip_header_t) + length > packet->length))
		return false;
	packet->key.sport = udp->source;
	packet->key.dport = udp->dest;
	packet->tcp_flags = 0;
	packet->headers_length = sizeof(ip_header_t) + sizeof(*udp);
	return true;
}

/*
 * Reads the headers of skb, whose protocol is of this family, into packet. REASON_NONE: packet is filled, but for its key's ifindex, and
 * the headers are linear and whole. Otherwise the reason why the packet is the kernel's, and packet is not to be used.
 */
static __always_inline enum reason parse(struct __sk_buff *skb, struct packet *packet)
{
	void *data = (void *)(long)skb->data, *data_end = (void *)(long)skb->data_end;
	enum reason reason;

	if (data + HEADERS_LENGTH > data_end) {
		/* The headers may lie in page fragments. */
		if (skb->len < HEADERS_LENGTH_UDP ||
		    bpf_skb_pull_data(skb, skb->len < HEADERS_LENGTH ? skb->len : HEADERS_LENGTH))
			return REASON_MALFORMED;
		data = (void *)(long)skb->data;
		data_end = (void *)(long)skb->data_end;
		if (data + HEADERS_LENGTH_UDP > data_end)
			return REASON_MALFORMED;
	}

	reason = parse_ip(data + IP_OFFSET, packet);
	if (reason != REASON_NONE)
		return reason;
	if (packet->key.proto != IPPROTO_TCP && packet->key.proto != IPPROTO_UDP)
		return REASON_NOT_TCP_UDP;
	if (packet->length > skb->len - IP_OFFSET)
		return REASON_MALFORMED;
	if (packet->key.proto == IPPROTO_UDP)
		return parse_udp(data + L4_OFFSET, skb->gso_size, packet) ? REASON_NONE : REASON_MALFORMED;
	if (data + HEADERS_LENGTH > data_end)
		return REASON_MALFORMED;
	return parse_tcp(data + L4_OFFSET, packet) ? REASON_NONE : REASON_MALFORMED;
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
