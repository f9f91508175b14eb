/* The composition root: what main puts together. Included by the files of server/ that start, stop or connect parts;
 * command files do not see it. Pointers are immutable after start. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <signal.h>

#include "persist/log.h"
#include "replication/history.h"
#include "server/config.h"
#include "server/hold.h"
#include "server/shard.h"
#include "tier/store.h"

struct checkpoint;
struct flash;
struct functions;
struct lazy;
struct save;
struct snapshot;
struct script_cache;
struct trainer;

struct server {
    struct config *config;
    struct clock *clock;
    struct entropy *entropy;
    struct fs *fs;
    struct logger *logger;
    struct log *log;     /* NULL before recovery opened it */
    struct store *store; /* NULL: no database is logged or tiered */
    struct pool *pool;
    struct trainer *trainer; /* of dictionaries for the store's values */
    struct lazy *lazy;
    struct checkpoint *checkpoint;
    struct flash *flash; /* its budget */
    struct snapshot *snapshot;
    struct save *save; /* RDB files */
    struct script_cache *scripts;
    struct functions *functions; /* replaced under a hold of all (function_store.h) */
    struct {
        _Atomic uint64_t libraries, functions, bytes;
    } figures_of_functions; /* of that, for anyone */
    struct file *dir_lock;
    bool pidfile_written;
    struct holds holds;
    unsigned nshards;
    struct shard **shards;
    uint64_t hash_seed;
    char run_id[41];
    struct timing timing;
    _Atomic uint64_t slowlog_next_id;
    _Atomic uint64_t monitor_homes; /* shards with clients that listen to all (monitor.h) */
    struct history history;
    uint64_t started_us;
    int64_t started_wall_s;
    _Atomic uint8_t *modes; /* by database: the durability in force (enum durability), which the checkpoint records */
    struct space_id *dead;  /* spaces to be removed from flash */
    unsigned ndead, dead_cap;
    uint64_t unlogged_spaces; /* ids given to them */
    uint64_t replay_lsn;      /* of the frame being replayed */
    uint64_t replay_spaces;   /* spaces that it has made so far */
    bool
        checkpoint_first; /* a checkpoint has to complete before anything is served (a change of mode, a first start) */
    bool save_first;      /* before that, an RDB file has to be written: a logged database is to live by it */
    bool imported;        /* an RDB file on a first start: that checkpoint must succeed */
    uint64_t loaded_keys, loaded_expired; /* of an RDB file, at start */
    bool config_logged;                   /* some database is logged */
    bool db_limits;                       /* some database has a maxmemory of its own */
    _Atomic uint64_t next_client_id;
    _Atomic uint64_t connected;
    _Atomic uint64_t blocked_changes; /* block.c */
    _Atomic uint64_t tracking_clients, pubsub_clients, watching_clients, watched_keys;
    _Atomic uint64_t transit_bytes;  /* what values on their way to flash took lately, at most */
    _Atomic uint64_t overhead_bytes; /* resident memory that is not accounted data: what maxmemory must leave for it */
    _Atomic uint64_t peak_memory;
    _Atomic uint64_t memory_asked;   /* how often a shard has asked all whether nothing can be reclaimed */
    _Atomic int64_t paused_until_ms; /* CLIENT PAUSE */
    _Atomic bool paused_all;
    _Atomic bool shutdown_asked;
    _Atomic bool dying; /* fail-stop: nothing leaves any more */
    _Atomic int exit_code;
    struct listening {
        int fd;
        unsigned shard;
        bool is_unix;
    } listening[4 * SHARDS_MAX];
    int nlisten;
    _Atomic unsigned listening_shards;
    char executable[4096];
    struct rates {
        _Atomic uint64_t ops, in, out, turns, turn_ticks;                           /* a second, as of the last one */
        uint64_t last_ops, last_in, last_out, last_turns, last_turn_ticks, last_us; /* shard 0's cron */
    } rates;
    uint64_t memory_at_start;
};

/* The mask of all shards, for a hold. */
static inline uint64_t server_all_shards(const struct server *server)
{
    return server->nshards == SHARDS_MAX ? ~0ull : (1ull << server->nshards) - 1;
}
/* Once in 100 ms, on shard 0. */
void server_cron(struct server *server);
/* Listens on what the configuration says, once everything is loaded. 0, or negative errno with the reason logged. */
int server_listen(struct server *server) must_check;
/* Asks main to end the process. Any thread. */
void server_stop(struct server *server, int exit_code);
/* The log's callbacks. */
void server_log_progress(void *arg);
void server_log_fatal(void *arg, const char *what, int error);
/* By the mode in force: whether the log holds the effects of `db`, and whether it is known what of it is dirty
 * (spaces.c).
 */
bool server_logged(const struct server *server, uint32_t db);
bool server_tracked(const struct server *server, uint32_t db);
bool server_everysec(const struct server *server); /* whether some database is in that mode */

#endif
