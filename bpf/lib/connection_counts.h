/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The functions of connections.bpf.c. Slots are those of endpoints; of one that is none nothing is counted. */
#pragma once

#include "tcp_flags.h"
#include "types.h"

/* What became of the source port of a connection that is masqueraded. */
enum snat_outcome {
	SNAT_KEPT = 0,
	SNAT_OTHER = 1, /* the container's own was taken */
	SNAT_FAILED = 2,
};

int count_opened(__u32 slot, __u32 direction, __u32 transport);
int count_snat_port(__u32 slot, __u32 outcome);
int count_tcp_flags(__u32 slot, __u32 direction, __u32 tcp_flags);
/* us: from the SYN to the ACK. */
int count_handshake(__u32 slot, __u32 direction, __u32 us);
