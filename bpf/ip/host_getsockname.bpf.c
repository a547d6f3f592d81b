// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup getsockname(), one family: the address is that which a connection to whom was dialled would have had. */
#include "../lib/dial.h"

#if FAMILY == 4
SEC("cgroup/getsockname4")
#else
SEC("cgroup/getsockname6")
#endif
int FAMILY_NAME(host_getsockname)(struct bpf_sock_addr *ctx)
{
	struct host_socket *socket = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, 0);

	/* Closed, or never opened: its address is its own affair again. */
	if (!socket || !socket->connected || ctx->sk->state == BPF_TCP_CLOSE || is_unset(&socket->local))
		return 1;
	call_set_address(ctx, &socket->local);
	return 1;
}
