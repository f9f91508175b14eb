/* CLIENT TRACKING, CACHING, GETREDIR and TRACKINGINFO. */
#include "server/cmd/tracking.h"

#include <stdlib.h>

#include "core/base/num.h"
#include "server/client.h"
#include "server/reply.h"
#include "server/server.h"
#include "server/tracking.h"

/* --- TRACKING --- */

struct options {
    bool bcast, optin, optout, noloop;
    int64_t redirect;
    unsigned redirect_home;
    struct words prefixes; /* borrowed from the arguments */
};

static bool redirect_option(struct call *c, struct options *o, struct slice id)
{
    if (o->redirect != 0) {
        reply_error(c, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (!arg_i64(c, id, &o->redirect))
        return false;
    for (unsigned i = 0; i < c->server->nshards; i++)
        if (client_find(c->server->shards[i], (uint64_t)o->redirect) != NULL) {
            o->redirect_home = i;
            return true;
        }
    reply_error(c, "ERR The client ID you want redirect to does not exist");
    return false;
}

static bool parse(struct call *c, struct options *o)
{
    for (int i = 3; i < c->argc; i++) {
        struct slice word = c->argv[i];
        bool more = i + 1 < c->argc;
        if (slice_is(word, "redirect") && more) {
            if (!redirect_option(c, o, c->argv[++i]))
                return false;
        } else if (slice_is(word, "prefix") && more) {
            words_add(&o->prefixes, c->argv[++i]);
        } else if (slice_is(word, "bcast")) {
            o->bcast = true;
        } else if (slice_is(word, "optin")) {
            o->optin = true;
        } else if (slice_is(word, "optout")) {
            o->optout = true;
        } else if (slice_is(word, "noloop")) {
            o->noloop = true;
        } else {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

/* The error of options that do not fit together, or not to the mode that is on; or NULL. */
static const char *conflict(const struct options *o, const struct tracking_mode *m)
{
    if (o->prefixes.n > 0 && !o->bcast)
        return "ERR PREFIX option requires BCAST mode to be enabled";
    if (m != NULL && m->bcast != o->bcast)
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling "
               "it with a different mode.";
    if (o->bcast && (o->optin || o->optout))
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    if (o->optin && o->optout)
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    if (m != NULL && ((o->optin && m->optout) || (o->optout && m->optin)))
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling "
               "it with a different mode.";
    return NULL;
}

static bool overlap(struct slice a, struct slice b)
{
    size_t len = min_u64(a.len, b.len);
    return slice_eq(slice_of(a.p, len), slice_of(b.p, len));
}

static void reply_overlap(struct call *c, struct slice prefix, const char *what, struct slice other)
{
    reply_errorf(c, "ERR Prefix '%.*s' overlaps with %s '%.*s'. Prefixes for a single client must not overlap.",
                 (int)prefix.len, (const char *)prefix.p, what, (int)other.len, (const char *)other.p);
}

static bool prefixes_apart(struct call *c, const struct words *new, const struct tracking_mode *m)
{
    for (int i = 0; i < new->n; i++) {
        for (int k = 0; m != NULL && k < m->prefixes.n; k++)
            if (overlap(new->at[i], m->prefixes.at[k])) {
                reply_overlap(c, new->at[i], "an existing prefix", m->prefixes.at[k]);
                return false;
            }
        for (int k = i + 1; k < new->n; k++)
            if (overlap(new->at[i], new->at[k])) {
                reply_overlap(c, new->at[i], "another provided prefix", new->at[k]);
                return false;
            }
    }
    return true;
}

static void add_prefix(struct tracking_mode *m, struct slice prefix)
{
    for (int i = 0; i < m->prefixes.n; i++)
        if (slice_eq(m->prefixes.at[i], prefix))
            return;
    words_add_copy(&m->prefixes, prefix);
}

/* Prefixes are added to those that it has. */
static void turn_on(struct call *c, const struct options *o)
{
    struct tracking_mode *m = tracking_on(c->client);
    m->bcast = o->bcast;
    m->optin = o->optin;
    m->optout = o->optout;
    m->noloop = o->noloop;
    m->broken = false;
    m->redirect = (uint64_t)o->redirect;
    m->redirect_home = o->redirect_home;
    if (!o->bcast)
        return;
    if (o->prefixes.n == 0)
        add_prefix(m, slice_of("", 0));
    for (int i = 0; i < o->prefixes.n; i++)
        add_prefix(m, o->prefixes.at[i]);
    tracking_prefixes(c->shard, c->client);
}

static void on(struct call *c, const struct options *o)
{
    const char *error = conflict(o, c->client->tracking);
    if (error != NULL) {
        reply_error(c, error);
    } else if (!o->bcast || prefixes_apart(c, &o->prefixes, c->client->tracking)) {
        turn_on(c, o);
        reply_ok(c);
    }
}

void tracking_run(struct call *c)
{
    struct options o = {0};
    words_init(&o.prefixes);
    if (parse(c, &o)) {
        if (slice_is(c->argv[2], "on")) {
            on(c, &o);
        } else if (slice_is(c->argv[2], "off")) {
            tracking_off(c->client);
            reply_ok(c);
        } else {
            reply_syntax(c);
        }
    }
    words_free(&o.prefixes);
}

enum command_route tracking_route(const struct server *server, const struct slice *argv, int argc)
{
    (void)server;
    for (int i = 3; i < argc; i++)
        if (slice_is(argv[i], "redirect") || slice_is(argv[i], "bcast"))
            return ROUTE_ALL;
    return ROUTE_HOME;
}

/* --- the others --- */

void caching_run(struct call *c)
{
    struct tracking_mode *m = c->client->tracking;
    bool yes = slice_is(c->argv[2], "yes");
    if (m == NULL)
        reply_error(c, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT "
                       "mode enabled");
    else if (!yes && !slice_is(c->argv[2], "no"))
        reply_syntax(c);
    else if (yes && !m->optin)
        reply_error(c, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
    else if (!yes && !m->optout)
        reply_error(c, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
    else {
        m->caching = true;
        reply_ok(c);
    }
}

static int64_t redirection(const struct client *c) { return c->tracking != NULL ? (int64_t)c->tracking->redirect : -1; }

void getredir_run(struct call *c) { reply_int(c, redirection(c->client)); }

static void reply_flags(struct call *c, const struct tracking_mode *m)
{
    const char *flags[8];
    size_t n = 0;
    flags[n++] = m != NULL ? "on" : "off";
    if (m != NULL && m->bcast)
        flags[n++] = "bcast";
    if (m != NULL && m->optin)
        flags[n++] = "optin";
    if (m != NULL && m->optin && m->caching)
        flags[n++] = "caching-yes";
    if (m != NULL && m->optout)
        flags[n++] = "optout";
    if (m != NULL && m->optout && m->caching)
        flags[n++] = "caching-no";
    if (m != NULL && m->noloop)
        flags[n++] = "noloop";
    if (m != NULL && m->broken)
        flags[n++] = "broken_redirect";
    reply_set(c, n);
    for (size_t i = 0; i < n; i++)
        reply_bulk_str(c, flags[i]);
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void reply_prefixes(struct call *c, struct tracking_mode *m)
{
    int n = m != NULL ? m->prefixes.n : 0;
    if (n > 1)
        qsort(m->prefixes.at, (size_t)n, sizeof(*m->prefixes.at), by_bytes);
    reply_array(c, (size_t)n);
    for (int i = 0; i < n; i++)
        reply_bulk(c, m->prefixes.at[i]);
}

void trackinginfo_run(struct call *c)
{
    reply_map(c, 3);
    reply_bulk_str(c, "flags");
    reply_flags(c, c->client->tracking);
    reply_bulk_str(c, "redirect");
    reply_int(c, redirection(c->client));
    reply_bulk_str(c, "prefixes");
    reply_prefixes(c, c->client->tracking);
}

static const struct command_arg yes_no[] = {
    ARG_TOKEN("yes", "YES"),
    ARG_TOKEN("no", "NO"),
    ARG_END,
};
const struct command_arg tracking_args[] = {
    ARG_ONEOF("status", args_on_off),
    ARG("client-id", "integer", .token = "REDIRECT", .flags = ARG_OPTIONAL),
    ARG("prefix", "string", .token = "PREFIX", .flags = ARG_OPTIONAL | ARG_MULTIPLE | ARG_MULTIPLE_TOKEN),
    ARG_TOKEN("bcast", "BCAST", .flags = ARG_OPTIONAL),
    ARG_TOKEN("optin", "OPTIN", .flags = ARG_OPTIONAL),
    ARG_TOKEN("optout", "OPTOUT", .flags = ARG_OPTIONAL),
    ARG_TOKEN("noloop", "NOLOOP", .flags = ARG_OPTIONAL),
    ARG_END,
};
const struct command_arg caching_args[] = {
    ARG_ONEOF("mode", yes_no),
    ARG_END,
};
