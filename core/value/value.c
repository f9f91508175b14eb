#include "core/value/value.h"

#include <errno.h>

#include "core/base/hash.h"
#include "core/value/hash.h"
#include "core/value/list.h"
#include "core/value/set.h"
#include "core/value/stream.h"
#include "core/value/string.h"
#include "core/value/zset.h"

const struct value_limits value_limits_default = {
    .list_max_listpack_size = -2,
    .hash_max_listpack_entries = 512,
    .hash_max_listpack_value = 64,
    .set_max_intset_entries = 512,
    .set_max_listpack_entries = 128,
    .set_max_listpack_value = 64,
    .zset_max_listpack_entries = 128,
    .zset_max_listpack_value = 64,
    .stream_node_max_bytes = 4096,
    .stream_node_max_entries = 100,
};

uint64_t value_hash_seed;

static const struct value_class *const classes[VALUE_TYPES] = {
    [VALUE_STRING] = &string_class, [VALUE_HASH] = &hash_class, [VALUE_SET] = &set_class,
    [VALUE_ZSET] = &zset_class,     [VALUE_LIST] = &list_class, [VALUE_STREAM] = &stream_class,
};

const struct value_class *value_class_of(uint8_t type) { return type < VALUE_TYPES ? classes[type] : NULL; }

const struct value_class *value_class_of_rdb(uint8_t rdb_type, uint8_t *type)
{
    for (uint8_t i = 0; i < VALUE_TYPES; i++)
        if (classes[i] != NULL && classes[i]->reads(rdb_type)) {
            *type = i;
            return classes[i];
        }
    return NULL;
}

#define RESERVE_FROM (MIB)

void value_encode(const struct value *v, struct buf *out)
{
    const struct value_class *cls = value_class_of(v->type);
    size_t at = out->len;
    uint64_t cursor = 0;
    uint8_t type;
    size_t memory = cls->memory(v);
    if (memory >= RESERVE_FROM)
        buf_reserve(out, memory); /* growing would copy; what is not touched is not resident */
    buf_append_byte(out, 0);
    do
        type = cls->encode(v, &cursor, out, SIZE_MAX);
    while (cursor != 0);
    out->p[at] = type;
}

int value_decode(struct slice bytes, const struct value_limits *limits, struct value *out)
{
    uint8_t type;
    if (bytes.len < 1)
        return -EBADMSG;
    const struct value_class *cls = value_class_of_rdb(bytes.p[0], &type);
    if (cls == NULL)
        return -EBADMSG;
    return cls->decode(bytes.p[0], slice_of(bytes.p + 1, bytes.len - 1), limits, out);
}

void value_digest_add(struct value_digest *d, const struct slice *parts, int n)
{
    uint64_t h = (uint64_t)n;
    for (int i = 0; i < n; i++)
        h = hash_key(parts[i], h);
    d->sum[0] += h;
    d->sum[1] += h * (h | 1);
}
