#include "server/functions.h"

#include <errno.h>
#include <stdlib.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/proto/resp_reader.h"
#include "core/value/rdb.h"
#include "core/value/rdb_skip.h"
#include "persist/rdb_opcode.h"

#define FOOTER 10
/* --- names and metadata --- */

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool functions_name_ok(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_word(name.p[i]))
            return false;
    return name.len > 0;
}

static uint8_t fold(uint8_t c) { return c >= 'A' && c <= 'Z' ? c | 0x20 : c; }

static int compare_folded(struct slice a, struct slice b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++)
        if (fold(a.p[i]) != fold(b.p[i]))
            return fold(a.p[i]) < fold(b.p[i]) ? -1 : 1;
    return a.len < b.len ? -1 : a.len > b.len;
}

static bool say(struct buf *error, const char *text)
{
    buf_clear(error);
    buf_append_str(error, text);
    return false;
}

static bool say_about(struct buf *error, const char *before, struct slice what, const char *after)
{
    say(error, before);
    buf_append_slice(error, what);
    buf_append_str(error, after);
    return false;
}

static bool take_metadata(struct slice word, struct library_about *out, struct buf *error)
{
    if (word.len < 5 || !slice_is(slice_of(word.p, 5), "name="))
        return say_about(error, "Invalid metadata value given: ", word, "");
    if (out->name.p != NULL)
        return say(error, "Invalid metadata value, name argument was given multiple times");
    out->name = slice_of(word.p + 5, word.len - 5);
    return true;
}

static bool about_words(const struct resp_reader *r, struct library_about *out, struct buf *text, struct buf *error)
{
    size_t total = 0;
    for (size_t i = 0; i < r->argc; i++)
        total += r->args[i].len;
    buf_clear(text);
    buf_reserve(text, total + 1); /* the words do not move */
    out->name.p = NULL;
    for (size_t i = 0; i < r->argc; i++) {
        struct slice word = slice_of(text->p + text->len, r->args[i].len);
        buf_append(text, r->args[i].ext, word.len);
        if (i == 0)
            out->engine = slice_of(word.p + 2, word.len - 2);
        else if (!take_metadata(word, out, error))
            return false;
    }
    if (out->name.p == NULL)
        return say(error, "Library name was not given");
    return functions_name_ok(out->name) || say(error, FUNCTIONS_BAD_NAME);
}

/* The line is split as an inline command is. */
bool functions_about(struct slice code, struct library_about *out, struct buf *text, struct buf *error)
{
    struct resp_limits limits = {.max_bulk = 1, .max_inline = code.len, .max_args = 1024 * 1024, .big_arg = SIZE_MAX};
    struct resp_reader r = {0};
    size_t consumed;
    if (code.len < 2 || memcmp(code.p, "#!", 2) != 0)
        return say(error, "Missing library metadata");
    const uint8_t *end = memchr(code.p, '\n', code.len);
    if (end == NULL || memchr(code.p, 0, (size_t)(end - code.p)) != NULL)
        return say(error, "Invalid library metadata");
    out->line = (size_t)(end - code.p);
    resp_reader_reset(&r);
    bool good = resp_read(&r, &limits, code.p, out->line + 1, &consumed) == RESP_DONE
                    ? about_words(&r, out, text, error)
                    : say(error, "Invalid library metadata");
    resp_reader_free(&r);
    return good;
}

/* --- libraries --- */

static struct slice copy(struct library *l, struct slice s)
{
    uint8_t *p = mem_alloc(s.len);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    l->bytes += mem_class(s.len);
    return slice_of(p, s.len);
}

static void free_copy(struct slice s)
{
    if (s.p != NULL)
        mem_free((uint8_t *)s.p, s.len);
}

struct library *library_new(const struct library_about *about, struct slice code)
{
    static _Atomic uint64_t last_id;
    struct library *l = mem_zalloc(sizeof(*l));
    atomic_store(&l->refs, 1);
    l->id = atomic_fetch_add(&last_id, 1) + 1;
    l->bytes = mem_class(sizeof(*l));
    l->name = copy(l, about->name);
    l->engine = copy(l, about->engine);
    l->code = copy(l, code);
    return l;
}

const struct function *library_find(const struct library *l, struct slice name)
{
    for (unsigned i = 0; i < l->n; i++)
        if (compare_folded(l->functions[i].name, name) == 0)
            return &l->functions[i];
    return NULL;
}

