#include "server/notify.h"

#include "server/pubsub.h"
#include "server/server.h"

#define EVENT_ALL                                                                                                      \
    (EVENT_GENERIC | EVENT_STRING | EVENT_LIST | EVENT_SET | EVENT_HASH | EVENT_ZSET | EVENT_EXPIRED | EVENT_EVICTED | \
     EVENT_STREAM | EVENT_MODULE)

/* In the order in which they are printed; those before ALL_ENDS are left out when A stands for them. */
static const struct {
    char letter;
    uint32_t classes;
} letters[] = {
    {'A', EVENT_ALL},     {'g', EVENT_GENERIC},  {'$', EVENT_STRING},   {'l', EVENT_LIST},     {'s', EVENT_SET},
    {'h', EVENT_HASH},    {'z', EVENT_ZSET},     {'x', EVENT_EXPIRED},  {'e', EVENT_EVICTED},  {'t', EVENT_STREAM},
    {'d', EVENT_MODULE},  {'n', EVENT_NEW},      {'K', EVENT_KEYSPACE}, {'E', EVENT_KEYEVENT}, {'m', EVENT_KEYMISS},
    {'F', EVENT_DEMOTED}, {'R', EVENT_PROMOTED},
};

static uint32_t classes_of(char letter)
{
    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        if (letters[i].letter == letter)
            return letters[i].classes;
    return 0;
}

bool events_parse(struct slice s, uint32_t *out)
{
    uint32_t all = 0;
    for (size_t i = 0; i < s.len; i++) {
        uint32_t one = classes_of((char)s.p[i]);
        if (one == 0)
            return false;
        all |= one;
    }
    *out = all;
    return true;
}

void events_format(uint32_t classes, struct buf *out)
{
    uint32_t left = classes;
    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        if ((left & letters[i].classes) == letters[i].classes) {
            buf_append_byte(out, (uint8_t)letters[i].letter);
            left &= ~letters[i].classes;
        }
}

static void publish(struct shard *s, const char *what, uint32_t db, struct slice topic, struct slice message)
{
    struct buf *name = &s->pubsub.name;
    buf_clear(name);
    buf_printf(name, "__%s@%u__:", what, db);
    buf_append_slice(name, topic);
    pubsub_event(s, buf_slice(name), message);
    buf_reset(name, 64 * KIB);
}

void notify_key(struct shard *s, uint32_t db, struct slice key, uint32_t event_class, const char *event)
{
    uint32_t wanted = s->server->config->events;
    if (likely(!(wanted & event_class)) || !pubsub_wants_events(&s->pubsub))
        return;
    if (wanted & EVENT_KEYSPACE)
        publish(s, "keyspace", db, key, slice_str(event));
    if (wanted & EVENT_KEYEVENT)
        publish(s, "keyevent", db, slice_str(event), key);
}
