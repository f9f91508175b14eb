/* Load generator of tools/bench: N connections, each a closed loop of batches of P requests, driven by one thread.
 *
 * It is built to cost little and to measure well on a machine whose other core runs the server:
 * - Requests are fixed-size and formatted once; a request is made new by writing the digits of its key, and of the
 * value's first bytes, in place. A batch is one send, its replies usually one receive.
 * - A batch is sent when the last reply of the one before it has come, so connections * pipeline requests are in
 * flight. A request's latency runs from the send of its batch to the read that brought its reply.
 * - Values start with their key's digits, and every reply to a GET is checked for them. Other commands are given as a
 * template of words, in which {LOW-HIGH} stands for a number; of their replies only the kind is checked. Several
 * commands with " ; " between them are one request, answered by the last of its replies.
 * - The server's CPU time is read here, from /proc/PID/stat, at the two instants that bound the measured span.
 *
 * Phases: WARMUP -> MEASURE -> DRAIN (nothing new is sent; what is in flight is waited for). With --count there is no
 * warm-up, and the span ends with the last reply. The result is one line of JSON on stdout.
 *
 * One thread; everything is owned by main. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEY_DIGITS 12
#define KEY_BYTES (4 + KEY_DIGITS) /* "key:000000000042" */
#define REPLY_SLACK 4096           /* room for an error text where a short reply was expected */
#define NS_PER_SEC 1000000000ull

#define SLOTS_MAX 24 /* numbers in a command's template */

enum operation { OP_GET, OP_SET, OP_COMMAND };
enum phase { WARMUP, MEASURE, DRAIN };

struct options {
    int port;
    unsigned connections, pipeline;
    enum operation op;
    const char *command; /* of OP_COMMAND */
    const char *expect;  /* first byte of the reply to each of its commands; '?' and what is missing: any */
    bool sequential;     /* keys 0, 1, 2 … instead of uniformly random ones */
    uint64_t keys, count, seed;
    size_t value_bytes;
    double seconds, warmup_seconds;
    int pid; /* of the server, 0: its CPU time is not read */
};

/* Log-linear histogram of nanoseconds: 64 steps per power of two, so a quantile is at most 1.6 % off. */
#define HIST_STEP_BITS 6
#define HIST_STEPS (1u << HIST_STEP_BITS)
#define HIST_BUCKETS ((64 - HIST_STEP_BITS + 1) * HIST_STEPS)
struct histogram {
    uint64_t counts[HIST_BUCKETS];
    uint64_t total, max_ns;
};

struct connection {
    int fd;
    unsigned batch, replied; /* replies that the batch on its way will bring, and has brought */
    uint64_t sent_ns;
    char *requests; /* pipeline * request_bytes */
    char *replies;  /* an unparsed prefix of the reply stream */
    size_t replies_len, replies_cap;
};

struct cpu_time {
    double user_s, sys_s;
};

/* A number in the request, as many digits wide as the highest. */
struct slot {
    size_t offset;
    int digits;
    uint64_t low, span;
};

struct run {
    struct options opt;
    int epoll_fd;
    struct connection *connections;
    size_t request_bytes, key_offset, value_offset; /* value_offset 0: the request has no value */
    struct slot slots[SLOTS_MAX];
    unsigned nslots;
    unsigned commands;            /* in a request, and replies to it */
    uint64_t rng, next_key, left; /* left: requests still to be sent (with --count) */
    unsigned active;              /* connections with a batch on its way */
    enum phase phase;
    uint64_t phase_ends_ns, span_start_ns, span_ns;
    struct cpu_time cpu_start, cpu_span;
    uint64_t ops, errors, misses, wrong;
    char first_error[128];
    struct histogram latency;
};

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *allocate(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (!p)
        fail("out of memory");
    return p;
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* splitmix64 */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* ---- histogram ---- */

static unsigned hist_index(uint64_t ns)
{
    if (ns < HIST_STEPS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HIST_STEP_BITS;
    return (shift + 1) * HIST_STEPS + (unsigned)(ns >> shift) - HIST_STEPS;
}

/* The middle of a bucket. */
static uint64_t hist_value(unsigned index)
{
    if (index < HIST_STEPS)
        return index;
    unsigned shift = index / HIST_STEPS - 1;
    return ((uint64_t)(HIST_STEPS + index % HIST_STEPS) << shift) + ((1ull << shift) >> 1);
}

static void hist_add(struct histogram *h, uint64_t ns)
{
    h->counts[hist_index(ns)]++;
    h->total++;
    if (ns > h->max_ns)
        h->max_ns = ns;
}

static double hist_quantile_us(const struct histogram *h, double q)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)h->total * q);
    for (unsigned i = 0; i < HIST_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted)
            return (double)hist_value(i) / 1e3;
    }
    return (double)h->max_ns / 1e3;
}

