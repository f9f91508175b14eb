/* An item of a set's table is the address of the member's bytes with their length in the top 16 bits; LONG_MEMBER says
 * that the length stands before the bytes. So a member of 16 bytes takes a block of 16. */
#include "core/value/set.h"

#include "core/base/hash.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/ds/intset.h"
#include "core/value/set_forms.h"

#define LONG_MEMBER 0xffffu
#define LENGTH_SHIFT 48

/* --- members --- */

uint64_t set_hash(struct slice member) { return hash_key(member, value_hash_seed); }

bool set_member_int(struct pack_item member, int64_t *out)
{
    if (!member.is_int)
        return member.bytes.len < NUM_I64_MAX && num_parse_i64(member.bytes, out);
    *out = member.integer;
    return true;
}

static inline size_t item_tag(const void *item) { return (uint64_t)item >> LENGTH_SHIFT; }
static inline uint8_t *item_block(const void *item) { return (uint8_t *)((uint64_t)item & TABLE_TAGGED); }

struct slice set_item_bytes(const void *item)
{
    size_t len = item_tag(item);
    const uint8_t *p = item_block(item);
    if (likely(len != LONG_MEMBER))
        return slice_of(p, len);
    memcpy(&len, p, sizeof(len));
    return slice_of(p + sizeof(len), len);
}

static size_t block_bytes(size_t len) { return len < LONG_MEMBER ? len : len + sizeof(len); }

static void *item_new(struct slice member)
{
    uint8_t *block = mem_alloc(block_bytes(member.len)), *p = block;
    uint64_t tag = member.len;
    if (unlikely(member.len >= LONG_MEMBER)) {
        memcpy(p, &member.len, sizeof(member.len));
        p += sizeof(member.len);
        tag = LONG_MEMBER;
    }
    if (member.len > 0)
        memcpy(p, member.p, member.len);
    ensure((uint64_t)block >> LENGTH_SHIFT == 0);
    return (void *)((uint64_t)block | tag << LENGTH_SHIFT);
}

static size_t item_free(void *item)
{
    size_t bytes = block_bytes(set_item_bytes(item).len);
    mem_free(item_block(item), bytes);
    return mem_class(bytes);
}

static uint64_t item_hash(const void *item, void *arg)
{
    (void)arg;
    return set_hash(set_item_bytes(item));
}

static inline bool item_equals(const void *item, struct slice s)
{
    if (item_tag(item) != min_u64(s.len, LONG_MEMBER))
        return false;
    return slice_eq(set_item_bytes(item), s);
}

/* --- tables --- */

static const struct table_type members_type = {.hash = item_hash, .address = TABLE_TAGGED, .dense = true};

struct value set_table_new(void)
{
    struct set_table *s = mem_alloc(sizeof(*s));
    *s = (struct set_table){.members = table_new(&members_type, NULL)};
    return (struct value){.type = VALUE_SET, .encoding = SET_TABLE, .ptr = s};
}

static void drop_item(void *arg, void *item)
{
    (void)arg;
    item_free(item);
}

static void free_table(struct set_table *s)
{
    while (!table_free_some(s->members, SIZE_MAX / 2, drop_item, NULL))
        ;
    mem_free(s, sizeof(*s));
}

static void *find_item(const struct set_table *s, struct slice member, uint64_t hash, struct table_probe *p)
{
    void *item = table_first(s->members, hash, p);
    while (item != NULL && !item_equals(item, member))
        item = table_next(p);
    return item;
}

void set_table_insert(struct set_table *s, struct slice member, uint64_t hash)
{
    table_insert(s->members, hash, item_new(member));
    s->bytes += mem_class(block_bytes(member.len));
}

static bool table_add(struct set_table *s, struct slice member)
{
    struct table_probe p;
    uint64_t hash = set_hash(member);
    if (find_item(s, member, hash, &p) != NULL)
        return false;
    set_table_insert(s, member, hash);
    return true;
}

static bool table_remove(struct set_table *s, struct slice member)
{
    struct table_probe p;
    void *item = find_item(s, member, set_hash(member), &p);
    if (item == NULL)
        return false;
    table_erase_at(&p);
    s->bytes -= item_free(item);
    return true;
}

