// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A flood of 60-byte UDP frames, as live frames of BPF_PROG_RUN, and the least that XDP can do with one. */
#include "maps.h"
#include <bpf/bpf_endian.h>

const volatile __u32 to_ifindex = 0;
const volatile __u8 to_mac[ETH_ALEN] = {};

struct frame {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

#define FRAME_LENGTH 60

MAP(PERCPU_ARRAY, flood, 1, __u32, struct counter);
MAP(PERCPU_ARRAY, dropped, 1, __u32, struct counter);

/* Every header is written whole, every time: frames are used again, and what became of them shows. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	struct frame *frame = (void *)(long)ctx->data;
	struct counter *counter;
	__u32 zero = 0, sum;

	counter = bpf_map_lookup_elem(&flood, &zero);
	if (!counter || (void *)(long)ctx->data + FRAME_LENGTH > (void *)(long)ctx->data_end)
		return XDP_DROP;
	counter->packets++;
	__builtin_memset(frame, 0, sizeof(*frame));
	for (int i = 0; i < ETH_ALEN; i++)
		frame->eth.h_dest[i] = to_mac[i];
	frame->eth.h_source[0] = 2;
	frame->eth.h_proto = bpf_htons(ETH_P_IP);
	*(__u8 *)&frame->ip = 0x45;
	frame->ip.tot_len = bpf_htons(FRAME_LENGTH - sizeof(frame->eth));
	frame->ip.ttl = 64;
	frame->ip.protocol = IPPROTO_UDP;
	/* 198.18.x.y to 198.19.0.1 */
	frame->ip.saddr = bpf_htonl(0xc6120000 | (counter->packets & 0xffff));
	frame->ip.daddr = bpf_htonl(0xc6130001);
	sum = 0x4500 + FRAME_LENGTH - sizeof(frame->eth) + (64 << 8 | IPPROTO_UDP) + 0xc612 +
	      (counter->packets & 0xffff) + 0xc613 + 0x0001;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	frame->ip.check = bpf_htons((__u16)~sum);
	frame->udp.source = bpf_htons(40000);
	frame->udp.dest = bpf_htons(8080);
	frame->udp.len = bpf_htons(FRAME_LENGTH - sizeof(frame->eth) - sizeof(frame->ip));
	return bpf_redirect(to_ifindex, 0);
}

/* What no XDP program can do faster: to count and drop. */
SEC("xdp.frags")
int drop_all(struct xdp_md *ctx)
{
	struct counter *counter;
	__u32 zero = 0;

	(void)ctx;
	counter = bpf_map_lookup_elem(&dropped, &zero);
	if (counter)
		counter->packets++;
	return XDP_DROP;
}

char LICENSE[] SEC("license") __attribute__((weak)) = "Dual BSD/GPL";