/* ---- CPU time of the server ---- */

/* All threads, those that have ended included. */
static struct cpu_time cpu_read(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = pid ? fopen(path, "r") : NULL;
    if (!f)
        return (struct cpu_time){0};
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    /* The name in field 2 may hold blanks: count from its closing parenthesis. utime and stime are fields 14 and 15. */
    const char *after_name = strrchr(text, ')');
    unsigned long user, sys;
    if (!after_name || sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys) != 2)
        fail("cannot read %s", path);
    double tick = (double)sysconf(_SC_CLK_TCK);
    return (struct cpu_time){(double)user / tick, (double)sys / tick};
}

/* ---- requests ---- */

/* Copies a word and puts zeros where its numbers will be. */
static size_t template_word(struct run *r, const char *word, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        unsigned long long low, high;
        int used = 0;
        if (sscanf(word + i, "{%llu-%llu}%n", &low, &high, &used) < 2 || used == 0) {
            out[n++] = word[i++];
            continue;
        }
        if (r->nslots == SLOTS_MAX || high < low)
            fail("a bad number in the command");
        int digits = snprintf(NULL, 0, "%llu", high);
        r->slots[r->nslots++] = (struct slot){n, digits, low, high - low + 1};
        memset(out + n, '0', (size_t)digits);
        n += (size_t)digits;
        i += (size_t)used;
    }
    return n;
}

/* Appends the command whose words end at `end`, and returns the bytes that the text has then. */
static size_t one_command(struct run *r, const char *p, const char *end, char *text, size_t n)
{
    size_t words = 1;
    for (const char *at = p; at < end; at++)
        words += *at == ' ';
    char *word = allocate((size_t)(end - p) + 1);
    n += (size_t)sprintf(text + n, "*%zu\r\n", words);
    for (size_t len; words-- > 0; p += len + 1) {
        unsigned slots = r->nslots;
        const char *blank = memchr(p, ' ', (size_t)(end - p));
        len = (size_t)((blank ? blank : end) - p);
        size_t bytes = template_word(r, p, len, word);
        n += (size_t)sprintf(text + n, "$%zu\r\n", bytes);
        for (unsigned i = slots; i < r->nslots; i++)
            r->slots[i].offset += n;
        memcpy(text + n, word, bytes);
        memcpy(text + n + bytes, "\r\n", 2);
        n += bytes + 2;
    }
    free(word);
    return n;
}

static char *command_template(struct run *r)
{
    char *text = allocate(32 * strlen(r->opt.command) + 64);
    r->commands = 0;
    for (const char *p = r->opt.command, *end; p; p = *end ? end + 3 : NULL) {
        end = strstr(p, " ; ");
        end = end ? end : p + strlen(p);
        r->request_bytes = one_command(r, p, end, text, r->request_bytes);
        r->commands++;
    }
    return text;
}

/* Formats one request with room for the digits, and notes where they go. */
static char *request_template(struct run *r)
{
    size_t n = r->opt.value_bytes;
    r->commands = 1;
    if (r->opt.op == OP_COMMAND)
        return command_template(r);
    char *text = allocate(n + 128);
    if (r->opt.op == OP_GET) {
        int len = sprintf(text, "*2\r\n$3\r\nGET\r\n$%d\r\nkey:%0*d\r\n", KEY_BYTES, KEY_DIGITS, 0);
        r->request_bytes = (size_t)len;
        r->key_offset = r->request_bytes - 2 - KEY_DIGITS;
        return text;
    }
    int head = sprintf(text, "*3\r\n$3\r\nSET\r\n$%d\r\nkey:", KEY_BYTES);
    r->key_offset = (size_t)head;
    head += sprintf(text + head, "%0*d\r\n$%zu\r\n", KEY_DIGITS, 0, n);
    r->value_offset = (size_t)head;
    uint64_t rng = 42;
    for (size_t i = 0; i < n; i++)
        text[r->value_offset + i] = (char)('0' + random_next(&rng) % 75);
    memcpy(text + r->value_offset + n, "\r\n", 2);
    r->request_bytes = r->value_offset + n + 2;
    return text;
}

