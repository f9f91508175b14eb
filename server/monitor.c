#include "server/monitor.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "server/dispatch.h"
#include "server/push.h"

/* --- who listens --- */

void monitor_on(struct client *c)
{
    struct shard *s = c->home;
    if (c->flags & CLIENT_MONITOR)
        return;
    s->monitors = mem_room_for_one(s->monitors, s->nmonitors, &s->monitors_cap, sizeof(*s->monitors), 4);
    s->monitors[s->nmonitors++] = c;
    c->flags |= CLIENT_MONITOR;
    atomic_fetch_or(&s->server->monitor_homes, 1ull << s->index);
}

void monitor_off(struct client *c)
{
    struct shard *s = c->home;
    unsigned i = 0;
    if (!(c->flags & CLIENT_MONITOR))
        return;
    while (s->monitors[i] != c)
        i++;
    s->monitors[i] = s->monitors[--s->nmonitors];
    c->flags &= ~(uint32_t)CLIENT_MONITOR;
    if (s->nmonitors == 0)
        atomic_fetch_and(&s->server->monitor_homes, ~(1ull << s->index));
}

/* --- lines --- */

/* Whoever gets one may be cut for it, which takes it out of the list. */
static void deliver_here(struct shard *s, const struct push *m)
{
    for (unsigned i = s->nmonitors; i-- > 0;)
        if (i < s->nmonitors)
            push_here(s->monitors[i], m);
}

static void deliver(struct shard *home, const struct push_item *item) { deliver_here(home, &item->message); }

static void append_peer(struct buf *b, const struct call *c)
{
    if (c->in_script)
        buf_append_str(b, "lua");
    else if (c->origin == NULL)
        buf_append_str(b, "?:0");
    else if (c->origin->is_unix)
        buf_printf(b, "unix:%s", c->server->config->unixsocket);
    else
        buf_append_str(b, c->origin->peer);
}

static void append_line(struct buf *b, const struct call *c)
{
    int64_t now = clock_wall_us(c->server->clock);
    /* SELECT is shown where it leads. */
    uint32_t db = c->client != NULL && !c->in_script ? c->client->db : c->db;
    buf_printf(b, "+%lld.%06lld [%u ", (long long)(now / 1000000), (long long)(now % 1000000), db);
    append_peer(b, c);
    buf_append_byte(b, ']');
    for (int i = 0; i < c->argc; i++) {
        buf_append_byte(b, ' ');
        buf_append_quoted(b, command_secret(c->cmd, c->argv, c->argc, i) ? SLICE_LIT("(redacted)") : c->argv[i]);
    }
    buf_append(b, "\r\n", 2);
}

static void send(struct shard *s, struct blob *line)
{
    uint64_t homes = atomic_load_explicit(&s->server->monitor_homes, memory_order_relaxed);
    struct push_item item = {.deliver = deliver, .message = {.bytes = line}};
    for (uint64_t m = homes & ~(1ull << s->index); m != 0; m &= m - 1)
        push_elsewhere(s, (unsigned)__builtin_ctzll(m), &item);
    deliver_here(s, &item.message);
    blob_unref(line);
}

/* --- a script's lines, kept until it has completed --- */

static void keep(struct shard *s, struct blob *line) { buf_append(&s->script_lines, &line, sizeof(line)); }

static struct blob *kept(const struct shard *s, size_t i) { return ((struct blob **)s->script_lines.p)[i]; }

static size_t nkept(const struct shard *s) { return s->script_lines.len / sizeof(struct blob *); }

static void send_kept(struct shard *s)
{
    for (size_t i = 0; i < nkept(s); i++)
        send(s, kept(s, i));
    buf_reset(&s->script_lines, 4 * KIB);
}

void monitor_forget(struct call *c)
{
    struct shard *s = call_runner(c);
    for (size_t i = 0; i < nkept(s); i++)
        blob_unref(kept(s, i));
    buf_reset(&s->script_lines, 4 * KIB);
}

/* --- around a run --- */

static struct blob *line_of(const struct call *c)
{
    struct buf line = {0};
    append_line(&line, c);
    struct blob *b = blob_copy(buf_slice(&line), line.len);
    buf_free(&line);
    return b;
}

void monitor_before(struct call *c)
{
    monitor_forget(c); /* who listened to the last one may have gone before its end */
    if (monitor_wanted(c) && !c->apply)
        keep(call_runner(c), line_of(c));
}

void monitor_after(struct call *c)
{
    struct shard *s = call_runner(c);
    bool script = c->cmd->flags & CMD_SKIP_MONITOR;
    if (c->apply || (c->cmd->flags & CMD_ADMIN))
        return;
    s->gave_always |= c->always;
    if (script && nkept(s) > 0)
        send_kept(s);
    else if (nkept(s) > 0)
        keep(s, line_of(c)); /* it is one of them, or was let in while a script took long */
    else
        send(s, line_of(c));
}
