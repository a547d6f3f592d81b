/* Sends with IP options (record route) and prints the answer, or the error.
 *
 *   ip-options udp|tcp ADDRESS PORT
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int stream = strcmp(argv[1], "tcp") == 0;
    struct sockaddr_in to = {.sin_family = AF_INET};
    unsigned port = 0;
    if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || sscanf(argv[3], "%u", &port) != 1)
        return 2;
    to.sin_port = htons((unsigned short)port);

    int s = socket(AF_INET, stream ? SOCK_STREAM : SOCK_DGRAM, 0);
    /* Record route: type, length, pointer, room for nine addresses; then the end of the list. */
    unsigned char options[40] = {7, 39, 4};
    if (setsockopt(s, IPPROTO_IP, IP_OPTIONS, options, sizeof options) < 0) {
        perror("IP_OPTIONS");
        return 1;
    }
    struct timeval wait = {.tv_sec = 3};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);

    const char hello[] = "hello with options\n";
    char answer[256] = "";
    if (connect(s, (struct sockaddr *)&to, sizeof to) < 0 || send(s, hello, sizeof hello - 1, 0) < 0) {
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
