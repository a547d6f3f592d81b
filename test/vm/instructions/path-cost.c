/* What a packet takes as a rule, on its way out or in: the median, in nanoseconds.
 *
 *   path-cost send ADDRESS PORT   of a send() of a datagram
 *   path-cost frame TAP           of a write() of the frame on stdin, which comes in by that device then
 *   path-cost hold ADDRESS PORT   none: has a socket there until stdin ends, and reads nothing from it, so
 * that nobody is woken
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The first ones are not counted: what they find cold is not what packets take as a rule. */
#define FIRST 1000
#define PACKETS 1001
#define PAYLOAD 64
/* Of a socket that all of them find room in. */
#define ROOM (16 << 20)

static char packet[2048];

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static int measure(int fd, ssize_t length) {
    long long took[PACKETS];
    for (int i = -FIRST; i < PACKETS; i++) {
        long long begin = now();
        if (write(fd, packet, (size_t)length) != length) {
            perror("write");
            return 1;
        }
        if (i >= 0)
            took[i] = now() - begin;
    }
    qsort(took, PACKETS, sizeof *took, compare);
    printf("%lld\n", took[PACKETS / 2]);
    return 0;
}

static int udp(char **words, int (*use)(int, const struct sockaddr *, socklen_t)) {
    struct addrinfo *at, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (getaddrinfo(words[0], words[1], &hints, &at) != 0)
        return -1;
    int s = socket(at->ai_family, SOCK_DGRAM, 0);
    return s < 0 || use(s, at->ai_addr, at->ai_addrlen) < 0 ? -1 : s;
}

static int tap(const char *name) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR);
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    return fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ? -1 : fd;
}

int main(int argc, char **argv) {
    const char *what = argc > 2 ? argv[1] : "";
    int fd = -1;
    if (!strcmp(what, "send") && argc == 4)
        fd = udp(argv + 2, connect);
    else if (!strcmp(what, "hold") && argc == 4)
        fd = udp(argv + 2, bind);
    else if (!strcmp(what, "frame") && argc == 3)
        fd = tap(argv[2]);
    else
        return 2;
    if (fd < 0) {
        perror(what);
        return 1;
    }
    if (*what == 's')
        return measure(fd, PAYLOAD);
    int room = ROOM;
    if (*what == 'h' && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0) {
        perror("setsockopt");
        return 1;
    }
    if (*what == 'f')
        return measure(fd, read(0, packet, sizeof packet));
    puts("here");
    fflush(stdout);
    return read(0, packet, sizeof packet) < 0;
}