bool set_table_has(const struct set_table *s, struct slice member, uint64_t hash)
{
    struct table_probe p;
    return find_item(s, member, hash, &p) != NULL;
}

/* --- changes of form --- */

static void to_table(struct value *v)
{
    struct value table = set_table_new();
    struct set_iter it;
    struct pack_item member;
    char scratch[PACK_TEXT_MAX];
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member)) {
        struct slice text = pack_text(member, scratch);
        set_table_insert(set_table(&table), text, set_hash(text));
    }
    set_class.release(v);
    *v = table;
}

static void ints_to_pack(struct value *v)
{
    uint8_t *ints = v->ptr, *pack = pack_new();
    for (uint32_t i = 0; i < intset_count(ints); i++)
        pack = pack_append(pack, pack_int(intset_at(ints, i)));
    intset_free(ints);
    v->encoding = ENC_PACK;
    v->ptr = pack;
}

static void choose_form(struct value *v, bool of_ints, const struct value_limits *limits)
{
    int64_t expected = v->integer;
    if (of_ints && expected <= limits->set_max_intset_entries) {
        v->encoding = SET_INTSET;
        v->ptr = intset_new();
    } else if (expected <= limits->set_max_listpack_entries) {
        v->encoding = ENC_PACK;
        v->ptr = pack_new();
    } else {
        *v = set_table_new();
    }
}

static bool fits_pack(const struct value_limits *limits, uint64_t count, size_t longest)
{
    return count <= (uint64_t)limits->set_max_listpack_entries && longest <= (size_t)limits->set_max_listpack_value;
}

static size_t text_length(int64_t v)
{
    char text[NUM_I64_MAX];
    return num_format_i64(text, v);
}

/* An intset gets a member that is no integer. */
static void leave_ints(struct value *v, size_t len, const struct value_limits *limits)
{
    const uint8_t *ints = v->ptr;
    uint32_t n = intset_count(ints);
    size_t longest = len;
    if (n > 0)
        longest = max_u64(longest, max_u64(text_length(intset_at(ints, 0)), text_length(intset_at(ints, n - 1))));
    if (fits_pack(limits, (uint64_t)n + 1, longest))
        ints_to_pack(v);
    else
        to_table(v);
}

/* --- operations --- */

uint64_t set_count(const struct value *v)
{
    switch (v->encoding) {
    case ENC_PACK:
        return pack_count(set_pack(v));
    case SET_INTSET:
        return intset_count(set_ints(v));
    case SET_TABLE:
        return table_count(set_table(v)->members);
    default:
        return 0;
    }
}

bool set_has(const struct value *v, struct pack_item member)
{
    char scratch[PACK_TEXT_MAX];
    int64_t n;
    switch (v->encoding) {
    case ENC_PACK:
        return pack_find(set_pack(v), PACK_HEADER, pack_text(member, scratch), 0) != 0;
    case SET_INTSET:
        return set_member_int(member, &n) && intset_find(set_ints(v), n, NULL);
    case SET_TABLE: {
        struct slice text = pack_text(member, scratch);
        return set_table_has(set_table(v), text, set_hash(text));
    }
    default:
        return false;
    }
}

static bool add_int(struct value *v, int64_t n, const struct value_limits *limits)
{
    bool added;
    v->ptr = intset_add(v->ptr, n, &added);
    if (added && intset_count(v->ptr) > (uint32_t)limits->set_max_intset_entries)
        to_table(v);
    return added;
}

static bool add_packed(struct value *v, struct slice member, const struct value_limits *limits)
{
    uint8_t *pack = v->ptr;
    if (pack_find(pack, PACK_HEADER, member, 0) != 0)
        return false;
    if (fits_pack(limits, (uint64_t)pack_count(pack) + 1, member.len) &&
        pack_fits(pack, pack_cost_max(1, member.len))) {
        v->ptr = pack_append(pack, pack_str(member));
    } else {
        to_table(v);
        set_table_insert(set_table(v), member, set_hash(member));
    }
    return true;
}

bool set_add(struct value *v, struct pack_item member, const struct value_limits *limits)
{
    char scratch[PACK_TEXT_MAX];
    int64_t n;
    if (v->encoding == SET_UNMADE)
        choose_form(v, set_member_int(member, &n), limits);
    if (v->encoding == SET_INTSET) {
        if (set_member_int(member, &n))
            return add_int(v, n, limits);
        leave_ints(v, member.bytes.len, limits);
    }
    struct slice text = pack_text(member, scratch);
    return v->encoding == ENC_PACK ? add_packed(v, text, limits) : table_add(set_table(v), text);
}

