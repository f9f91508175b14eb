/* Groups of consumers of a stream; see stream.h. All pointers are borrowed until the group or consumer is removed. */
#ifndef VALUE_STREAM_GROUP_H
#define VALUE_STREAM_GROUP_H

#include "core/value/stream.h"

#define STREAM_READ_UNKNOWN (-1)

struct stream_group {
    struct stream_id last;   /* delivered */
    int64_t read;            /* how many of the entries ever added were delivered, or STREAM_READ_UNKNOWN */
    struct btree *pending;   /* struct stream_pending, by id */
    struct btree *consumers; /* struct stream_consumer *, by name */
    struct slice name;
};

struct stream_consumer {
    int64_t seen_ms;   /* the last time it asked for something */
    int64_t active_ms; /* the last time it got something; -1: never */
    struct btree *ids; /* of what is pending with it, in order */
    struct slice name;
};

struct stream_pending {
    struct stream_id id;
    struct stream_consumer *consumer;
    int64_t delivered_ms;
    uint64_t deliveries;
};

/* --- groups --- */

/* NULL if there is none. */
struct stream_group *stream_group_find(const struct stream *s, struct slice name);
/* NULL if there is one of this name. */
struct stream_group *stream_group_add(struct stream *s, struct slice name, struct stream_id last, int64_t read);
void stream_group_remove(struct stream *s, struct stream_group *g);
uint64_t stream_groups(const struct stream *s);
/* In the order of names, NULL at the end: begin with a zeroed *it. The groups must not change meanwhile. */
struct stream_group *stream_group_next(const struct stream *s, struct btree_iter *it);
/* The entry `id` has been delivered: the group's last id and its count of entries read move along. */
void stream_group_advance(const struct stream *s, struct stream_group *g, struct stream_id id);
/* How many entries are still to be delivered; false if that cannot be told. */
bool stream_group_lag(const struct stream *s, const struct stream_group *g, int64_t *lag);

/* --- consumers --- */

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct slice name);
/* The name must be new. */
struct stream_consumer *stream_consumer_add(struct stream *s, struct stream_group *g, struct slice name,
                                            int64_t now_ms);
/* What is pending with it goes too. */
void stream_consumer_remove(struct stream *s, struct stream_group *g, struct stream_consumer *c);
struct stream_consumer *stream_consumer_next(const struct stream_group *g, struct btree_iter *it);

/* --- what is pending --- */

/* May be changed in place, but for id and consumer. */
struct stream_pending *stream_pending_find(const struct stream_group *g, struct stream_id id);
/* Makes it pending with a consumer, whatever it was before; deliveries are 0 if it is new. */
struct stream_pending *stream_pending_assign(struct stream *s, struct stream_group *g, struct stream_id id,
                                             struct stream_consumer *c);
bool stream_pending_remove(struct stream *s, struct stream_group *g, struct stream_id id);
/* The first one of a group from `from` on, and what follows; NULL at the end. */
static inline struct stream_pending *stream_pending_seek(const struct stream_group *g, struct stream_id from,
                                                         struct btree_iter *it)
{
    return btree_seek_ge(g->pending, &from, it);
}
/* The same of a consumer. */
static inline struct stream_id *stream_consumer_seek(const struct stream_consumer *c, struct stream_id from,
                                                     struct btree_iter *it)
{
    return btree_seek_ge(c->ids, &from, it);
}

/* --- for the class --- */

/* Sets s->first by the nodes. */
void stream_find_first(struct stream *s);
void stream_groups_copy(struct stream *to, const struct stream *from);
void stream_groups_release(struct stream *s);
size_t stream_groups_memory(const struct stream *s);
/* Behind what is there, with greater ids: for decoding. */
void stream_pending_append(struct stream *s, struct stream_group *g, const struct stream_pending *p);
void stream_consumer_append(struct stream *s, struct stream_consumer *c, struct stream_id id);
/* Returns what the groups count for in s->memory. */
size_t stream_groups_validate(const struct stream *s);

/* --- the RDB encodings (stream_codec.c); see struct value_class --- */

uint8_t stream_encode(const struct value *v, uint64_t *cursor, struct buf *out, size_t budget);
bool stream_reads(uint8_t rdb_type);
int stream_decode(uint8_t rdb_type, struct slice bytes, const struct value_limits *limits, struct value *out);

#endif
