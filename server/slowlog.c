#include "server/slowlog.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/list.h"
#include "core/base/mem.h"
#include "server/dispatch.h"
#include "server/server.h"

/* --- an entry --- */

struct draft {
    struct slice argv[SLOWLOG_ARGS + 1];
    char text[SLOWLOG_ARGS + 1][SLOWLOG_ARG + 48]; /* of those that are not as they were sent */
    int argc;
};

/* An argument that is not as it was sent: some bytes of it, and a text. */
static void add_text(struct draft *d, struct slice begin, const char *fmt, ...) printf_like(3, 4);
static void add_text(struct draft *d, struct slice begin, const char *fmt, ...)
{
    char *text = d->text[d->argc];
    va_list ap;
    if (begin.len > 0)
        memcpy(text, begin.p, begin.len);
    va_start(ap, fmt);
    int n = vsnprintf(text + begin.len, sizeof(d->text[0]) - begin.len, fmt, ap);
    va_end(ap);
    d->argv[d->argc++] = slice_of(text, begin.len + (size_t)n);
}

static void add_arg(struct draft *d, const struct call *c, int i)
{
    struct slice arg = c->argv[i];
    if (command_secret(c->cmd, c->argv, c->argc, i))
        d->argv[d->argc++] = SLICE_LIT("(redacted)");
    else if (arg.len <= SLOWLOG_ARG)
        d->argv[d->argc++] = arg;
    else
        add_text(d, slice_of(arg.p, SLOWLOG_ARG), "... (%zu more bytes)", arg.len - SLOWLOG_ARG);
}

static void draft(struct draft *d, const struct call *c)
{
    const struct slice nothing = slice_of("", 0);
    int shown = c->argc > SLOWLOG_ARGS ? SLOWLOG_ARGS - 1 : c->argc;
    d->argc = 0;
    for (int i = 0; i < shown; i++)
        add_arg(d, c, i);
    if (shown < c->argc)
        add_text(d, nothing, "... (%d more arguments)", c->argc - shown);
    if (c->waited > 0)
        add_text(d, nothing, "... (waited %llu microseconds for flash)",
                 (unsigned long long)(ticks_ns(&c->server->timing.ticks, c->waited) / 1000));
}

static struct slice put(uint8_t **at, struct slice s)
{
    struct slice copy = slice_of(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.p, s.len);
    *at += s.len;
    return copy;
}

static struct slowlog_entry *new_entry(const struct draft *d, struct slice peer, struct slice name)
{
    size_t bytes = sizeof(struct slowlog_entry) + sizeof(struct slice) * (size_t)d->argc + peer.len + name.len;
    for (int i = 0; i < d->argc; i++)
        bytes += d->argv[i].len;
    struct slowlog_entry *e = mem_alloc(bytes);
    uint8_t *at = (uint8_t *)(e->argv + d->argc);
    e->next = NULL;
    e->bytes = bytes;
    e->peer = put(&at, peer);
    e->name = put(&at, name);
    e->argc = d->argc;
    for (int i = 0; i < d->argc; i++)
        e->argv[i] = put(&at, d->argv[i]);
    return e;
}

/* --- the log of a shard --- */

static void drop_oldest(struct slowlog *log)
{
    struct slowlog_entry *e = log->first;
    fifo_pop(log);
    log->n--;
    mem_free(e, e->bytes);
}

static void append(struct call *c, struct slowlog *log, struct slowlog_entry *e)
{
    e->id = atomic_fetch_add(&c->server->slowlog_next_id, 1);
    fifo_push(log, e);
    log->n++;
    while (log->n > (size_t)c->server->config->slowlog_max_len)
        drop_oldest(log);
}

void slowlog_add(struct call *c, uint64_t took)
{
    struct slowlog *log = &call_runner(c)->slowlog;
    const struct client *client = c->origin;
    struct draft d;
    draft(&d, c);
    struct slowlog_entry *e = new_entry(&d, client ? slice_str(client->peer) : SLICE_LIT("?:0"),
                                        client && client->name ? slice_str(client->name) : slice_of("", 0));
    e->at_s = clock_wall_us(c->server->clock) / 1000000;
    e->duration_us = ticks_ns(&c->server->timing.ticks, took + c->waited) / 1000;
    if (!c->in_script) {
        append(c, log, e);
        return;
    }
    fifo_push(&log->script, e);
}

static struct slowlog_entry *take_script(struct slowlog *log)
{
    struct slowlog_entry *e = log->script.first;
    log->script.first = log->script.last = NULL;
    return e;
}

void slowlog_script_done(struct call *c)
{
    struct slowlog *log = &call_runner(c)->slowlog;
    for (struct slowlog_entry *e = take_script(log), *next; e != NULL; e = next) {
        next = e->next;
        append(c, log, e);
    }
}

void slowlog_script_again(struct call *c)
{
    for (struct slowlog_entry *e = take_script(&call_runner(c)->slowlog), *next; e != NULL; e = next) {
        next = e->next;
        mem_free(e, e->bytes);
    }
}

void slowlog_reset(struct slowlog *log)
{
    while (log->n > 0)
        drop_oldest(log);
}

/* --- all of them --- */

size_t slowlog_length(struct server *server)
{
    size_t n = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        n += server->shards[i]->slowlog.n;
    return min_u64(n, (uint64_t)server->config->slowlog_max_len);
}

static int newest_first(const void *a, const void *b)
{
    const struct slowlog_entry *x = *(struct slowlog_entry *const *)a, *y = *(struct slowlog_entry *const *)b;
    return x->id > y->id ? -1 : x->id < y->id;
}

size_t slowlog_newest(struct server *server, const struct slowlog_entry **out, size_t max)
{
    size_t all = 0, n = 0;
    for (unsigned i = 0; i < server->nshards; i++)
        all += server->shards[i]->slowlog.n;
    const struct slowlog_entry **at = mem_alloc(sizeof(*at) * (all + 1));
    for (unsigned i = 0; i < server->nshards; i++)
        for (struct slowlog_entry *e = server->shards[i]->slowlog.first; e != NULL; e = e->next)
            at[n++] = e;
    if (n > 1)
        qsort(at, n, sizeof(*at), newest_first);
    n = min_u64(n, max);
    memcpy(out, at, sizeof(*at) * n);
    mem_free(at, sizeof(*at) * (all + 1));
    return n;
}
