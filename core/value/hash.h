/* Hashes: fields with values, each field perhaps with a deadline at which it expires. In four forms:
 *
 *   - ENC_EMBED: a small ENC_PACK in its entry, as a bare pack (core/ds/bare.h), only to be read.
 *   - ENC_PACK: field, value, ..., in the order in which they came. At most hash-max-listpack-entries fields, none of
 * them and no value longer than hash-max-listpack-value bytes.
 *   - HASH_PACK_EX: field, value, deadline, ...: the same when some field has a deadline. By deadline; those without
 * one (0) are the last.
 *   - HASH_TABLE: a table of fields (core/value/hash_table.c), in hash order.
 *
 * A hash changes to a table when it outgrows its pack, and never back; a pack without deadlines is a plain one again.
 *
 * Nothing here knows the time: `now_ms` is given. A field whose deadline is not later is *stale*: reading takes it for
 * missing, and a write takes its place. It is only removed by what says so (hash_delete, hash_expire), so that a read
 * is never a change. While effects are applied the clock does not exist: HASH_TIMELESS, nothing is stale.
 *
 * Owned like any value. Slices that are given must not lie in the hash that is changed. */
#ifndef VALUE_HASH_H
#define VALUE_HASH_H

#include "core/ds/pack.h"
#include "core/ds/table.h"
#include "core/value/value.h"

struct rng;

#define HASH_TIMELESS INT64_MIN
#define HASH_NO_DEADLINE ((int64_t)-1)
#define HASH_DEADLINE_MAX (((int64_t)1 << 48) - 1) /* Redis's limit; deadlines are from 1 to this */

extern const struct value_class hash_class;

/* What a field is, or was before a change. */
enum hash_was { HASH_MISSING, HASH_STALE, HASH_THERE };

/* --- Reading --- */

/* Whether it is a table: slices of it keep their address until the hash changes. */
bool hash_in_table(const struct value *v);
/* Fields that are not stale. O(1); with deadlines O(log n), in a pack O(stale fields). */
uint64_t hash_length(const struct value *v, int64_t now_ms);
/* True and the field's value, borrowed from the hash or in `scratch`. O(1), in a pack O(n). */
bool hash_get(const struct value *v, struct slice field, int64_t now_ms, char scratch[static PACK_TEXT_MAX],
              struct slice *value);
/* Asks the memory for what a look-up of the field will touch: first with `step` 0 for all fields that are to be looked
 * up, then, when that has arrived, for all of them with 1. */
void hash_prefetch(const struct value *v, struct slice field, int step);
/* *deadline is HASH_NO_DEADLINE if the field has none, or is missing. */
enum hash_was hash_deadline(const struct value *v, struct slice field, int64_t now_ms, int64_t *deadline);
/* The earliest deadline of a field, HASH_NO_DEADLINE if none has one. O(1), in a table O(log n). */
int64_t hash_next_deadline(const struct value *v);

/* All fields that are not stale, each once; the hash must not change meanwhile:
 *     struct hash_iter it;
 *     hash_iter_init(&it, &v, now_ms);
 *     while (hash_iter_next(&it)) ... it.field, it.value ... */
struct hash_iter {
    struct slice field, value; /* of the current one, borrowed until the next step */
    int64_t deadline;
    int64_t now_ms;
    struct slice pack; /* or bare pack; p is NULL: a table */
    uint32_t at, end;  /* what comes next; where nothing does */
    bool bare;
    bool deadlines; /* the pack has them */
    struct table_iter table;
    char texts[2][PACK_TEXT_MAX];
};
void hash_iter_init(struct hash_iter *it, const struct value *v, int64_t now_ms);
bool hash_iter_next(struct hash_iter *it);
/* `it`, which need not be initialised, shows a field that is not stale, each with the same probability. False if there
 * is none. O(1) expected, in a pack O(n), in a table most of whose fields are stale up to O(n). */
bool hash_random(const struct value *v, struct rng *rng, int64_t now_ms, struct hash_iter *it);

/* Visits the fields at `cursor` (0 to begin with) that are not stale, returns the next cursor, 0 at the end: a pack at
 * once, a table a bucket group at a time in hash order (see table_scan). *seen is raised by the fields met, stale ones
 * too. The hash must not change meanwhile. */
typedef void hash_visit(void *arg, struct slice field, struct slice value);
uint64_t hash_scan(const struct value *v, uint64_t cursor, int64_t now_ms, uint64_t *seen, hash_visit *visit,
                   void *arg);

/* --- Changing --- */

enum hash_keep { HASH_CLEAR_DEADLINE, HASH_KEEP_DEADLINE };

/* Creates the field or replaces its value; a stale field has no deadline afterwards in any case. Returns what it was.
 */
enum hash_was hash_set(struct value *v, struct slice field, struct slice value, int64_t now_ms, enum hash_keep keep,
                       const struct value_limits *limits);
/* Removes the field, stale or not. Returns what it was. */
enum hash_was hash_delete(struct value *v, struct slice field, int64_t now_ms);
/* Gives a field that is in the hash, stale or not, a deadline or takes it away (HASH_NO_DEADLINE). */
void hash_set_deadline(struct value *v, struct slice field, int64_t deadline);
/* Removes up to `max` fields that are stale, oldest first; `each` is called before each goes, and ends it by returning
 * false. Returns how many have gone. O(log n) each. */
typedef bool hash_expiring(void *arg, struct slice field);
size_t hash_expire(struct value *v, int64_t now_ms, size_t max, hash_expiring *each, void *arg);

/* Aborts if an invariant is broken (tests, debug builds). O(n). */
void hash_validate(const struct value *v, const struct value_limits *limits);

#endif
