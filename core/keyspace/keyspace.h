/* A keyspace: one shard's part of one space (what a database number is mapped to). The table of entries, the expiry
 * index, what is dirty, the tombstones, and the accounts. It knows states, not their movement: who fetches, cleans and
 * drops is above (tier/).
 *
 *              put / write                     keyspace_cleaning      keyspace_cleaned
 *   (absent) ---------------> hot dirty ---------------------> hot writing ---------> hot clean
 *      ^  delete                 ^   ^--------- write ------------'  |                  |  |
 *      |                         '---------------- write ------------'------------------'  | keyspace_drop
 *      |                         '-- write (overwrites) -- cold <------------------------ -'
 *      '--- delete: a tomb stays while flash may hold a record      '-- keyspace_install: cold -> hot clean
 *
 * Dirty queue: a FIFO of key hashes in the order in which keys became dirty: oldest first for checkpoints. Hashes, not
 * pointers: an entry may move or die while it is queued. A word taken is looked up again (keyspace_find_dirty), at once
 * or after many have been sorted; until then the entry counts as queued.
 *
 * Owned by one shard (or who holds it). */
#ifndef KEYSPACE_KEYSPACE_H
#define KEYSPACE_KEYSPACE_H

#include "core/base/hash.h"
#include "core/ds/btree.h"
#include "core/ds/queue.h"
#include "core/ds/table.h"
#include "core/keyspace/entry.h"
#include "core/keyspace/temperature.h"
#include "core/value/string.h"

/* A key with its hash (computed once per request). */
struct key {
    struct slice name;
    uint64_t hash;
};

/* A space: (LSN of the effect that made it, database). */
struct space_id {
    uint64_t lsn;
    uint32_t db;
};
static inline bool space_id_eq(struct space_id a, struct space_id b) { return a.lsn == b.lsn && a.db == b.db; }

struct cut;

struct keyspace {
    struct space_id id;
    uint64_t hash_seed;
    bool track;       /* what is dirty is known: the database is logged or tiered */
    bool queue_dirty; /* and queued, for checkpoints: the database is logged */
    struct table *entries;
    struct table *tombs;
    struct btree *expiry;       /* {when ms, key hash} */
    struct btree *inner_expiry; /* the same of entries with ENTRY_INNER: when the first part of the value falls due */
    struct queue dirty;
    uint32_t ticket;  /* last fetch ticket given */
    uint64_t changes; /* moves whenever one of the figures below may have */
    uint64_t bytes;   /* entries, values and tombs, as mem_class counts; see keyspace_memory for all */
    uint64_t keys, cold, expires, dirty_keys; /* counts of live entries */
    uint64_t cold_bytes;                      /* what the cold values would take in RAM */
    uint64_t flash_keys;                      /* entries with a record on flash (incl. being written) */
    uint64_t dirty_bytes; /* entries with ENTRY_DIRTY and their values: cleaning all would write about these */
    uint64_t
        rewritten;  /* what values took when a change in place made them dirty, summed since the owner last took it */
    uint64_t freed; /* bytes in RAM of deleted keys that were on flash, since the owner last took it */
    /* Takes a value that is too much to be freed at once (VALUE_EFFORT_MAX), and frees it elsewhere. NULL: freed here.
     * `bytes` is what it was charged with. */
    void (*discard)(void *arg, const struct value *v, uint64_t bytes);
    void *arg;         /* handed to discard */
    struct cut *cut;   /* a snapshot is being taken of it (cut.h); NULL: none is */
    uint16_t cut_seen; /* ENTRY_CUT or 0: what it is in entries that no snapshot waits for */
};

struct keyspace *keyspace_new(struct space_id id, uint64_t hash_seed);
/* Frees everything; no cut may be under way. Cost: O(keys). Any thread once detached from its shard. */
void keyspace_free(struct keyspace *ks);
static inline struct key key_of(const struct keyspace *ks, struct slice name)
{
    return (struct key){name, hash_key(name, ks->hash_seed)};
}
/* All RAM of this keyspace: entries, values, table, indexes. O(1). */
uint64_t keyspace_memory(const struct keyspace *ks);

/* NULL if there is none (an expired entry is found: the caller decides). */
struct entry *keyspace_find(struct keyspace *ks, struct key key);

#define EXPIRE_KEEP ((int64_t)-2) /* keep what the key has */

/* Creates or replaces the key's value. ENC_EMBED values are copied in; others change owner. Becomes hot, dirty.
 * expire_ms: Unix time, ENTRY_NO_EXPIRY, or EXPIRE_KEEP. Keeps the temperature of a replaced entry. */
struct entry *keyspace_put(struct keyspace *ks, struct key key, const struct value *v, int64_t expire_ms);
/* The same when the look-up has been done: `e` is the key's entry, or NULL if there is none. */
struct entry *keyspace_put_at(struct keyspace *ks, struct entry *e, struct key key, const struct value *v,
                              int64_t expire_ms);
/* A value on probation was read: the first time by whoever it was fetched for, the second time it has passed. */
static inline void keyspace_reread(struct entry *e)
{
    e->flags &= (uint16_t) ~(e->flags & ENTRY_FRESH ? ENTRY_FRESH : ENTRY_PROBATION);
}
/* Replaces the value of `e` (which may be cold), keeping expiry and key. */
struct entry *keyspace_set_value(struct keyspace *ks, struct entry *e, struct key key, const struct value *v);
/* Bytes of a string made writable in place: a blob that only this entry owns, with room for `len` (at least; with head
 * room if it grows), len unchanged. The caller writes and sets blob->len, then calls keyspace_written. Hot entries
 * only. */