static void write_digits(char *out, int digits, uint64_t number)
{
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
}

static uint64_t number_below(struct run *r, uint64_t sequence, uint64_t span)
{
    if (r->opt.sequential)
        return sequence % span;
    return (uint64_t)(((unsigned __int128)random_next(&r->rng) * span) >> 64);
}

static void make_request(struct run *r, char *request)
{
    char *digits = request + r->key_offset;
    uint64_t sequence = r->next_key++;
    for (unsigned i = 0; i < r->nslots; i++) {
        const struct slot *slot = &r->slots[i];
        write_digits(request + slot->offset, slot->digits, slot->low + number_below(r, sequence, slot->span));
    }
    if (r->opt.op == OP_COMMAND)
        return;
    write_digits(digits, KEY_DIGITS, number_below(r, sequence, r->opt.keys));
    if (r->value_offset && r->opt.value_bytes >= KEY_DIGITS)
        memcpy(request + r->value_offset, digits, KEY_DIGITS);
}

/* Blocks if the socket is full: the server owes this connection nothing at that moment, so it is reading. */
static void send_all(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            fail("send: %s", strerror(errno));
        p += sent;
        n -= (size_t)sent;
    }
}

static unsigned batch_size(struct run *r)
{
    if (r->phase == DRAIN)
        return 0;
    unsigned n = r->opt.pipeline;
    if (r->opt.count) {
        n = r->left < n ? (unsigned)r->left : n;
        r->left -= n;
    }
    return n;
}

/* Sends the next batch, or retires the connection if there is none. */
static void send_batch(struct run *r, struct connection *c)
{
    unsigned requests = batch_size(r);
    c->replied = 0;
    c->batch = requests * r->commands;
    if (requests == 0) {
        r->active--;
        return;
    }
    for (unsigned i = 0; i < requests; i++)
        make_request(r, c->requests + i * r->request_bytes);
    c->sent_ns = now_ns();
    send_all(c->fd, c->requests, requests * r->request_bytes);
}

/* ---- replies ---- */

/* Length of the reply at p (n bytes are there), 0 if it is not complete. */
static size_t reply_length(const char *p, size_t n)
{
    const char *end = memchr(p, '\n', n);
    if (!end)
        return 0;
    size_t line = (size_t)(end - p) + 1;
    if ((p[0] != '$' && p[0] != '*') || p[1] == '-')
        return line;
    uint64_t count = strtoull(p + 1, NULL, 10);
    size_t whole = line;
    if (p[0] == '$')
        whole += count + 2;
    for (size_t part = 1; p[0] == '*' && count > 0; count--, whole += part) {
        part = whole < n ? reply_length(p + whole, n - whole) : 0;
        if (part == 0)
            return 0;
    }
    return whole <= n ? whole : 0;
}

static void note_error(struct run *r, const char *reply, size_t n)
{
    if (r->errors++ == 0)
        snprintf(r->first_error, sizeof r->first_error, "%.*s", (int)(n - 2), reply);
}

/* A value must begin with the digits of the key that was asked for. */
static bool value_is_of(struct run *r, const char *request, const char *reply, size_t n)
{
    if (r->opt.value_bytes < KEY_DIGITS)
        return true;
    if (n < r->opt.value_bytes + 2)
        return false;
    return memcmp(reply + n - 2 - r->opt.value_bytes, request + r->key_offset, KEY_DIGITS) == 0;
}

/* Whether it is of the kind that the command of this number in the request has to bring. */
static bool is_expected(const struct run *r, unsigned command, char kind)
{
    const char *expect = r->opt.expect;
    return expect == NULL || command >= strlen(expect) || expect[command] == '?' || expect[command] == kind;
}

static void check_reply(struct run *r, const char *request, unsigned command, const char *reply, size_t n)
{
    bool is_get = r->opt.op == OP_GET;
    if (reply[0] == '-')
        note_error(r, reply, n);
    else if (r->opt.op == OP_COMMAND && reply[1] == '-' && (reply[0] == '$' || reply[0] == '*'))
        r->misses++;
    else if (r->opt.op == OP_COMMAND)
        r->wrong += !is_expected(r, command, reply[0]);
    else if (reply[0] != (is_get ? '$' : '+'))
        r->wrong++;
    else if (is_get && reply[1] == '-')
        r->misses++;
    else if (is_get && !value_is_of(r, request, reply, n))
        r->wrong++;
}

