#include "server/dispatch.h"

#include <stdio.h>

#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/block.h"
#include "server/monitor.h"
#include "server/push.h"
#include "server/reply.h"
#include "server/scan.h"
#include "server/script/engine.h"
#include "server/server.h"
#include "server/tracking.h"

/* --- one request --- */

void call_init(struct call *c, struct shard *s, const struct request *r)
{
    c->server = s->server;
    c->shard = s;
    c->client = c->origin = r->client;
    c->cmd = r->cmd;
    c->argv = r->argv;
    c->argc = r->argc;
    c->db = 0;
    c->proto = 2;
    c->now_ms = s->now_ms;
    c->script_us = NULL;
    c->apply = false;
    c->held = false;
    c->in_exec = false;
    c->in_script = false;
    c->no_touch = false;
    c->track = false;
    c->failed = false;
    c->again = false;
    c->waiter = NULL;
    c->always = false;
    c->events = s->server->config->events;
    c->out = NULL;
    c->first_hash = r->hash;
    c->first_key = r->first_key;
    c->changes = 0;
    c->waited = 0;
    c->bigs = NULL;
    c->nbigs = 0;
    c->blocks = false;
    c->blocked = NULL;
}

static void session_init(struct call *c, struct client *client)
{
    c->db = client->db;
    c->bigs = client->bigs;
    c->nbigs = client->nbigs;
    c->proto = client->proto;
    c->no_touch = client->flags & CLIENT_NO_TOUCH;
    c->blocked = client->blocked;
    if (unlikely(client->tracking != NULL))
        c->track = tracking_wanted(client);
    c->out = client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP) ? &client->home->wave->nowhere
                                                                    : outbox_writer(&client->out);
}

/* "ERR unknown command 'x', with args beginning with: 'a' 'b' ", at most 128 bytes of arguments. */
static void unknown_command(struct call *c)
{
    struct buf args = {0};
    for (int i = 1; i < c->argc && args.len < 128; i++)
        buf_printf(&args, "'%.*s' ", (int)min_u64(c->argv[i].len, 128 - args.len), (const char *)c->argv[i].p);
    buf_append_byte(&args, 0);
    reply_errorf(c, "ERR unknown command '%.*s', with args beginning with: %s", (int)min_u64(c->argv[0].len, 128),
                 (const char *)c->argv[0].p, (const char *)args.p);
    buf_free(&args);
}

static bool is_exec(const struct call *c) { return c->cmd->route == ROUTE_EXEC; }

bool call_refused(struct call *c, const struct request *r, bool authenticated)
{
    if (unlikely(r->cmd == NULL))
        r->parent != NULL ? reply_unknown_subcommand(c, r->parent) : unknown_command(c);
    else if (unlikely(!command_arity_ok(r->cmd, r->argc)))
        is_exec(c) ? tx_abort(c, "wrong number of arguments for 'exec' command") : reply_wrong_arity(c);
    else if (unlikely(!authenticated && !(r->cmd->flags & CMD_NO_AUTH)))
        reply_error(c, "NOAUTH Authentication required.");
    else if (unlikely(c->client->flags & CLIENT_MONITOR) &&
             r->cmd->flags & (CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE))
        reply_error(c, "ERR Replica can't interact with the keyspace");
    else
        return false;
    if (r->cmd != NULL)
        stat_add(&c->shard->commands[r->cmd->id].rejected, 1);
    return true;
}

void call_run(struct call *c)
{
    struct shard *s = c->shard;
    bool outer = !c->in_exec && !c->apply;
    uint64_t from = outer ? s->tick : timing_now(&c->server->timing);

    if (outer)
        stage_begin(&s->stage);
    c->cmd->run(c);
    if (unlikely(c->track) && (c->cmd->flags & CMD_READONLY))
        tracking_remember(c);
    if (outer)
        stage_end(&s->stage);
    if (unlikely(c->again)) { /* as if it had not run */
        timing_start(s);
        return;
    }
    if (unlikely(monitor_wanted(c)) && c->blocked == NULL)
        monitor_after(c);
    if (unlikely(c->blocks)) { /* it is counted when it is answered */
        timing_start(s);
        return;
    }
    if (likely(!c->apply) && unlikely(timing_book(c, from, timing_now(&c->server->timing))) && outer)
        shard_update_clock(s);
    if (c->changes && !c->in_exec) { /* EXEC's are those of its commands */
        stat_add(&s->stats.changes, c->changes);
        stat_add(&s->changed, c->changes);
    }
}

static void park(struct client *c, enum wait_why why)
{
    c->flags |= CLIENT_PARKED;
    c->waiter.why = why;
}

