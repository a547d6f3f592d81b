/* Asks for a page over one connection, again and again, each request when the last one's answer is complete,
 * for some seconds. Prints the number of requests and the 50th and 99th percentile of their times in ns.
 *
 *   http-latency ADDRESS PORT PATH SECONDS
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST 2000000

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
    return (x > y) - (x < y);
}

/* The length of the answer whose beginning is in the buffer, 0 when the header is not complete. */
static size_t answer_length(const char *text) {
    const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length:");
    if (!end || !length || length > end)
        return 0;
    return (size_t)(end + 4 - text) + strtoul(length + 17, NULL, 10);
}

int main(int argc, char **argv) {
    static unsigned times[MOST];
    static char answer[65536];
    char request[512];
    struct sockaddr_in to = {.sin_family = AF_INET};
    int one = 1, count = 0;
    if (argc != 5 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
        return 2;
    to.sin_port = htons((unsigned short)atoi(argv[2]));
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", argv[3], argv[1]);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(s, (struct sockaddr *)&to, sizeof to) < 0) {
        perror("connect");
        return 1;
    }
    long long end = now() + (long long)(atof(argv[4]) * 1e9);
    for (long long begin; count < MOST && (begin = now()) < end; count++) {
        size_t have = 0, want = 0;
        if (write(s, request, (size_t)size) != size)
            return 1;
        while (!want || have < want) {
            ssize_t n = read(s, answer + have, sizeof answer - 1 - have);
            if (n <= 0) {
                fprintf(stderr, "the connection ended\n");
                return 1;
            }
            have += (size_t)n;
            answer[have] = 0;
            if (!want)
                want = answer_length(answer);
        }
        times[count] = (unsigned)(now() - begin);
    }
    if (!count || strncmp(answer, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "no page\n");
        return 1;
    }
    qsort(times, (size_t)count, sizeof *times, by_size);
    printf("%d %u %u\n", count, times[count / 2], times[(size_t)count * 99 / 100]);
    return 0;
}
