/* The stage: effects of one shard's turn, collected as stream bytes and appended to the log as one frame.
 * A frame begins with SELECT and never splits a command's effects; several effects of one command or transaction
 * are wrapped in MULTI ... EXEC. Owned by the shard whose thread runs. */
#ifndef SERVER_STAGE_H
#define SERVER_STAGE_H

#include "core/base/buf.h"

struct stage {
    struct buf bytes;
    int64_t db;         /* what the last SELECT in `bytes` said; -1: none yet */
    size_t group_start; /* where the current command's or transaction's effects begin */
    int64_t group_db;   /* what SELECT said where they begin */
    unsigned group;     /* effects in it so far */
    unsigned spaces;    /* spaces made by effects of this frame (spaces.c) */
    unsigned cut;       /* `group` while it is taken out */
    bool logged;        /* some effect belongs to a logged database: the frame goes to disk */
    bool always;        /* some effect belongs to an `always` database */
};

/* Begins a group: a command, or a transaction (begun once, around all its commands). */
void stage_begin(struct stage *s);
void stage_effect(struct stage *s, uint32_t db, int argc, const struct slice *argv);
/* Ends the group: wraps it if it has more than one effect. */
void stage_end(struct stage *s);
/* In the middle of a group: takes its effects out into `group`, so that what was staged before can be appended; then
 * stage_resume puts them back. False, and nothing is done: there is nothing before it, or it cannot be appended apart
 * (spaces are numbered within a frame). */
bool stage_cut(struct stage *s, struct buf *group);
void stage_resume(struct stage *s, const struct buf *group);
static inline bool stage_empty(const struct stage *s) { return s->bytes.len == 0; }
void stage_clear(struct stage *s);
void stage_free(struct stage *s);

#endif
