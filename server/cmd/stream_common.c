/* What the commands on streams share: arguments, parts of replies, effects. */
#include <inttypes.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/cmd/stream.h"

#define BAD_ID "ERR Invalid stream ID specified as stream command argument"

/* --- arguments --- */

bool arg_stream_id(struct call *c, struct slice s, uint64_t seq, struct stream_id *out)
{
    if (stream_id_parse(s, seq, out))
        return true;
    reply_error(c, BAD_ID);
    return false;
}

struct stream_id *arg_stream_ids(struct call *c, int from, int until)
{
    int n = until - from;
    struct stream_id *ids = mem_alloc(sizeof(*ids) * (size_t)n);
    for (int i = 0; i < n; i++)
        if (!arg_stream_id(c, c->argv[from + i], 0, &ids[i])) {
            stream_ids_free(ids, n);
            return NULL;
        }
    return ids;
}

void stream_ids_free(struct stream_id *ids, int n) { mem_free(ids, sizeof(*ids) * (size_t)n); }

/* *open: the id itself is outside. */
static bool arg_bound(struct call *c, struct slice s, uint64_t seq, struct stream_id *out, bool *open)
{
    *open = s.len > 1 && s.p[0] == '(';
    if (*open)
        return arg_stream_id(c, slice_of(s.p + 1, s.len - 1), seq, out);
    if (s.len == 1 && (s.p[0] == '-' || s.p[0] == '+')) {
        *out = s.p[0] == '-' ? STREAM_ID_MIN : STREAM_ID_MAX;
        return true;
    }
    return arg_stream_id(c, s, seq, out);
}

bool arg_stream_from(struct call *c, struct slice s, struct stream_id *out)
{
    bool open;
    if (!arg_bound(c, s, 0, out, &open))
        return false;
    if (!open || stream_id_next(out))
        return true;
    reply_error(c, "ERR invalid start ID for the interval");
    return false;
}

bool arg_stream_to(struct call *c, struct slice s, struct stream_id *out)
{
    bool open;
    if (!arg_bound(c, s, UINT64_MAX, out, &open))
        return false;
    if (!open || stream_id_prev(out))
        return true;
    reply_error(c, "ERR invalid end ID for the interval");
    return false;
}

bool stream_refs_of(struct slice word, enum stream_refs *refs)
{
    if (slice_is(word, "keepref"))
        *refs = STREAM_KEEPREF;
    else if (slice_is(word, "delref"))
        *refs = STREAM_DELREF;
    else if (slice_is(word, "acked"))
        *refs = STREAM_ACKED;
    else
        return false;
    return true;
}

/* IDS at `at`; *at is behind the list then. */
static bool arg_list(struct call *c, int *at, struct stream_selection *out)
{
    int64_t n;
    if (!arg_range(c, c->argv[*at + 1], 1, INT64_MAX, &n, "ERR Number of IDs must be a positive integer"))
        return false;
    if (n > c->argc - *at - 2) {
        reply_error(c, "ERR The `numids` parameter must match the number of arguments");
        return false;
    }
    out->n = (int)n;
    out->ids = arg_stream_ids(c, *at + 2, *at + 2 + out->n);
    *at += 2 + out->n;
    return out->ids != NULL;
}

bool arg_stream_selection(struct call *c, int at, struct stream_selection *out)
{
    bool refs_given = false;
    *out = (struct stream_selection){.refs = STREAM_KEEPREF};
    while (at < c->argc) {
        if (out->ids == NULL && slice_is(c->argv[at], "ids") && at + 2 < c->argc) {
            if (!arg_list(c, &at, out))
                return false;
        } else if (!refs_given && stream_refs_of(c->argv[at], &out->refs)) {
            refs_given = true;
            at++;
        } else {
            break;
        }
    }
    if (at == c->argc && out->ids != NULL)
        return true;
    if (out->ids != NULL)
        stream_ids_free(out->ids, out->n);
    reply_syntax(c);
    return false;
}

/* --- places --- */

struct stream *read_stream(struct call *c, int arg)
{
    struct place p = place_read(c, arg);
    if (!place_is(c, &p, VALUE_STREAM) || p.e == NULL)
        return NULL;
    struct value v = place_value(&p);
    return stream_of(&v);
}

