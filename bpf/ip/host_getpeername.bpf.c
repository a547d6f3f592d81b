// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup getpeername(), one family: the peer is whom the process dialled. */
#include "../lib/dial.h"

#if FAMILY == 4
SEC("cgroup/getpeername4")
#else
SEC("cgroup/getpeername6")
#endif
int FAMILY_NAME(host_getpeername)(struct bpf_sock_addr *ctx)
{
	struct host_socket *socket = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, 0);
	struct ipv6_address peer;

	if (!socket || !socket->connected)
		return 1;
	call_address(ctx, &peer);
	if (ctx->user_port != socket->peer_port || !same_address(&peer, &socket->peer))
		return 1;
	call_set_address(ctx, &socket->dialled);
	ctx->user_port = socket->dialled_port;
	return 1;
}
