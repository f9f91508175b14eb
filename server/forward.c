#include "server/forward.h"

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/proto/resp_writer.h"
#include "server/script/engine.h"
#include "server/server.h"
#include "server/tracking.h"

static void run_there(struct task *t, void *arg);
static void answer_busy(struct task *t, void *arg);
static void run_back(struct task *t, void *arg);

/* --- at home: filling and posting --- */

static struct sub *open_sub(struct shard *s, const struct client *c, const struct shard *target)
{
    for (struct sub *sub = s->wave->subs; sub != NULL; sub = sub->next)
        if (sub->client == c && sub->target == target)
            return sub;
    return NULL;
}

static void sub_again(struct waiter *w);

static struct sub *new_sub(struct shard *s, struct client *c, struct shard *target)
{
    struct sub *sub = mem_alloc(sizeof(*sub));
    memset(sub, 0, offsetof(struct sub, item));
    sub->client = c;
    sub->home = s;
    sub->target = target;
    sub->waiter.shard = target;
    sub->waiter.again = sub_again;
    sub->db = c->db;
    sub->proto = c->proto;
    sub->no_touch = c->flags & CLIENT_NO_TOUCH;
    sub->gone = c->flags & CLIENT_EOF;
    if (c->in != NULL) {
        rbuf_ref(c->in);
        sub->in = c->in;
    }
    sub->next = s->wave->subs;
    s->wave->subs = sub;
    c->subs++;
    c->sub_mask |= 1ull << target->index;
    return sub;
}

/* Arguments in the wave's array or in the reader's scratch do not outlive the wave; the bytes in `in` and blobs do. */
static void own_args(struct client *c, struct sub_item *item, const struct request *r)
{
    size_t bytes = sizeof(struct slice) * (size_t)r->argc, extra = 0;
    if (c->reader.inline_copy)
        for (int i = 0; i < r->argc; i++)
            extra += r->argv[i].len;
    item->request = *r;
    item->request.client = NULL;
    item->request.consumed = bytes + extra; /* what to free */
    item->request.argv = mem_alloc(bytes + extra);
    memcpy(item->request.argv, r->argv, bytes);
    uint8_t *p = (uint8_t *)item->request.argv + bytes;
    for (int i = 0; extra > 0 && i < r->argc; i++) {
        memcpy(p, r->argv[i].p, r->argv[i].len);
        item->request.argv[i].p = p;
        p += r->argv[i].len;
    }
}

bool forward(struct shard *s, struct request *r, struct shard *target)
{
    struct client *c = r->client;
    struct sub *sub = open_sub(s, c, target);

    if (sub == NULL) {
        if (c->sub_mask & 1ull << target->index)
            return false;
        sub = new_sub(s, c, target);
    }
    if (sub->n == SUB_MAX)
        return false; /* its session is still the client's: what changes that is a barrier */
    struct sub_item *item = &sub->item[sub->n++];
    own_args(c, item, r);
    item->track = c->tracking != NULL && tracking_wanted(c);
    sub->mute = c->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
    sub->blocking = command_may_block(r->cmd, r->argv, r->argc);
    if (sub->blocking)
        c->blocking_sub = sub;
    item->seg = sub->mute || sub->blocking ? NULL : outbox_pending(&c->out);
    if (c->nbigs > 0) {
        sub->bigs =
            mem_realloc(sub->bigs, sizeof(*sub->bigs) * sub->nbigs, sizeof(*sub->bigs) * (sub->nbigs + c->nbigs));
        memcpy(sub->bigs + sub->nbigs, c->bigs, sizeof(*c->bigs) * c->nbigs);
        sub->nbigs += c->nbigs;
        mem_free(c->bigs, sizeof(*c->bigs) * c->nbigs);
        c->bigs = NULL;
        c->nbigs = 0;
    }
    c->publishing |= r->cmd->route == ROUTE_CHANNEL;
    c->last_cmd = r->cmd;
    client_wrote(c);
    return true;
}

void forward_post(struct shard *s)
{
    for (struct sub *sub = s->wave->subs, *next; sub != NULL; sub = next) {
        next = sub->next;
        sub->task.run = run_there;
        sub->task.busy = answer_busy;
        stat_add(&s->stats.forwarded, sub->n);
        shard_post(sub->target, &sub->task);
    }
    s->wave->subs = NULL;
}

/* --- on the target --- */

static void sub_call_init(struct call *call, struct sub *sub, const struct sub_item *item)
{
    call_init(call, sub->target, &item->request);
    call->client = NULL;
    call->origin = sub->client;
    call->db = sub->db;
    call->proto = sub->proto;
    call->no_touch = sub->no_touch;
    call->track = item->track;
    call->out = &sub->out;
    call->bigs = sub->bigs;
    call->nbigs = sub->nbigs;
    call->blocked = sub->blocked;
}

/* The server stops: what has not run does not run any more. */
static void give_up(struct sub *sub)
{
    admit_release(&sub->waiter);
    if (sub->blocked != NULL)
        block_done(&sub->blocked);
    for (; sub->at < sub->n; sub->at++)
        sub->item[sub->at].out_end = sub->out.len;
}

