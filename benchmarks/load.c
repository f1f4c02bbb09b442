/*
 * Load for line servers on loopback: each line sent must come back upper-cased.
 *
 *     load MODE PORT PEERS DEPTH OPEN WARMUP SECONDS
 *
 * MODE is one of
 *     echo    PEERS connections are kept, DEPTH lines are in flight on each
 *     churn   connect, one line, its reply, the end: PEERS at a time
 *     udp     PEERS sockets, one datagram in flight on each, sent again when its reply is late
 *     bulk    PEERS connections, a mebibyte in flight on each, in blocks that come back as they are
 *     hold    PEERS connections, one line on each, then silence; when measured, one line more on each
 *
 * OPEN connections are open besides; each has had one line answered and says nothing more.
 *
 * What is said on standard output, a line each, and what is awaited on standard input:
 *     "ready"      warmed up, nothing in flight; a line starts the measured phase
 *     "{...}"      measured, nothing in flight; the connections stay open until a line or the end of input
 *
 * Nothing is in flight at either moment, so the reader can take the server's CPU time at both and divide
 * by the number of requests exactly.  Everything is waited for within bounds: a server that says nothing
 * for STALL_NS ends the run with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 64, DIGITS = 8, MAX_DEPTH = 64, BATCH = 256, TICK_MS = 20 };
enum { UNIT = 1 << 20, SHIFTS = 251, CHUNK = 1 << 17 }; /* of `bulk`: what counts as one request */
#define SECOND_NS 1000000000ull
#define STALL_NS (10 * SECOND_NS)
#define LATE_NS (SECOND_NS / 5) /* a datagram without a reply is sent again after this long */

enum mode { ECHO, CHURN, UDP, BULK, HOLD };
static const char *const MODES[] = {"echo", "churn", "udp", "bulk", "hold"};

/* Lines carry the number of their peer and their own, so a reply to another line is noticed. */
struct peer {
    int fd;                   /* -1: churn, between two connections */
    unsigned number;
    unsigned sent, answered;  /* lines; the difference is in flight */
    unsigned due;             /* churn: what `answered` must be when the connection ends */
    size_t have;              /* bytes of replies not yet taken from `in` (bulk: of the unit, received) */
    size_t out;               /* bulk: of the unit, bytes sent */
    uint64_t since[MAX_DEPTH];/* when each line in flight was sent (churn: its connection begun) */
    char in[MAX_DEPTH * LINE];
};

static enum mode mode;
static struct sockaddr_in server = {.sin_family = AF_INET};
static struct peer *peers;
static unsigned peer_count, depth, open_count;
static int poller;

static int sending;              /* a phase is under way: a reply is followed by the next line */
static unsigned in_flight;       /* lines, over all peers */
static uint64_t last_reply;
static uint64_t phase_start, phase_end;

static uint64_t *latencies;      /* of the current phase, ns */
static size_t latency_count, latency_room;
static size_t in_time;           /* replies that came before the phase's end */
static unsigned long lost, errors, wrong;

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* -- lines ------------------------------------------------------------------------------------------- */

static void write_digits(char *at, unsigned value)
{
    for (int i = DIGITS - 1; i >= 0; i--, value /= 10)
        at[i] = (char)('0' + value % 10);
}

static void write_line(char *at, const struct peer *p, unsigned number, char first_letter)
{
    write_digits(at, p->number);
    write_digits(at + DIGITS, number);
    for (int i = 2 * DIGITS; i < LINE - 1; i++)
        at[i] = (char)(first_letter + i % 26);
    at[LINE - 1] = '\n';
}

static void transmit(struct peer *p, const char *bytes, size_t length)
{
    ssize_t n = send(p->fd, bytes, length, MSG_NOSIGNAL);
    if (n != (ssize_t)length)
        die("send");
}

static void send_lines(struct peer *p, unsigned count, uint64_t since)
{
    char out[MAX_DEPTH * LINE];
    for (unsigned i = 0; i < count; i++) {
        write_line(out + i * LINE, p, p->sent, 'a');
        p->since[p->sent++ % MAX_DEPTH] = since;
    }
    in_flight += count;
    transmit(p, out, count * LINE);
}

static void record(uint64_t since)
{
    last_reply = now_ns();
    if (latency_count == latency_room) {
        latency_room = latency_room ? 2 * latency_room : 1 << 20;
        latencies = realloc(latencies, latency_room * sizeof *latencies);
        if (!latencies)
            die("memory");
    }
    latencies[latency_count++] = last_reply - since;
    in_time += last_reply <= phase_end;
}

/* Takes whole replies from what was received; returns how many. */
static unsigned take_replies(struct peer *p)
{
    char want[LINE];
    unsigned count = 0;
    for (; p->have - count * LINE >= LINE; count++) {
        write_line(want, p, p->answered, 'A');
        wrong += memcmp(want, p->in + count * LINE, LINE) != 0;
        record(p->since[p->answered++ % MAX_DEPTH]);
    }
    p->have -= count * LINE;
    memmove(p->in, p->in + count * LINE, p->have);
    in_flight -= count;
    return count;
}

