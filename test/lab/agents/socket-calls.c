// Makes the socket calls that its arguments name, on one socket, and prints what each of those that tell
// something told, a line each: "ADDRESS PORT", the text that was received and whom it was from, or the
// error's name.
//
//   socket-calls CALL...
//
// tcp4, tcp6, udp4, udp6: a socket. only6: IPV6_V6ONLY. device=NAME: SO_BINDTODEVICE. bind=ADDRESS,PORT.
// connect=ADDRESS,PORT. disconnect: AF_UNSPEC. send. sendto=ADDRESS,PORT. receive: until one second has
// passed. peer, local: getpeername(), getsockname(). wait=FILE: until there is one. Told, besides "waiting":
// receive, peer, local, and whatever fails.

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct address {
    struct sockaddr_storage storage;
    socklen_t length;
};

static struct address parse(const char *text) {
    struct address address = {.length = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 *six = (void *)&address.storage;
    struct sockaddr_in *four = (void *)&address.storage;
    char *copy = strdup(text);
    char *comma = strrchr(copy, ',');

    *comma = 0;
    if (strchr(copy, ':')) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(atoi(comma + 1));
        inet_pton(AF_INET6, copy, &six->sin6_addr);
    } else {
        address.length = sizeof(*four);
        four->sin_family = AF_INET;
        four->sin_port = htons(atoi(comma + 1));
        inet_pton(AF_INET, copy, &four->sin_addr);
    }
    free(copy);
    return address;
}

static void tell(const char *what, const struct address *address, int with_port) {
    const struct sockaddr_in6 *six = (const void *)&address->storage;
    const struct sockaddr_in *four = (const void *)&address->storage;
    int is_six = address->storage.ss_family == AF_INET6;
    char text[INET6_ADDRSTRLEN];

    inet_ntop(address->storage.ss_family, is_six ? (void *)&six->sin6_addr : (void *)&four->sin_addr, text,
              sizeof(text));
    printf("%s %s", what, text);
    if (with_port)
        printf(" %d", ntohs(is_six ? six->sin6_port : four->sin_port));
    printf("\n");
}

static int receive(int socket) {
    struct address from = {.length = sizeof(from.storage)};
    char data[200] = "";
    ssize_t length = recvfrom(socket, data, sizeof(data) - 1, 0, (void *)&from.storage, &from.length);

    if (length < 0)
        return -1;
    // The server's line: the source's address, and its port, which nobody can know.
    printf("received %.*s", (int)strcspn(data, " \n"), data);
    if (from.length && from.storage.ss_family)
        tell(" from", &from, 1);
    else
        printf("\n");
    return 0;
}

static int call(int *fd, const char *text) {
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    const char *value = strchr(text, '=') ? strchr(text, '=') + 1 : "";
    struct timeval patience = {.tv_sec = 1};
    struct address address = {.length = sizeof(address.storage)};
    int one = 1;

    if (!strncmp(text, "tcp", 3) || !strncmp(text, "udp", 3)) {
        *fd = socket(text[3] == '6' ? AF_INET6 : AF_INET, text[0] == 't' ? SOCK_STREAM : SOCK_DGRAM, 0);
        setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        return *fd < 0 ? -1 : 0;
    }
    if (*value)
        address = parse(strchr(value, ',') ? value : "0.0.0.0,0");
    if (!strcmp(text, "only6"))
        return setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (!strncmp(text, "device=", 7))
        return setsockopt(*fd, SOL_SOCKET, SO_BINDTODEVICE, value, strlen(value));
    /* Connections of the same port that were closed a moment ago are none of its business. */
    if (!strncmp(text, "bind=", 5) && !setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)))
        return bind(*fd, (void *)&address.storage, address.length);
    if (!strncmp(text, "connect=", 8))
        return connect(*fd, (void *)&address.storage, address.length);
    if (!strncmp(text, "sendto=", 7))
        return sendto(*fd, "dial", 4, 0, (void *)&address.storage, address.length) < 0 ? -1 : 0;
    if (!strcmp(text, "disconnect"))
        return connect(*fd, &nobody, sizeof(nobody));
    if (!strcmp(text, "send"))
        return send(*fd, "dial", 4, MSG_NOSIGNAL) < 0 ? -1 : 0;
    if (!strcmp(text, "receive"))
        return receive(*fd);
    if (!strncmp(text, "wait=", 5)) {
        printf("waiting\n");
        while (access(value, F_OK))
            usleep(20000);
        return 0;
    }
    if (!strcmp(text, "peer") && getpeername(*fd, (void *)&address.storage, &address.length))
        return -1;
    if (!strcmp(text, "local") && getsockname(*fd, (void *)&address.storage, &address.length))
        return -1;
    tell(text, &address, !strcmp(text, "peer"));
    return 0;
}

int main(int count, char **calls) {
    int fd = -1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < count; i++)
        if (call(&fd, calls[i]))
            printf("%.*s %s\n", (int)strcspn(calls[i], "="), calls[i], strerrorname_np(errno));
    return 0;
}
