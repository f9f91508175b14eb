/* A call: one run of a command, and what its implementation may do. Command files include this and reply.h and nothing
 * of clients, shards, log or tier.
 *
 * The run is on one thread; every shard whose keys it may touch is either this one or held. All declared keys have
 * passed admission: values with NEED_VALUE are in RAM, there is memory, the log has room. So nothing here waits or
 * fails.
 *
 * A *place* is a located key: the shard that owns it, its keyspace, and its entry if it exists. The mutators keep
 * entry, expiry index, accounts, dirty queue and watches right; what a command records for log and replicas it says
 * itself with effect(): canonical, deterministic, one key each (I4). A command that changes nothing records nothing. */
#ifndef SERVER_CALL_H
#define SERVER_CALL_H

#include "core/keyspace/keyspace.h"
#include "server/command.h"

struct blocked;
struct shard;
struct client;
struct server;
struct waiter;

#define SHARDS_MAX 64 /* a set of shards is a mask */

/* What a call that found nothing waits for (call_block). */
struct block {
    int64_t timeout_ms; /* 0: for ever */
    int first, n;       /* its keys: the arguments first .. first + n - 1 */
    uint8_t type;       /* it runs again when one of them has changed and is of this type (enum value_type), */
    bool nokey;         /* or whatever it is then, even missing */
    const void *notes;  /* what it wants to be told then, or NULL; copied */
    size_t notes_len;
};

struct call {
    struct server *server;
    struct shard *shard;   /* whose thread runs it */
    struct client *client; /* NULL when forwarded or applied: then only `session` facts below are known */
    /* The client it is for, also where it was forwarded; NULL if applied. On another shard only what commands that are
     * barriers change may be read of it (id, home, name, addresses): those wait until it is answered. */
    struct client *origin;
    const struct command *cmd;
    struct slice *argv;
    int argc;
    uint32_t db;
    int proto;          /* 2 or 3 */
    int64_t now_ms;     /* the turn's wall clock; all keys of a command see one time */
    int64_t *script_us; /* what TIME says in the script that calls it, 0 if it has not asked yet; NULL: in none */
    bool apply;      /* effects are being applied (recovery, replica): the clock does not exist, nothing is recorded */
    bool held;       /* runs under a hold: keys may be on any held shard */
    bool in_exec;    /* inside EXEC */
    bool in_script;  /* a script called it */
    bool no_touch;   /* CLIENT NO-TOUCH */
    bool track;      /* what it reads is remembered for its client (CLIENT TRACKING) */
    bool failed;     /* an error was replied */
    bool again;      /* nothing was done, and its waiter waits: it is run again from the start (scripts) */
    bool always;     /* it touched an `always` database: what it gives out waits for the disk (I3) */
    uint32_t events; /* classes of events that somebody may want; none while effects are applied */
    struct waiter *waiter;    /* who would wait then; NULL: it cannot be run again (inside EXEC) */
    struct buf *out;          /* the reply; write it with reply.h */
    uint64_t first_hash;      /* hash of the first key, if there is one */
    int first_key;            /* its index; 0: not hashed */
    uint64_t changes;         /* keys changed, for rdb_changes_since_last_save */
    uint64_t waited;          /* ticks that it waited for values from flash before it could run */
    struct blob *const *bigs; /* arguments that were received into blobs of their own; borrowed */
    unsigned nbigs;
    bool blocks; /* it waits, for this: */
    struct block block;
    struct blocked *blocked; /* it has blocked before and runs again; NULL: this is its first run */
};

/* --- places --- */

struct place {
    struct shard *owner;
    struct keyspace *ks;
    uint32_t db;
    struct key key;
    struct entry *e;    /* NULL: no such key (an expired one has just been deleted, with its effect) */
    struct value value; /* between place_change and place_changed */
};

/* The key in argument `arg` of the call's database. read: counts a hit or miss and heats; write: heats; peek: neither.
 */
struct place place_read(struct call *c, int arg);
struct place place_write(struct call *c, int arg);
struct place place_peek(struct call *c, int arg);
/* A key of another database or name (borrowed while the place is used); like peek. */
struct place place_in(struct call *c, uint32_t db, struct slice name);
/* The same, but like read. */
struct place place_read_in(struct call *c, uint32_t db, struct slice name);
/* The entry of a key, hot or cold, or NULL if there is none: its value is needed if it has one of these types (bits).
 */