/* -- peers ------------------------------------------------------------------------------------------- */

static void watch(struct peer *p, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = p};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, p->fd, &e))
        die("epoll_ctl");
}

static int new_socket(int type)
{
    int one = 1, fd = socket(AF_INET, type, 0);
    if (fd < 0)
        die("socket");
    if (mode != UDP && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        die("setsockopt");
    return fd;
}

/* Connects in the blocking way and has one line answered, so that a small backlog never overflows. */
static void establish(struct peer *p)
{
    struct timeval patience = {.tv_sec = STALL_NS / SECOND_NS};
    p->fd = new_socket(mode == UDP ? SOCK_DGRAM : SOCK_STREAM);
    if (connect(p->fd, (struct sockaddr *)&server, sizeof server))
        die("connect");
    if (mode == BULK) {
        watch(p, EPOLLIN | EPOLLOUT | EPOLLET);
        return;
    }
    if (mode != UDP) {
        setsockopt(p->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        send_lines(p, 1, now_ns());
        ssize_t n = recv(p->fd, p->in, LINE, MSG_WAITALL);
        if (n != LINE)
            die(n < 0 && errno == EAGAIN ? "no reply in time" : "first reply");
        p->have = LINE;
        take_replies(p);
    }
    watch(p, EPOLLIN);
}

/* The line goes out as soon as the connection stands; on loopback that is usually at once. */
static void send_when_connected(struct peer *p)
{
    char line[LINE];
    write_line(line, p, p->sent, 'a');
    ssize_t n = send(p->fd, line, LINE, MSG_NOSIGNAL);
    if (n != LINE)
        return; /* not connected yet, or never: the poller will say which */
    p->sent++;
    in_flight++;
}

static void begin_connection(struct peer *p)
{
    p->have = 0;
    p->due = p->answered + 1;
    p->since[p->sent % MAX_DEPTH] = now_ns();
    p->fd = new_socket(SOCK_STREAM | SOCK_NONBLOCK);
    if (connect(p->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        die("connect");
    send_when_connected(p);
    watch(p, EPOLLIN | EPOLLOUT | EPOLLET);
}

/* -- bulk -------------------------------------------------------------------------------------------- */

static char pattern[UNIT + SHIFTS];

static void make_pattern(void)
{
    uint32_t state = 1;
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)((state = state * 1664525u + 1013904223u) >> 24);
}

/* What this unit of this peer consists of: units differ, so a block of another one is noticed. */
static const char *unit(const struct peer *p)
{
    return pattern + (p->number * 7 + p->answered) % SHIFTS;
}

static void send_unit(struct peer *p)
{
    while (p->out < UNIT) {
        ssize_t n = send(p->fd, unit(p) + p->out, UNIT - p->out, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            die("send");
        p->out += (size_t)n;
    }
}

static void begin_unit(struct peer *p)
{
    p->since[0] = now_ns();
    p->out = p->have = 0;
    p->sent++;
    in_flight++;
    send_unit(p);
}

static void on_bulk(struct peer *p)
{
    static char in[CHUNK];
    ssize_t n;
    if (p->sent == p->answered)
        return;
    send_unit(p);
    while ((n = recv(p->fd, in, sizeof in, MSG_DONTWAIT)) > 0) {
        if (p->have + (size_t)n > p->out || memcmp(in, unit(p) + p->have, (size_t)n))
            wrong++;
        p->have += (size_t)n;
        last_reply = now_ns();
        if (p->have >= UNIT) {
            p->answered++;
            in_flight--;
            record(p->since[0]);
            if (!sending)
                return;
            begin_unit(p);
        }
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        die("a kept connection ended");
}

static void start(struct peer *p)
{
    if (mode == CHURN)
        begin_connection(p);
    else if (mode == BULK)
        begin_unit(p);
    else
        send_lines(p, mode == UDP ? 1 : depth, now_ns());
}

/* -- what arrives ------------------------------------------------------------------------------------ */

static void on_stream(struct peer *p)
{
    ssize_t n = recv(p->fd, p->in + p->have, sizeof p->in - p->have, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        die("a kept connection ended");
    p->have += (size_t)n;
    unsigned count = take_replies(p);
    if (sending && count)
        send_lines(p, count, now_ns());
}

static void end_connection(struct peer *p)
{
    if (p->answered != p->due)
        errors++; /* no reply, or not a whole one */
    in_flight -= p->sent - p->answered;
    p->sent = p->answered = p->due;
    close(p->fd);
    p->fd = -1;
    if (sending)
        begin_connection(p);
}

/* The server ends the connection after its reply; the client closes when it sees that. */
static void on_connection(struct peer *p, uint32_t events)
{
    ssize_t n;
    if (p->sent != p->due && !(events & (EPOLLERR | EPOLLHUP)))
        send_when_connected(p);
    while ((n = recv(p->fd, p->in + p->have, sizeof p->in - p->have, MSG_DONTWAIT)) > 0)
        p->have += (size_t)n;
    int over = n == 0 || (errno != EAGAIN && errno != EINTR);
    take_replies(p);
    if (over)
        end_connection(p);
}

static void on_datagram(struct peer *p)
{
    ssize_t n = recv(p->fd, p->in, sizeof p->in, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != LINE)
        die("datagram");
    char want[LINE];
    write_line(want, p, p->answered, 'A');
    if (p->sent == p->answered || memcmp(want, p->in, 2 * DIGITS))
        return; /* a second reply to a line that was sent twice */
    p->have = LINE;
    take_replies(p);
    if (sending)
        send_lines(p, 1, now_ns());
}

static void resend_late(uint64_t now)
{
    char line[LINE];
    for (struct peer *p = peers; p < peers + peer_count; p++)
        if (p->sent != p->answered && now - p->since[p->answered % MAX_DEPTH] > LATE_NS) {
            lost++;
            p->since[p->answered % MAX_DEPTH] = now;
            write_line(line, p, p->answered, 'a');
            transmit(p, line, LINE);
        }
}

/* -- phases ------------------------------------------------------------------------------------------ */

static unsigned unfinished(void)
{
    unsigned count = 0;
    if (mode != CHURN)
        return in_flight;
    for (struct peer *p = peers; p < peers + peer_count; p++)
        count += p->fd >= 0;
    return count;
}

/* Keeps every peer busy for that long, then lets what is in flight come home. */
static void run_phase(double seconds)
{
    struct epoll_event events[BATCH];
    uint64_t now = last_reply = now_ns(), late_check = now;
    phase_start = now;
    phase_end = now + (uint64_t)(seconds * 1e9);
    latency_count = in_time = 0;
    lost = errors = wrong = 0;
    sending = 1;
    for (struct peer *p = peers; p < peers + peer_count; p++)
        start(p);
    sending = seconds > 0;
    while (sending || unfinished()) {
        int n = epoll_wait(poller, events, BATCH, TICK_MS);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (mode == CHURN)
                on_connection(p, events[i].events);
            else if (mode == UDP)
                on_datagram(p);
            else if (mode == BULK)
                on_bulk(p);
            else
                on_stream(p);
        }
        now = now_ns();
        sending = now < phase_end;
        if (mode == UDP && now - late_check > TICK_MS * (SECOND_NS / 1000)) {
            late_check = now;
            resend_late(now);
        }
        if (now > last_reply && now - last_reply > STALL_NS) {
            die("no reply in time");
        }
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double percentile_us(double share)
{
    return latency_count ? (double)latencies[(size_t)(share * (double)(latency_count - 1))] / 1e3 : 0.0;
}

static double own_cpu(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void await_line(void)
{
    char line[16];
    if (!fgets(line, sizeof line, stdin))
        exit(0);
}

static void report(double seconds, double cpu)
{
    qsort(latencies, latency_count, sizeof *latencies, by_size);
    printf("{\"requests\": %zu, \"in_time\": %zu, \"seconds\": %.6f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"max_us\": %.2f, \"took\": %.6f, \"lost\": %lu, \"errors\": %lu, \"wrong\": %lu, \"load_cpu\": %.6f}\n",
           latency_count, in_time, seconds, percentile_us(0.50), percentile_us(0.99), percentile_us(1.0),
           (double)(last_reply - phase_start) / 1e9, lost, errors, wrong, cpu);
}

static void read_arguments(char **argv)
{
    for (mode = ECHO; mode <= HOLD && strcmp(argv[1], MODES[mode]); mode++)
        ;
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    peer_count = (unsigned)atoi(argv[3]);
    depth = (unsigned)atoi(argv[4]);
    open_count = (unsigned)atoi(argv[5]);
    if (mode > HOLD || !peer_count || !depth || depth > MAX_DEPTH) {
        fprintf(stderr, "load: unknown mode, no peers, or a depth that is not 1 to %d\n", MAX_DEPTH);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "usage: load echo|churn|udp|bulk|hold PORT PEERS DEPTH OPEN WARMUP SECONDS\n");
        return 2;
    }
    read_arguments(argv);
    double warmup = atof(argv[6]), seconds = atof(argv[7]);
    make_pattern();
    setvbuf(stdout, NULL, _IOLBF, 0);
    poller = epoll_create1(0);
    peers = calloc(peer_count + open_count, sizeof *peers);
    if (poller < 0 || !peers)
        die("setting up");
    for (unsigned i = 0; i < peer_count + open_count; i++) {
        peers[i].number = i;
        peers[i].fd = -1;
        if (mode != CHURN)
            establish(&peers[i]);
    }
    if (mode != HOLD)
        run_phase(warmup);
    puts("ready");
    await_line();
    double cpu = own_cpu();
    run_phase(mode == HOLD ? 0 : seconds);
    report(seconds, own_cpu() - cpu);
    await_line();
    return 0;
}
