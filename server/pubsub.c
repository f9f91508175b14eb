#include "server/pubsub.h"

#include "core/base/glob.h"
#include "core/base/hash.h"
#include "core/base/list.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/proto/resp_writer.h"
#include "server/client.h"
#include "server/dispatch.h"
#include "server/push.h"
#include "server/server.h"

struct channel {
    uint64_t hash;
    struct slice name; /* the bytes stand behind `homes` */
    uint8_t kind;
    /* as home */
    uint32_t nlocal, local_cap;
    struct subscription **local;
    /* as owner */
    uint64_t subscribers;
    uint32_t homes[]; /* how many of them live on each shard */
};

struct subscription {
    struct client *client;
    struct channel *channel; /* of the client's home */
    uint32_t at;             /* in channel->local */
    struct subscription *next, *prev;
};

/* --- names --- */

static bool of_events(enum channel_kind kind, struct slice name)
{
    return kind == CHANNEL_PLAIN && name.len > 5 && memcmp(name.p, "__key", 5) == 0;
}

static bool everywhere(enum channel_kind kind, struct slice name)
{
    return kind == CHANNEL_PATTERN || of_events(kind, name);
}

uint64_t pubsub_owners(struct server *server, enum channel_kind kind, struct slice name)
{
    return everywhere(kind, name) ? server_all_shards(server) : 1ull << shard_of(server, name)->index;
}

static uint64_t channel_hash(const struct server *server, enum channel_kind kind, struct slice name)
{
    return hash_key(name, server->hash_seed) ^ kind * 0x9e3779b97f4a7c15ull;
}

/* --- the registry --- */

static uint64_t hash_of_channel(const void *item, void *arg)
{
    (void)arg;
    return ((const struct channel *)item)->hash;
}

static const struct table_type channels_type = {.hash = hash_of_channel};

static struct channel *channel_find(struct shard *s, enum channel_kind kind, uint64_t hash, struct slice name)
{
    struct table_probe p;
    if (s->pubsub.channels == NULL)
        return NULL;
    for (struct channel *ch = table_first(s->pubsub.channels, hash, &p); ch != NULL; ch = table_next(&p))
        if (ch->kind == kind && slice_eq(ch->name, name))
            return ch;
    return NULL;
}

static size_t channel_bytes(const struct shard *s, struct slice name)
{
    return sizeof(struct channel) + sizeof(uint32_t) * s->server->nshards + name.len;
}

static struct channel *channel_get(struct shard *s, enum channel_kind kind, uint64_t hash, struct slice name)
{
    struct channel *ch = channel_find(s, kind, hash, name);
    if (ch != NULL)
        return ch;
    if (s->pubsub.channels == NULL)
        s->pubsub.channels = table_new(&channels_type, NULL);
    ch = mem_zalloc(channel_bytes(s, name));
    ch->hash = hash;
    ch->kind = (uint8_t)kind;
    ch->name = slice_of(ch->homes + s->server->nshards, name.len);
    if (name.len > 0)
        memcpy(ch->homes + s->server->nshards, name.p, name.len);
    table_insert(s->pubsub.channels, hash, ch);
    return ch;
}

static void channel_free(struct shard *s, struct channel *ch)
{
    mem_free(ch->local, sizeof(*ch->local) * ch->local_cap);
    mem_free(ch, channel_bytes(s, ch->name));
}

static void drop_if_unused(struct shard *s, struct channel *ch)
{
    if (ch->subscribers > 0 || ch->nlocal > 0)
        return;
    table_erase(s->pubsub.channels, ch->hash, ch);
    channel_free(s, ch);
}

static void add_pattern(struct pubsub *p, struct channel *ch)
{
    p->patterns = mem_room_for_one(p->patterns, p->npatterns, &p->patterns_cap, sizeof(*p->patterns), 8);
    p->patterns[p->npatterns++] = ch;
}

static void remove_pattern(struct pubsub *p, const struct channel *ch)
{
    unsigned i = 0;
    while (p->patterns[i] != ch)
        i++;
    p->npatterns--;
    memmove(p->patterns + i, p->patterns + i + 1, sizeof(struct channel *) * (p->npatterns - i));
}

/* A channel has got its first subscriber (1), or lost its last one (-1). */
static void turned_active(struct shard *s, struct channel *ch, int by)
{
    struct pubsub *p = &s->pubsub;
    if (ch->kind == CHANNEL_PATTERN)
        by > 0 ? add_pattern(p, ch) : remove_pattern(p, ch);
    if (of_events(ch->kind, ch->name))
        p->nevents += (unsigned)by;
    if (ch->kind == CHANNEL_PATTERN || shard_of(s->server, ch->name) == s)
        stat_add(&p->active[ch->kind], (uint64_t)(int64_t)by);
}

