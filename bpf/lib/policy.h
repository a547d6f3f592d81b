/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Policy: which sources may reach this host and its published ports from outside, and how fast. One decision for XDP and
 * for tc, so that it holds whichever of them meets a packet, and whichever path the packet takes afterwards.
 *
 * Ports are looked for further than parse() does, behind options, extension headers and in first fragments: what the kernel
 * would deliver must not get past a list by its looks.
 */
#pragma once

#include "conntrack.h"
#include "maps.h"
#include "port_counts.h"

/* Which helpers read the packet. A constant wherever it is asked for. */
enum hook {
	HOOK_TC,
	HOOK_XDP,
};

#define IPPROTO_SCTP 132
/* As many extension headers as are followed. */
#define EXTENSIONS_MAX 8
/* The ports, up to the flags: what is read of a TCP header. */
#define TCP_FLAGS_END 14

/* What a policy looks at. */
struct subject {
	address_t saddr;
	address_t daddr;
	__u32 l4_offset; /* from the frame's start */
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 ttl;
	bool later_fragment; /* nothing but its addresses is known; it is worth nothing without the first */
	bool hidden;         /* behind more extension headers than are followed */
	bool group;          /* in a frame to all, or to a group */
	bool opens;          /* TCP: opens a connection, for all that can be seen */
};

struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *xdp_ctx, struct bpf_sock_tuple *bpf_tuple, __u32 tuple__sz,
				  struct bpf_ct_opts *opts, __u32 opts__sz) __ksym_weak;

static __always_inline bool load(void *ctx, const enum hook hook, __u32 offset, void *to, __u32 length)
{
	if (hook == HOOK_XDP)
		return !bpf_xdp_load_bytes(ctx, offset, to, length);
	return !bpf_skb_load_bytes(ctx, offset, to, length);
}

#if FAMILY == 4

/* Addresses, protocol, and where its header is. */
static __always_inline void subject_read(void *ctx, const enum hook hook, __u32 offset, const struct iphdr *ip,
					 struct subject *subject)
{
	(void)ctx;
	(void)hook;
	address_read(&subject->saddr, &ip->saddr);
	address_read(&subject->daddr, &ip->daddr);
	subject->proto = ip->protocol;
	subject->ttl = ip->ttl;
	subject->later_fragment = ip->frag_off & bpf_htons(0x1fff);
	subject->l4_offset = offset + ip->ihl * 4;
}

/* ARP, which a link needs to work, is no IP. */
static __always_inline bool is_link_control(void *ctx, const enum hook hook, const struct subject *subject)
{
	(void)ctx;
	(void)hook;
	(void)subject;
	return false;
}

static __always_inline bool is_link_local(const address_t *address)
{
	(void)address;
	/* Of IPv4 they are among the host's addresses like any other. */
	return false;
}

#else

enum {
	ICMPV6_MLD_QUERY = 130,
	ICMPV6_MLD_DONE = 132,
	ICMPV6_MLDV2_REPORT = 143,
	ICMPV6_ROUTER_SOLICITATION = 133,
	ICMPV6_REDIRECT = 137,
};

/* The start of every extension header. */
struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment; /* of the fragment header: offset and flags */
};

static __always_inline bool is_extension(__u8 proto)
{
	return proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_FRAGMENT ||
	       proto == IPPROTO_AH || proto == IPPROTO_DSTOPTS;
}

static __always_inline void subject_read(void *ctx, const enum hook hook, __u32 offset, const struct ipv6hdr *ip,
					 struct subject *subject)
{
	struct extension extension;

