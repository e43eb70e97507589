// Round trips for `make bench-network`: how long one byte there and one byte back take, over TCP. Static, so that the
// very same program runs on the host and at every level.
//
//   exchange serve ADDRESS PORT           answers, for ever, one client at a time
//   exchange ask ADDRESS PORT SECONDS     prints the nanoseconds of one round trip, on average
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_socket(void)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        fail("socket");
    return fd;
}

static _Noreturn void serve(const struct sockaddr_in *address)
{
    int one = 1, fd = open_socket();
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 || listen(fd, 8) < 0)
        fail("bind");
    for (;;) {
        char byte;
        int client = accept(fd, NULL, NULL);
        if (client < 0)
            fail("accept");
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        while (read(client, &byte, 1) == 1 && write(client, &byte, 1) == 1)
            ;
        close(client);
    }
}

static int ask(const struct sockaddr_in *address, uint64_t seconds)
{
    int fd = open_socket();
    char byte = 'n';
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        fail("connect");
    uint64_t trips = 0, start = now_ns(), now = start;
    for (; now - start < seconds * 1000000000u; now = now_ns(), trips++)
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            fail("exchange");
    printf("%.0f\n", (double)(now - start) / (double)trips);
    return 0;
}

int main(int count, char **words)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (count < 4 || inet_pton(AF_INET, words[2], &address.sin_addr) != 1) {
        fprintf(stderr, "usage: exchange serve|ask ADDRESS PORT [SECONDS]\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(words[3]));
    if (!strcmp(words[1], "serve"))
        serve(&address);
    return ask(&address, count > 4 ? strtoull(words[4], NULL, 10) : 3);
}
