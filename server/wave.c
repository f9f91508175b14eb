/* Waves: the requests of all ready clients are parsed ahead and prefetched, then run one by one (dispatch.c). */
#include "server/dispatch.h"

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/ds/pack.h"
#include "server/block.h"
#include "server/server.h"

struct wave *wave_new(unsigned max)
{
    struct wave *w = mem_zalloc(sizeof(*w));
    w->max = max;
    return w;
}

void wave_free(struct wave *w)
{
    if (w == NULL)
        return;
    buf_free(&w->nowhere);
    mem_free(w, sizeof(*w));
}

/* --- parsing ahead --- */

static struct slice *take_args(struct wave *w, struct request *r, int argc)
{
    if (w->nargs + (size_t)argc <= WAVE_ARGS) {
        struct slice *args = w->args + w->nargs;
        w->nargs += (size_t)argc;
        r->own_argv = false;
        return args;
    }
    r->own_argv = true;
    return mem_alloc(sizeof(struct slice) * (size_t)argc);
}

static void find_first_key(struct shard *s, struct request *r)
{
    const struct key_spec *k = &r->cmd->keys[0];
    int first = k->first + k->counted;
    r->first_key = 0;
    if (k->first <= 0 || first >= r->argc)
        return;
    r->first_key = first;
    r->hash = hash_key(r->argv[first], s->server->hash_seed);
    table_prefetch_bucket(s->spaces[r->client->db]->entries, r->hash);
}

/* Clients send the same few commands again and again, spelled the same way. */
static const struct command *find_command(struct wave *w, struct request *r)
{
    struct slice name = r->argv[0];
    r->parent = NULL;
    if (likely(name.len == w->last_len && memcmp(name.p, w->last_name, name.len) == 0))
        return w->last;
    const struct command *cmd = command_find(r->argv, r->argc, &r->parent);
    if (cmd != NULL && cmd->parent == NULL && cmd->subcommands == NULL && name.len <= sizeof(w->last_name)) {
        w->last = cmd;
        w->last_len = name.len;
        memcpy(w->last_name, name.p, name.len);
    }
    return cmd;
}

static void fill_request(struct shard *s, struct request *r, const uint8_t *base, size_t consumed)
{
    struct client *c = r->client;
    struct resp_reader *reader = &c->reader;

    r->argc = (int)reader->argc;
    r->argv = take_args(s->wave, r, r->argc);
    for (int i = 0; i < r->argc; i++) {
        const struct resp_arg *a = &reader->args[i];
        r->argv[i] = slice_of(a->ext ? a->ext : base + a->off, a->len);
    }
    r->consumed = consumed;
    r->error = NULL;
    r->first_key = 0;
    r->cmd = find_command(s->wave, r);
    if (r->cmd != NULL)
        find_first_key(s, r);
}

static struct resp_limits limits_of(const struct client *c)
{
    const struct config *cfg = c->home->server->config;
    bool in = c->flags & CLIENT_AUTHENTICATED;
    return (struct resp_limits){
        .max_bulk = cfg->proto_max_bulk_len,
        .max_inline = 64 * KIB,
        .max_args = in ? 1024 * 1024 : 10,
        .max_bulk_unauth = in ? cfg->proto_max_bulk_len : 16384,
        .big_arg = 64 * KIB,
    };
}

/* The rest of a big argument is received straight into its blob. */
static void begin_big(struct client *c)
{
    struct resp_reader *r = &c->reader;
    size_t have = c->in_len - r->big_off;
    c->big = blob_new(r->big_len);
    memcpy(c->big->data, c->in->data + c->in_off + r->big_off, have);
    c->big->len = have;
    c->in_len = r->big_off;
    conn_set_target(c->conn, c->big->data + have, r->big_len + 2 - have);
}

/* Adds this client's complete requests to the wave. */
static void parse_client(struct shard *s, struct client *c)
{
    struct wave *w = s->wave;
    struct resp_limits limits = limits_of(c);
    size_t ahead = 0;

    if (c->complete > 0) {
        w->req[w->n].client = c;
        fill_request(s, &w->req[w->n++], c->in->data + c->in_off, c->complete);
        return;
    }
    if (c->reader.pos == 0)
        resp_reader_reset(&c->reader);
    while (w->n < w->max && ahead < c->in_len) {
        const uint8_t *base = c->in->data + c->in_off + ahead;
        struct request *r = &w->req[w->n];
        size_t consumed = 0;
        enum resp_status st = resp_read(&c->reader, &limits, base, c->in_len - ahead, &consumed);
        if (st == RESP_MORE || (st == RESP_BIG && (c->flags & CLIENT_EOF))) {
            if (ahead == 0 && (c->flags & CLIENT_EOF))
                client_close(c, true); /* the rest of this request will never come */
            return;
        }
        if (st == RESP_BIG) {
            if (ahead == 0)
                begin_big(c);
            else
                resp_reader_reset(&c->reader);
            return;
        }
        r->client = c;
        w->n++;
        if (st == RESP_BAD) {
            *r = (struct request){.client = c, .error = c->reader.error};
            return;
        }
        ahead += consumed;
        if (st == RESP_EMPTY) {
            *r = (struct request){.client = c, .consumed = consumed};
            resp_reader_reset(&c->reader);
            continue;
        }
        if (c->reader.inline_copy || c->nbigs > 0) {
            /* Its arguments live in the reader and in blobs: it is not parsed twice, once those before it are gone. */
            if (ahead == consumed) {
                fill_request(s, r, base, consumed);
                c->complete = consumed;
            } else {
                resp_reader_reset(&c->reader);
                w->n--;
            }
            return;
        }
        fill_request(s, r, base, consumed);
        resp_reader_reset(&c->reader);
    }
}

