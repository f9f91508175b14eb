/* Streams: entries of fields under ascending ids, and groups of consumers that share them out.
 *
 *   nodes    a counted B+tree by id of packs of entries (stream_node.h). Entries are put behind the last one only, so
 *            appending touches the last node, however many there are. Deleting marks; a node without live entries goes
 *   groups   a B+tree by name. A group knows the last id that it has delivered, and what of it has not been
 *            acknowledged: its *pending* entries, by id, each with its consumer. A consumer has the ids of its own
 *
 * What is pending stays so when its entry is deleted, unless the deletion says otherwise (enum stream_refs).
 *
 * The times at which consumers were last seen and active are no contents: they are in the encoding, but polling that
 * finds nothing changes them alone, and is no change of the value. Knows no entries of keyspaces, no replies; owned
 * like any value. */
#ifndef VALUE_STREAM_H
#define VALUE_STREAM_H

#include "core/ds/btree.h"
#include "core/value/stream_node.h"
#include "core/value/value.h"

extern const struct value_class stream_class;

struct stream {
    uint64_t length;
    uint64_t added;               /* entries ever put, deleted ones included */
    struct stream_id last;        /* the greatest id ever given, or set by XSETID */
    struct stream_id first;       /* of the first live entry; zero if there is none */
    struct stream_id max_deleted; /* the greatest id that was deleted, but not by trimming */
    struct btree *nodes;          /* struct stream_node */
    struct btree *groups;         /* struct stream_group *, by name; NULL: there has never been one */
    size_t memory;                /* of all but this structure, the trees of nodes and of groups; as mem_class counts */
    uint64_t pending, consumers;  /* over all groups */
};

static inline struct stream *stream_of(const struct value *v) { return v->ptr; }

/* --- entries --- */

/* Puts an entry; its id must be greater than s->last. 0, or -E2BIG if it is too large for a node. O(fields + height),
 * the height being that of the tree. */
int stream_add(struct stream *s, struct stream_id id, const struct stream_input *in,
               const struct value_limits *limits) must_check;
bool stream_has(const struct stream *s, struct stream_id id);
/* False if there is no such entry. What is pending is left alone. O(log n + a node). */
bool stream_delete(struct stream *s, struct stream_id id);

/* The id of the last live entry; zero if there is none. */
struct stream_id stream_top(const struct stream *s);
/* Sets s->last, which may go back, but not before s->max_deleted and the last live entry. */
void stream_set_last(struct stream *s, struct stream_id last);

/* Live entries from one id to another, both inclusive, in either direction:
 *     stream_iter_init(&it, s, from, to, false);
 *     while (stream_iter_next(&it)) ... it.entry ...
 * The stream must not change meanwhile. */
struct stream_iter {
    struct btree_iter node;
    struct stream_id from, to;
    bool back, begun, done;
    struct stream_entry entry;
};
void stream_iter_init(struct stream_iter *it, const struct stream *s, struct stream_id from, struct stream_id to,
                      bool back);
bool stream_iter_next(struct stream_iter *it);

/* --- deleting with a look at groups --- */

enum stream_refs {
    STREAM_KEEPREF, /* what is pending stays pending */
    STREAM_DELREF,  /* goes from all groups too */
    STREAM_ACKED,   /* only what no group needs any more: each has delivered it, and none has it pending */
};

bool stream_referenced(const struct stream *s, struct stream_id id);
/* No group has the entry pending any more. False if none had. */
bool stream_unreference(struct stream *s, struct stream_id id);

enum stream_erased { STREAM_ERASED_NOT = -1, STREAM_ERASED = 1, STREAM_NEEDED = 2 };
/* *changed is set if anything was: with STREAM_DELREF a missing entry may have been pending. */
enum stream_erased stream_erase(struct stream *s, struct stream_id id, enum stream_refs refs, bool *changed);

struct stream_trim {
    bool by_id;
    uint64_t length;     /* !by_id: how many entries may stay */
    struct stream_id id; /* by_id: entries below it go */
    bool whole_nodes;    /* only nodes all of whose entries are to go are looked at */
    uint64_t limit;      /* no more entries are looked at; 0: no limit */
    enum stream_refs refs;
};
/* Removes from the front, in order, whatever is to go (and, with STREAM_ACKED, can); returns how many entries that
 * were. So the same trim without whole_nodes and limit to the length that is left has the same outcome. */
uint64_t stream_trim(struct stream *s, const struct stream_trim *t);

/* Aborts if an invariant is broken (tests). O(n). */
void stream_validate(const struct value *v);

#endif
