/* Recovery (DESIGN section 7): from the last checkpoint and the log to the state at the log's end. Before the shards
 * start; the main thread owns everything. Start-up depends on the number of keys and the log since L0, not on bytes. */
#ifndef SERVER_RECOVERY_H
#define SERVER_RECOVERY_H

#include "server/server.h"

/* Opens server->store. 0, or a negative errno with the reason in `error` (512 bytes). */
int recovery_open_store(struct server *server, char *error) must_check;
/* Loads meta records as cold entries and replays the log. 0, or a negative errno with what is wrong and what can be
 * done in `error` (512 bytes). The log has been opened and the shards created. */
int recovery_run(struct server *server, char *error) must_check;
/* Throws away what RAM holds of the logged databases and makes it anew from flash and log, as a start would (DEBUG
 * LOADAOF). Under a hold of all, with nothing staged. Blocks until everything is done. After a failure the databases
 * are not whole: the process has to end; nothing on disk has been lost. */
int recovery_reload(struct server *server, char *error) must_check;

#endif
