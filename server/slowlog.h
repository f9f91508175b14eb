/* The slow log: each shard keeps the runs that took longer than slowlog-log-slower-than there, the newest
 * slowlog-max-len of them; together they are the log, in the order of their ids.
 *
 * As in Redis an entry's duration is what the run took, and not what its client waited in line. One thing is added to
 * it: what the command waited for values to come from flash, which decides with it whether it is logged. Then a last
 * argument says so: "... (waited 1234 microseconds for flash)".
 *
 * Owned by the shard's thread; read and emptied under a hold of all. */
#ifndef SERVER_SLOWLOG_H
#define SERVER_SLOWLOG_H

#include "core/base/slice.h"

struct call;
struct server;
struct shard;

#define SLOWLOG_ARGS 32  /* more are left out */
#define SLOWLOG_ARG 128u /* bytes of each */

/* One allocation of `bytes`. */
struct slowlog_entry {
    struct slowlog_entry *next; /* newer */
    size_t bytes;
    uint64_t id, duration_us;
    int64_t at_s;
    struct slice peer, name;
    int argc;
    struct slice argv[];
};

struct slowlog {
    struct slowlog_entry *first, *last;
    size_t n;
    struct {
        struct slowlog_entry *first, *last;
    } script; /* of the script that runs: logged when it has completed */
};

/* Logs the run that ends now and took so many ticks. */
void slowlog_add(struct call *c, uint64_t took);
/* A script has completed; or it runs again, and what it called is forgotten. */
void slowlog_script_done(struct call *c);
void slowlog_script_again(struct call *c);
void slowlog_reset(struct slowlog *log);
/* How many there are; and the newest `max` of them, newest first, which stay the shards'. Returns how many. All are
 * held. */
size_t slowlog_length(struct server *server);
size_t slowlog_newest(struct server *server, const struct slowlog_entry **out, size_t max);

#endif
