/* Runs a command and prints, on standard error, how much CPU time it took and another process took meanwhile,
 * in ns.
 *
 *   metered PID COMMAND...
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long cpu_time(clockid_t clock) {
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(int argc, char **argv) {
    clockid_t other;
    struct rusage own;
    int status;
    if (argc < 3 || clock_getcpuclockid(atoi(argv[1]), &other))
        return 2;
    long long before = cpu_time(other);
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[2], argv + 2);
        perror(argv[2]);
        _exit(127);
    }
    waitpid(child, &status, 0);
    long long after = cpu_time(other);
    getrusage(RUSAGE_CHILDREN, &own);
    fprintf(stderr, "metered %lld %lld\n",
            (own.ru_utime.tv_sec + own.ru_stime.tv_sec) * 1000000000LL +
                (own.ru_utime.tv_usec + own.ru_stime.tv_usec) * 1000LL,
            after - before);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
