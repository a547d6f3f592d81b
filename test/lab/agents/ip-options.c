/* Sends with IP options or extension headers and prints the answer, or the error.
 *
 *   ip-options udp|tcp ADDRESS PORT [record-route|router-alert|hop-by-hop|destination]      the last two:
 * IPv6
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct option {
    const char *name;
    int level, number;
    unsigned char bytes[40];
    socklen_t length;
};

static const struct option options[] = {
    /* Type, length, pointer, room for nine addresses; then the end of the list. */
    {"record-route", IPPROTO_IP, IP_OPTIONS, {7, 39, 4}, 40},
    {"router-alert", IPPROTO_IP, IP_OPTIONS, {148, 4, 0, 0}, 4},
    /* Next header (the kernel's), length, and one PadN that fills the eight bytes. */
    {"hop-by-hop", IPPROTO_IPV6, IPV6_HOPOPTS, {0, 0, 1, 4}, 8},
    {"destination", IPPROTO_IPV6, IPV6_DSTOPTS, {0, 0, 1, 4}, 8},
};

static const struct option *find(const char *name) {
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 4 && argc != 5)
        return 2;
    int stream = strcmp(argv[1], "tcp") == 0;
    const struct option *option = find(argc == 5 ? argv[4] : "record-route");
    struct sockaddr_in to4 = {.sin_family = AF_INET};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
    unsigned port = 0;
    if (!option || sscanf(argv[3], "%u", &port) != 1)
        return 2;
    int six = option->level == IPPROTO_IPV6;
    if (inet_pton(six ? AF_INET6 : AF_INET, argv[2], six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr) !=
        1)
        return 2;
    to4.sin_port = to6.sin6_port = htons((unsigned short)port);

    int s = socket(six ? AF_INET6 : AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (setsockopt(s, option->level, option->number, option->bytes, option->length) < 0) {
        perror(option->name);
        return 1;
    }
    struct timeval wait = {.tv_sec = 3};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);

    const char hello[] = "hello with options\n";
    const struct sockaddr *to = six ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4;
    char answer[256] = "";
    if (connect(s, to, six ? sizeof to6 : sizeof to4) < 0 || send(s, hello, sizeof hello - 1, 0) < 0) {
        printf("%s\n", strerror(errno));
        return 0;
    }
    /* TCP: the server's line and the echo may come apart. */
    for (size_t got = 0; got < sizeof answer - 1;) {
        ssize_t n = recv(s, answer + got, sizeof answer - 1 - got, 0);
        if (n < 0)
            printf("%s\n", strerror(errno));
        if (n <= 0)
            break;
        got += (size_t)n;
        if (!stream || strstr(answer, "options\n"))
            break;
    }
    printf("%s\n", answer);
    return 0;
}
