#include "server/words.h"

#include "core/base/mem.h"
#include "core/base/num.h"

struct words_text {
    struct words_text *next;
    size_t len;
    uint8_t bytes[];
};

void words_init(struct words *w)
{
    w->at = w->few;
    w->n = 0;
    w->cap = ARRAY_LEN(w->few);
    w->texts = NULL;
}

void words_free(struct words *w)
{
    for (struct words_text *t = w->texts, *next; t != NULL; t = next) {
        next = t->next;
        mem_free(t, sizeof(*t) + t->len);
    }
    if (w->at != w->few)
        mem_free(w->at, sizeof(*w->at) * (size_t)w->cap);
}

static void grow(struct words *w)
{
    size_t old = sizeof(*w->at) * (size_t)w->cap;
    if (w->at == w->few)
        w->at = memcpy(mem_alloc(2 * old), w->few, old);
    else
        w->at = mem_realloc(w->at, old, 2 * old);
    w->cap *= 2;
}

void words_add(struct words *w, struct slice s)
{
    if (w->n == w->cap)
        grow(w);
    w->at[w->n++] = s;
}

void words_add_copy(struct words *w, struct slice s)
{
    struct words_text *t = mem_alloc(sizeof(*t) + s.len);
    t->next = w->texts;
    t->len = s.len;
    if (s.len > 0)
        memcpy(t->bytes, s.p, s.len);
    w->texts = t;
    words_add(w, slice_of(t->bytes, s.len));
}

void words_add_i64(struct words *w, int64_t v)
{
    char text[NUM_I64_MAX];
    words_add_copy(w, slice_of(text, num_format_i64(text, v)));
}

void words_add_double(struct words *w, double v)
{
    char text[40];
    words_add_copy(w, slice_of(text, num_format_double(text, v)));
}