const struct entry *need_value(struct needs *n, struct slice name, unsigned types);
/* The place's value is in RAM afterwards: of a key that admission could not foresee (SORT BY inside a transaction that
 * has changed what it sorts), read on the spot, which is the exception to I2. 0 or a negative errno. */
int place_fetch(struct place *p) must_check;
/* True if the key is missing or of this type; else replies -WRONGTYPE. */
bool place_is(struct call *c, const struct place *p, enum value_type type);
/* The string's bytes ("" if missing); an integer is formatted into scratch. Hot entries only (admission has seen to
 * it). */
struct slice place_string(const struct place *p, char scratch[static 21]);

/* expire_ms: Unix milliseconds, ENTRY_NO_EXPIRY or EXPIRE_KEEP. ENC_EMBED values are copied, others change owner. */
void place_put(struct call *c, struct place *p, const struct value *v, int64_t expire_ms);
/* See keyspace_writable / keyspace_written. The key must exist and be a string. */
struct blob *place_writable(struct call *c, struct place *p, size_t len);
void place_written(struct call *c, struct place *p);
/* The collection of this type at `p`, to be changed in place by the operations of its class; empty if the key is
 * missing. The type has been checked. Until place_changed (or place_unchanged, if nothing was changed) nothing else may
 * be done with keys. */
struct value *place_change(struct call *c, struct place *p, enum value_type type);
/* Stores what has become of it: the key is created, or deleted if the collection is empty now (p->e is NULL then),
 * unless its class lets it be (value_class.may_be_empty). What is recorded for the log has to have the same outcome
 * when it is applied. `event` of a class (EVENT_*, notify.h) tells what has happened, "new" before and "del" after it
 * being told as well; NULL: nothing. */
void place_changed(struct call *c, struct place *p, uint32_t event_class, const char *event);
void place_unchanged(struct call *c, struct place *p);
/* The value of a collection to be read; place_change without the right to change, and for existing keys only. */
static inline struct value place_value(const struct place *p) { return entry_value(p->e); }
/* Takes the value out and deletes the key; the caller owns it. */
struct value place_take(struct call *c, struct place *p);
void place_set_expiry(struct call *c, struct place *p, int64_t expire_ms);
/* p->e becomes NULL. */
void place_delete(struct call *c, struct place *p);
/* The last element of a collection has gone: place_delete, told as `event` and as "del". */
void place_emptied(struct call *c, struct place *p, uint32_t event_class, const char *event);
/* place_delete and place_set_expiry with their effects and events: DEL; PEXPIREAT, or PERSIST for ENTRY_NO_EXPIRY. */
void place_remove(struct call *c, struct place *p);
void place_expire(struct call *c, struct place *p, int64_t expire_ms);

/* Whether an absolute time has passed already, so that setting it deletes the key. Never true while effects are
 * applied. */
static inline bool call_past(const struct call *c, int64_t when_ms) { return !c->apply && when_ms <= c->now_ms; }

/* RESTORE's IDLETIME or FREQ (negative: not given). */
void place_set_temperature(struct call *c, struct place *p, int64_t idle_s, int64_t freq);
const struct temperature *call_temperature(const struct call *c, const struct place *p);

/* An argument as a string value. One that was received into a blob of its own becomes the value without being copied.
 */
struct value call_string(const struct call *c, struct slice arg);

/* --- keyspace notifications (notify.h) --- */

enum event_class {
    EVENT_KEYSPACE = 1 << 0,  /* K: on the key's channel */
    EVENT_KEYEVENT = 1 << 1,  /* E: on the event's channel */
    EVENT_GENERIC = 1 << 2,   /* g */
    EVENT_STRING = 1 << 3,    /* $ */
    EVENT_LIST = 1 << 4,      /* l */
    EVENT_SET = 1 << 5,       /* s */
    EVENT_HASH = 1 << 6,      /* h */
    EVENT_ZSET = 1 << 7,      /* z */
    EVENT_EXPIRED = 1 << 8,   /* x */
    EVENT_EVICTED = 1 << 9,   /* e */
    EVENT_STREAM = 1 << 10,   /* t */
    EVENT_MODULE = 1 << 11,   /* d: for what modules do; there are none */
    EVENT_KEYMISS = 1 << 12,  /* m */
    EVENT_NEW = 1 << 13,      /* n */
    EVENT_DEMOTED = 1 << 14,  /* F: ours */
    EVENT_PROMOTED = 1 << 15, /* R: ours */
};
void key_event_send(struct call *c, uint32_t db, struct slice key, uint32_t event_class, const char *event);
/* Tells that something has happened to the key, after it has, in Redis's words. Costs a test if nobody wants to know.
 */
