// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup sendmsg(), one family: a process of the host sends a datagram to an address. */
#include "../lib/dial.h"

/* Remembers by the container's address what the socket dialled, for the answers. fresh: it has not been remembered before. */
static __always_inline __u32 remember(struct bpf_sock_addr *ctx, const struct dial *dial, bool *fresh)
{
	struct host_peer_key key = {
		.cookie = bpf_get_socket_cookie(ctx),
		.address = dial->to,
		.port = dial->to_port,
	};
	struct host_peer peer = { .address = dial->address, .port = dial->port };
	struct host_peer *known = bpf_map_lookup_elem(&host_peers, &key);
	struct host_socket *socket;

	if (known && same_address(&known->address, &peer.address) && known->port == peer.port)
		return HOST_LED;
	/* The answers could not be told apart. */
	if (known)
		return HOST_OTHER_PEER;
	*fresh = true;
	socket = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!socket || bpf_map_update_elem(&host_peers, &key, &peer, BPF_ANY))
		return HOST_FAILED;
	socket->datagrams = true;
	return HOST_LED;
}

/* What is sent to the container itself is answered by the container itself. */
static __always_inline void forget_peer(struct bpf_sock_addr *ctx, const struct dial *dial)
{
	struct host_peer_key key = {
		.cookie = bpf_get_socket_cookie(ctx),
		.address = dial->address,
		.port = dial->port,
	};

	bpf_map_delete_elem(&host_peers, &key);
}

#if FAMILY == 4
SEC("cgroup/sendmsg4")
#else
SEC("cgroup/sendmsg6")
#endif
int FAMILY_NAME(host_sendmsg)(struct bpf_sock_addr *ctx)
{
	struct dial dial = { .port = ctx->user_port };
	struct host_socket *socket;
	bool fresh = false;
	__u32 outcome;

	if (!is_of_host(ctx))
		return 1;
	call_address(ctx, &dial.address);
	socket = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, 0);
	/* Connected there as well: it takes answers from nobody else. */
	if (socket && socket->connected && dial.port == socket->dialled_port &&
	    same_address(&dial.address, &socket->dialled)) {
		call_set_address(ctx, &socket->peer);
		ctx->user_port = socket->peer_port;
		return 1;
	}
	message_source(ctx, &dial.bound);
	outcome = dial_find(ctx, &dial);
	if (outcome == NOT_PUBLISHED) {
		if (socket && socket->datagrams)
			forget_peer(ctx, &dial);
		return 1;
	}
	if (outcome == HOST_LED)
		outcome = remember(ctx, &dial, &fresh);
	if (outcome == HOST_LED) {
		if (!is_unset(&dial.source))
			message_set_source(ctx, &dial.source);
		call_set_address(ctx, &dial.to);
		ctx->user_port = dial.to_port;
		if (!fresh)
			return 1;
	}
	count_outcome(&dial.key, outcome);
	return 1;
}
