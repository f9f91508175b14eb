/* Loading an RDB file at start: a first start on a data set of Redis, and databases whose durability is `snapshot`. The
 * file is only read. Before the shards start; the main thread owns everything. */
#ifndef SERVER_IMPORT_H
#define SERVER_IMPORT_H

#include "persist/rdb_file.h"
#include "server/call.h"
#include "server/replay.h"
#include "server/server.h"

struct import_figures {
    uint64_t loaded, expired, libraries;
};

/* Asked once for each database, before its first key: sees to it that the database is empty; and once before the first
 * library of functions. */
struct import_wants {
    bool (*db)(void *arg, uint32_t db, const struct rdb_about *about);
    bool (*libraries)(void *arg, const struct rdb_about *about);
    void *arg;
};

/* Loads the configured file's keys of the databases that are wanted into their spaces, and its libraries of functions,
 * through `r`. Keys that have expired are left out. 0, also if there is no file; or a negative errno with the reason in
 * `error` (512 bytes). */
int import_file(struct server *server, struct replay *r, const struct import_wants *wants, struct import_figures *out,
                char *error) must_check;
/* What the head of the file tells. *living is filled with what about->living refers to; caller frees it. 0, -ENOENT, or
 * another negative errno with the reason in `error`. Cost: does not read the keys. */
int import_about(struct server *server, struct rdb_about *about, struct buf *living, char *error) must_check;
/* DEBUG RELOAD: loads the file's libraries and keys as commands of the call, which holds all shards: with effects, in
 * frames of their own. `merge`: what exists is replaced, else it is an error. May exceed the memory budget. */
int import_running(struct call *c, bool merge, char *error) must_check;
/* On a first start: 0, or -EEXIST with the reason in `error` if the directory holds a log of Redis, which is newer than
 * its RDB file and cannot be read. */
int import_check_aof(struct server *server, char *error) must_check;

#endif
