/* RDB files of a running server: SAVE, BGSAVE, save points. One at a time; each is a snapshot (snapshot.h) that a
 * thread of its own writes to a temporary file, which takes the place of the one before when it is whole and on disk.
 */
#ifndef SERVER_SAVE_H
#define SERVER_SAVE_H

#include "server/server.h"

struct save;
struct save *save_new(struct server *server);
/* None may be under way. */
void save_free(struct save *sv);

/* Takes over what CONFIG SET may change of one that is under way. */
void save_configure(struct save *sv);
/* Under way, or asked for. */
bool save_busy(const struct save *sv);
/* Begins one, in the background. Under a hold of all (or with one shard between commands), with nothing staged, while
 * none is under way. */
void save_begin(struct save *sv);
/* Writes one, and waits for it. By who holds all shards, or owns them; as save_begin. 0 or a negative errno. */
int save_now(struct save *sv) must_check;
/* The same, and one that is under way is cancelled. */
int save_anew(struct save *sv) must_check;
/* One is begun as soon as none is under way. Any thread. */
void save_ask(struct save *sv);
/* Before the process ends, while its shards still run: a last one, after which no client writes any more. Blocks. 0;
 * or a negative errno, and the server goes on. Main thread. */
int save_last(struct save *sv) must_check;
/* The same by who holds all shards, with nothing staged. */
int save_final(struct save *sv) must_check;
/* Whether an orderly stop writes a file: there are save points, or a database lives by them. */
bool save_at_stop(const struct server *server);
/* Ends what is under way without a file, and lets nothing begin. After the shards have ended. */
void save_stop(struct save *sv);

/* Looks after save points, and begins what was asked for. Shard 0, once a cron. */
void save_cron(struct server *server);
/* Under a hold of all, or with one shard between commands, with nothing staged: what save_cron wanted a hold for. */
void save_mark(struct server *server);
/* Everything that has changed so far is in the file (a start), or will be counted from here. */
void save_count_from_here(struct save *sv);

/* Whether writes are refused, as the last attempt failed (stop-writes-on-bgsave-error). Any thread. */
bool save_stops_writes(const struct server *server);

struct save_info {
    bool running, asked, last_ok;
    int64_t last_save_s;                /* Unix time of the last good one, or of the start */
    int64_t last_took_s, current_for_s; /* -1: none */
    uint64_t changes, saves, keys, keys_done;
};
void save_info(const struct save *sv, struct save_info *out);

#endif