	address_read(&subject->saddr, ip->saddr);
	address_read(&subject->daddr, ip->daddr);
	subject->proto = ip->nexthdr;
	subject->ttl = ip->hop_limit;
	subject->l4_offset = offset + sizeof(*ip);
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		if (!is_extension(subject->proto))
			return;
		/* Cut short: there is nothing behind it. */
		if (!load(ctx, hook, subject->l4_offset, &extension, sizeof(extension)))
			return;
		switch (subject->proto) {
		case IPPROTO_FRAGMENT:
			subject->later_fragment = extension.fragment & bpf_htons(0xfff8);
			subject->l4_offset += 8;
			break;
		case IPPROTO_AH:
			subject->l4_offset += (extension.length + 2) * 4;
			break;
		default:
			subject->l4_offset += (extension.length + 1) * 8;
		}
		subject->proto = extension.next;
		if (subject->later_fragment)
			return;
	}
	subject->hidden = is_extension(subject->proto);
}

static __always_inline bool is_link_local(const address_t *address)
{
	return bpf_ntohl(address->word[0]) >> 22 == 0xfe80 >> 6;
}

/*
 * Neighbour and router discovery and multicast listening, which IPv6 needs on every link as IPv4 needs ARP. From a
 * neighbour, that is: hop limit 255 has passed no router, and link-local sources don't.
 */
static __always_inline bool is_link_control(void *ctx, const enum hook hook, const struct subject *subject)
{
	__u8 type;

	if (subject->proto != IPPROTO_ICMPV6 || subject->later_fragment ||
	    !load(ctx, hook, subject->l4_offset, &type, sizeof(type)))
		return false;
	if (type >= ICMPV6_ROUTER_SOLICITATION && type <= ICMPV6_REDIRECT)
		return subject->ttl == 255;
	if ((type >= ICMPV6_MLD_QUERY && type <= ICMPV6_MLD_DONE) || type == ICMPV6_MLDV2_REPORT)
		return is_link_local(&subject->saddr) || address_is_zero(&subject->saddr);
	return false;
}

#endif