/* --- replies --- */

void put_stream_id(struct buf *out, struct stream_id id)
{
    char text[STREAM_ID_TEXT];
    resp_bulk(out, slice_of(text, stream_id_format(text, id)));
}

void put_stream_entry(struct buf *out, const struct stream_entry *e)
{
    struct stream_fields f = stream_fields_of(e);
    struct pack_item name, value;
    char scratch[PACK_TEXT_MAX];
    resp_array(out, 2);
    put_stream_id(out, e->id);
    resp_array(out, 2 * (size_t)e->fields);
    while (stream_fields_next(&f, &name, &value)) {
        resp_bulk(out, pack_text(name, scratch));
        resp_bulk(out, pack_text(value, scratch));
    }
}

void reply_no_group(struct call *c, struct slice key, struct slice group)
{
    reply_errorf(c, "NOGROUP No such key '%.*s' or consumer group '%.*s'", (int)key.len, (const char *)key.p,
                 (int)group.len, (const char *)group.p);
}

static void insert_header(struct call *c, size_t at, const struct buf *header)
{
    buf_insert(c->out, at, header->p, header->len);
}

void reply_array_around(struct call *c, size_t at, size_t n)
{
    struct buf header = {0};
    resp_array(&header, n);
    insert_header(c, at, &header);
    buf_free(&header);
}

void reply_map_around(struct call *c, size_t at, size_t n)
{
    struct buf header = {0};
    resp_map(&header, c->proto, n);
    insert_header(c, at, &header);
    buf_free(&header);
}

/* --- effects --- */

void words_add_stream_id(struct words *w, struct stream_id id)
{
    char text[STREAM_ID_TEXT];
    words_add_copy(w, slice_of(text, stream_id_format(text, id)));
}

void claim_effect_end(struct claim_effect *e)
{
    if (!e->any)
        return;
    words_add_str(&e->words, "TIME");
    words_add_i64(&e->words, e->delivered_ms);
    words_add_str(&e->words, "RETRYCOUNT");
    words_add_i64(&e->words, (int64_t)e->deliveries);
    words_add_str(&e->words, "FORCE");
    words_add_str(&e->words, "JUSTID");
    effect(e->c, e->words.n, e->words.at);
    words_free(&e->words);
    e->any = false;
}

void claim_effect_add(struct claim_effect *e, const struct stream_pending *p)
{
    if (e->any && (e->delivered_ms != p->delivered_ms || e->deliveries != p->deliveries))
        claim_effect_end(e);
    if (!e->any) {
        e->any = true;
        e->delivered_ms = p->delivered_ms;
        e->deliveries = p->deliveries;
        words_init(&e->words);
        words_add_str(&e->words, "XCLAIM");
        words_add(&e->words, e->key);
        words_add(&e->words, e->group);
        words_add(&e->words, e->consumer);
        words_add_str(&e->words, "0");
    }
    words_add_stream_id(&e->words, p->id);
}

void effect_consumer_created(struct call *c, struct slice key, struct slice group, struct slice consumer)
{
    struct slice argv[] = {SLICE_LIT("XGROUP"), SLICE_LIT("CREATECONSUMER"), key, group, consumer};
    effect(c, ARRAY_LEN(argv), argv);
}

void effect_group_last(struct call *c, struct slice key, const struct stream_group *g)
{
    char id[STREAM_ID_TEXT], read[NUM_I64_MAX];
    struct slice argv[] = {SLICE_LIT("XGROUP"),
                           SLICE_LIT("SETID"),
                           key,
                           g->name,
                           slice_of(id, stream_id_format(id, g->last)),
                           SLICE_LIT("ENTRIESREAD"),
                           slice_of(read, num_format_i64(read, g->read))};
    effect(c, ARRAY_LEN(argv), argv);
}

void effect_acked(struct call *c, struct slice key, struct slice group, struct stream_id id)
{
    char text[STREAM_ID_TEXT];
    struct slice argv[] = {SLICE_LIT("XACK"), key, group, slice_of(text, stream_id_format(text, id))};
    effect(c, ARRAY_LEN(argv), argv);
}