static inline void key_event(struct call *c, const struct place *p, uint32_t event_class, const char *event)
{
    if (unlikely(c->events & event_class))
        key_event_send(c, p->db, p->key.name, event_class, event);
}

/* For what reads without place_read. */
static inline void key_missed(struct call *c, const struct place *p)
{
    if (p->e == NULL)
        key_event(c, p, EVENT_KEYMISS, "keymiss");
}

/* --- effects --- */

/* Records one effect of this call: a command in canonical form that touches one key of c->db (or none). */
void effect(struct call *c, int argc, const struct slice *argv);
/* The same for another database (MOVE, COPY). */
void effect_in(struct call *c, uint32_t db, int argc, const struct slice *argv);
/* The same for what belongs to the server and to no database (functions): logged if any database is, and as durable as
 * the most durable of them. */
void effect_of_server(struct call *c, int argc, const struct slice *argv);
/* Whether an effect in this database is kept at all: else its arguments need not be made. */
bool effect_matters(const struct call *c, uint32_t db);
/* The command as it was sent is already canonical. */
static inline void effect_verbatim(struct call *c) { effect(c, c->argc, c->argv); }

/* Sends a large value by reference. False if it is small or the output cannot: copy it. */
bool call_reply_blob(struct call *c, struct blob *b);

/* --- blocking (block.h) --- */

/* The call has found nothing, and has replied nothing: it waits, and runs again from the start when there may be
 * something; when its time is up it gets a null array. False: nothing blocks here (EXEC), so reply what stands for
 * nothing. `b` and its notes are borrowed during the call. */
bool call_block(struct call *c, const struct block *b);
/* The notes it left when it blocked first; NULL if it has not yet. */
const void *call_notes(const struct call *c);
/* The argument of the key that made it run again, which comes before the others; 0: none. */
int call_ready_key(const struct call *c);

/* --- databases --- */

uint32_t call_databases(const struct call *c);
unsigned call_shards(const struct call *c);
/* Keys of the call's database on a shard, as that shard published them at the end of its last turn. */
uint64_t call_shard_keys(const struct call *c, unsigned shard);
uint64_t call_random(struct call *c);
const struct value_limits *call_limits(const struct call *c);
bool call_checks_sums(const struct call *c);   /* of payloads: DEBUG SET-SKIP-CHECKSUM-VALIDATION */
int64_t call_max_string(const struct call *c); /* proto-max-bulk-len */
/* hll-sparse-max-bytes. No limit while effects are applied: where it made a string dense, the effects say so. */
size_t call_hll_sparse_max(const struct call *c);
bool call_lazy_flush(const struct call *c); /* lazyfree-lazy-user-flush */
/* Keys in the call's database over all shards this call holds. */
uint64_t call_dbsize(const struct call *c);
/* Shards that this call may touch: all under a hold of all, else one. For KEYS, RANDOMKEY, DBSIZE, FLUSH: ROUTE_ALL. */
unsigned call_keyspaces(const struct call *c, uint32_t db, struct keyspace **out, unsigned max);
/* Replaces the database by a new, empty space (FLUSHDB): the caller records the effect first. `async`: the old content
 * is freed by the background thread. ROUTE_ALL only. */
void call_flush(struct call *c, uint32_t db, bool async);
/* After FLUSHDB and FLUSHALL: clients that track are told. */
void call_flushed(struct call *c);
/* After FLUSHALL, with save points: the RDB file is to be emptied too, as in Redis. */
void call_flushed_all(struct call *c);
/* 0, or -EPERM if one is logged and the other is not. ROUTE_ALL only. */
int call_swap(struct call *c, uint32_t a, uint32_t b);

#endif
