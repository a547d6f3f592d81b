/* Sends frames at the devices of many network namespaces, from one process, and tells what arrives at each of
 * them.
 *
 *   player CPU NAMESPACE-PATH:DEVICE...     the places are numbered in this order
 *
 * Standard input: batches {u32 frames, u32 settle_us, u32 bytes}, then for each frame a struct sent and its
 * bytes. Standard output: for each batch {u32 bytes}, then for each arrival a struct arrived and its bytes.
 *
 * Everything between two veths happens within send(): what a frame caused is in the sockets when it returns,
 * and is told with the frame's number. Bound to one CPU, so that this holds and the order is the same in
 * every run. A busy machine's kernel puts some of it off all the same (softirqs that ran for two milliseconds
 * go on in ksoftirqd); so a frame of the player's own follows each through the CPU's one queue, and when
 * that comes back at once, the queue is empty. What comes later (a timer's, another process's) is told with
 * the number of the last frame sent before it; after a batch the player waits until nothing has come for
 * settle_us.
 *
 * NAT chooses ports, and an answer must be sent to the port that was chosen: the player reads it off the
 * frame that arrived (struct through) and writes it into later frames of the same batch (struct learned).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PLACES_MAX 64
#define FRAME_MAX (1 << 17)
/* The place of an arrival that is none: sending failed, and its four bytes are errno. */
#define PLACE_ERROR 0xffff
#define PLACE_NONE 0xffff
#define FRAMES_MAX 4096

/* What a frame is when its connection's other end gets it: its source port is what NAT made of it. */
struct through {
    uint16_t place; /* PLACE_NONE: not to be looked at */
    uint16_t family;
    uint8_t source[16], destination[16];
} __attribute__((packed));

/* A port (or echo id) in a frame that an earlier one of this batch shows. */
struct learned {
    uint16_t at; /* 0: none */
    uint16_t of;
    uint16_t checksums[2]; /* over it; 0: none */
    uint16_t udp;          /* the first is UDP's, in which 0 says that there is none */
} __attribute__((packed));

struct sent {
    uint32_t length;
    uint16_t place;
    struct virtio_net_hdr offload;
    struct through through;
    struct learned learned;
} __attribute__((packed));

struct arrived {
    uint32_t length;
    uint16_t place;
    uint16_t frame;
    struct virtio_net_hdr offload;
    uint16_t vlan; /* the tag's TCI */
    uint16_t tagged;
    uint16_t pad;
} __attribute__((packed));

/* The queue's barrier: an EtherType for experiments, so that no stack takes it. */
#define ETH_P_BARRIER 0x88b5
#define BARRIER_MS 2000
#define BARRIERS_MAX 1000
/* How often a packet is queued on its way, at most, from veth to veth through bridges and the host. */
#define HOPS_MAX 8

static int barrier;
static int sockets[PLACES_MAX];
static struct pollfd polled[PLACES_MAX];
static int places;
/* The ports that this batch's frames had when they arrived; -1: none did. */
static int32_t ports[FRAMES_MAX];
static char *output;
static size_t output_length, output_room;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void read_all(void *to, size_t length) {
    for (char *at = to; length > 0;) {
        ssize_t got = read(0, at, length);
        if (got == 0)
            exit(0);
        if (got < 0)
            die("read");
        at += got;
        length -= (size_t)got;
    }
}

static void write_all(const void *from, size_t length) {
    for (const char *at = from; length > 0;) {
        ssize_t done = write(1, at, length);
        if (done < 0)
            die("write");
        at += done;
        length -= (size_t)done;
    }
}

static void tell(const struct arrived *arrived, const void *bytes) {
    size_t needed = output_length + sizeof *arrived + arrived->length;
    if (needed > output_room) {
        output_room = needed * 2;
        output = realloc(output, output_room);
        if (!output)
            die("realloc");
    }
    memcpy(output + output_length, arrived, sizeof *arrived);
    memcpy(output + output_length + sizeof *arrived, bytes, arrived->length);
    output_length = needed;
}

