/* Counts the datagrams that reach a port, at the cost of a socket filter each: the filter drops them, the
 * kernel counts the drops. No reader has to keep up, so that what is measured is the way to the socket.
 * Prints `ready`; on SIGUSR1 the count so far.
 *
 *   udp-count PORT
 */
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif

int main(int argc, char **argv) {
    struct sock_filter drop[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    struct sock_fprog filter = {1, drop};
    struct sockaddr_in at = {.sin_family = AF_INET};
    sigset_t asked;
    if (argc != 2)
        return 2;
    at.sin_port = htons((unsigned short)atoi(argv[1]));
    sigemptyset(&asked);
    sigaddset(&asked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &asked, NULL);

    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) < 0 ||
        bind(s, (struct sockaddr *)&at, sizeof at) < 0) {
        perror("udp-count");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");
    for (;;) {
        int signal;
        unsigned info[SK_MEMINFO_VARS];
        socklen_t size = sizeof info;
        sigwait(&asked, &signal);
        if (getsockopt(s, SOL_SOCKET, SO_MEMINFO, info, &size) < 0) {
            perror("SO_MEMINFO");
            return 1;
        }
        printf("count %u\n", info[SK_MEMINFO_DROPS]);
    }
}
