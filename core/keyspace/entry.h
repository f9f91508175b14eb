/* An entry: one allocation that holds a key, its header, optional expiry, and its value – inline when small, a pointer,
 * or nothing when cold. Bytes of a key matter more than anything else here: the header is 8.
 *
 *   header 8 | expiry 8 (ENTRY_EXPIRES) | inner expiry 8 (ENTRY_INNER) | word 8 (unless ENC_EMBED) | klen 4 (klen8 ==
 * 255) | key bytes | value bytes (ENC_EMBED)
 *
 * Inner expiry is when the first part of the value falls due, as value_class.next_expiry says: it stands here so that
 * it is known of a cold value, too.
 *
 * A small collection is embedded with its pack; entry_value shows it as ENC_PACK with a pointer into the entry.
 *
 * `word` is the integer, the pointer, or for a cold entry size << 24 | ticket, where size is what the value will
 * take in RAM and ticket names the fetch under way (0: none). As every change of the value rewrites the word, a fetch
 * that completes installs its value only if its ticket still stands: the ticket is the entry's version.
 *
 * Owned by the key's shard. An entry moves when its layout changes: functions return the new place. */
#ifndef KEYSPACE_ENTRY_H
#define KEYSPACE_ENTRY_H

#include "core/base/panic.h"
#include "core/value/value.h"

enum entry_flag {
    ENTRY_EXPIRES = 1 << 0,
    ENTRY_DIRTY = 1 << 1,      /* the value on flash is missing or out of date */
    ENTRY_META_DIRTY = 1 << 2, /* only the meta record is */
    ENTRY_QUEUED = 1 << 3,     /* its hash is in the dirty queue */
    ENTRY_ON_FLASH = 1 << 4,   /* a record exists on flash, or is being written: a deletion must be written too */
    ENTRY_WRITING = 1 << 5,    /* a flash write of this key is in flight */
    ENTRY_PROBATION = 1 << 6,  /* fetched and not read again since: dropped first */
    ENTRY_TOMB = 1 << 7,       /* a deletion to be recorded; lives in the tombs table only */
    ENTRY_FRESH = 1 << 9,      /* on probation and not yet read by whoever it was fetched for */
    ENTRY_FORGET = 1 << 8,     /* tombs: its record is being removed; freed when that is done */
    ENTRY_CUT = 1 << 10,       /* compared with keyspace.cut_seen: whether a snapshot under way has it (cut.h) */
    ENTRY_ENCODING = 1 << 11,  /* its value is being encoded in parts: a change of the value ends that */
    ENTRY_INNER = 1 << 12,     /* parts of the value expire */
};

#define ENTRY_VLEN_BITS 11
#define ENTRY_EMBED_MAX ((1u << ENTRY_VLEN_BITS) - 1)

struct entry {
    uint32_t temperature : 24;
    uint32_t type : 4;
    uint32_t encoding : 4;
    uint32_t flags : 13;
    uint32_t vlen : ENTRY_VLEN_BITS; /* of the value, if it is embedded, else 0 */
    uint32_t klen8 : 8;
    uint8_t rest[];
};
_Static_assert(sizeof(struct entry) == 8, "the entry header is 8 bytes");

#define ENTRY_NO_EXPIRY ((int64_t)-1)
#define ENTRY_TICKET_BITS 24
#define ENTRY_TICKET_MASK ((1u << ENTRY_TICKET_BITS) - 1)

/* When an entry and the first part of its value fall due; each may be ENTRY_NO_EXPIRY. */
struct entry_times {
    int64_t expire_ms, inner_ms;
};
#define ENTRY_NO_TIMES ((struct entry_times){ENTRY_NO_EXPIRY, ENTRY_NO_EXPIRY})

/* Builds an entry with these parts; `v` ENC_EMBED copies the bytes, at most ENTRY_EMBED_MAX, anything else takes
 * ownership of the word.
 * flags and temperature are 0 but for what `times` asks. Caller frees with entry_free_shell (and releases the value).
 */
