/* Sends datagrams of one flow, and prints what a send() of them takes as a rule: the median, in nanoseconds.
 *
 *   send-cost ADDRESS PORT
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define SENDS 2001
#define PAYLOAD 64

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int compare(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    static long long took[SENDS];
    static char payload[PAYLOAD];
    struct addrinfo *to, hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &to) != 0)
        return 2;
    int s = socket(to->ai_family, SOCK_DGRAM, 0);
    if (connect(s, to->ai_addr, to->ai_addrlen) < 0) {
        perror("connect");
        return 1;
    }
    for (int i = 0; i < SENDS; i++) {
        long long begin = now();
        if (send(s, payload, sizeof payload, 0) != sizeof payload) {
            perror("send");
            return 1;
        }
        took[i] = now() - begin;
    }
    qsort(took, SENDS, sizeof *took, compare);
    printf("%lld\n", took[SENDS / 2]);
    return 0;
}
