/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How far the kernel has come with a packet's L4 checksum, and the sum of the whole packet that some NICs hand it. */
#pragma once

#include "settings.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Since 6.2. */
void *bpf_cast_to_kern_ctx(void *context) __ksym __attribute__((weak));

static __always_inline enum checksum_state checksum_state(struct __sk_buff *skb)
{
	const struct sk_buff *kernels;

	if (!has_kernel_context)
		return CHECKSUM_UNKNOWN;
	kernels = bpf_cast_to_kern_ctx(skb);
	return BPF_CORE_READ_BITFIELD(kernels, ip_summed);
}

/*
 * To be called for each change that a checksum within the packet does not make up for: where there is a sum of the whole, it gets the
 * difference, or the packet's receiver finds it wrong ("hw csum failure" in the kernel's log).
 */
static __always_inline void checksum_changed(struct __sk_buff *skb, enum checksum_state state, __u32 difference)
{
	if (state == CHECKSUM_COMPLETE || state == CHECKSUM_UNKNOWN)
		bpf_csum_update(skb, difference);
}
