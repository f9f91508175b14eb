#include "core/keyspace/cut.h"

#include "core/base/panic.h"

void cut_begin(struct cut *c, struct keyspace *ks,
               bool (*hand_over)(struct cut *c, const struct entry *e, enum cut_why why))
{
    ensure(ks->cut == NULL);
    *c = (struct cut){.ks = ks, .hand_over = hand_over};
    ks->cut = c;
    ks->cut_seen ^= ENTRY_CUT;
}

void cut_touch(struct keyspace *ks, struct entry *e, enum cut_why why)
{
    struct cut *c = ks->cut;
    if (!cut_wants(ks, e))
        return;
    bool taken = c->hand_over == NULL || c->hand_over(c, e, why);
    ensure(taken || why == CUT_WALK);
    if (taken)
        cut_done(e);
}

bool cut_delete(struct keyspace *ks, struct entry *e)
{
    ks->cut->took = false;
    cut_touch(ks, e, CUT_DELETE);
    return ks->cut->took;
}

static void visit(void *arg, void *item) { cut_touch(arg, item, CUT_WALK); }

bool cut_step(struct cut *c)
{
    c->cursor = table_scan(c->ks->entries, c->cursor, visit, c->ks);
    return c->cursor != 0;
}

void cut_end(struct cut *c) { c->ks->cut = NULL; }

bool cut_on_flash(const struct keyspace *ks, const struct entry *e)
{
    return entry_cold(e) || (ks->track && (e->flags & ENTRY_ON_FLASH) && !(e->flags & (ENTRY_DIRTY | ENTRY_WRITING)));
}
