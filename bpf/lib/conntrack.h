/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's conntrack, the truth behind the flow table, through its BPF functions (net/netfilter/nf_conntrack_bpf.c,
 * nf_nat_bpf.c). Every entry looked up or made is released on every way out; the verifier insists. Up to Linux 6.2 it forgets
 * that an entry was compared with NULL, and takes a second comparison for a way on which it was not released: a function
 * here does not compare what it returns, and its caller does so once.
 */
#pragma once

#include "parse.h"
#include "settings.h"

#define __ksym_weak __ksym __attribute__((weak))

struct nf_conn *bpf_skb_ct_alloc(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
				 struct bpf_ct_opts *opts, __u32 opts__sz) __ksym_weak;
struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb, struct bpf_sock_tuple *tuple, __u32 tuple__sz,
				  struct bpf_ct_opts *opts, __u32 opts__sz) __ksym_weak;
struct nf_conn *bpf_ct_insert_entry(struct nf_conn *ct) __ksym_weak;
void bpf_ct_release(struct nf_conn *ct) __ksym_weak;
void bpf_ct_set_timeout(struct nf_conn *ct, __u32 timeout_ms) __ksym_weak;
int bpf_ct_change_timeout(struct nf_conn *ct, __u32 timeout_ms) __ksym_weak;
int bpf_ct_change_status(struct nf_conn *ct, __u32 status) __ksym_weak;
int bpf_ct_set_nat_info(struct nf_conn *ct, union nf_inet_addr *address, int port,
			enum nf_nat_manip_type manip) __ksym_weak;

#define TUPLE_SIZE sizeof(((struct bpf_sock_tuple *)0)->ip_part)

static __always_inline void conntrack_tuple(const struct packet *packet, struct bpf_sock_tuple *tuple)
{
	__builtin_memset(tuple, 0, sizeof(*tuple));
	address_copy((__be32 *)&tuple->ip_part.saddr, &packet->key.saddr);
	address_copy((__be32 *)&tuple->ip_part.daddr, &packet->key.daddr);
	tuple->ip_part.sport = packet->key.sport;
	tuple->ip_part.dport = packet->key.dport;
}

static __always_inline void conntrack_options(const struct packet *packet, struct bpf_ct_opts *options)
{
	__builtin_memset(options, 0, sizeof(*options));
	options->netns_id = BPF_F_CURRENT_NETNS;
	options->l4proto = packet->key.proto;
}

/*
 * The entry that knows the packet's tuple, or NULL; dir says which of the entry's tuples it is. To be released.
 * An expired entry is collected by the lookup itself (nf_conntrack_core.c, ____nf_conntrack_find).
 */
static __always_inline struct nf_conn *conntrack_lookup(struct __sk_buff *skb, const struct packet *packet, __u8 *dir)
{
	struct bpf_sock_tuple tuple;
	struct bpf_ct_opts options;
	struct nf_conn *ct;

	conntrack_tuple(packet, &tuple);
	conntrack_options(packet, &options);
	ct = bpf_skb_ct_lookup(skb, &tuple, TUPLE_SIZE, &options, sizeof(options));
	*dir = options.dir;
	return ct;
}

static __always_inline void tuple_source(address_t *to, const struct nf_conntrack_tuple *tuple)
{
	for (int i = 0; i < ADDRESS_WORDS; i++)
		to->word[i] = tuple->src.u3.all[i];
}

static __always_inline void tuple_destination(address_t *to, const struct nf_conntrack_tuple *tuple)
{
	for (int i = 0; i < ADDRESS_WORDS; i++)
		to->word[i] = tuple->dst.u3.all[i];
}

/* How long conntrack keeps a connection after its first packet, in seconds. */
static __always_inline __u32 conntrack_first_timeout(const struct packet *packet)
{
	return packet->key.proto == IPPROTO_TCP ? tcp_timeout_syn_sent : udp_timeout;
}

/*
 * Makes the entry of a new connection whose first packet this is, NATed by manip to address and port (host order; 0: the
 * kernel picks one that is free, the packet's own when it can). NULL when conntrack is full or the tuple is taken, or on a kernel
 * where programs can't make any. refused:
 * no port is free, and the entry is without its NAT; conntrack_expire() it, since it can't be given up before it is
 * inserted. To be released.
 */
static __always_inline struct nf_conn *conntrack_make(struct __sk_buff *skb, const struct packet *packet,
						      const address_t *address, __u16 port,
						      enum nf_nat_manip_type manip, bool *refused)
{
	union nf_inet_addr nat_address = {};
	struct bpf_sock_tuple tuple;
	struct bpf_ct_opts options;
	struct nf_conn *ct;

