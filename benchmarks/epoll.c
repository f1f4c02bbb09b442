/*
 * A line server in C on one epoll: the least that its work can cost.
 *
 *     epoll LISTENER line|lines|blocks
 *
 * LISTENER is the descriptor of a listening socket.  Lines come back upper-cased, blocks of 64 KiB as they
 * are; with `line` the connection ends after the first.  All that one recv() has brought is answered by one
 * send(), and nothing is received while replies are left to be sent.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 65536, BATCH = 256 };

struct connection {
    int fd;
    char *data;          /* BLOCK bytes once there is something to keep; most often there is nothing */
    size_t have;         /* bytes received and not answered */
    size_t due, sent;    /* of these, how many are replies, and how many of them are sent */
};

static int poller, listener, once, blocks;
static char scratch[BLOCK]; /* what one recv() brings when nothing is kept */

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int operation, struct connection *c, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(poller, operation, c ? c->fd : listener, &e))
        die("epoll_ctl");
}

static void end(struct connection *c)
{
    close(c->fd);
    free(c->data);
    free(c);
}

static void accept_all(void)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                die("accept");
            return;
        }
        struct connection *c = calloc(1, sizeof *c);
        if (!c)
            die("memory");
        c->fd = fd;
        watch(EPOLL_CTL_ADD, c, EPOLLIN);
    }
}

/* Returns how many of the bytes are whole lines or blocks, and makes replies of them. */
static size_t answer(char *data, size_t length)
{
    if (blocks)
        return length == BLOCK ? BLOCK : 0;
    char *last = memrchr(data, '\n', length);
    size_t due = last ? (size_t)(last - data) + 1 : 0;
    for (size_t i = 0; i < due; i++)
        data[i] = (char)toupper((unsigned char)data[i]);
    return due;
}

static void keep(struct connection *c, const char *data, size_t length)
{
    if (!c->data && !(c->data = malloc(BLOCK)))
        die("memory");
    memmove(c->data, data, length);
    c->have = length;
}

/* Sends what is due of DATA, or, if that is NULL, what is left of that. */
static void send_replies(struct connection *c, char *data)
{
    int waited = data == NULL;
    char *at = data ? data : c->data;
    ssize_t n = send(c->fd, at + c->sent, c->due - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        end(c);
        return;
    }
    c->sent += n > 0 ? (size_t)n : 0;
    if (c->sent < c->due) {
        if (at != c->data)
            keep(c, at, c->have);
        watch(EPOLL_CTL_MOD, c, EPOLLOUT);
        return;
    }
    if (once) {
        end(c);
        return;
    }
    size_t left = c->have - c->due;
    if (left)
        keep(c, at + c->due, left);
    c->have = left;
    c->due = c->sent = 0;
    if (waited)
        watch(EPOLL_CTL_MOD, c, EPOLLIN);
}

static void receive(struct connection *c)
{
    char *data = c->have ? c->data : scratch;
    ssize_t n = recv(c->fd, data + c->have, BLOCK - c->have, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end(c);
        return;
    }
    c->have += (size_t)n;
    c->due = answer(data, c->have);
    if (c->due) {
        send_replies(c, data);
    } else if (c->have == BLOCK) {
        fprintf(stderr, "epoll: a line of more than %d bytes\n", BLOCK);
        exit(1);
    } else if (data == scratch) {
        keep(c, data, c->have);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: epoll LISTENER line|lines|blocks\n");
        return 2;
    }
    listener = atoi(argv[1]);
    once = !strcmp(argv[2], "line");
    blocks = !strcmp(argv[2], "blocks");
    poller = epoll_create1(0);
    if (poller < 0 || fcntl(listener, F_SETFL, O_NONBLOCK))
        die("setting up");
    watch(EPOLL_CTL_ADD, NULL, EPOLLIN);
    for (;;) {
        struct epoll_event events[BATCH];
        int n = epoll_wait(poller, events, BATCH, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c)
                accept_all();
            else if (c->due)
                send_replies(c, NULL);
            else
                receive(c);
        }
    }
}