/* False where there are none to be read: not such a protocol, a later fragment, cut short. */
static __always_inline bool subject_read_ports(void *ctx, const enum hook hook, struct subject *subject)
{
	struct tcphdr tcp = {};

	if (subject->later_fragment)
		return false;
	switch (subject->proto) {
	case IPPROTO_TCP:
		if (load(ctx, hook, subject->l4_offset, &tcp, TCP_FLAGS_END)) {
			subject->opens = (tcp.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
			break;
		}
		/* A first fragment may end before the flags. */
		subject->opens = true;
		if (!load(ctx, hook, subject->l4_offset, &tcp, sizeof(struct udphdr)))
			return false;
		break;
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		if (!load(ctx, hook, subject->l4_offset, &tcp, sizeof(struct udphdr)))
			return false;
		break;
	default:
		return false;
	}
	subject->sport = tcp.source;
	subject->dport = tcp.dest;
	return true;
}

/* What a list says of a source: the value of the longest prefix that has it. */
static __always_inline __u32 source_verdict(__u32 list, const address_t *source)
{
	source_key_t key = { .prefix_length = 32 + 8 * sizeof(*source), .list = list, .network = *source };
	const __u32 *verdict = bpf_map_lookup_elem(&sources, &key);

	return verdict ? *verdict : SOURCE_UNLISTED;
}

/* What the host's own list says. */
static __always_inline __u32 host_verdict(const address_t *source)
{
#if FAMILY == 4
	__u32 block = bpf_ntohl(source->word[0]) >> 16;
	const __u8 *whole = bpf_map_lookup_elem(&source_blocks, &block);

	if (whole && *whole != BLOCK_MIXED)
		return *whole == BLOCK_DENIED ? SOURCE_DENIED : SOURCE_UNLISTED;
#endif
	return source_verdict(0, source);
}

/* Whether a packet to address that came in by an uplink may end in a socket of the host's that listens on any address. */
static __always_inline bool is_for_host(const struct subject *subject)
{
	return subject->group || is_link_local(&subject->daddr) ||
	       bpf_map_lookup_elem(&host_addresses, &subject->daddr);
}

/* The policy of the published port that the packet is for, or NULL; found as port_find() does. */
static __always_inline const struct port_policy *port_policy_find(const struct subject *subject)
{
	port_key_t key = { .address = subject->daddr, .port = subject->dport, .proto = subject->proto };
	const struct port_policy *policy = bpf_map_lookup_elem(&port_policies, &key);

	if (policy)
		return policy;
	__builtin_memset(&key.address, 0, sizeof(key.address));
	policy = bpf_map_lookup_elem(&port_policies, &key);
	return policy && is_for_host(subject) ? policy : NULL;
}

/* The published port, where the plan knows it: whose drop it is. */
static __always_inline const port_t *port_of(const struct subject *subject)
{
	port_key_t key = { .address = subject->daddr, .port = subject->dport, .proto = subject->proto };
	const port_t *port = bpf_map_lookup_elem(&ports, &key);

	if (!port) {
		__builtin_memset(&key.address, 0, sizeof(key.address));
		port = bpf_map_lookup_elem(&ports, &key);
	}
	return port;
}

enum known {
	KNOWN_NOT = 0,
	KNOWN_ORIGINAL = 1, /* a connection to the port */
	KNOWN_REPLY = 2, /* an answer: somebody here opened a connection from the port, by chance the published one */
};

static __always_inline enum known known_to_conntrack(void *ctx, const enum hook hook, const struct subject *subject)
{
	struct bpf_ct_opts options = { .netns_id = BPF_F_CURRENT_NETNS, .l4proto = subject->proto };
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *ct;

	if (subject->proto == IPPROTO_SCTP)
		return KNOWN_NOT;
	address_copy((__be32 *)&tuple.ip_part.saddr, &subject->saddr);
	address_copy((__be32 *)&tuple.ip_part.daddr, &subject->daddr);
	tuple.ip_part.sport = subject->sport;
	tuple.ip_part.dport = subject->dport;
	if (hook == HOOK_XDP)
		ct = bpf_xdp_ct_lookup(ctx, &tuple, TUPLE_SIZE, &options, sizeof(options));
	else
		ct = bpf_skb_ct_lookup(ctx, &tuple, TUPLE_SIZE, &options, sizeof(options));
	if (!ct)
		return KNOWN_NOT;
	bpf_ct_release(ct);
	return options.dir == IP_CT_DIR_REPLY ? KNOWN_REPLY : KNOWN_ORIGINAL;
}

/*
 * Adds what a bucket has earned since it was last refilled. Of several CPUs the one whose exchange succeeds adds it; the time
 * that has not earned a whole thousandth yet is left for later, or slow limits would never earn anything.
 */
static __always_inline void limit_refill(struct limit *bucket, const struct port_policy *policy, __u64 most, __u64 now)
{
	__u64 refilled = *(volatile __u64 *)&bucket->refilled;
	__u64 fraction, earned, tokens;

	if (now <= refilled) {
		/* Not of this clock: it would not earn anything until then. */
		if (refilled - now > NS_PER_SEC)
			__sync_val_compare_and_swap(&bucket->refilled, refilled, now);
		return;
	}
	fraction = (now - refilled) % NS_PER_SEC * policy->limit;
	earned = (now - refilled) / NS_PER_SEC * policy->limit + fraction / NS_PER_SEC;
	if (!earned)
		return;
	if (__sync_val_compare_and_swap(&bucket->refilled, refilled, now - fraction % NS_PER_SEC / policy->limit) !=
	    refilled)
		return;
	if (earned > most)
		earned = most;
	tokens = __sync_fetch_and_add(&bucket->tokens, earned) + earned;
	if ((__s64)tokens > (__s64)most)
		__sync_fetch_and_add(&bucket->tokens, most - tokens);
}

/*
 * Takes a token of a bucket, by the limit and burst of policy; false: there is none. Every CPU takes first and looks then, and gives
 * back what there was not, so that two never have the same one; below zero in between is less than none.
 */
static __always_inline bool bucket_take(struct limit *bucket, const struct port_policy *policy, __u64 now)
{
	limit_refill(bucket, policy, policy->burst * 1000ULL, now);
	if ((__s64)__sync_fetch_and_add(&bucket->tokens, -1000) >= 1000)
		return true;
	__sync_fetch_and_add(&bucket->tokens, 1000);
	return false;
}

/* Takes a token of the source's bucket; false: there is none. An IPv6 source is its /64: whoever has one address there has them all. */
static __always_inline bool limit_take(const struct port_policy *policy, const struct subject *subject)
{
	limit_key_t key = { .list = policy->list, .port = subject->dport, .proto = subject->proto };
	__u64 now = bpf_ktime_get_coarse_ns();
	__u64 most = policy->burst * 1000ULL;
	struct limit *bucket;

	for (int i = 0; i < ADDRESS_WORDS && i < 2; i++)
		key.source.word[i] = subject->saddr.word[i];
	bucket = bpf_map_lookup_elem(&limits, &key);
	if (!bucket) {
		struct limit full = { .refilled = now, .tokens = most };

		bpf_map_update_elem(&limits, &key, &full, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&limits, &key);
		if (!bucket)
			return true;
	}
	return bucket_take(bucket, policy, now);
}

/* Whether the packet opens a connection that is to be counted at this hook. */
static __always_inline bool is_limited_here(void *ctx, const enum hook hook, const struct subject *subject,
					    __u32 ifindex)
{
	const struct uplink *uplink;

	/* What is a UDP connection conntrack knows, and it is asked where flows are made. */
	if (subject->proto == IPPROTO_UDP)
		return hook == HOOK_TC && known_to_conntrack(ctx, hook, subject) == KNOWN_NOT;
	if (subject->proto != IPPROTO_TCP || !subject->opens)
		return false;
	if (hook == HOOK_XDP)
		return true;
	uplink = bpf_map_lookup_elem(&uplinks, &ifindex);
	return !uplink || !uplink->xdp;
}

/*
 * Whether the policy lets the packet, whose addresses and protocol subject has, in by the uplink ifindex: REASON_NONE, or why
 * not; slot: whose published port it is for. policies: struct control's. The host's list and the port's must both let it pass.
 * ifindex 0: limits are not counted.
 */
static __always_inline enum reason policy_check(void *ctx, const enum hook hook, struct subject *subject,
						__u32 policies, __u32 ifindex, __u32 *slot)
{
	const struct port_policy *policy;
	enum reason reason = REASON_NONE;
	const port_t *port;
	__u32 verdict;

	if (policies & POLICY_SOURCES && host_verdict(&subject->saddr) == SOURCE_DENIED)
		return is_link_control(ctx, hook, subject) ? REASON_NONE : REASON_SOURCE_DENIED;
	if (!(policies & POLICY_PORTS))
		return REASON_NONE;
	if (subject->hidden)
		return is_for_host(subject) ? REASON_PORT_DENIED : REASON_NONE;
	if (!subject_read_ports(ctx, hook, subject))
		return REASON_NONE;
	policy = port_policy_find(subject);
	if (!policy)
		return REASON_NONE;
	verdict = policy->list ? source_verdict(policy->list, &subject->saddr) : SOURCE_UNLISTED;
	if (verdict == SOURCE_DENIED || (verdict == SOURCE_UNLISTED && policy->unlisted_refused)) {
		if (subject->opens || known_to_conntrack(ctx, hook, subject) != KNOWN_REPLY)
			reason = REASON_PORT_DENIED;
	} else if (policy->limit && ifindex && is_limited_here(ctx, hook, subject, ifindex) &&
		   !limit_take(policy, subject)) {
		reason = REASON_LIMITED;
	}
	if (reason == REASON_NONE)
		return reason;
	port = port_of(subject);
	if (!port)
		return reason;
	*slot = port->slot;
	count_port_refused(port->number);
	return reason;
}
