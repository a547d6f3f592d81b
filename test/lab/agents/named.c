/* A container's only program: whoever reaches it is told its name. TCP and UDP on port 7000, IPv4 and IPv6: a
 * line "NAME", and TCP ends.
 *
 * Four times a second it tells a server outside its name (late-answers.mjs), from a source port that no other
 * has, and whatever comes back has to have that name: else it tells the server so, with "STRAY NAME
 * WHAT-CAME".
 *
 *   named NAME SOURCE-PORT SERVER PORT
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 7000, PERIOD_MS = 250 };

static void end(int signal) {
    (void)signal;
    _exit(0);
}

/* Both families' where the kernel has both. */
static int bound(int type, unsigned short port) {
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, zero = 0, s = socket(AF_INET6, type, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
    if (s >= 0 && bind(s, (struct sockaddr *)&any6, sizeof any6) == 0)
        return s;
    s = socket(AF_INET, type, 0);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&any4, sizeof any4)) {
        perror("bind");
        exit(1);
    }
    return s;
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void answer_connection(int listener, const char *line) {
    int s = accept(listener, NULL, NULL);
    if (s < 0)
        return;
    if (write(s, line, strlen(line)) < 0)
        perror("write");
    close(s);
}

static void answer_datagram(int s, const char *line) {
    struct sockaddr_in6 from;
    socklen_t length = sizeof from;
    char asked[64];
    if (recvfrom(s, asked, sizeof asked, 0, (struct sockaddr *)&from, &length) >= 0)
        sendto(s, line, strlen(line), 0, (struct sockaddr *)&from, length);
}

static void look_at_answer(int s, const char *name, const struct sockaddr_in *server) {
    char got[64], report[160];
    struct sockaddr_in from;
    socklen_t from_length = sizeof from;
    ssize_t length = recvfrom(s, got, sizeof got - 1, 0, (struct sockaddr *)&from, &from_length);
    if (length < 0)
        return;
    got[length] = 0;
    if (strcmp(got, name) == 0)
        return;
    int said = snprintf(report, sizeof report, "STRAY %s %s", name, got);
    sendto(s, report, (size_t)said, 0, (const struct sockaddr *)server, sizeof *server);
}

int main(int argc, char **argv) {
    struct sockaddr_in server = {.sin_family = AF_INET}, own = {.sin_family = AF_INET};
    char line[64];
    if (argc != 5)
        return 2;
    signal(SIGTERM, end);
    signal(SIGPIPE, SIG_IGN);
    snprintf(line, sizeof line, "%s\n", argv[1]);
    inet_pton(AF_INET, argv[3], &server.sin_addr);
    server.sin_port = htons((unsigned short)atoi(argv[4]));
    own.sin_port = htons((unsigned short)atoi(argv[2]));
    int listener = bound(SOCK_STREAM, PORT), datagrams = bound(SOCK_DGRAM, PORT);
    int out = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(out, (struct sockaddr *)&own, sizeof own) || listen(listener, 64)) {
        perror("named");
        return 1;
    }
    for (long long next = now_ms();;) {
        struct pollfd all[] = {{listener, POLLIN, 0}, {datagrams, POLLIN, 0}, {out, POLLIN, 0}};
        long long wait = next - now_ms();
        poll(all, 3, wait > 0 ? (int)wait : 0);
        if (now_ms() >= next) {
            sendto(out, argv[1], strlen(argv[1]), 0, (struct sockaddr *)&server, sizeof server);
            next = now_ms() + PERIOD_MS;
        }
        if (all[0].revents)
            answer_connection(listener, line);
        if (all[1].revents)
            answer_datagram(datagrams, line);
        if (all[2].revents)
            look_at_answer(out, argv[1], &server);
    }
}
