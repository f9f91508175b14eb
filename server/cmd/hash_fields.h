/* What the commands about several fields and their deadlines share: arguments, effects, changes.
 *
 * What is recorded is absolute and without conditions: HPEXPIREAT for the fields that got a deadline, HPERSIST for
 * those that lost it, HDEL for those whose deadline is past already, HSET for values. While such an effect is applied
 * there is no clock: then no deadline is past, and no field stale. */
#ifndef SERVER_CMD_HASH_FIELDS_H
#define SERVER_CMD_HASH_FIELDS_H

#include "server/cmd/hash.h"
#include "server/words.h"

/* --- arguments; what returns false has replied with an error --- */

/* The fields are argv[first] and the n - 1 behind it. */
struct hash_fields {
    int first, n;
};
/* FIELDS, their number and the fields, to the end, from argv[at] on. */
bool hash_fields_parse(struct call *c, int at, const char *bad_number, struct hash_fields *f);
bool hash_fields_parse_positive(struct call *c, int at, struct hash_fields *f);

enum hash_unit { HASH_SECONDS, HASH_MILLISECONDS };
/* A time as Unix milliseconds. */
bool hash_when(struct call *c, struct slice arg, enum hash_unit unit, bool absolute, int64_t *when);
/* Whether it is EX, PX, EXAT or PXAT, and what the time behind it means. Does not reply. */
bool hash_expiry_option(struct slice word, enum hash_unit *unit, bool *absolute);

/* The same integer for each field. */
void hash_reply_all(struct call *c, const struct hash_fields *f, int64_t n);

/* --- effects on fields: recorded by hash_effect_end, if there are any --- */

struct hash_effect {
    struct words words;
    int counted; /* where the number of fields stands; 0: nowhere */
    int n;
};
void hash_effect_begin(struct hash_effect *e, struct call *c, const char *name);
void hash_effect_hpexpireat(struct hash_effect *e, struct call *c, int64_t when);
void hash_effect_add(struct hash_effect *e, struct slice field);
void hash_effect_end(struct hash_effect *e, struct call *c);

/* --- changes of deadlines --- */

/* Some fields get a deadline, or lose it; where it is past they are deleted instead. */
struct hash_change {
    struct call *c;
    struct place *p;
    struct value *v;
    int64_t when; /* HASH_NO_DEADLINE: they lose theirs */
    bool past;
    struct hash_effect set, deleted;
    int stale; /* of the deleted: were due already */
};
/* From here to hash_change_end nothing else may be done with keys. */
void hash_change_begin(struct hash_change *ch, struct call *c, struct place *p, int64_t when);
/* The field is in the hash. False if it is gone now. */
bool hash_change_field(struct hash_change *ch, struct slice field);
void hash_change_delete(struct hash_change *ch, struct slice field);
/* Stores the hash and records the effects. */
void hash_change_end(struct hash_change *ch);

extern const struct command_arg hash_fields_block[];    /* numfields field [field ...] */
extern const struct command_arg hash_key_fields_args[]; /* key FIELDS numfields field [field ...] */
#define FIELDS_BLOCK ARG_BLOCK("fields", hash_fields_block, .token = "FIELDS")

#endif
