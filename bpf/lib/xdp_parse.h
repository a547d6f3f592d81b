/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What XDP can tell of a frame by itself: headers that no stack accepts, and sources that nobody can have. Only what this host's
 * kernel drops without a word: what it answers with ICMP, forwards, or may give to anyone, passes. Packets from
 * the wire only: there is no GSO here, and the lengths of the headers are those of the frame.
 */
#pragma once

#include "family.h"
#include "parse.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LINK_OFFSET_MAX 63

/*
 * The header at offset: in the frame where it lies in one piece there, else a copy; NULL: the frame is too short. Faster than to copy
 * always, and headers of multi-buffer frames may lie across.
 */
static __always_inline const void *xdp_header(struct xdp_md *ctx, __u32 offset, void *copy, const __u32 size)
{
	void *data = (void *)(long)ctx->data;

	if (offset <= LINK_OFFSET_MAX && data + offset + size <= (void *)(long)ctx->data_end)
		return data + offset;
	return bpf_xdp_load_bytes(ctx, offset, copy, size) ? NULL : copy;
}

/* Whether the frame ends before so many bytes. */
static __always_inline bool is_beyond_frame(struct xdp_md *ctx, __u32 length)
{
	return length > ctx->data_end - ctx->data && length > bpf_xdp_get_buff_len(ctx);
}

/* TCP's and UDP's own lengths against the room that the IP packet has for them. */
static __always_inline bool is_bad_l4(struct xdp_md *ctx, __u8 proto, __u32 offset, __u32 room)
{
	struct tcphdr tcp;
	struct udphdr udp;
	__u32 length;

	if (proto == IPPROTO_TCP) {
		if (room < sizeof(tcp) || bpf_xdp_load_bytes(ctx, offset, &tcp, sizeof(tcp)))
			return true;
		length = tcp.doff * 4;
		return length < sizeof(tcp) || length > room;
	}
	if (proto == IPPROTO_UDP) {
		if (room < sizeof(udp) || bpf_xdp_load_bytes(ctx, offset, &udp, sizeof(udp)))
			return true;
		length = bpf_ntohs(udp.len);
		/* RFC 2675: a jumbogram's length is not here. */
		if (FAMILY == 6 && !length)
			return false;
		return length < sizeof(udp) || length > room;
	}
	return false;
}

#if FAMILY == 4

static __always_inline __u32 ip_length(const struct iphdr *ip)
{
	return bpf_ntohs(ip->tot_len);
}

/* net/ipv4/ip_input.c, ip_rcv_core(). */
static __always_inline bool is_bad_ip(struct xdp_md *ctx, const struct iphdr *ip, __u32 offset)
{
	__u32 header = ip->ihl * 4, total = ip_length(ip);

	return ip->version != 4 || header < sizeof(*ip) || total < header || is_beyond_frame(ctx, offset + total);
}

/* A fragment's room is not the packet's. */
static __always_inline bool is_bad_transport(struct xdp_md *ctx, const struct iphdr *ip, __u32 offset)
{
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_MASK))
		return false;
	return is_bad_l4(ctx, ip->protocol, offset + ip->ihl * 4, bpf_ntohs(ip->tot_len) - ip->ihl * 4);
}

/*
 * net/ipv4/route.c, ip_route_input_slow() and ip_mc_validate_source(). The unspecified address is that of a host without one: it
 * asks by DHCP, by broadcast or by IGMP.
 */
static __always_inline bool is_martian(struct xdp_md *ctx, const struct iphdr *ip, __u32 offset)
{
	__u32 source = bpf_ntohl(ip->saddr), destination = bpf_ntohl(ip->daddr);
	struct udphdr udp;

	if (source)
		return source >> 24 == 127 || source >> 28 == 0xe || source == 0xffffffff;
	if (!destination || destination == 0xffffffff || destination >> 28 == 0xe)
		return false;
	return ip->protocol != IPPROTO_UDP || bpf_xdp_load_bytes(ctx, offset + ip->ihl * 4, &udp, sizeof(udp)) ||
	       udp.dest != bpf_htons(67);
}

#else

static __always_inline __u32 ip_length(const struct ipv6hdr *ip)
{
	return bpf_ntohs(ip->payload_len) + sizeof(*ip);
}

/* net/ipv6/ip6_input.c, ip6_rcv_core(). */
static __always_inline bool is_bad_ip(struct xdp_md *ctx, const struct ipv6hdr *ip, __u32 offset)
{
	if (ip->version != 6)
		return true;
	/* RFC 2675: a jumbogram's length is in its hop-by-hop options. */
	if (!ip->payload_len && ip->nexthdr == IPPROTO_HOPOPTS)
		return false;
	return is_beyond_frame(ctx, offset + ip_length(ip));
}

static __always_inline bool is_bad_transport(struct xdp_md *ctx, const struct ipv6hdr *ip, __u32 offset)
{
	return is_bad_l4(ctx, ip->nexthdr, offset + sizeof(*ip), bpf_ntohs(ip->payload_len));
}

/*
 * net/ipv6/ip6_input.c again: multicast, loopback and mapped IPv4. From the unspecified address hosts without one detect
 * duplicates, solicit routers and report groups; nobody has TCP or UDP from there.
 */
static __always_inline bool is_martian(struct xdp_md *ctx, const struct ipv6hdr *ip, __u32 offset)
{
	(void)ctx;
	(void)offset;
	if (bpf_ntohl(ip->saddr[0]) >> 24 == 0xff)
		return true;
	if (ip->saddr[0] || ip->saddr[1])
		return false;
	if (ip->saddr[2] == bpf_htonl(0xffff) || (!ip->saddr[2] && ip->saddr[3] == bpf_htonl(1)))
		return true;
	return !ip->saddr[2] && !ip->saddr[3] && bpf_ntohl(ip->daddr[0]) >> 24 != 0xff &&
	       (ip->nexthdr == IPPROTO_TCP || ip->nexthdr == IPPROTO_UDP);
}

#endif
