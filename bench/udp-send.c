/* Sends datagrams of one flow as fast as it can for some seconds and prints how many.
 *
 *   udp-send ADDRESS PORT PAYLOAD-BYTES SECONDS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64
#define LARGEST 1472

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    static char payload[LARGEST];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec data = {.iov_base = payload};
    struct sockaddr_in to = {.sin_family = AF_INET};
    if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
        return 2;
    to.sin_port = htons((unsigned short)atoi(argv[2]));
    data.iov_len = (size_t)atoi(argv[3]);
    double seconds = atof(argv[4]);
    if (data.iov_len > LARGEST)
        return 2;
    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &data;
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(s, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("connect");
        return 1;
    }
    unsigned long long sent = 0;
    double begin = now(), end = begin + seconds, t;
    while ((t = now()) < end) {
        int n = sendmmsg(s, messages, BATCH, 0);
        if (n > 0)
            sent += (unsigned)n;
        else if (errno != ENOBUFS && errno != EAGAIN) {
            perror("sendmmsg");
            return 1;
        }
    }
    printf("%llu %.6f\n", sent, t - begin);
    return 0;
}