/* Takes the complete replies off the front of the buffer. */
static void take_replies(struct run *r, struct connection *c, uint64_t now)
{
    size_t pos = 0, n;
    while (c->replied < c->batch && (n = reply_length(c->replies + pos, c->replies_len - pos)) > 0) {
        unsigned request = c->replied / r->commands, command = c->replied % r->commands;
        check_reply(r, c->requests + request * r->request_bytes, command, c->replies + pos, n);
        c->replied++;
        pos += n;
        if (command + 1 == r->commands) {
            hist_add(&r->latency, now - c->sent_ns);
            r->ops++;
        }
    }
    c->replies_len -= pos;
    memmove(c->replies, c->replies + pos, c->replies_len);
}

static void receive(struct run *r, struct connection *c)
{
    if (c->replies_len == c->replies_cap) {
        c->replies_cap *= 2;
        c->replies = realloc(c->replies, c->replies_cap);
        if (!c->replies)
            fail("out of memory");
    }
    ssize_t n = recv(c->fd, c->replies + c->replies_len, c->replies_cap - c->replies_len, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        fail("the server closed a connection%s%s", n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
    c->replies_len += (size_t)n;
    take_replies(r, c, now_ns());
    if (c->replied == c->batch)
        send_batch(r, c);
}

/* ---- phases ---- */

static void begin_span(struct run *r, uint64_t now)
{
    r->phase = MEASURE;
    r->phase_ends_ns = r->opt.count ? UINT64_MAX : now + (uint64_t)(r->opt.seconds * 1e9);
    r->ops = 0;
    memset(&r->latency, 0, sizeof r->latency);
    r->span_start_ns = now;
    r->cpu_start = cpu_read(r->opt.pid);
}

static void end_span(struct run *r, uint64_t now)
{
    struct cpu_time end = cpu_read(r->opt.pid);
    r->phase = DRAIN;
    r->phase_ends_ns = UINT64_MAX;
    r->span_ns = now - r->span_start_ns;
    r->cpu_span = (struct cpu_time){end.user_s - r->cpu_start.user_s, end.sys_s - r->cpu_start.sys_s};
}

static void advance_phase(struct run *r, uint64_t now)
{
    if (now < r->phase_ends_ns)
        return;
    if (r->phase == WARMUP)
        begin_span(r, now);
    else
        end_span(r, now);
}

/* Waits for events and serves them. */
static void turn(struct run *r)
{
    struct epoll_event events[256];
    int n = epoll_wait(r->epoll_fd, events, 256, 100);
    if (n < 0 && errno != EINTR)
        fail("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        receive(r, events[i].data.ptr);
}

/* The result of a span is frozen when it ends; what drains afterwards only has to be right. */
static void run_load(struct run *r, uint64_t *ops, struct histogram *latency)
{
    r->active = r->opt.connections;
    r->left = r->opt.count;
    r->phase = WARMUP;
    r->phase_ends_ns = now_ns() + (r->opt.count ? 0 : (uint64_t)(r->opt.warmup_seconds * 1e9));
    advance_phase(r, now_ns());
    for (unsigned i = 0; i < r->opt.connections; i++)
        send_batch(r, &r->connections[i]);
    while (r->active > 0 && r->phase != DRAIN) {
        turn(r);
        advance_phase(r, now_ns());
    }
    if (r->phase != DRAIN)
        end_span(r, now_ns());
    *ops = r->ops;
    *latency = r->latency;
    while (r->active > 0)
        turn(r);
}

/* ---- start and end ---- */

static int connect_to(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect to port %d: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void open_connection(struct run *r, struct connection *c, const char *request)
{
    c->requests = allocate(r->opt.pipeline * r->request_bytes);
    for (unsigned i = 0; i < r->opt.pipeline; i++)
        memcpy(c->requests + i * r->request_bytes, request, r->request_bytes);
    c->replies_cap = r->opt.pipeline * (r->opt.value_bytes + 32) + REPLY_SLACK;
    c->replies = allocate(c->replies_cap);
    c->fd = connect_to(r->opt.port);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
        fail("epoll_ctl: %s", strerror(errno));
}

static void open_all(struct run *r)
{
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->connections = allocate(r->opt.connections * sizeof *r->connections);
    r->rng = r->opt.seed;
    char *request = request_template(r);
    for (unsigned i = 0; i < r->opt.connections; i++)
        open_connection(r, &r->connections[i], request);
    free(request);
}

static void close_all(struct run *r)
{
    for (unsigned i = 0; i < r->opt.connections; i++) {
        close(r->connections[i].fd);
        free(r->connections[i].requests);
        free(r->connections[i].replies);
    }
    free(r->connections);
    close(r->epoll_fd);
}

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text; text++)
        putchar(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? '\'' : *text);
    putchar('"');
}

static void print_result(const struct run *r, uint64_t ops, const struct histogram *latency)
{
    double seconds = (double)r->span_ns / 1e9, per_op = ops ? 1e9 / (double)ops : 0;
    printf("{\"ops\": %llu, \"seconds\": %.6f, \"ops_per_second\": %.1f", (unsigned long long)ops, seconds,
           (double)ops / seconds);
    printf(", \"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f", hist_quantile_us(latency, 0.5),
           hist_quantile_us(latency, 0.99), hist_quantile_us(latency, 0.999), (double)latency->max_ns / 1e3);
    printf(", \"user_ns\": %.1f, \"sys_ns\": %.1f", r->cpu_span.user_s * per_op, r->cpu_span.sys_s * per_op);
    printf(", \"errors\": %llu, \"misses\": %llu, \"wrong\": %llu, \"first_error\": ", (unsigned long long)r->errors,
           (unsigned long long)r->misses, (unsigned long long)r->wrong);
    print_json_string(r->first_error);
    puts("}");
}

static const char usage[] =
    "usage: loadgen --port N [--op get|set | --command \"LPUSH l:{0-999} x\" [--expect :]] [--keys N] [--value-bytes "
    "N] [--connections N] [--pipeline N]\n"
    "               [--seconds S] [--warmup S] [--count N] [--sequential] [--seed N] [--pid PID]\n";

static void set_option(struct options *o, int letter)
{
    switch (letter) {
    case 'p':
        o->port = atoi(optarg);
        break;
    case 'o':
        o->op = strcmp(optarg, "set") == 0 ? OP_SET : OP_GET;
        break;
    case 'C':
        o->op = OP_COMMAND;
        o->command = optarg;
        break;
    case 'e':
        o->expect = optarg;
        break;
    case 'k':
        o->keys = strtoull(optarg, NULL, 10);
        break;
    case 'd':
        o->value_bytes = strtoull(optarg, NULL, 10);
        break;
    case 'c':
        o->connections = (unsigned)atoi(optarg);
        break;
    case 'P':
        o->pipeline = (unsigned)atoi(optarg);
        break;
    case 's':
        o->seconds = atof(optarg);
        break;
    case 'w':
        o->warmup_seconds = atof(optarg);
        break;
    case 'n':
        o->count = strtoull(optarg, NULL, 10);
        break;
    case 'q':
        o->sequential = true;
        break;
    case 'S':
        o->seed = strtoull(optarg, NULL, 10);
        break;
    case 'i':
        o->pid = atoi(optarg);
        break;
    default:
        fputs(usage, stderr);
        exit(2);
    }
}

static struct options parse_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},        {"op", 1, NULL, 'o'},       {"command", 1, NULL, 'C'},
        {"expect", 1, NULL, 'e'},      {"keys", 1, NULL, 'k'},     {"value-bytes", 1, NULL, 'd'},
        {"connections", 1, NULL, 'c'}, {"pipeline", 1, NULL, 'P'}, {"seconds", 1, NULL, 's'},
        {"warmup", 1, NULL, 'w'},      {"count", 1, NULL, 'n'},    {"sequential", 0, NULL, 'q'},
        {"seed", 1, NULL, 'S'},        {"pid", 1, NULL, 'i'},      {NULL, 0, NULL, 0}};
    struct options o = {.connections = 50,
                        .pipeline = 1,
                        .keys = 1000000,
                        .value_bytes = 100,
                        .seconds = 3,
                        .warmup_seconds = 0.5,
                        .seed = 1};
    int letter;
    while ((letter = getopt_long(argc, argv, "", names, NULL)) != -1)
        set_option(&o, letter);
    if (!o.port || !o.connections || !o.pipeline || !o.keys || optind != argc) {
        fputs(usage, stderr);
        exit(2);
    }
    return o;
}

int main(int argc, char **argv)
{
    static struct run run;
    static struct histogram latency;
    uint64_t ops;
    run.opt = parse_options(argc, argv);
    open_all(&run);
    run_load(&run, &ops, &latency);
    close_all(&run);
    print_result(&run, ops, &latency);
    return run.errors || run.wrong ? 1 : 0;
}