static void grow(struct library *l)
{
    unsigned cap = l->cap ? l->cap * 2 : 4;
    l->bytes += mem_class(sizeof(*l->functions) * cap) - (l->cap ? mem_class(sizeof(*l->functions) * l->cap) : 0);
    l->functions = mem_realloc(l->functions, sizeof(*l->functions) * l->cap, sizeof(*l->functions) * cap);
    l->cap = cap;
}

int library_add(struct library *l, struct slice name, struct slice description, uint32_t flags)
{
    if (library_find(l, name) != NULL)
        return -EEXIST;
    if (l->n == l->cap)
        grow(l);
    struct slice described = description.p != NULL ? copy(l, description) : description;
    l->functions[l->n++] = (struct function){copy(l, name), described, flags, l};
    return 0;
}

struct library *library_ref(struct library *l)
{
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void library_unref(struct library *l)
{
    if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < l->n; i++) {
        free_copy(l->functions[i].name);
        free_copy(l->functions[i].description);
    }
    mem_free(l->functions, sizeof(*l->functions) * l->cap);
    free_copy(l->name);
    free_copy(l->engine);
    free_copy(l->code);
    mem_free(l, sizeof(*l));
}

/* --- sets --- */

/* With room for as many; the caller fills it. */
static struct functions *new_set(unsigned libraries, unsigned functions)
{
    static _Atomic uint64_t last_generation;
    struct functions *f = mem_zalloc(sizeof(*f));
    atomic_store(&f->refs, 1);
    f->generation = atomic_fetch_add(&last_generation, 1) + 1;
    f->libraries = mem_alloc(sizeof(*f->libraries) * libraries);
    f->by_name = mem_alloc(sizeof(*f->by_name) * functions);
    f->nlibraries = libraries;
    f->nfunctions = functions;
    f->bytes = mem_class(sizeof(*f)) + mem_class(sizeof(*f->libraries) * libraries) +
               mem_class(sizeof(*f->by_name) * functions);
    return f;
}

struct functions *functions_new(void) { return new_set(0, 0); }

struct functions *functions_ref(struct functions *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void functions_unref(struct functions *f)
{
    if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < f->nlibraries; i++)
        library_unref(f->libraries[i]);
    mem_free(f->libraries, sizeof(*f->libraries) * f->nlibraries);
    mem_free(f->by_name, sizeof(*f->by_name) * f->nfunctions);
    mem_free(f, sizeof(*f));
}

struct library *functions_library(const struct functions *f, struct slice name)
{
    unsigned lo = 0, hi = f->nlibraries;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int d = slice_cmp(name, f->libraries[mid]->name);
        if (d == 0)
            return f->libraries[mid];
        *(d < 0 ? &hi : &lo) = d < 0 ? mid : mid + 1;
    }
    return NULL;
}

const struct function *functions_find(const struct functions *f, struct slice name)
{
    unsigned lo = 0, hi = f->nfunctions;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int d = compare_folded(name, f->by_name[mid]->name);
        if (d == 0)
            return f->by_name[mid];
        *(d < 0 ? &hi : &lo) = d < 0 ? mid : mid + 1;
    }
    return NULL;
}

static int order_libraries(const void *a, const void *b)
{
    return slice_cmp((*(struct library *const *)a)->name, (*(struct library *const *)b)->name);
}

/* Of two of one name the later library's comes first: it is the one that is told to be there already. */
static int order_functions(const void *a, const void *b)
{
    const struct function *x = *(const struct function *const *)a, *y = *(const struct function *const *)b;
    int d = compare_folded(x->name, y->name);
    return d != 0 ? d : x->library->id > y->library->id ? -1 : x->library->id < y->library->id;
}

static bool unique(const struct functions *f, struct buf *error)
{
    for (unsigned i = 1; i < f->nlibraries; i++)
        if (slice_eq(f->libraries[i - 1]->name, f->libraries[i]->name))
            return say_about(error, "Library '", f->libraries[i]->name, "' already exists");
    for (unsigned i = 1; i < f->nfunctions; i++)
        if (compare_folded(f->by_name[i - 1]->name, f->by_name[i]->name) == 0)
            return say_about(error, "Function ", f->by_name[i - 1]->name, " already exists");
    return true;
}

