/* Walks the effects in a frame's payload: RESP commands, each with its LSN and the database it is for. SELECT, MULTI
 * and EXEC are taken care of here: they only frame effects. Borrows the payload. */
#ifndef PERSIST_EFFECTS_H
#define PERSIST_EFFECTS_H

#include "core/base/slice.h"
#include "core/proto/resp_reader.h"

struct effects {
    struct resp_reader reader;
    struct slice payload;
    size_t pos;
    uint64_t lsn; /* of the payload's first byte */
    uint32_t db;
    struct slice *argv;
    int argc, cap;
};

struct effect_item {
    uint64_t lsn;
    uint32_t db;
    int argc;
    struct slice *argv; /* borrowed until the next call */
};

void effects_init(struct effects *e);
void effects_free(struct effects *e);
void effects_begin(struct effects *e, uint64_t lsn, struct slice payload);
/* 1: *item is the next effect; 0: the end; -EBADMSG: these are not effects. */
int effects_next(struct effects *e, struct effect_item *item) must_check;

#endif
