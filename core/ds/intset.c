#include "core/ds/intset.h"

#include <assert.h>

#include "core/base/mem.h"
#include "core/base/panic.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are stored as they lie in memory");

static void set_header(uint8_t *s, uint32_t width, uint32_t count)
{
    memcpy(s, &width, sizeof(width));
    memcpy(s + 4, &count, sizeof(count));
}

static size_t bytes_of(uint32_t width, size_t count) { return INTSET_HEADER + count * width; }

static uint8_t *resize(uint8_t *s, uint32_t width, uint32_t count)
{
    size_t had = mem_class(intset_bytes(s)), needs = mem_class(bytes_of(width, count));
    return had == needs ? s : mem_realloc(s, had, needs);
}

uint8_t *intset_new(void)
{
    uint8_t *s = mem_alloc(mem_class(INTSET_HEADER));
    set_header(s, 2, 0);
    return s;
}

uint8_t *intset_copy(struct slice bytes)
{
    uint8_t *s = mem_alloc(mem_class(bytes.len));
    memcpy(s, bytes.p, bytes.len);
    return s;
}

size_t intset_memory(const uint8_t *s) { return mem_class(intset_bytes(s)); }

void intset_free(uint8_t *s)
{
    if (s != NULL)
        mem_free(s, intset_memory(s));
}

static uint32_t width_of(int64_t v) { return v == (int16_t)v ? 2 : v == (int32_t)v ? 4 : 8; }

static inline int64_t load(const uint8_t *s, uint32_t width, size_t index)
{
    const uint8_t *at = s + INTSET_HEADER + index * width;
    int16_t v16;
    int32_t v32;
    int64_t v64;
    if (width == 2)
        return memcpy(&v16, at, sizeof(v16)), v16;
    if (width == 4)
        return memcpy(&v32, at, sizeof(v32)), v32;
    return memcpy(&v64, at, sizeof(v64)), v64;
}

/* `v` fits the width; on a little-endian machine its low bytes are the shorter integer. */
static void store(uint8_t *s, uint32_t width, size_t index, int64_t v)
{
    memcpy(s + INTSET_HEADER + index * width, &v, width);
}

int64_t intset_at(const uint8_t *s, uint32_t index)
{
    debug_ensure(index < intset_count(s));
    return load(s, intset_width(s), index);
}

/* How many integers are below `v`. The loop takes no branch on data. */
static inline uint32_t rank(const uint8_t *s, uint32_t width, uint32_t count, int64_t v)
{
    uint32_t base = 0;
    for (; count > 1; count -= count / 2)
        base += load(s, width, base + count / 2 - 1) < v ? count / 2 : 0;
    return base + (count == 1 && load(s, width, base) < v);
}

static uint32_t rank_by_width(const uint8_t *s, int64_t v)
{
    uint32_t count = intset_count(s);
    switch (intset_width(s)) { /* a loop for each, with the width a constant in it */
    case 2:
        return rank(s, 2, count, v);
    case 4:
        return rank(s, 4, count, v);
    default:
        return rank(s, 8, count, v);
    }
}

bool intset_find(const uint8_t *s, int64_t v, uint32_t *index)
{
    uint32_t at = rank_by_width(s, v);
    if (index != NULL)
        *index = at;
    return at < intset_count(s) && intset_at(s, at) == v;
}

/* `v` is wider than all that are there: it goes before or behind them. From the end on, since they grow in place. */
static uint8_t *widen_and_add(uint8_t *s, uint32_t width, int64_t v)
{
    uint32_t old = intset_width(s), count = intset_count(s), shift = v < 0;
    s = resize(s, width, count + 1);
    for (uint32_t i = count; i-- > 0;)
        store(s, width, i + shift, load(s, old, i));
    store(s, width, v < 0 ? 0 : count, v);
    set_header(s, width, count + 1);
    return s;
}

uint8_t *intset_add(uint8_t *s, int64_t v, bool *added)
{
    uint32_t at, width = intset_width(s), count = intset_count(s);
    *added = true;
    ensure(count < UINT32_MAX);
    if (width_of(v) > width)
        return widen_and_add(s, width_of(v), v);
    if (intset_find(s, v, &at)) {
        *added = false;
        return s;
    }
    s = resize(s, width, count + 1);
    memmove(s + bytes_of(width, at + 1), s + bytes_of(width, at), (size_t)(count - at) * width);
    store(s, width, at, v);
    set_header(s, width, count + 1);
    return s;
}

uint8_t *intset_remove(uint8_t *s, int64_t v, bool *removed)
{
    uint32_t at, width = intset_width(s), count = intset_count(s);
    *removed = intset_find(s, v, &at);
    if (!*removed)
        return s;
    memmove(s + bytes_of(width, at), s + bytes_of(width, at + 1), (size_t)(count - at - 1) * width);
    s = resize(s, width, count - 1);
    set_header(s, width, count - 1);
    return s;
}

bool intset_validate(struct slice bytes)
{
    if (bytes.len < INTSET_HEADER)
        return false;
    uint32_t width = intset_width(bytes.p), count = intset_count(bytes.p);
    if ((width != 2 && width != 4 && width != 8) || bytes.len != bytes_of(width, count))
        return false;
    for (uint32_t i = 1; i < count; i++)
        if (load(bytes.p, width, i - 1) >= load(bytes.p, width, i))
            return false;
    return true;
}