struct functions *functions_of(struct library **libraries, unsigned n, struct buf *error)
{
    unsigned functions = 0, at = 0;
    for (unsigned i = 0; i < n; i++)
        functions += libraries[i]->n;
    struct functions *f = new_set(n, functions);
    for (unsigned i = 0; i < n; i++) {
        f->libraries[i] = libraries[i];
        f->bytes += libraries[i]->bytes;
        for (unsigned k = 0; k < libraries[i]->n; k++)
            f->by_name[at++] = &libraries[i]->functions[k];
    }
    if (n > 1)
        qsort(f->libraries, n, sizeof(*f->libraries), order_libraries);
    if (functions > 1)
        qsort(f->by_name, functions, sizeof(*f->by_name), order_functions);
    if (unique(f, error))
        return f;
    functions_unref(f);
    return NULL;
}

struct functions *functions_with(const struct functions *old, struct library *l, struct buf *error)
{
    struct library **all = mem_alloc(sizeof(*all) * (old->nlibraries + 1));
    unsigned n = 0;
    for (unsigned i = 0; i < old->nlibraries; i++)
        if (!slice_eq(old->libraries[i]->name, l->name))
            all[n++] = library_ref(old->libraries[i]);
    all[n++] = l;
    struct functions *f = functions_of(all, n, error);
    mem_free(all, sizeof(*all) * (old->nlibraries + 1));
    return f;
}

struct functions *functions_join(const struct functions *old, const struct functions *more, bool replace,
                                 struct buf *error)
{
    size_t bytes = sizeof(struct library *) * (old->nlibraries + more->nlibraries);
    struct library **all = mem_alloc(bytes);
    struct functions *f = NULL;
    unsigned n = 0;
    bool clash = false;
    for (unsigned i = 0; i < old->nlibraries; i++) {
        struct library *l = old->libraries[i];
        bool there = functions_library(more, l->name) != NULL;
        if (there && !replace)
            clash = !say_about(error, "Library ", l->name, " already exists");
        if (!there)
            all[n++] = library_ref(l);
    }
    for (unsigned i = 0; i < more->nlibraries; i++)
        all[n++] = library_ref(more->libraries[i]);
    if (!clash)
        f = functions_of(all, n, error);
    for (unsigned i = 0; clash && i < n; i++)
        library_unref(all[i]);
    mem_free(all, bytes);
    return f;
}

struct functions *functions_without(const struct functions *old, const struct library *l)
{
    struct library **all = mem_alloc(sizeof(*all) * old->nlibraries);
    struct buf error = {0};
    unsigned n = 0;
    for (unsigned i = 0; i < old->nlibraries; i++)
        if (old->libraries[i] != l)
            all[n++] = library_ref(old->libraries[i]);
    struct functions *f = functions_of(all, n, &error);
    ensure(f != NULL);
    mem_free(all, sizeof(*all) * old->nlibraries);
    return f;
}

/* --- bytes --- */

void functions_encode(const struct functions *f, struct buf *out)
{
    buf_clear(out);
    for (unsigned i = 0; i < f->nlibraries; i++) {
        buf_append_byte(out, RDB_FUNCTION);
        rdb_put_length(out, f->libraries[i]->code.len);
        buf_append_slice(out, f->libraries[i]->code);
    }
    buf_put_u16(out, RDB_VERSION_LEAST);
    buf_put_u64(out, crc64_jones(0, out->p, out->len));
}

bool functions_payload_ok(struct slice payload)
{
    if (payload.len < FOOTER)
        return false;
    struct reader r = reader_of(slice_of(payload.p + payload.len - FOOTER, FOOTER));
    uint16_t version = reader_u16(&r);
    return reader_u64(&r) == crc64_jones(0, payload.p, payload.len - 8) && version <= RDB_VERSION_NEWEST;
}

bool functions_decode(struct slice payload, bool (*each)(void *arg, struct slice code), void *arg, struct buf *error)
{
    struct rdb_slice_source s;
    struct buf code = {0};
    bool good = true;
    rdb_slice_source_init(&s, slice_of(payload.p, payload.len - FOOTER));
    while (good && s.rest.len > 0) {
        uint8_t type = s.rest.p[0];
        s.rest = slice_of(s.rest.p + 1, s.rest.len - 1);
        if (type == RDB_FUNCTION_OF_CANDIDATE)
            good = say(error, "Pre-GA function format not supported");
        else if (type != RDB_FUNCTION)
            good = say(error, "given type is not a function");
        else if (rdb_read_string(&s.source, &code) < 0)
            good = say(error, "Failed loading library payload");
        else
            good = each(arg, buf_slice(&code));
    }
    buf_free(&code);
    return good;
}
