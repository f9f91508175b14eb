/* A node of a stream: up to stream-node-max-entries entries in one pack, byte by byte as Redis keeps and saves them
 * ("stream listpacks" of the RDB format), so that nodes load and save by copying.
 *
 *     count | deleted | fields | name ... | 0 | entry ...
 *     entry = flags | ms | seq | value ...                 | items     flags 2: has the node's names
 *           | flags | ms | seq | fields | name | value ... | items     flags 0
 *
 * Everything is an item of the pack. `count` entries are live; `deleted` ones are still there, marked by flag 1. The
 * names are those of the entry with which the node began. ms and seq are differences to the node's id, which is the id
 * of that entry and stands outside the pack. `items` is the number of items before it in its entry: so a node is walked
 * from either end. Ids ascend. A node whose entries are all deleted is freed. */
#ifndef VALUE_STREAM_NODE_H
#define VALUE_STREAM_NODE_H

#include "core/ds/pack.h"
#include "core/value/stream_id.h"

struct stream_node {
    struct stream_id id;
    uint8_t *pack;
};

/* An entry and where it is. Borrowed until the node changes. */
struct stream_entry {
    struct stream_id id;
    bool deleted;
    uint32_t fields;
    const uint8_t *pack;
    uint32_t at;    /* its flags */
    uint32_t names; /* the names in the order of the values; 0: each stands before its value */
    uint32_t items; /* its first name or value */
    /* of the node */
    struct stream_id node;
    uint32_t node_fields, node_names, node_first;
};

/* Entries, deleted ones too, in order; false if there is none, and then *e may only be begun anew. */
bool stream_node_first(const struct stream_node *n, struct stream_entry *e);
bool stream_node_last(const struct stream_node *n, struct stream_entry *e);
bool stream_node_next(struct stream_entry *e);
bool stream_node_prev(struct stream_entry *e);

/* The fields of an entry, in order. */
struct stream_fields {
    const uint8_t *pack;
    uint32_t name, value, left;
};
static inline struct stream_fields stream_fields_of(const struct stream_entry *e)
{
    return (struct stream_fields){e->pack, e->names, e->items, e->fields};
}
static inline bool stream_fields_next(struct stream_fields *f, struct pack_item *name, struct pack_item *value)
{
    uint32_t *names = f->name != 0 ? &f->name : &f->value;
    if (f->left-- == 0)
        return false;
    *name = pack_get(f->pack, *names);
    *names = pack_next(f->pack, *names);
    *value = pack_get(f->pack, f->value);
    f->value = pack_next(f->pack, f->value);
    return true;
}

uint32_t stream_node_live(const uint8_t *pack);
uint32_t stream_node_deleted(const uint8_t *pack);

/* --- changes --- */

/* Names and values alternate. */
struct stream_input {
    const struct slice *items;
    uint32_t fields;
    size_t bytes; /* of all of them */
};
/* A node's pack without entries, with these names. Caller frees with pack_free. */
uint8_t *stream_node_new(const struct stream_input *in) must_check;
/* Puts an entry behind the others; its id is greater than theirs. Takes ownership of the pack, returns what replaces
 * it. */
uint8_t *stream_node_append(const struct stream_node *n, struct stream_id id, const struct stream_input *in) must_check;
/* At most what an entry takes in a node, and a new node with it. */
uint64_t stream_node_cost_max(const struct stream_input *in);
/* Marks a live entry as deleted. What is in the node stays where it is; stream_node_counted has to follow. */
void stream_node_mark(struct stream_entry *e);
/* So many entries have been marked. Takes ownership, returns what replaces it; positions may be others. */
uint8_t *stream_node_counted(uint8_t *pack, uint32_t marked) must_check;

/* Removes a deleted entry that is the last one. Takes ownership, returns what replaces it. */
uint8_t *stream_node_cut(uint8_t *pack, const struct stream_entry *e) must_check;

/* --- bytes from outside --- */

/* Whether `bytes` are such a pack, with an entry at least, for a node with this id; *last is its last entry's id. All
 * of them may be deleted. */
bool stream_node_valid(struct slice bytes, struct stream_id id, struct stream_id *last);

#endif
