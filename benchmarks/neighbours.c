/*
 * Clients that a server has to bear, on loopback, while another one is served.
 *
 *     neighbours MODE PORT COUNT
 *
 * MODE is one of
 *     mute    connect, and say nothing
 *     flood   send lines without waiting for replies, which are read
 *     deaf    send lines, and read nothing
 *     reset   send a line, read its reply, reset the connection; again
 *
 * Says "ready" once all are connected and, but for the mute, as busy as the server lets them be.  A line or
 * the end of input ends it; then it says how many replies came and how many connections were made.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* BUFFER bounds what the kernel holds for a client: unbounded, a flood of 64 would take all its memory. */
enum { LINE = 64, BLOCK = 64 * LINE, CHUNK = 65536, BATCH = 64, BUFFER = 65536, SETTLE_MS = 300 };

enum mode { MUTE, FLOOD, DEAF, RESET };
static const char *const MODES[] = {"mute", "flood", "deaf", "reset"};

struct client {
    int fd;
    size_t out;  /* bytes sent of the block */
    size_t have; /* reset: bytes of the reply */
};

static enum mode mode;
static struct sockaddr_in server = {.sin_family = AF_INET};
static int poller;
static char block[BLOCK];
static unsigned long received, connections, errors;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int operation, struct client *c)
{
    static const uint32_t EVENTS[] = {EPOLLIN, EPOLLIN | EPOLLOUT, EPOLLOUT, EPOLLIN};
    struct epoll_event e = {.events = EVENTS[mode], .data.ptr = c};
    if (epoll_ctl(poller, operation, c->fd, &e))
        die("epoll_ctl");
}

static void begin(struct client *c)
{
    int size = BUFFER;
    c->out = c->have = 0;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size)
        || setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size))
        die("socket");
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server))
        die("connect");
    connections++;
    if (mode == RESET && send(c->fd, block, LINE, MSG_NOSIGNAL) != LINE)
        die("send");
    watch(EPOLL_CTL_ADD, c);
}

static void reset(struct client *c)
{
    struct linger none = {.l_onoff = 1};
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(c->fd);
    c->fd = -1;
}

static void lost(struct client *c)
{
    errors++;
    reset(c);
    if (mode == RESET)
        begin(c);
}

static void on_event(struct client *c, uint32_t events)
{
    static char in[CHUNK];
    if (events & EPOLLIN) {
        ssize_t n = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            lost(c);
            return;
        }
        received += n > 0 ? (unsigned long)n : 0;
        c->have += n > 0 ? (size_t)n : 0;
        if (mode == RESET && c->have >= LINE) {
            reset(c);
            begin(c);
            return;
        }
    }
    if (events & EPOLLOUT) {
        ssize_t n = send(c->fd, block + c->out, BLOCK - c->out, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            lost(c);
            return;
        }
        c->out = (c->out + (n > 0 ? (size_t)n : 0)) % BLOCK;
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        lost(c);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: neighbours mute|flood|deaf|reset PORT COUNT\n");
        return 2;
    }
    for (mode = MUTE; mode <= RESET && strcmp(argv[1], MODES[mode]); mode++)
        ;
    unsigned count = (unsigned)atoi(argv[3]);
    if (mode > RESET || !count) {
        fprintf(stderr, "neighbours: unknown mode, or no clients\n");
        return 2;
    }
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    for (unsigned i = 0; i < BLOCK; i++)
        block[i] = i % LINE == LINE - 1 ? '\n' : (char)('a' + i % 26);
    poller = epoll_create1(0);
    struct client *clients = calloc(count, sizeof *clients);
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (poller < 0 || !clients || epoll_ctl(poller, EPOLL_CTL_ADD, STDIN_FILENO, &input))
        die("setting up");
    for (unsigned i = 0; i < count; i++)
        begin(&clients[i]);
    for (int said = 0;;) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(poller, events, BATCH, said ? -1 : SETTLE_MS);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        /* None of them waits for more than the server: they are as busy as they will be. */
        if (!said && (n == 0 || received >= (unsigned long)count * BLOCK || (mode == RESET && received))) {
            puts("ready");
            fflush(stdout);
            said = 1;
        }
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!c) {
                printf("{\"lines\": %lu, \"connections\": %lu, \"errors\": %lu}\n", received / LINE,
                       connections, errors);
                return 0;
            }
            if (c->fd >= 0)
                on_event(c, events[i].events);
        }
    }
}