static void ask_hold(struct shard *s, struct client *c, uint64_t mask)
{
    park(c, WAIT_HOLD);
    if (!(c->flags & CLIENT_IN_HOLD_LIST)) {
        c->flags |= CLIENT_IN_HOLD_LIST;
        list_append(&s->hold_waiting, c, hold_next);
    }
    hold_ask(s->server, s, mask | 1ull << s->index);
}

/* CLIENT REPLY SKIP is about the command after it. */
static void next_reply_mode(struct client *c)
{
    bool next = c->flags & CLIENT_REPLY_SKIP_NEXT;
    if (likely(!(c->flags & (CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT))))
        return;
    c->flags &= ~(uint32_t)(CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
    c->flags |= next ? CLIENT_REPLY_SKIP : 0;
}

static void finish(struct client *c, struct call *call)
{
    admit_release(&c->waiter);
    if (call->always)
        c->always_dep = call->shard->gave_always = true;
    if (unlikely(c->tracking != NULL))
        tracking_ran(c, call->cmd);
    next_reply_mode(c);
    client_wrote(c);
}

static void waiter_runs(struct waiter *w) { dispatch_again((struct client *)w); }

/* It found nothing and waits for its keys; not for a peer who is gone. */
static enum ran block(struct client *c, struct call *call)
{
    admit_release(&c->waiter);
    block_wait(call, &c->blocked, &c->waiter, waiter_runs);
    if (c->flags & CLIENT_EOF) {
        block_done(&c->blocked);
        client_close(c, true);
        return RAN_DONE;
    }
    c->flags |= CLIENT_PARKED;
    return RAN_PARKED;
}

/* What it made ready is served before anything else runs; after a hold by those who lent their data. */
static void serve_ready(struct shard *s, const struct call *call)
{
    if (unlikely(block_pending(&s->blocking)) && !call->held)
        block_serve(s);
}

/* Runs here and now, all keys being on this shard or held. */
static enum ran run_here(struct shard *s, struct client *c, struct call *call)
{
    push_begin(s, c);
    if (unlikely(block_ended(call, &c->blocked))) {
        finish(c, call);
        push_end(s);
        serve_ready(s, call);
        return RAN_DONE;
    }
    enum admit a = c->tx != NULL && is_exec(call) ? tx_admit(call, &c->waiter) : admit(call, &c->waiter);
    if (unlikely(a == ADMIT_WAIT)) {
        c->flags |= CLIENT_PARKED;
        push_end(s);
        timing_start(s);
        return RAN_PARKED;
    }
    if (a == ADMIT_RUN) {
        if (unlikely(s->stage.bytes.len > STAGE_MAX))
            shard_append(s, call->held ? s->server->holds.held : 1ull << s->index);
        call->waited = c->waiter.fetch_ticks;
        call->waiter = &c->waiter;
        call_run(call);
        if (unlikely(call->again)) {
            c->flags |= CLIENT_PARKED;
            push_end(s);
            return RAN_PARKED;
        }
        if (unlikely(call->blocks)) {
            enum ran ran = block(c, call);
            push_end(s);
            serve_ready(s, call);
            return ran;
        }
    } else {
        stat_add(&s->commands[call->cmd->id].rejected, 1);
    }
    if (unlikely(c->blocked != NULL))
        block_done(&c->blocked);
    finish(c, call);
    push_end(s);
    serve_ready(s, call);
    return RAN_DONE;
}

static uint64_t call_owners(struct server *server, const struct command *cmd, const struct slice *argv, int argc)
{
    struct key_refs refs;
    uint64_t mask = 0;
    command_key_refs(cmd, argv, argc, &refs);
    for (int i = 0; i < refs.n; i++)
        mask |= 1ull << shard_of(server, argv[refs.at[i].arg])->index;
    key_refs_free(&refs);
    return mask;
}

static uint64_t scan_owner(struct server *server, const struct slice *argv, int argc)
{
    uint64_t cursor;
    if (argc < 2 || !scan_cursor_parse(argv[1], &cursor))
        return 0;
    return 1ull << scan_cursor_shard(cursor, server->nshards);
}

static bool one_bit(uint64_t mask) { return (mask & (mask - 1)) == 0; }

/* What belongs to every shard is published on any, but changed under a hold of all. */
static uint64_t channel_owners(struct server *server, const struct command *cmd, const struct slice *argv, int argc)
{
    enum channel_kind kind = cmd->channels;
    uint64_t mask = argc == 1 ? server_all_shards(server) : 0;
    if (cmd->route == ROUTE_CHANNEL)
        return one_bit(pubsub_owners(server, kind, argv[1])) ? pubsub_owners(server, kind, argv[1]) : 0;
    for (int i = 1; i < argc; i++)
        mask |= pubsub_owners(server, kind, argv[i]);
    return mask;
}

uint64_t request_owners(struct server *server, const struct command *cmd, const struct slice *argv, int argc)
{
    uint8_t route = cmd->route_of ? (uint8_t)cmd->route_of(server, argv, argc) : cmd->route;
    switch (route) {
    case ROUTE_ALL:
        return server_all_shards(server);
    case ROUTE_ANY:
        return scan_owner(server, argv, argc);
    case ROUTE_KEYS:
        return call_owners(server, cmd, argv, argc);
    case ROUTE_CHANNEL:
    case ROUTE_SUBSCRIBE:
        return channel_owners(server, cmd, argv, argc);
    default:
        return 0;
    }
}

/* The shards this call needs; 0: any, so here. */
static uint64_t wanted_shards(struct call *c)
{
    if (is_exec(c))
        return c->client->tx ? tx_owners(c->client) : 0;
    return request_owners(c->server, c->cmd, c->argv, c->argc);
}

/* Not overtaken and not overtaking, even where plain commands of one client may overlap. */
static bool keeps_its_place(const struct command *cmd)
{
    return cmd->route == ROUTE_HOME || cmd->route == ROUTE_CHANNEL || cmd->route == ROUTE_SUBSCRIBE;
}

static bool may_be_forwarded(const struct call *c)
{
    return !is_exec(c) && c->cmd->route != ROUTE_SUBSCRIBE && !(c->cmd->flags & CMD_NOT_QUEUED);
}

/* What commands before this one have caused is on its way before this one is. */
static void post_pushes(struct shard *s)
{
    shard_append(s, 1ull << s->index);
    push_post(s);
}

/* With several shards: inline, forward or hold. */
static enum ran route(struct shard *s, struct client *c, struct request *r, struct call *call)
{
    uint64_t mask = wanted_shards(call);
    uint64_t home = 1ull << s->index;
    bool blocking = command_may_block(call->cmd, call->argv, call->argc);
    bool strict = s->server->config->pipeline_order_strict || c->publishing || keeps_its_place(call->cmd) || blocking;

    if (mask == 0 || mask == home) {
        if (c->subs > 0 && strict)
            goto barrier;
        return run_here(s, c, call);
    }
    if (one_bit(mask) && may_be_forwarded(call)) {
        if (unlikely(push_unposted(&s->pushes, strict)))
            post_pushes(s);
        if (!(c->subs > 0 && (blocking || (strict && (c->sub_mask & ~mask)))) &&
            forward(s, r, s->server->shards[__builtin_ctzll(mask)])) {
            if (unlikely(c->tracking != NULL))
                tracking_ran(c, r->cmd);
            next_reply_mode(c);
            if (blocking)
                park(c, WAIT_BARRIER);
            return RAN_DONE;
        }
        goto barrier;
    }
    if (c->subs > 0)
        goto barrier;
    ask_hold(s, c, mask);
    return RAN_PARKED;
barrier:
    forward_post(s);
    park(c, WAIT_BARRIER);
    return RAN_PARKED;
}

/* Under a hold: it may have been granted for less than this command needs (it came while the hold was on its way). */
static enum ran route_held(struct shard *s, struct client *c, struct call *call)
{
    uint64_t mask = wanted_shards(call);
    if ((mask & ~s->server->holds.held) == 0) {
        call->held = true;
        return run_here(s, c, call);
    }
    ask_hold(s, c, mask);
    return RAN_PARKED;
}

/* In RESP2 a subscriber could not tell replies from messages. */
static bool refused_to_subscriber(struct call *c)
{
    char why[160];
    if (c->cmd->flags & CMD_FOR_SUBSCRIBERS)
        return false;
    snprintf(why, sizeof(why),
             "Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
             "context",
             c->cmd->full_name);
    is_exec(c) ? tx_abort(c, why) : reply_errorf(c, "ERR %s", why);
    stat_add(&c->shard->commands[c->cmd->id].rejected, 1);
    return true;
}

/* What a browser sends that a page has made talk to us: no command may follow, in the lines of its body. */
static bool turned_away(struct shard *s, const struct request *r)
{
    if (likely(r->cmd != NULL) || !(slice_is(r->argv[0], "post") || slice_is(r->argv[0], "host:")))
        return false;
    if (s->now_us >= s->next_http_line_us) {
        s->next_http_line_us = s->now_us + 60 * 1000000ull;
        logger_line(s->server->logger, LOG_WARNING,
                    "%s speaks HTTP: somebody may be attacking through a browser. The connection is closed.",
                    r->client->peer);
    }
    client_close(r->client, true);
    return true;
}

enum ran request_run(struct shard *s, struct request *r, bool held)
{
    struct client *c = r->client;
    struct call call;

    if (unlikely(r->argc == 0)) {
        if (r->error != NULL) {
            resp_errorf(outbox_writer(&c->out), "ERR %s", r->error);
            timing_error(s, SLICE_LIT("ERR"));
            client_wrote(c);
            client_close(c, true);
        }
        return RAN_DONE;
    }
    if (turned_away(s, r))
        return RAN_DONE;
    call_init(&call, s, r);
    session_init(&call, c);
    c->last_cmd = r->cmd != NULL ? r->cmd : c->last_cmd;
    if (unlikely(call_refused(&call, r, c->flags & CLIENT_AUTHENTICATED))) {
        if (tx_queueing(c) && !(r->cmd != NULL && is_exec(&call)))
            tx_queue(&call, r, true);
        finish(c, &call);
        return RAN_DONE;
    }
    if (unlikely(c->flags & CLIENT_SUBSCRIBER) && c->proto == 2 && refused_to_subscriber(&call)) {
        if (tx_queueing(c) && !is_exec(&call))
            tx_queue(&call, r, true);
        finish(c, &call);
        return RAN_DONE;
    }
    if (unlikely(tx_queueing(c)) && !(r->cmd->flags & CMD_NOT_QUEUED)) {
        tx_queue(&call, r, false);
        finish(c, &call);
        return RAN_DONE;
    }
    if (s->server->nshards == 1)
        return run_here(s, c, &call);
    return held ? route_held(s, c, &call) : route(s, c, r, &call);
}

/* --- in the middle of a script --- */

static bool may_run_busy(const struct call *call, bool lender)
{
    const struct command *cmd = call->cmd;
    uint8_t route = cmd->route_of ? (uint8_t)cmd->route_of(call->server, call->argv, call->argc) : cmd->route;
    bool session = (cmd->acl & ACL_CONNECTION) && (cmd->flags & CMD_FAST); /* PING, ECHO, SELECT ... */
    return route == ROUTE_HOME && ((cmd->flags & CMD_ALLOW_BUSY) || (lender && session));
}

static void busy_error(struct call *call)
{
    const char *text = script_busy_error(call->server);
    if (is_exec(call))
        tx_abort(call, text);
    else
        reply_error(call, text);
}

/* A command whose keys are all on one other shard goes there as ever. */
static bool forward_busy(struct shard *s, struct request *r, struct call *call)
{
    if (s->server->nshards == 1 || tx_queueing(call->client) || is_exec(call) || (call->cmd->flags & CMD_NOT_QUEUED))
        return false;
    uint64_t mask = wanted_shards(call);
    if (mask == 0 || mask == 1ull << s->index || !one_bit(mask) ||
        (call->client->subs > 0 && s->server->config->pipeline_order_strict && (call->client->sub_mask & ~mask)) ||
        !forward(s, r, s->server->shards[__builtin_ctzll(mask)]))
        return false;
    next_reply_mode(call->client);
    return true;
}

/* As request_run. What runs here has no effects, so the script's group is not disturbed. */
void request_run_busy(struct request *r, bool lender)
{
    struct client *c = r->client;
    struct call call;
    call_init(&call, c->home, r);
    session_init(&call, c);
    call.in_exec = true;
    bool refused = call_refused(&call, r, c->flags & CLIENT_AUTHENTICATED);
    bool runs = !refused && may_run_busy(&call, lender);
    if (!refused && !runs && forward_busy(c->home, r, &call))
        return;
    if (!refused && !runs)
        busy_error(&call);
    if (tx_queueing(c) && !runs && !(r->cmd != NULL && is_exec(&call)))
        tx_queue(&call, r, true);
    else if (runs && tx_queueing(c) && !(r->cmd->flags & CMD_NOT_QUEUED))
        tx_queue(&call, r, false);
    else if (runs)
        call_run(&call);
    finish(c, &call);
}

/* --- a client that is gone --- */

void dispatch_gone(struct client *c)
{
    if (c->blocked == NULL)
        return;
    if (block_is_local(c->blocked))
        block_done(&c->blocked);
    else
        ask_hold(c->home, c, c->blocked->owners);
}

void dispatch_gone_held(struct shard *home, struct client *c)
{
    if (c->blocked == NULL)
        return;
    if ((c->blocked->owners & ~home->server->holds.held) == 0)
        block_done(&c->blocked);
    else
        ask_hold(home, c, c->blocked->owners);
}
