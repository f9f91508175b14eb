/* A list of arguments that is built up, for effects of many members. Owned by the run that builds it. */
#ifndef SERVER_WORDS_H
#define SERVER_WORDS_H

#include "core/base/buf.h"

struct words {
    struct slice few[16], *at;
    int n, cap;
    struct words_text *texts; /* what words_add_i64 and words_add_copy made */
};

void words_init(struct words *w);
void words_free(struct words *w);
/* Borrows the bytes until words_free. */
void words_add(struct words *w, struct slice s);
static inline void words_add_str(struct words *w, const char *s) { words_add(w, slice_str(s)); }
void words_add_copy(struct words *w, struct slice s);
void words_add_i64(struct words *w, int64_t v);
void words_add_double(struct words *w, double v); /* so that it reads back as the same number */

#endif
