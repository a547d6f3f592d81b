// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* cgroup connect(), one family: a process of the host connects, TCP or UDP. */
#include "../lib/dial.h"

/*
 * What an earlier connect() of the socket has left does not hold for this one. A TCP socket that was bound by us keeps its
 * address for good when a connection fails, whoever it is to, so it is loosened each time; one that the process has bound to a port
 * since is the process's own.
 */
static __always_inline void forget_last(struct bpf_sock_addr *ctx, struct dial *dial)
{
	struct host_socket *last = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, 0);
	struct ipv6_address none = {};

	if (!last)
		return;
	if (!last->bound) {
		bpf_sk_storage_delete(&host_sockets, ctx->sk);
		return;
	}
	last->connected = false;
	if (!bind_socket(ctx, &none))
		__builtin_memset(&dial->bound, 0, sizeof(dial->bound));
}

/* Keeps what has to be known of a UDP socket for dialling again. */
static __always_inline void keep_stream(struct bpf_sock_addr *ctx, const struct dial *dial)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct host_stream stream = {
		.pid = bpf_get_current_pid_tgid() >> 32,
		.slot = dial->endpoint.slot,
		.generation = dial->endpoint.generation,
		.port = dial->port,
		.address = dial->address,
	};

	bpf_map_update_elem(&host_streams, &cookie, &stream, BPF_ANY);
}

/* Makes the socket one to the container. HOST_LED, or why that can't be. */
static __always_inline __u32 lead(struct bpf_sock_addr *ctx, const struct dial *dial)
{
	struct host_socket fresh = {
		.dialled = dial->address,
		.peer = dial->to,
		.local = dial->local,
		.dialled_port = dial->port,
		.peer_port = dial->to_port,
		.connected = true,
	};
	struct host_socket *socket = bpf_sk_storage_get(&host_sockets, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!socket)
		return HOST_FAILED;
	fresh.bound = socket->bound;
	if (!is_unset(&dial->source)) {
		if (bind_socket(ctx, &dial->source))
			return HOST_SOURCE;
		fresh.bound = true;
	}
	*socket = fresh;
	if (ctx->protocol == IPPROTO_UDP)
		keep_stream(ctx, dial);
	call_set_address(ctx, &dial->to);
	ctx->user_port = dial->to_port;
	return HOST_LED;
}

#if FAMILY == 4
SEC("cgroup/connect4")
#else
SEC("cgroup/connect6")
#endif
int FAMILY_NAME(host_connect)(struct bpf_sock_addr *ctx)
{
	struct dial dial = { .port = ctx->user_port, .connects = true };
	__u32 outcome;

	if (!is_of_host(ctx))
		return 1;
	call_address(ctx, &dial.address);
	socket_address(ctx, &dial.bound);
	forget_last(ctx, &dial);
	outcome = dial_find(ctx, &dial);
	if (outcome == NOT_PUBLISHED)
		return 1;
	if (outcome == HOST_LED)
		outcome = lead(ctx, &dial);
	count_outcome(&dial.key, outcome);
	return 1;
}