	if (!makes_connections)
		return NULL;
	conntrack_tuple(packet, &tuple);
	conntrack_options(packet, &options);
	address_copy(nat_address.all, address);
	ct = bpf_skb_ct_alloc(skb, &tuple, TUPLE_SIZE, &options, sizeof(options));
	if (!ct)
		return NULL;
	*refused = bpf_ct_set_nat_info(ct, &nat_address, port, manip) != 0;
	bpf_ct_set_timeout(ct, explains ? EXPLAINED_TIMEOUT_MS : conntrack_first_timeout(packet) * 1000);
	return bpf_ct_insert_entry(ct);
}

/* The next lookup of its tuple collects it. */
static __always_inline void conntrack_expire(struct nf_conn *ct)
{
	if (!explains)
		bpf_ct_change_timeout(ct, 0);
}

/*
 * Made by us, and the kernel's TCP tracker has seen nothing of it, or nothing but a late SYN after we saw its handshake (the
 * tracker itself has assured none that is in that state): it takes an answer for invalid.
 */
static __always_inline bool conntrack_is_untracked(const struct nf_conn *ct, const struct packet *packet)
{
	__u8 state = ct->proto.tcp.state;

	if (packet->key.proto != IPPROTO_TCP)
		return false;
	return state == TCP_CONNTRACK_NONE || (state == TCP_CONNTRACK_SYN_SENT && ct->status & IPS_ASSURED);
}

/*
 * Whether flow entries may be made from an entry that was already there. What is not established is the kernel's still:
 * handshakes and closings, and the datagrams before an answer, each of which a firewall's rules may refuse.
 */
static __always_inline bool conntrack_is_adoptable(const struct nf_conn *ct, const struct packet *packet)
{
	if (ct->status & (IPS_SEQ_ADJUST | IPS_DYING | IPS_TEMPLATE | IPS_HELPER | IPS_OFFLOAD))
		return false;
	if (packet->key.proto != IPPROTO_TCP)
		return ct->status & IPS_SEEN_REPLY;
	return ct->proto.tcp.state == TCP_CONNTRACK_ESTABLISHED || conntrack_is_untracked(ct, packet);
}

/* Whether the kernel's tracker has seen the TCP connection open, and takes its FINs for such. */
static __always_inline bool conntrack_is_open(const struct nf_conn *ct)
{
	__u8 state = ct->proto.tcp.state;

	return state >= TCP_CONNTRACK_ESTABLISHED && state <= TCP_CONNTRACK_CLOSE;
}

/*
 * Whether the tracker is to see a packet that the fast path could carry: a FIN of an open connection, and a RST of one that is
 * closing already. In the midst of a connection the tracker would judge a RST by sequence numbers that it has not followed.
 * And the answer to a SYN that went the slow way: the tracker goes on from there.
 */
static __always_inline bool conntrack_wants(const struct nf_conn *ct, const struct packet *packet)
{
	__u8 state = ct->proto.tcp.state;

	if (packet->key.proto != IPPROTO_TCP)
		return false;
	if (state == TCP_CONNTRACK_SYN_SENT || state == TCP_CONNTRACK_SYN_SENT2)
		return !(ct->status & IPS_SEEN_REPLY);
	if (!conntrack_is_open(ct))
		return false;
	return packet->tcp_flags & TCP_FIN ||
	       (packet->tcp_flags & TCP_RST && ct->proto.tcp.state != TCP_CONNTRACK_ESTABLISHED);
}

/*
 * Whether the packet, which has no flow entry, is a SYN that takes the entry's tuple over, as the kernel itself decides it
 * (nf_conntrack_proto_tcp.c, "Attempt to reopen a closed/aborted connection"): from one that was closed by a FIN, or by a RST
 * of the side that opens it again; and from ours that the flow table no longer knows. Only the side that opened it may.
 */
static __always_inline bool conntrack_is_reopened(const struct nf_conn *ct, const struct packet *packet, __u8 dir)
{
	__u8 state = ct->proto.tcp.state;

	if (!is_first_syn(packet) || dir != IP_CT_DIR_ORIGINAL)
		return false;
	if (conntrack_is_untracked(ct, packet))
		return true;
	if (state != TCP_CONNTRACK_TIME_WAIT && state != TCP_CONNTRACK_CLOSE)
		return false;
	return (ct->proto.tcp.seen[0].flags | ct->proto.tcp.seen[1].flags) & IP_CT_TCP_FLAG_CLOSE_INIT ||
	       (ct->proto.tcp.last_dir == IP_CT_DIR_ORIGINAL && ct->proto.tcp.last_index == TCP_RST_SET);
}

/* Frees the packet's tuple of an expired entry. What holds it all the same is met by conntrack_make(). */
static __always_inline void conntrack_collect(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 dir;
	struct nf_conn *ct = conntrack_lookup(skb, packet, &dir);

	if (ct)
		bpf_ct_release(ct);
}
