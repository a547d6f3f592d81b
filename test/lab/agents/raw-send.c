/* Sends whole IP packets, header and all, 20 ms apart. Checksums of IPv4's header are the kernel's.
 *
 *   raw-send ADDRESS HEX...
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static size_t unhex(const char *text, unsigned char *bytes, size_t room) {
    size_t length = 0;
    unsigned value;
    for (; length < room && sscanf(text + 2 * length, "%2x", &value) == 1; length++)
        bytes[length] = (unsigned char)value;
    return length;
}

int main(int argc, char **argv) {
    struct sockaddr_in to4 = {.sin_family = AF_INET};
    struct sockaddr_in6 to6 = {.sin6_family = AF_INET6};
    unsigned char packet[2000];
    if (argc < 3)
        return 2;
    int six = strchr(argv[1], ':') != NULL;
    if (inet_pton(six ? AF_INET6 : AF_INET, argv[1], six ? (void *)&to6.sin6_addr : (void *)&to4.sin_addr) !=
        1)
        return 2;
    /* The header is ours with this protocol. */
    int s = socket(six ? AF_INET6 : AF_INET, SOCK_RAW, IPPROTO_RAW);
    for (int i = 2; i < argc; i++) {
        size_t length = unhex(argv[i], packet, sizeof packet);
        const struct sockaddr *to = six ? (struct sockaddr *)&to6 : (struct sockaddr *)&to4;
        if (sendto(s, packet, length, 0, to, six ? sizeof to6 : sizeof to4) < 0) {
            perror(argv[1]);
            return 1;
        }
        usleep(20000);
    }
    return 0;
}