/* --- subscribing --- */

static void owner_joins(struct shard *owner, unsigned home, enum channel_kind kind, uint64_t hash, struct slice name)
{
    struct channel *ch = channel_get(owner, kind, hash, name);
    ch->homes[home]++;
    if (ch->subscribers++ == 0)
        turned_active(owner, ch, 1);
}

static void owner_leaves(struct shard *owner, unsigned home, enum channel_kind kind, uint64_t hash, struct slice name)
{
    struct channel *ch = channel_find(owner, kind, hash, name);
    ensure(ch != NULL && ch->homes[home] > 0);
    ch->homes[home]--;
    if (--ch->subscribers == 0)
        turned_active(owner, ch, -1);
    drop_if_unused(owner, ch);
}

static uint64_t hash_of_subscription(const void *item, void *arg)
{
    (void)arg;
    return ((const struct subscription *)item)->channel->hash;
}

static const struct table_type subscriptions_type = {.hash = hash_of_subscription};

static struct subscription *subscription_find(const struct client *c, enum channel_kind kind, uint64_t hash,
                                              struct slice name)
{
    struct table_probe p;
    if (c->pubsub == NULL)
        return NULL;
    for (struct subscription *s = table_first(c->pubsub->all, hash, &p); s != NULL; s = table_next(&p))
        if (s->channel->kind == kind && slice_eq(s->channel->name, name))
            return s;
    return NULL;
}

static struct subscriber *subscriber_get(struct client *c)
{
    if (c->pubsub == NULL) {
        c->pubsub = mem_zalloc(sizeof(*c->pubsub));
        c->pubsub->all = table_new(&subscriptions_type, NULL);
        c->flags |= CLIENT_SUBSCRIBER;
        atomic_fetch_add(&c->home->server->pubsub_clients, 1);
    }
    return c->pubsub;
}

static void join_local(struct channel *ch, struct subscription *s)
{
    ch->local = mem_room_for_one(ch->local, ch->nlocal, &ch->local_cap, sizeof(*ch->local), 1);
    s->at = ch->nlocal;
    ch->local[ch->nlocal++] = s;
}

bool pubsub_subscribe(struct call *c, enum channel_kind kind, struct slice name)
{
    struct client *client = c->client;
    struct shard *home = client->home;
    uint64_t hash = channel_hash(c->server, kind, name);
    if (subscription_find(client, kind, hash, name) != NULL)
        return false;
    for (uint64_t m = pubsub_owners(c->server, kind, name); m != 0; m &= m - 1)
        owner_joins(c->server->shards[__builtin_ctzll(m)], home->index, kind, hash, name);
    struct subscriber *sub = subscriber_get(client);
    struct subscription *s = mem_zalloc(sizeof(*s));
    s->client = client;
    s->channel = channel_get(home, kind, hash, name);
    join_local(s->channel, s);
    deque_push(sub, s);
    table_insert(sub->all, hash, s);
    sub->n[kind]++;
    return true;
}

/* --- leaving --- */

static void leave_local(struct subscription *s)
{
    struct channel *ch = s->channel;
    struct subscription *moved = ch->local[--ch->nlocal];
    ch->local[s->at] = moved;
    moved->at = s->at;
}

/* Its home forgets the subscription. The channel stays for the caller, who lets the owners know. */
static struct channel *forget(struct client *c, struct subscription *s)
{
    struct subscriber *sub = c->pubsub;
    struct channel *ch = s->channel;
    table_erase(sub->all, ch->hash, s);
    deque_remove(sub, s);
    leave_local(s);
    mem_free(s, sizeof(*s));
    sub->n[ch->kind]--;
    if (sub->first == NULL) {
        table_free(sub->all);
        mem_free(sub, sizeof(*sub));
        c->pubsub = NULL;
        c->flags &= ~(uint32_t)CLIENT_SUBSCRIBER;
        atomic_fetch_sub(&c->home->server->pubsub_clients, 1);
    }
    return ch;
}

