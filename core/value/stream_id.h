/* Ids of stream entries: milliseconds and a sequence number, in that order. As text "ms-seq". */
#ifndef VALUE_STREAM_ID_H
#define VALUE_STREAM_ID_H

#include "core/base/slice.h"

struct stream_id {
    uint64_t ms, seq;
};

#define STREAM_ID_MIN ((struct stream_id){0, 0})
#define STREAM_ID_MAX ((struct stream_id){UINT64_MAX, UINT64_MAX})
#define STREAM_ID_TEXT 41 /* longest text, without a NUL */

static inline int stream_id_cmp(struct stream_id a, struct stream_id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}
static inline bool stream_id_zero(struct stream_id a) { return a.ms == 0 && a.seq == 0; }

/* The neighbours. False, and *id unchanged, if there is none. */
bool stream_id_next(struct stream_id *id);
bool stream_id_prev(struct stream_id *id);

size_t stream_id_format(char out[static STREAM_ID_TEXT], struct stream_id id);
/* "ms-seq", or "ms" alone, then the sequence number is `seq`. Decimal digits only; leading zeros are taken. */
bool stream_id_parse(struct slice text, uint64_t seq, struct stream_id *out);
/* The same, but also "ms-*": *any_seq. */
bool stream_id_parse_open(struct slice text, struct stream_id *out, bool *any_seq);

#endif
