// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup recvmsg(), one family: a datagram's source is told to the process; a container's answer is from whom was dialled. */
#include "../lib/dial.h"

#if FAMILY == 4
SEC("cgroup/recvmsg4")
#else
SEC("cgroup/recvmsg6")
#endif
int FAMILY_NAME(host_recvmsg)(struct bpf_sock_addr *ctx)
{
	struct host_socket *socket = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, 0);
	struct host_peer_key key = {};
	struct host_peer *peer;

	if (!socket)
		return 1;
	call_address(ctx, &key.address);
	key.port = ctx->user_port;
	if (socket->connected && key.port == socket->peer_port && same_address(&key.address, &socket->peer)) {
		call_set_address(ctx, &socket->dialled);
		ctx->user_port = socket->dialled_port;
		return 1;
	}
	if (!socket->datagrams)
		return 1;
	key.cookie = bpf_get_socket_cookie(ctx);
	peer = bpf_map_lookup_elem(&host_peers, &key);
	if (!peer)
		return 1;
	call_set_address(ctx, &peer->address);
	ctx->user_port = peer->port;
	return 1;
}