/* --- waves --- */

static void release_wave(struct wave *w)
{
    for (unsigned i = 0; i < w->n; i++)
        if (w->req[i].own_argv)
            mem_free(w->req[i].argv, sizeof(struct slice) * (size_t)w->req[i].argc);
    buf_reset(&w->nowhere, 64 * KIB);
    w->n = 0;
    w->nargs = 0;
}

/* --- memory latency --- */

#define LINE 64
#define VALUE_AHEAD 512 /* bytes of a value that are asked for */

/* Asks for the lines of [p, p + len) behind the first one, which has been. */
static void prefetch_rest(const void *p, size_t len)
{
    uintptr_t from = (uintptr_t)p, end = from + min_u64(len, VALUE_AHEAD);
    for (uintptr_t line = (from & ~(uintptr_t)(LINE - 1)) + LINE; line < end; line += LINE)
        __builtin_prefetch((const void *)line);
}

/* The entry has arrived. True if its value stands in a block of its own, which is asked for. */
static bool prefetch_entry(const struct entry *e)
{
    prefetch_rest(e, entry_bytes(e));
    if (e->encoding <= ENC_EMBED)
        return false;
    __builtin_prefetch((const void *)(uintptr_t)entry_word(e));
    return true;
}

/* That block has. True if there is more to be asked for, which only the command knows. */
static bool prefetch_value(const struct entry *e, const struct request *r)
{
    struct value v = entry_value(e);
    if (v.encoding == ENC_PACK)
        prefetch_rest(v.ptr, pack_bytes(v.ptr));
    else if (v.type == VALUE_STRING)
        prefetch_rest(v.blob, sizeof(*v.blob) + v.blob->len);
    else if (r->cmd->prefetch != NULL)
        r->cmd->prefetch(&v, r->argv, r->argc, 0);
    return v.encoding >= ENC_FIRST_OF_CLASS && r->cmd->prefetch != NULL;
}

static void prefetch_inside(const struct entry *e, const struct request *r)
{
    struct value v = entry_value(e);
    r->cmd->prefetch(&v, r->argv, r->argc, 1);
}

/* In each step all requests ask for what they will need next, so the answers overlap. An entry may be another one than
 * is looked for: then nothing is won. */
static void prefetch_wave(struct shard *s, struct wave *w)
{
    const struct entry *entry[WAVE_MAX];
    uint64_t found = 0, beside = 0, inside = 0;
    for (unsigned i = 0; i < w->n; i++)
        if (w->req[i].first_key &&
            (entry[i] = table_prefetch_item(s->spaces[w->req[i].client->db]->entries, w->req[i].hash)) != NULL)
            found |= 1ull << i;
    for (; found != 0; found &= found - 1)
        if (prefetch_entry(entry[__builtin_ctzll(found)]))
            beside |= found & -found;
    for (; beside != 0; beside &= beside - 1)
        if (prefetch_value(entry[__builtin_ctzll(beside)], &w->req[__builtin_ctzll(beside)]))
            inside |= beside & -beside;
    for (; inside != 0; inside &= inside - 1)
        prefetch_inside(entry[__builtin_ctzll(inside)], &w->req[__builtin_ctzll(inside)]);
}

static void run_wave(struct shard *s)
{
    struct wave *w = s->wave;

    if (w->n > 1)
        prefetch_wave(s, w);
    timing_start(s);
    uint64_t from = s->tick;
    for (w->at = 0; w->at < w->n; w->at++) {
        struct request *r = &w->req[w->at];
        struct client *c = r->client;
        if (!(c->flags & (CLIENT_PARKED | CLIENT_CLOSING | CLIENT_CLOSE_AFTER_REPLY)) &&
            request_run(s, r, false) == RAN_DONE)
            client_consume(c, r->consumed);
        else if (c->reader.pos != 0 && c->big == NULL && c->complete == 0)
            c->reader.pos = 0; /* what was parsed ahead is parsed again */
        if (c->in_len > 0 && c->reader.pos == 0 && !(c->flags & CLIENT_PARKED))
            client_ready(c); /* the wave was full, or parsing stopped on purpose */
    }
    stat_add(&s->stats.command_ticks, s->tick - from);
    forward_post(s);
    release_wave(w);
}

