/* Sends 60-byte UDP frames by a packet socket, as they come from a wire: headers and checksums complete, past
 * the sender's own IP stack and queueing discipline. Flow i has its own source address and port, and goes to
 * its own destination port:
 *
 *   source ADDRESS + i / 60000, port 2000 + i % 60000; destination port PORT + i % PORTS
 *
 * With `random` every frame is of a flow drawn at random, until SECONDS are over; with `once` one frame of
 * each flow in turn, at most RATE a second. Prints how many frames were sent and how long it took.
 *
 *   udp-frames DEVICE MAC SOURCE DESTINATION PORT PORTS FLOWS random SECONDS
 *   udp-frames DEVICE MAC SOURCE DESTINATION PORT PORTS FLOWS once RATE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define FRAME 60
#define PORTS_PER_ADDRESS 60000
#define FIRST_PORT 2000

struct frame {
    struct ether_header ethernet;
    struct iphdr ip;
    struct udphdr udp;
    uint8_t payload[FRAME - sizeof(struct ether_header) - sizeof(struct iphdr) - sizeof(struct udphdr)];
} __attribute__((packed));

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint32_t sum(const void *data, size_t length, uint32_t start) {
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i += 2)
        start += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    return start;
}

static uint16_t fold(uint32_t total) {
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return htons((uint16_t)~total);
}

/* What frames of all flows have in common. */
static struct frame template_of(const uint8_t *from, const uint8_t *to, uint32_t destination) {
    struct frame frame = {0};
    memcpy(frame.ethernet.ether_dhost, to, 6);
    memcpy(frame.ethernet.ether_shost, from, 6);
    frame.ethernet.ether_type = htons(ETHERTYPE_IP);
    frame.ip.version = 4;
    frame.ip.ihl = 5;
    frame.ip.ttl = 64;
    frame.ip.protocol = IPPROTO_UDP;
    frame.ip.tot_len = htons(FRAME - sizeof(struct ether_header));
    frame.ip.daddr = destination;
    frame.udp.len = htons(FRAME - sizeof(struct ether_header) - sizeof(struct iphdr));
    return frame;
}

static void make_flow(struct frame *frame, uint32_t source, unsigned port, unsigned ports, unsigned flow) {
    frame->ip.saddr = htonl(source + flow / PORTS_PER_ADDRESS);
    frame->ip.check = 0;
    frame->ip.check = fold(sum(&frame->ip, sizeof frame->ip, 0));
    frame->udp.source = htons((uint16_t)(FIRST_PORT + flow % PORTS_PER_ADDRESS));
    frame->udp.dest = htons((uint16_t)(port + flow % ports));
    frame->udp.check = 0;
    uint32_t pseudo = sum(&frame->ip.saddr, 8, IPPROTO_UDP + ntohs(frame->udp.len));
    frame->udp.check = fold(sum(&frame->udp, ntohs(frame->udp.len), pseudo));
}

static uint32_t random_next(void) {
    static uint32_t x = 2463534242u;
    x ^= x << 13;
    x ^= x >> 17;
    return x ^= x << 5;
}

int main(int argc, char **argv) {
    struct in_addr source, destination;
    uint8_t to[6], from[6];
    if (argc != 10 ||
        sscanf(argv[2], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", to, to + 1, to + 2, to + 3, to + 4, to + 5) != 6 ||
        inet_pton(AF_INET, argv[3], &source) != 1 || inet_pton(AF_INET, argv[4], &destination) != 1)
        return 2;
    unsigned port = (unsigned)atoi(argv[5]), ports = (unsigned)atoi(argv[6]), flows = (unsigned)atoi(argv[7]);
    int once = !strcmp(argv[8], "once");
    double much = atof(argv[9]);
    if (!ports || !flows)
        return 2;

    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[1])};
    socklen_t size = sizeof at;
    int one = 1, s = socket(AF_PACKET, SOCK_RAW, 0);
    if (s < 0 || bind(s, (struct sockaddr *)&at, sizeof at) < 0 ||
        getsockname(s, (struct sockaddr *)&at, &size) < 0 ||
        setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) < 0) {
        perror(argv[1]);
        return 1;
    }
    memcpy(from, at.sll_addr, 6);

    static struct frame frames[BATCH];
    static struct mmsghdr messages[BATCH];
    static struct iovec data[BATCH];
    for (int i = 0; i < BATCH; i++) {
        frames[i] = template_of(from, to, destination.s_addr);
        make_flow(&frames[i], ntohl(source.s_addr), port, ports, 0);
        data[i] = (struct iovec){&frames[i], FRAME};
        messages[i].msg_hdr.msg_iov = &data[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }

    unsigned long long sent = 0;
    unsigned next = 0;
    double begin = now(), t = begin;
    while (once ? next < flows : (t = now()) < begin + much) {
        unsigned count = BATCH;
        if (once && flows - next < count)
            count = flows - next;
        if (once || flows > 1)
            for (unsigned i = 0; i < count; i++)
                make_flow(&frames[i], ntohl(source.s_addr), port, ports,
                          once ? next++ : random_next() % flows);
        for (unsigned done = 0; done < count;) {
            int n = sendmmsg(s, messages + done, count - done, 0);
            if (n < 0 && errno != ENOBUFS && errno != EAGAIN) {
                perror("sendmmsg");
                return 1;
            }
            /* No buffer: the other side's queue is full, the frame is lost as on a wire. */
            done += n > 0 ? (unsigned)n : 1;
        }
        sent += count;
        while (once && (t = now()) < begin + (double)sent / much) {
            double ahead = begin + (double)sent / much - t;
            struct timespec pause = {0, (long)(ahead < 0.5 ? ahead * 1e9 : 5e8)};
            nanosleep(&pause, NULL);
        }
    }
    printf("%llu %.6f\n", sent, t - begin);
    return 0;
}