struct blob *keyspace_writable(struct keyspace *ks, struct entry **e, struct key key, size_t len);
void keyspace_written(struct keyspace *ks, struct entry *e, struct key key);
/* A collection is changed in place: keyspace_change gives its value as its class's operations take it (an embedded pack
 * is taken out of the entry), keyspace_changed takes back what has become of it – it may have moved, or have another
 * encoding – and accounts for it; with `contents` its contents changed, so it is dirty. Nothing else may happen to the
 * keyspace in between. Hot entries only. Cost beside the operation: O(1), and two copies of a pack that is embedded. */
struct value keyspace_change(struct keyspace *ks, struct entry *e);
struct entry *keyspace_changed(struct keyspace *ks, struct entry *e, struct key key, const struct value *v,
                               bool contents);
/* ENTRY_NO_EXPIRY removes it. Works on cold entries (then only the metadata is dirty). */
struct entry *keyspace_set_expiry(struct keyspace *ks, struct entry *e, struct key key, int64_t expire_ms);
/* Frees the entry; leaves a tomb if flash may hold a record. */
void keyspace_delete(struct keyspace *ks, struct entry *e, struct key key);
/* Takes the entry's value out (the caller owns it; an embedded one is copied) and deletes the key. Not for cold. */
struct value keyspace_take(struct keyspace *ks, struct entry *e, struct key key);

/* The next entry that fell due at or before `now_ms`, or NULL. O(log n). Call again after deleting it. */
struct entry *keyspace_next_expired(struct keyspace *ks, int64_t now_ms);
/* The entry, perhaps a cold one, whose value has a part that fell due at or before `now_ms`: the first one in the order
 * in which they did, or the one `skip` places behind it; NULL if there is none. O(log n). */
struct entry *keyspace_inner_expired(struct keyspace *ks, int64_t now_ms, uint64_t skip);
/* When the next key falls due; INT64_MAX if none. */
int64_t keyspace_next_expiry(struct keyspace *ks);
/* About the mean of all expiry times: of a few keys, evenly spread. 0 if none expires. */
int64_t keyspace_mean_expiry(struct keyspace *ks);

/* --- movement between RAM and flash; called by tier/ --- */

/* A cold entry as read from a meta record at start. */
struct entry *keyspace_load_cold(struct keyspace *ks, struct key key, uint8_t type, uint64_t ram_bytes,
                                 struct entry_times times, uint32_t temperature);
/* An absent record found at start: a dirty tomb, so that the next checkpoint writes it again and then forgets it. */
void keyspace_load_tomb(struct keyspace *ks, struct key key);
/* Begins a fetch: a new ticket (never 0) is put into the cold entry. */
uint32_t keyspace_fetching(struct keyspace *ks, struct entry *e);
/* The cold entry becomes hot and clean. Takes ownership of *v (ENC_EMBED is copied, a short string's blob is embedded).
 */
struct entry *keyspace_install(struct keyspace *ks, struct entry *e, struct key key, struct value *v);
/* The hot clean entry becomes cold. Must not be dirty or being written. Frees the value. */
struct entry *keyspace_drop(struct keyspace *ks, struct entry *e, struct key key);
/* A write of this entry (or tomb) has been encoded: DIRTY, META_DIRTY cleared, WRITING and ON_FLASH set. */
void keyspace_cleaning(struct keyspace *ks, struct entry *e);
/* The value is too large to be encoded at once: a cleaning of it in parts begins. Whoever does it looks before every
 * part, and at the end, whether ENTRY_ENCODING still stands: if not, the value has changed and the parts are worthless.
 */
void keyspace_encoding(struct entry *e);
/* The write of `key` has completed: clears WRITING wherever the key now is. A tomb stays, recorded, until a checkpoint
 * has passed its stamp and keyspace_forgetting was called for it: then it is freed here. */
void keyspace_cleaned(struct keyspace *ks, struct key key);
/* The write of `key` has failed: it is dirty again. */
void keyspace_not_cleaned(struct keyspace *ks, struct key key);
/* The recorded tomb with this hash whose record may be removed, or NULL (the key lives again, or is dirty, or is being
 * written). A write that removes its record begins: WRITING is set. */
struct entry *keyspace_forgetting(struct keyspace *ks, uint64_t hash);

/* What the value takes in RAM (for a cold one: will take). */
uint64_t keyspace_ram_bytes(const struct entry *e);

struct dirty_item {
    struct entry *e; /* an entry or a tomb; NULL: nothing to do for this word any more */
    bool busy;       /* a write of it is in flight, or being encoded: it still counts as queued, look again later */
};
/* Takes up to `max` words from the front of the dirty queue, none at or behind position `until`. Returns how many. Each
 * has to be handed to keyspace_find_dirty. */
size_t keyspace_take_dirty(struct keyspace *ks, uint64_t until, uint64_t *out, size_t max);
/* What a word that was taken stands for; unless busy, it is queued no more. */
struct dirty_item keyspace_find_dirty(struct keyspace *ks, uint64_t hash);
/* Every live entry is marked dirty (a change to a logged mode). O(keys), in one go. */
void keyspace_dirty_all(struct keyspace *ks);

void keyspace_validate(struct keyspace *ks);

#endif
