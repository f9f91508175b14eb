#include "server/cmd/hash_fields.h"

#include "core/base/num.h"
#include "server/shard.h"

#define WHEN_MAX (HASH_DEADLINE_MAX >> 2) /* of a command; Redis keeps two bits for itself */

/* --- arguments --- */

bool hash_fields_parse(struct call *c, int at, const char *bad_number, struct hash_fields *f)
{
    int64_t n;
    if (at >= c->argc || !slice_is(c->argv[at], "fields")) {
        reply_error(c, "ERR Mandatory argument FIELDS is missing or not at the right position");
        return false;
    }
    if (at + 1 >= c->argc) {
        reply_wrong_arity(c);
        return false;
    }
    if (!arg_range(c, c->argv[at + 1], 1, INT64_MAX, &n, bad_number))
        return false;
    *f = (struct hash_fields){at + 2, c->argc - at - 2};
    if (n == f->n)
        return true;
    reply_error(c, "ERR The `numfields` parameter must match the number of arguments");
    return false;
}

bool hash_fields_parse_positive(struct call *c, int at, struct hash_fields *f)
{
    return hash_fields_parse(c, at, "ERR Number of fields must be a positive integer", f);
}

bool hash_when(struct call *c, struct slice arg, enum hash_unit unit, bool absolute, int64_t *when)
{
    int64_t base = absolute ? 0 : c->now_ms, scale = unit == HASH_SECONDS ? 1000 : 1;
    int64_t max = c->apply ? HASH_DEADLINE_MAX : WHEN_MAX; /* one that came with RESTORE may be later */
    if (!arg_i64(c, arg, when))
        return false;
    if (*when < 0) {
        reply_error(c, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if (*when > max / scale || *when * scale > max - base) {
        reply_errorf(c, "ERR invalid expire time in '%s' command", c->cmd->full_name);
        return false;
    }
    *when = *when * scale + base;
    return true;
}

bool hash_expiry_option(struct slice word, enum hash_unit *unit, bool *absolute)
{
    *unit = slice_is(word, "px") || slice_is(word, "pxat") ? HASH_MILLISECONDS : HASH_SECONDS;
    *absolute = slice_is(word, "exat") || slice_is(word, "pxat");
    return *absolute || *unit == HASH_MILLISECONDS || slice_is(word, "ex");
}

/* --- effects --- */

void hash_effect_begin(struct hash_effect *e, struct call *c, const char *name)
{
    words_init(&e->words);
    words_add_str(&e->words, name);
    words_add(&e->words, c->argv[1]);
    e->counted = e->n = 0;
}

static void count_fields(struct hash_effect *e)
{
    words_add_str(&e->words, "FIELDS");
    e->counted = e->words.n;
    words_add_str(&e->words, "");
}

void hash_effect_hpexpireat(struct hash_effect *e, struct call *c, int64_t when)
{
    hash_effect_begin(e, c, "HPEXPIREAT");
    words_add_i64(&e->words, when);
    count_fields(e);
}

void hash_effect_add(struct hash_effect *e, struct slice field)
{
    words_add(&e->words, field);
    e->n++;
}

void hash_effect_end(struct hash_effect *e, struct call *c)
{
    char text[NUM_I64_MAX];
    if (e->counted > 0)
        e->words.at[e->counted] = slice_of(text, num_format_i64(text, e->n));
    if (e->n > 0)
        effect(c, e->words.n, e->words.at);
    words_free(&e->words);
}

/* --- changing deadlines --- */

void hash_change_begin(struct hash_change *ch, struct call *c, struct place *p, int64_t when)
{
    *ch = (struct hash_change){.c = c, .p = p, .when = when, .past = when != HASH_NO_DEADLINE && call_past(c, when)};
    ch->v = place_change(c, p, VALUE_HASH);
    if (when == HASH_NO_DEADLINE) {
        hash_effect_begin(&ch->set, c, "HPERSIST");
        count_fields(&ch->set);
    } else {
        hash_effect_hpexpireat(&ch->set, c, when);
    }
    hash_effect_begin(&ch->deleted, c, "HDEL");
}

void hash_change_delete(struct hash_change *ch, struct slice field)
{
    enum hash_was was = hash_delete(ch->v, field, hash_now(ch->c));
    ch->stale += was == HASH_STALE;
    if (was != HASH_MISSING)
        hash_effect_add(&ch->deleted, field);
}

/* Only what is applied can have a deadline of 0, which the hash does not know. */
bool hash_change_field(struct hash_change *ch, struct slice field)
{
    if (ch->past) {
        hash_change_delete(ch, field);
        return false;
    }
    hash_set_deadline(ch->v, field, ch->when == 0 ? 1 : ch->when);
    hash_effect_add(&ch->set, field);
    return true;
}

void hash_change_end(struct hash_change *ch)
{
    const char *event = ch->set.n == 0 ? "hdel" : ch->when == HASH_NO_DEADLINE ? "hpersist" : "hexpire";
    int changed = ch->set.n + ch->deleted.n;
    if (ch->stale > 0)
        stat_add(&ch->p->owner->stats.expired_fields, (uint64_t)ch->stale);
    if (ch->stale > 0 && ch->stale < changed)
        key_event(ch->c, ch->p, EVENT_HASH, "hexpired");
    if (changed > 0)
        place_changed(ch->c, ch->p, EVENT_HASH, ch->stale == changed ? "hexpired" : event);
    else
        place_unchanged(ch->c, ch->p);
    hash_effect_end(&ch->set, ch->c);
    hash_effect_end(&ch->deleted, ch->c);
}

void hash_reply_all(struct call *c, const struct hash_fields *f, int64_t n)
{
    reply_array(c, (size_t)f->n);
    for (int i = 0; i < f->n; i++)
        reply_int(c, n);
}

const struct command_arg hash_fields_block[] = {
    ARG("numfields", "integer"),
    ARG("field", "string", .flags = ARG_MULTIPLE),
    ARG_END,
};
const struct command_arg hash_key_fields_args[] = {
    ARG("key", "key"),
    FIELDS_BLOCK,
    ARG_END,
};