static bool can_parse(const struct client *c)
{
    return !(c->flags & (CLIENT_PARKED | CLIENT_CLOSING | CLIENT_CLOSE_AFTER_REPLY)) && c->in_len > 0 && c->big == NULL;
}

static struct client *next_ready(struct shard *s)
{
    struct client *c = s->ready_now.first;
    if (c != NULL) {
        s->ready_now.first = c->ready_next;
        c->flags &= ~(uint32_t)CLIENT_READY;
    }
    return c;
}

static void take_ready(struct shard *s)
{
    s->ready_now = s->ready;
    s->ready = (struct list){0};
}

/* False: nobody is left who was ready. */
static bool fill_wave(struct shard *s)
{
    struct wave *w = s->wave;
    struct client *c;
    while (w->n < WAVE_MAX && (c = next_ready(s)) != NULL)
        if (c != s->runner && can_parse(c))
            parse_client(s, c);
    return w->n > 0;
}

/* One pass: every client that is ready now gets its turn; who has more is ready again, for the next turn. */
void dispatch_ready(struct shard *s)
{
    take_ready(s);
    while (fill_wave(s))
        run_wave(s);
}

/* --- in the middle of a script --- */

/* The bytes are still there, and are parsed again. */
void wave_cut(struct shard *s)
{
    struct wave *w = s->wave;
    for (unsigned i = w->at + 1; i < w->n; i++) {
        struct request *r = &w->req[i];
        struct client *c = r->client;
        if (r->own_argv)
            mem_free(r->argv, sizeof(struct slice) * (size_t)r->argc);
        if (c->big == NULL && c->complete == 0)
            c->reader.pos = 0;
        if (c != s->runner)
            client_ready(c);
    }
    w->n = min_u64(w->n, w->at + 1);
    for (struct client *c; (c = next_ready(s)) != NULL;)
        client_ready(c);
}

static void busy_wave(struct shard *s, bool lender)
{
    struct wave *w = s->wave;
    for (w->at = 0; w->at < w->n; w->at++) {
        struct request *r = &w->req[w->at];
        struct client *c = r->client;
        if (c->flags & (CLIENT_PARKED | CLIENT_CLOSING | CLIENT_CLOSE_AFTER_REPLY))
            continue;
        if (r->argc == 0)
            request_run(s, r, false);
        else
            request_run_busy(r, lender);
        client_consume(c, r->consumed);
        if (c->in_len > 0 && c->reader.pos == 0)
            client_ready(c);
    }
    forward_post(s);
    release_wave(w);
}

void dispatch_busy(struct shard *s, bool lender)
{
    take_ready(s);
    while (fill_wave(s))
        busy_wave(s, lender);
}

/* --- one request, again --- */

/* The first request of a client, and no more: the next ones find their own way. */
static void run_first(struct shard *s, struct client *c, bool held)
{
    struct wave *outer = s->wave;
    if (s->wave_again == NULL)
        s->wave_again = wave_new(1);
    struct wave *w = s->wave_again;
    if (c->big == NULL && c->complete == 0)
        c->reader.pos = 0; /* what was parsed ahead is parsed again */
    s->wave = w;
    parse_client(s, c);
    timing_start(s);
    if (w->n > 0 && request_run(s, &w->req[0], held) == RAN_DONE)
        client_consume(c, w->req[0].consumed);
    release_wave(w);
    s->wave = outer;
    if (!(c->flags & CLIENT_PARKED))
        client_again(c);
}

void dispatch_again(struct client *c)
{
    c->flags &= ~(uint32_t)CLIENT_PARKED;
    if (can_parse(c))
        run_first(c->home, c, false);
}

/* What one of them has made ready is served before the next one runs: the rest asks again. */
void dispatch_held(struct shard *home)
{
    struct client *c = home->hold_waiting.first;
    home->hold_waiting = (struct list){0};
    for (struct client *next; c != NULL; c = next) {
        next = c->hold_next;
        c->flags &= ~(uint32_t)(CLIENT_IN_HOLD_LIST | CLIENT_PARKED);
        if (unlikely(c->flags & CLIENT_CLOSING))
            dispatch_gone_held(home, c);
        else if (unlikely(block_pending_held(home->server)))
            client_again(c);
        else if (can_parse(c))
            run_first(home, c, true);
    }
}