static bool remove_packed(struct value *v, struct slice member)
{
    uint32_t at = pack_find(set_pack(v), PACK_HEADER, member, 0);
    if (at != 0)
        v->ptr = pack_erase(v->ptr, at, 1);
    return at != 0;
}

bool set_remove(struct value *v, struct pack_item member)
{
    char scratch[PACK_TEXT_MAX];
    bool removed = false;
    int64_t n;
    switch (v->encoding) {
    case ENC_PACK:
        return remove_packed(v, pack_text(member, scratch));
    case SET_INTSET:
        if (set_member_int(member, &n))
            v->ptr = intset_remove(v->ptr, n, &removed);
        return removed;
    case SET_TABLE:
        return table_remove(set_table(v), pack_text(member, scratch));
    default:
        return false;
    }
}

void set_expect(struct value *v, uint64_t count)
{
    if (v->encoding == SET_UNMADE)
        v->integer = (int64_t)count;
}

struct pack_item set_random(const struct value *v, struct rng *rng)
{
    uint32_t at = v->encoding == SET_TABLE ? 0 : (uint32_t)rng_below(rng, set_count(v));
    switch (v->encoding) {
    case ENC_PACK:
        return pack_get(set_pack(v), pack_at(set_pack(v), at));
    case SET_INTSET:
        return pack_int(intset_at(set_ints(v), at));
    default:
        return pack_str(set_item_bytes(table_random(set_table(v)->members, rng)));
    }
}

/* --- walking --- */

void set_iter_init(struct set_iter *it, const struct value *v)
{
    it->v = v;
    it->at = v->encoding == ENC_PACK ? pack_first(set_pack(v)) : 0;
    if (v->encoding == SET_TABLE)
        table_iter_init(&it->table, set_table(v)->members);
}

/* Field by field: a copy of the whole would read with one load what several stores have just written, and wait. */
static inline void give(struct pack_item *to, struct pack_item item)
{
    to->is_int = item.is_int;
    to->integer = item.integer;
    to->bytes.p = item.bytes.p;
    to->bytes.len = item.bytes.len;
}

static unsigned some_packed(struct set_iter *it, struct pack_item *members, unsigned max)
{
    const uint8_t *pack = set_pack(it->v);
    uint32_t at = it->at;
    unsigned n = 0;
    for (; n < max && pack[at] != PACK_END; at = pack_next(pack, at))
        give(&members[n++], pack_get(pack, at));
    it->at = at;
    return n;
}

static unsigned some_ints(struct set_iter *it, struct pack_item *members, unsigned max)
{
    const uint8_t *ints = set_ints(it->v);
    uint32_t count = intset_count(ints);
    unsigned n = 0;
    while (n < max && it->at < count)
        give(&members[n++], pack_int(intset_at(ints, it->at++)));
    return n;
}

static unsigned some_of_table(struct set_iter *it, struct pack_item *members, unsigned max)
{
    unsigned n = 0;
    for (void *item; n < max && (item = table_iter_next(&it->table)) != NULL; n++)
        give(&members[n], pack_str(set_item_bytes(item)));
    return n;
}

unsigned set_iter_some(struct set_iter *it, struct pack_item *members, unsigned max)
{
    switch (it->v->encoding) {
    case ENC_PACK:
        return some_packed(it, members, max);
    case SET_INTSET:
        return some_ints(it, members, max);
    case SET_TABLE:
        return some_of_table(it, members, max);
    default:
        return 0;
    }
}

struct scan {
    void (*visit)(void *arg, struct pack_item member);
    void *arg;
};

static void scan_item(void *arg, void *item)
{
    struct scan *scan = arg;
    scan->visit(scan->arg, pack_str(set_item_bytes(item)));
}

uint64_t set_scan(const struct value *v, uint64_t cursor, void (*visit)(void *arg, struct pack_item member), void *arg)
{
    if (v->encoding == SET_TABLE)
        return table_scan(set_table(v)->members, cursor, scan_item, &(struct scan){visit, arg});
    struct set_iter it;
    struct pack_item member;
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member))
        visit(arg, member);
    return 0;
}