/* `name` may stand in the channel: the home's own part of it is dropped last. */
static void each_owner_leaves(struct shard *home, struct channel *ch, uint64_t owners)
{
    uint64_t own = 1ull << home->index;
    for (uint64_t m = owners & ~own; m != 0; m &= m - 1)
        owner_leaves(home->server->shards[__builtin_ctzll(m)], home->index, ch->kind, ch->hash, ch->name);
    if (owners & own)
        owner_leaves(home, home->index, ch->kind, ch->hash, ch->name);
    else
        drop_if_unused(home, ch);
}

bool pubsub_unsubscribe(struct call *c, enum channel_kind kind, struct slice name)
{
    uint64_t hash = channel_hash(c->server, kind, name);
    struct subscription *s = subscription_find(c->client, kind, hash, name);
    if (s == NULL)
        return false;
    uint64_t owners = pubsub_owners(c->server, kind, name);
    each_owner_leaves(c->client->home, forget(c->client, s), owners);
    return true;
}

/* The owners' registries are data, which may be lent just now: so this is a data task. */
struct leave {
    struct task task;
    uint64_t hash;
    unsigned home;
    uint8_t kind;
    struct slice name; /* the bytes stand behind the struct */
};

static void run_leave(struct task *t, void *arg)
{
    struct leave *l = container_of(t, struct leave, task);
    owner_leaves(arg, l->home, l->kind, l->hash, l->name);
    mem_free(l, sizeof(*l) + l->name.len);
}

static void post_leave(struct shard *owner, unsigned home, const struct channel *ch)
{
    struct leave *l = mem_zalloc(sizeof(*l) + ch->name.len);
    l->task.run = run_leave;
    l->hash = ch->hash;
    l->home = home;
    l->kind = ch->kind;
    l->name = slice_of(l + 1, ch->name.len);
    if (ch->name.len > 0)
        memcpy(l + 1, ch->name.p, ch->name.len);
    shard_post(owner, &l->task);
}

void pubsub_leave(struct client *c)
{
    struct shard *home = c->home;
    while (c->pubsub != NULL) {
        struct channel *ch = forget(c, c->pubsub->first);
        uint64_t owners = pubsub_owners(home->server, ch->kind, ch->name), own = 1ull << home->index;
        for (uint64_t m = owners & ~own; m != 0; m &= m - 1)
            post_leave(home->server->shards[__builtin_ctzll(m)], home->index, ch);
        each_owner_leaves(home, ch, owners & own);
    }
}

/* --- publishing --- */

static void push_local(const struct channel *ch, const struct push *m)
{
    for (uint32_t i = 0; i < ch->nlocal; i++)
        push_here(ch->local[i]->client, m);
}

static void deliver(struct shard *home, const struct push_item *item)
{
    struct slice name = slice_of(item->message.bytes->data + item->from, item->len);
    struct channel *ch = channel_find(home, item->kind, item->hash, name);
    if (ch != NULL)
        push_local(ch, &item->message);
}

/* `ch` is of an owner that the running shard is (`own`), or holds. */
static void publish_to(struct shard *s, struct channel *ch, bool own, struct push_item *item)
{
    for (unsigned home = 0; home < s->server->nshards; home++) {
        if (ch->homes[home] == 0)
            continue;
        item->receivers = ch->homes[home];
        if (home != s->index)
            push_elsewhere(s, home, item);
        else if (own)
            push_local(ch, &item->message);
        else
            deliver(s, item);
    }
}

static const struct slice message_words[] = {
    [CHANNEL_PLAIN] = SLICE_LIT("message"),
    [CHANNEL_PATTERN] = SLICE_LIT("pmessage"),
    [CHANNEL_SHARD] = SLICE_LIT("smessage"),
};

/* One message in the form of what it was subscribed to by. */
static void publish_on(struct shard *s, struct channel *ch, bool own, struct slice name, struct slice message)
{
    struct buf *b = &s->pubsub.scratch;
    struct push_item item = {.deliver = deliver, .kind = ch->kind, .hash = ch->hash, .len = (uint32_t)ch->name.len};
    buf_clear(b);
    resp_push(b, 3, ch->kind == CHANNEL_PATTERN ? 4 : 3);
    resp_bulk(b, message_words[ch->kind]);
    resp_bulk_header(b, ch->name.len);
    item.from = (uint32_t)b->len;
    buf_append_slice(b, ch->name);
    buf_append(b, "\r\n", 2);
    if (ch->kind == CHANNEL_PATTERN)
        resp_bulk(b, name);
    resp_bulk(b, message);
    item.message.bytes = blob_copy(buf_slice(b), b->len);
    buf_reset(b, 64 * KIB);
    publish_to(s, ch, own, &item);
    blob_unref(item.message.bytes);
}

