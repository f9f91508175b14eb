#include "core/keyspace/cut.h"

#include "core/base/panic.h"

void cut_begin(struct cut *c, struct keyspace *ks, void (*hand_over)(struct cut *c, const struct entry *e))
{
    ensure(ks->cut == NULL);
    *c = (struct cut){.ks = ks, .hand_over = hand_over};
    ks->cut = c;
    ks->cut_seen ^= ENTRY_CUT;
}

void cut_touch(struct keyspace *ks, struct entry *e)
{
    struct cut *c = ks->cut;
    if (!cut_wants(ks, e))
        return;
    if (c->hand_over != NULL)
        c->hand_over(c, e);
    e->flags ^= ENTRY_CUT;
}

static void visit(void *arg, void *item) { cut_touch(arg, item); }

bool cut_step(struct cut *c)
{
    c->cursor = table_scan(c->ks->entries, c->cursor, visit, c->ks);
    if (c->cursor != 0)
        return true;
    c->ks->cut = NULL;
    return false;
}

bool cut_on_flash(const struct keyspace *ks, const struct entry *e)
{
    return entry_cold(e) || (ks->track && (e->flags & ENTRY_ON_FLASH) && !(e->flags & (ENTRY_DIRTY | ENTRY_WRITING)));
}