struct entry *entry_new(struct slice key, const struct value *v, struct entry_times times);
/* Frees the allocation only. */
void entry_free_shell(struct entry *e);
/* Whether a string of this length takes less memory (or not notably more) in its entry than in a blob beside it: the
 * sizes that the allocator has are far apart above some hundred bytes. */
bool entry_embeds(size_t key_len, size_t len, bool expires);

static inline size_t entry_inner_off(const struct entry *e) { return e->flags & ENTRY_EXPIRES ? 8 : 0; }
static inline size_t entry_word_off(const struct entry *e)
{
    return entry_inner_off(e) + (e->flags & ENTRY_INNER ? 8 : 0);
}
static inline bool entry_cold(const struct entry *e) { return e->encoding == ENC_COLD; }
static inline size_t entry_lens_off(const struct entry *e)
{
    return entry_word_off(e) + (e->encoding == ENC_EMBED ? 0 : 8);
}
static inline struct slice entry_key(const struct entry *e)
{
    size_t off = entry_lens_off(e);
    size_t len = e->klen8;
    if (unlikely(len == 255)) {
        uint32_t wide;
        memcpy(&wide, e->rest + off, 4);
        len = wide;
        off += 4;
    }
    return slice_of(e->rest + off, len);
}
static inline int64_t entry_expiry(const struct entry *e)
{
    int64_t ms = ENTRY_NO_EXPIRY;
    if (e->flags & ENTRY_EXPIRES)
        memcpy(&ms, e->rest, 8);
    return ms;
}
static inline int64_t entry_inner_expiry(const struct entry *e)
{
    int64_t ms = ENTRY_NO_EXPIRY;
    if (e->flags & ENTRY_INNER)
        memcpy(&ms, e->rest + entry_inner_off(e), 8);
    return ms;
}
static inline struct entry_times entry_times_of(const struct entry *e)
{
    return (struct entry_times){entry_expiry(e), entry_inner_expiry(e)};
}
static inline bool entry_expired(const struct entry *e, int64_t now_ms)
{
    return (e->flags & ENTRY_EXPIRES) && entry_expiry(e) <= now_ms;
}
static inline uint64_t entry_word(const struct entry *e)
{
    uint64_t w;
    memcpy(&w, e->rest + entry_word_off(e), 8);
    return w;
}
static inline void entry_set_word(struct entry *e, uint64_t w) { memcpy(e->rest + entry_word_off(e), &w, 8); }
/* Bytes of the allocation, as asked from the allocator: an embedded value is the last thing in it. */
static inline size_t entry_bytes(const struct entry *e)
{
    struct slice key = entry_key(e);
    return (size_t)(key.p + key.len - (const uint8_t *)e) + e->vlen;
}
/* The value as entry_new takes it: of an embedded one the bytes, of a cold one the word. Borrows from the entry. */
static inline struct value entry_raw(const struct entry *e)
{
    struct value v = {.type = e->type, .encoding = e->encoding};
    if (e->encoding == ENC_EMBED) {
        struct slice key = entry_key(e);
        v.embed = slice_of(key.p + key.len, e->vlen);
    } else {
        v.integer = (int64_t)entry_word(e);
    }
    return v;
}
/* Writes a value, and times, over the old ones; the old value is not freed. False if the layout would change. */
bool entry_write(struct entry *e, const struct value *raw, struct entry_times times);
/* The value as the classes see it, to be read; borrows from the entry. Not for cold entries. */
static inline struct value entry_value(const struct entry *e)
{
    struct value v = entry_raw(e);
    debug_ensure(!entry_cold(e));
    if (e->encoding == ENC_EMBED && e->type != VALUE_STRING && value_class_of(e->type)->embed == NULL) {
        v.encoding = ENC_PACK;
        v.ptr = (uint8_t *)v.embed.p;
    }
    return v;
}
/* Cold entries: bytes of RAM the value will need. */
static inline uint64_t entry_cold_size(const struct entry *e) { return entry_word(e) >> ENTRY_TICKET_BITS; }
static inline uint32_t entry_ticket(const struct entry *e) { return entry_word(e) & ENTRY_TICKET_MASK; }

#endif