/* A socket that sends and sees everything at a device; what the place's own side sends is not seen. */
static int open_place(const char *path, const char *device) {
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0)
        die(path);
    close(namespace);
    int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1, room = 32 << 20;
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
    at.sll_ifindex = (int)if_nametoindex(device);
    if (s < 0 || !at.sll_ifindex)
        die(device);
    if (setsockopt(s, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0 ||
        setsockopt(s, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on) < 0 ||
        setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        die("setsockopt");
    if (bind(s, (struct sockaddr *)&at, sizeof at) < 0)
        die("bind");
    return s;
}

/* A loopback of the player's own: what is sent there goes through the CPU's queue, behind all that is in it.
 */
static void open_barrier(void) {
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_BARRIER)};
    int on = 1;
    if (unshare(CLONE_NEWNET) < 0)
        die("unshare");
    barrier = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (barrier < 0 || ioctl(barrier, SIOCSIFFLAGS, &lo) < 0)
        die("lo");
    at.sll_ifindex = (int)if_nametoindex("lo");
    if (setsockopt(barrier, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0 ||
        bind(barrier, (struct sockaddr *)&at, sizeof at) < 0)
        die("barrier");
}

/* Sends a frame through the queue and waits for it; whether it came at once. */
static int pass_barrier(void) {
    static const uint8_t frame[60] = {[12] = ETH_P_BARRIER >> 8, [13] = ETH_P_BARRIER & 0xff};
    struct pollfd wait = {.fd = barrier, .events = POLLIN};
    uint8_t back[sizeof frame];
    if (write(barrier, frame, sizeof frame) < 0)
        die("barrier");
    if (read(barrier, back, sizeof back) > 0)
        return 1;
    if (poll(&wait, 1, BARRIER_MS) <= 0 || read(barrier, back, sizeof back) < 0) {
        fprintf(stderr, "the queue is stuck\n");
        exit(1);
    }
    return 0;
}

/* Waits until all is done that the frames sent so far caused in this CPU's queue. */
static void empty_queue(void) {
    int at_once = 0, wanted = 1;
    for (int i = 0; i < BARRIERS_MAX && at_once < wanted; i++) {
        if (pass_barrier())
            at_once++;
        else {
            at_once = 0;
            wanted = HOPS_MAX;
        }
    }
}

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* The source port or echo id of a frame from and to these addresses; -1 when it is another or has none. */
static int32_t source_port(const uint8_t *frame, size_t length, const struct through *through) {
    size_t ip = ETH_HLEN, l4;
    uint8_t proto;
    if (length < ip + 20)
        return -1;
    if (frame[ip] >> 4 == 4 && through->family == 4) {
        l4 = ip + (frame[ip] & 15) * 4;
        proto = frame[ip + 9];
        if (l4 < ip + 20 || get16(frame + ip + 6) & 0x1fff || memcmp(frame + ip + 12, through->source, 4) ||
            memcmp(frame + ip + 16, through->destination, 4))
            return -1;
    } else if (frame[ip] >> 4 == 6 && through->family == 6) {
        if (length < ip + 40 || memcmp(frame + ip + 8, through->source, 16) ||
            memcmp(frame + ip + 24, through->destination, 16))
            return -1;
        l4 = ip + 40;
        proto = frame[ip + 6];
        while ((proto == 0 || proto == 43 || proto == 44 || proto == 60) && length >= l4 + 8) {
            if (proto == 44 && get16(frame + l4 + 2) & 0xfff8)
                return -1;
            size_t size = proto == 44 ? 8 : (frame[l4 + 1] + 1u) * 8;
            proto = frame[l4];
            l4 += size;
        }
    } else
        return -1;
    if (length < l4 + 8)
        return -1;
    if ((proto == 6 && length >= l4 + 18) || proto == 17)
        return get16(frame + l4);
    uint8_t type = frame[l4];
    int echo = (proto == 1 && (type == 8 || type == 0)) || (proto == 58 && (type == 128 || type == 129));
    return echo ? get16(frame + l4 + 4) : -1;
}

/* Writes a port into a frame; a checksum that was wrong stays as wrong (RFC 1624). */
static void fill_in(uint8_t *frame, size_t length, const struct learned *learned) {
    if (!learned->at || learned->at + 2u > length || ports[learned->of] < 0)
        return;
    uint16_t old = get16(frame + learned->at), new = (uint16_t)ports[learned->of];
    put16(frame + learned->at, new);
    for (int i = 0; i < 2; i++) {
        uint16_t at = learned->checksums[i];
        if (!at || at + 2u > length)
            continue;
        uint32_t sum = (uint16_t)~get16(frame + at) + (uint32_t)(uint16_t)~old + new;
        while (sum >> 16)
            sum = (sum & 0xffff) + (sum >> 16);
        uint16_t check = (uint16_t)~sum;
        put16(frame + at, check == 0 && i == 0 && learned->udp ? 0xffff : check);
    }
}

