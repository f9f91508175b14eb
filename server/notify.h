/* Keyspace notifications: what happens to keys is published on channels, if `notify-keyspace-events` asks for it.
 *
 *   __keyspace@<db>__:<key>     gets the event's name (class K)
 *   __keyevent@<db>__:<event>   gets the key's name (class E)
 *
 * Events and their names are Redis's. Two classes are our own and not in A: F, `demoted`, a value has been dropped from
 * RAM and is on flash only; R, `promoted`, it has been read back. Commands announce events with key_event (call.h). The
 * channels belong to every shard (pubsub.h), so an event goes to the homes of subscribers from where it happened, under
 * the LSN of the frame with its effect. Nothing is announced while effects are applied. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

#include "core/base/buf.h"
#include "server/call.h"

/* The classes that letters stand for; false if one is unknown. */
bool events_parse(struct slice letters, uint32_t *out);
/* The other way, in Redis's order. */
void events_format(uint32_t classes, struct buf *out);
/* An event of a class, if it is asked for; on the shard that runs. */
void notify_key(struct shard *s, uint32_t db, struct slice key, uint32_t event_class, const char *event);

#endif
