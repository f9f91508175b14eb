/* The libraries of functions as one record on flash: written by checkpoints, read by recovery. It carries a stamp as
 * the keys' records do: what is in it includes every effect below, and those are skipped when the log is replayed. */
#ifndef SERVER_FUNCTION_STORE_H
#define SERVER_FUNCTION_STORE_H

#include "server/functions.h"
#include "server/server.h"

/* Puts `f` in the place of the set that the server has; takes the reference. Under a hold of all, or before start. */
void functions_install(struct server *server, struct functions *f);
/* The set of a payload's libraries, loaded one by one into the Lua of `s`, or NULL with Redis's error. The payload's
 * footer is good. `timeout_ms`: for all together; 0: none. */
struct functions *functions_load(struct shard *s, struct slice payload, uint64_t timeout_ms, struct buf *error);

/* Writes `f`, which is how things were at the LSN `stamp`, when the log is durable up to there. Blocks. 0 or a negative
 * errno. */
int function_store_write(struct server *server, const struct functions *f, uint64_t stamp) must_check;
/* Installs what is on flash; *stamp is 0 if there is nothing. 0, or a negative errno with the reason in `error` (512
 * bytes). */
int function_store_read(struct server *server, uint64_t *stamp, char *error) must_check;

#endif