/* --- the class --- */

static struct value empty(void) { return (struct value){.type = VALUE_SET, .encoding = SET_UNMADE}; }

static const char *encoding_name(const struct value *v)
{
    return v->encoding == ENC_PACK ? "listpack" : v->encoding == SET_INTSET ? "intset" : "hashtable";
}

static struct value copy_table(const struct set_table *s)
{
    struct value v = set_table_new();
    struct table_iter it;
    void *item;
    table_iter_init(&it, s->members);
    while ((item = table_iter_next(&it)) != NULL) {
        struct slice member = set_item_bytes(item);
        set_table_insert(set_table(&v), member, set_hash(member));
    }
    return v;
}

static struct value copy(const struct value *v)
{
    struct value c = {.type = VALUE_SET, .encoding = v->encoding, .integer = v->integer};
    if (v->encoding == SET_TABLE)
        return copy_table(set_table(v));
    if (v->encoding == ENC_PACK)
        c.ptr = pack_copy(pack_slice(set_pack(v)));
    if (v->encoding == SET_INTSET)
        c.ptr = intset_copy(intset_slice(set_ints(v)));
    return c;
}

static void release(struct value *v)
{
    if (v->encoding == ENC_PACK)
        pack_free(v->ptr);
    else if (v->encoding == SET_INTSET)
        intset_free(v->ptr);
    else if (v->encoding == SET_TABLE)
        free_table(v->ptr);
}

static size_t memory(const struct value *v)
{
    switch (v->encoding) {
    case ENC_PACK:
        return pack_memory(v->ptr);
    case SET_INTSET:
        return intset_memory(v->ptr);
    case SET_TABLE:
        return mem_class(sizeof(struct set_table)) + table_memory(set_table(v)->members) + set_table(v)->bytes;
    default:
        return 0;
    }
}

static uint64_t effort(const struct value *v) { return v->encoding == SET_TABLE ? set_count(v) : 1; }

static void digest(const struct value *v, void (*mix)(void *arg, struct slice s), void *arg)
{
    struct value_digest sum = {0};
    struct set_iter it;
    struct pack_item member;
    char scratch[PACK_TEXT_MAX];
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member)) {
        struct slice text = pack_text(member, scratch);
        value_digest_add(&sum, &text, 1);
    }
    mix(arg, value_digest_bytes(&sum));
}

const struct value_class set_class = {
    .name = "set",
    .encoding_name = encoding_name,
    .encode = set_encode,
    .reads = set_reads,
    .decode = set_decode,
    .empty = empty,
    .copy = copy,
    .release = release,
    .memory = memory,
    .length = set_count,
    .effort = effort,
    .digest = digest,
};

/* --- validation --- */

static void validate_small(const struct value *v)
{
    struct set_iter it;
    struct pack_item member;
    if (v->encoding == ENC_PACK)
        ensure(pack_validate(pack_slice(set_pack(v))));
    else
        ensure(intset_validate(intset_slice(set_ints(v))));
    set_iter_init(&it, v);
    while (set_iter_next(&it, &member)) {
        char scratch[PACK_TEXT_MAX];
        struct slice text = pack_text(member, scratch);
        ensure(set_has(v, member));
        /* no second one behind it */
        ensure(v->encoding != ENC_PACK || pack_find(set_pack(v), it.at, text, 0) == 0);
    }
}

static void validate_table(struct set_table *s)
{
    struct table_iter it;
    uint64_t bytes = 0, count = 0;
    void *item;
    table_validate(s->members);
    table_iter_init(&it, s->members);
    while ((item = table_iter_next(&it)) != NULL) {
        struct table_probe p;
        struct slice member = set_item_bytes(item);
        ensure(find_item(s, member, set_hash(member), &p) == item);
        bytes += mem_class(block_bytes(member.len));
        count++;
    }
    ensure(bytes == s->bytes && count == table_count(s->members));
}

void set_validate(const struct value *v)
{
    ensure(v->type == VALUE_SET);
    if (v->encoding == SET_TABLE)
        validate_table(set_table(v));
    else if (v->encoding != SET_UNMADE)
        validate_small(v);
}
