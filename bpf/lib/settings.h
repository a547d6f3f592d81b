/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Constants of .rodata, set by the control plane before the load; the verifier prunes what they rule out.
 * Timeouts in seconds, the host's net.netfilter.nf_conntrack_* at load; the defaults are the kernel's.
 */
#pragma once

#include "types.h"
#include <bpf/bpf_helpers.h>

#define SETTING const volatile __attribute__((weak))

SETTING __u32 tcp_timeout_syn_sent = 120;
SETTING __u32 tcp_timeout_syn_recv = 60;
SETTING __u32 tcp_timeout_established = 432000;
SETTING __u32 tcp_timeout_fin_wait = 120;
SETTING __u32 tcp_timeout_close = 10;
SETTING __u32 udp_timeout = 30;
SETTING __u32 udp_timeout_stream = 120;

/* BPF_F_IPV6 where the kernel has it (6.16): without it, it takes a NIC's sum of the whole packet to have IPv4's header checksum in it. */
SETTING __u32 ipv6_checksum_flag = 0;
/* Whether the kernel shows a program its own view of a packet (6.2). */
SETTING __u32 has_kernel_context = 0;
/* BPF_FIB_LOOKUP_MARK where the kernel has it (6.10): policy routing by mark is not learned without it. */
SETTING __u32 fib_mark_flag = 0;

/* The kernel's tick, which is 1,000,000,000 / CONFIG_HZ. */
SETTING __u32 ns_per_jiffy = 4000000;

/*
 * 0 where the kernel's functions that make connections don't fit each other (nf_nat's takes another type than nf_conntrack's gives, as
 * their BTF has it): then the kernel makes all of them, and they are learned.
 */
SETTING __u32 makes_connections = 1;

/*
 * 1 where the programs are loaded to tell what would become of a packet, with maps of their own for all that they write: conntrack stays
 * as it is, but for the entry of a connection that one makes, which is gone after a second where nobody deletes it before.
 */
SETTING __u32 explains = 0;
#define EXPLAINED_TIMEOUT_MS 1000

/* The cookie of the network namespace that this is for: programs at a cgroup see the sockets of all. */
SETTING __u64 host_netns_cookie = 0;

#define NS_PER_SEC 1000000000ULL
/* Of the flow table's clock, rounded up. */
#define TICKS_PER_SEC ((__u32)(NS_PER_SEC >> FLOW_TICK_SHIFT) + 1)

/*
 * How often a busy flow entry refreshes its conntrack entry: what bounds both its cost and how long a deleted entry is outlived.
 * A little less than a second, so that what comes once a second refreshes it every time, or it would be every other time.
 * Where more flows are busy than a CPU may refresh in a second, they wait for their turn, but not for longer than the second
 * figure, well below the shortest timeout that is refreshed (UDP's 30 s).
 */
#define CONNTRACK_SYNC_INTERVAL (TICKS_PER_SEC * 7 / 8)
#define CONNTRACK_SYNC_LATEST (8 * TICKS_PER_SEC)
#define CONNTRACK_SYNCS_PER_SEC 10000
/* The age at which a TCP flow shows the kernel's tracker one packet; shorter connections never pay for it. */
#define ANCHOR_AGE TICKS_PER_SEC
/* The age from which a UDP flow seen both ways is a stream: net/netfilter/nf_conntrack_proto_udp.c. */
#define UDP_STREAM_AGE (2 * TICKS_PER_SEC)