static uint64_t publish_to_patterns(struct shard *s, struct slice name, struct slice message)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < s->pubsub.npatterns; i++) {
        struct channel *ch = s->pubsub.patterns[i];
        if (!glob_match(ch->name, name, false))
            continue;
        n += ch->subscribers;
        publish_on(s, ch, true, name, message);
    }
    return n;
}

static uint64_t publish(struct shard *s, struct shard *owner, enum channel_kind kind, struct slice name,
                        struct slice message)
{
    struct channel *ch = channel_find(owner, kind, channel_hash(s->server, kind, name), name);
    uint64_t n = 0;
    if (ch != NULL && ch->subscribers > 0) {
        n = ch->subscribers;
        publish_on(s, ch, owner == s, name, message);
    }
    return kind == CHANNEL_PLAIN ? n + publish_to_patterns(s, name, message) : n;
}

/* The message stands behind the channel's name. */
static void publish_handed(struct shard *owner, const struct push_item *item)
{
    struct slice both = blob_slice(item->message.bytes);
    publish(owner, owner, item->kind, slice_of(both.p, item->len), slice_of(both.p + item->len, both.len - item->len));
}

static void hand_over(struct shard *s, struct shard *owner, enum channel_kind kind, struct slice name,
                      struct slice message)
{
    struct blob *both = blob_new(name.len + message.len);
    struct push_item item = {
        .deliver = publish_handed, .kind = kind, .len = (uint32_t)name.len, .message = {.bytes = both}};
    both->len = name.len + message.len;
    memcpy(both->data, name.p, name.len);
    memcpy(both->data + name.len, message.p, message.len);
    push_elsewhere(s, owner->index, &item);
    blob_unref(both);
}

uint64_t pubsub_publish(struct call *c, enum channel_kind kind, struct slice name, struct slice message)
{
    struct shard *owner = everywhere(kind, name) ? c->shard : shard_of(c->server, name);
    c->shard->pushes.published = true;
    if (likely(owner == c->shard || c->held))
        return publish(c->shard, owner, kind, name, message);
    hand_over(c->shard, owner, kind, name, message);
    return 0;
}

void pubsub_event(struct shard *s, struct slice name, struct slice message)
{
    publish(s, s, CHANNEL_PLAIN, name, message);
}

/* --- reports --- */

uint64_t pubsub_subscribers(struct call *c, enum channel_kind kind, struct slice name)
{
    struct shard *owner = everywhere(kind, name) ? c->shard : call_owner(c, name);
    const struct channel *ch = channel_find(owner, kind, channel_hash(c->server, kind, name), name);
    return ch != NULL ? ch->subscribers : 0;
}

uint64_t pubsub_patterns(const struct call *c) { return c->shard->pubsub.npatterns; }

static void each_of(struct shard *s, enum channel_kind kind, void (*each)(void *arg, struct slice name), void *arg)
{
    struct table_iter it;
    struct channel *ch;
    if (s->pubsub.channels == NULL)
        return;
    table_iter_init(&it, s->pubsub.channels);
    while ((ch = table_iter_next(&it)) != NULL)
        if (ch->kind == kind && ch->subscribers > 0 && shard_of(s->server, ch->name) == s)
            each(arg, ch->name);
}

void pubsub_each(struct call *c, enum channel_kind kind, void (*each)(void *arg, struct slice name), void *arg)
{
    for (unsigned i = 0; i < c->server->nshards; i++)
        each_of(c->server->shards[i], kind, each, arg);
}

bool pubsub_oldest(const struct client *client, enum channel_kind kind, struct slice *name)
{
    struct subscription *s = client->pubsub != NULL ? client->pubsub->first : NULL;
    while (s != NULL && s->channel->kind != kind)
        s = s->next;
    if (s != NULL)
        *name = s->channel->name;
    return s != NULL;
}

unsigned pubsub_count(const struct client *client, enum channel_kind kind)
{
    return client->pubsub != NULL ? client->pubsub->n[kind] : 0;
}

/* After all clients, and the tasks by which they left. */
void pubsub_free(struct shard *s)
{
    struct pubsub *p = &s->pubsub;
    if (p->channels != NULL) {
        ensure(table_count(p->channels) == 0);
        table_free(p->channels);
    }
    mem_free(p->patterns, sizeof(struct channel *) * p->patterns_cap);
    buf_free(&p->scratch);
    buf_free(&p->name);
}