/* One request; false if it waits. */
static bool run_item(struct sub *sub, struct sub_item *item)
{
    struct shard *s = sub->target;
    struct call call;
    sub_call_init(&call, sub, item);
    if (unlikely(block_ended(&call, &sub->blocked)))
        return true;
    enum admit a = admit(&call, &sub->waiter);
    if (a == ADMIT_WAIT)
        return false;
    if (a == ADMIT_RUN) {
        if (unlikely(s->stage.bytes.len > STAGE_MAX))
            shard_append(s, 1ull << s->index);
        call.waited = sub->waiter.fetch_ticks;
        call.waiter = &sub->waiter;
        call_run(&call);
        push_end(s);
        if (unlikely(call.again))
            return false;
    }
    admit_release(&sub->waiter);
    if (unlikely(call.blocks)) {
        block_wait(&call, &sub->blocked, &sub->waiter, sub_again);
        if (!sub->gone)
            return false;
    }
    if (a == ADMIT_REFUSED)
        stat_add(&s->commands[call.cmd->id].rejected, 1);
    if (unlikely(sub->blocked != NULL))
        block_done(&sub->blocked);
    sub->always |= call.always;
    s->gave_always |= call.always;
    return true;
}

/* Runs on from where it is; true when all are done. */
static bool advance(struct sub *sub)
{
    struct shard *s = sub->target;
    if (unlikely(atomic_load_explicit(&s->stop, memory_order_relaxed)))
        give_up(sub);
    timing_start(s);
    uint64_t from = s->tick;
    while (sub->at < sub->n) {
        struct sub_item *item = &sub->item[sub->at];
        bool ran = run_item(sub, item);
        if (ran) {
            item->out_end = sub->out.len;
            sub->at++;
        }
        if (unlikely(block_pending(&s->blocking)))
            block_serve(s);
        if (!ran)
            break;
    }
    stat_add(&s->stats.command_ticks, s->tick - from);
    return sub->at == sub->n;
}

static void done(struct sub *sub) { list_append(&sub->target->subs_done, sub, next); }

static void run_there(struct task *t, void *arg)
{
    struct sub *sub = container_of(t, struct sub, task);
    (void)arg;
    sub_again(&sub->waiter);
}

/* The target is in the middle of a script. */
static void answer_busy(struct task *t, void *arg)
{
    struct sub *sub = container_of(t, struct sub, task);
    (void)arg;
    for (; sub->at < sub->n; sub->at++) {
        resp_error(&sub->out, script_busy_error(sub->target->server));
        sub->item[sub->at].out_end = sub->out.len;
    }
    done(sub);
}

static void sub_again(struct waiter *w)
{
    struct sub *sub = container_of(w, struct sub, waiter);
    if (advance(sub))
        done(sub);
}

void forward_answer(struct shard *s)
{
    for (struct sub *sub = s->subs_done.first, *next; sub != NULL; sub = next) {
        next = sub->next;
        sub->written_lsn = s->lsn;
        sub->durable_lsn = sub->always ? s->always_lsn : 0;
        sub->task.run = sub->task.busy = run_back;
        shard_post(sub->home, &sub->task);
    }
    s->subs_done = (struct list){0};
}

/* --- at home again --- */

static void fill(struct sub *sub)
{
    size_t from = 0;
    for (unsigned i = 0; i < sub->n; i++) {
        struct sub_item *item = &sub->item[i];
        struct out_seg *seg = item->seg;
        if (sub->blocking && !sub->mute && sub->out.len > 0)
            seg = outbox_pending(&sub->client->out);
        if (seg != NULL)
            outbox_fill(&sub->client->out, seg, sub->out.p + from, item->out_end - from, sub->written_lsn,
                        sub->durable_lsn);
        from = item->out_end;
        mem_free(item->request.argv, item->request.consumed);
    }
}

static void sub_free(struct sub *sub)
{
    if (sub->in != NULL)
        rbuf_unref(sub->in);
    for (unsigned i = 0; i < sub->nbigs; i++)
        blob_unref(sub->bigs[i]);
    mem_free(sub->bigs, sizeof(*sub->bigs) * sub->nbigs);
    buf_free(&sub->out);
    mem_free(sub, sizeof(*sub));
}

static void run_back(struct task *t, void *arg)
{
    struct sub *sub = container_of(t, struct sub, task);
    struct client *c = sub->client;
    (void)arg;

    if (sub->telling) {
        sub->back = true;
        return;
    }
    fill(sub);
    if (--c->subs == 0)
        c->publishing = false;
    c->sub_mask &= ~(1ull << sub->target->index);
    if (sub->blocking) {
        c->blocking_sub = NULL;
        if ((c->flags & CLIENT_EOF) && (sub->out.len == 0 || c->in_len == 0))
            client_close(c, true);
    }
    sub_free(sub);
    client_wrote(c);
    if ((c->flags & CLIENT_PARKED) && c->waiter.why == WAIT_BARRIER)
        client_again(c);
}

/* --- blocking --- */

static void run_told(struct task *t, void *arg)
{
    struct sub *sub = container_of(t, struct sub, tell);
    (void)arg;
    sub->telling = false;
    if (sub->back)
        run_back(&sub->task, sub->home);
}

static void run_tell(struct task *t, void *arg)
{
    struct sub *sub = container_of(t, struct sub, tell);
    (void)arg;
    sub->gone = true;
    if (sub->blocked != NULL)
        block_end(sub->blocked, BLOCK_GONE);
    sub->tell.run = run_told;
    shard_post(sub->home, &sub->tell);
}

/* The message is embedded: it goes there and back once, and the request is not done with before it is back. */
void forward_gone(struct client *c)
{
    struct sub *sub = c->blocking_sub;
    if (sub == NULL || sub->telling || sub->tell.run != NULL)
        return;
    sub->telling = true;
    sub->tell.run = run_tell;
    shard_post(sub->target, &sub->tell);
}

struct blocked *client_blocked(const struct client *c)
{
    return c->blocked != NULL || c->blocking_sub == NULL ? c->blocked : c->blocking_sub->blocked;
}
