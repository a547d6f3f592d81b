/*
 * Joins two network namespaces by a cable of plain IP: a tun device in each, whatever one sends arrives at
 * the other.
 *
 *   tun-pump /run/netns/A DEVICE-A /run/netns/B DEVICE-B
 *
 * Prints "ready" when both are up.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_tun(const char *namespace, const char *device) {
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int netns = open(namespace, O_RDONLY | O_CLOEXEC);
    int tun;

    if (netns < 0 || setns(netns, CLONE_NEWNET))
        fail(namespace);
    close(netns);
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (tun < 0)
        fail("/dev/net/tun");
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (ioctl(tun, TUNSETIFF, &request))
        fail(device);
    return tun;
}

/* Everything that waits; a packet that the other side has no room for waits there no longer than on a wire.
 */
static void carry(int from, int to) {
    static char packet[65536];
    ssize_t length;

    while ((length = read(from, packet, sizeof(packet))) > 0) {
        struct pollfd room = {.fd = to, .events = POLLOUT};

        while (write(to, packet, length) < 0)
            if (poll(&room, 1, 100) <= 0)
                break;
    }
}

int main(int argc, char **argv) {
    struct pollfd ends[2];

    if (argc != 5)
        return 2;
    for (int i = 0; i < 2; i++) {
        ends[i].fd = open_tun(argv[1 + 2 * i], argv[2 + 2 * i]);
        ends[i].events = POLLIN;
    }
    puts("ready");
    fflush(stdout);
    while (poll(ends, 2, -1) > 0)
        for (int i = 0; i < 2; i++)
            if (ends[i].revents & POLLIN)
                carry(ends[i].fd, ends[1 - i].fd);
    return 0;
}