/* Takes one frame from a place; false when there is none. */
static int take(uint16_t place, uint16_t number, const struct through *through) {
    static char buffer[FRAME_MAX];
    struct virtio_net_hdr offload;
    struct iovec parts[] = {{&offload, sizeof offload}, {buffer, sizeof buffer}};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    } control;
    struct msghdr message = {
        .msg_iov = parts, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(sockets[place], &message, MSG_DONTWAIT);
    if (length < 0) {
        if (errno == EAGAIN || errno == EINTR || errno == ENETDOWN)
            return 0;
        die("recvmsg");
    }
    struct arrived arrived = {.length = (uint32_t)((size_t)length - sizeof offload),
                              .place = place,
                              .frame = number,
                              .offload = offload};
    for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
        struct tpacket_auxdata aux;
        if (one->cmsg_level != SOL_PACKET || one->cmsg_type != PACKET_AUXDATA)
            continue;
        memcpy(&aux, CMSG_DATA(one), sizeof aux);
        if (aux.tp_status & TP_STATUS_VLAN_VALID) {
            arrived.vlan = aux.tp_vlan_tci;
            arrived.tagged = 1;
        }
    }
    if (through && place == through->place && ports[number] < 0)
        ports[number] = source_port((uint8_t *)buffer, arrived.length, through);
    tell(&arrived, buffer);
    return 1;
}

static int drain(uint16_t number, const struct through *through) {
    int got = 0;
    while (poll(polled, (nfds_t)places, 0) > 0) {
        int any = 0;
        for (uint16_t place = 0; place < places; place++)
            if (polled[place].revents)
                while (take(place, number, through))
                    any = 1;
        if (!any)
            break;
        got = 1;
    }
    return got;
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void settle(uint16_t number, uint32_t us) {
    uint64_t quiet = now_us();
    while (now_us() - quiet < us) {
        usleep(200);
        if (drain(number, NULL))
            quiet = now_us();
    }
}

/* Sends one frame of the batch; returns where the next one is. */
static uint8_t *play(uint16_t number, uint8_t *at, const uint8_t *end) {
    struct sent sent;
    if ((size_t)(end - at) < sizeof sent)
        die("batch");
    memcpy(&sent, at, sizeof sent);
    at += sizeof sent;
    if (sent.length > (size_t)(end - at) || sent.place >= places || sent.learned.of >= FRAMES_MAX) {
        fprintf(stderr, "frame %u: %u bytes at place %u\n", number, sent.length, sent.place);
        exit(1);
    }
    fill_in(at, sent.length, &sent.learned);
    struct iovec parts[] = {{&sent.offload, sizeof sent.offload}, {at, sent.length}};
    ports[number] = -1;
    if (writev(sockets[sent.place], parts, 2) < 0) {
        int32_t error = errno;
        struct arrived arrived = {.length = sizeof error, .place = PLACE_ERROR, .frame = number};
        tell(&arrived, &error);
    }
    empty_queue();
    drain(number, &sent.through);
    return at + sent.length;
}

int main(int argc, char **argv) {
    if (argc < 3 || argc - 2 > PLACES_MAX)
        return 2;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[1]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        die("sched_setaffinity");
    for (int i = 2; i < argc; i++) {
        char *device = strrchr(argv[i], ':');
        if (!device)
            return 2;
        *device++ = 0;
        sockets[places] = open_place(argv[i], device);
        polled[places] = (struct pollfd){.fd = sockets[places], .events = POLLIN};
        places++;
    }
    open_barrier();
    /* What arrived before the first batch is nobody's. */
    drain(0, NULL);
    output_length = 0;
    uint8_t *input = NULL;
    size_t room = 0;
    for (;;) {
        struct {
            uint32_t frames, settle_us, bytes;
        } batch;
        read_all(&batch, sizeof batch);
        if (batch.frames > FRAMES_MAX)
            die("frames");
        if (batch.bytes > room) {
            room = batch.bytes;
            free(input);
            input = malloc(room);
            if (!input)
                die("malloc");
        }
        read_all(input, batch.bytes);
        uint8_t *at = input;
        for (uint32_t i = 0; i < batch.frames; i++)
            at = play((uint16_t)i, at, input + batch.bytes);
        settle(batch.frames ? (uint16_t)(batch.frames - 1) : 0, batch.settle_us);
        uint32_t length = (uint32_t)output_length;
        write_all(&length, sizeof length);
        write_all(output, output_length);
        output_length = 0;
    }
}
