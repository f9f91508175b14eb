/* Transactions: MULTI's queue and WATCH. A watched key's version lives with the shard that owns the key; EXEC needs the
 * shards of its keys and of the watched ones, and compares versions inside the run. Owned by the client's home; the
 * watch tables belong to the owners ("data"), so a watch is given up by a task of the owner. */
#ifndef SERVER_TX_H
#define SERVER_TX_H

#include "server/dispatch.h"

struct queued {
    const struct command *cmd;
    struct slice *argv; /* in the transaction's memory, as the bytes are */
    int argc;
    int first_key; /* as in its request */
    uint64_t hash;
    uint32_t db;
};

/* Memory of queued arguments, freed together. */
struct tx_block {
    struct tx_block *next;
    size_t size, used; /* bytes, of this struct too */
};

struct watch {
    struct watch *next;
    struct shard *owner;
    uint64_t version;
    uint32_t db;
    struct key key; /* the bytes stand behind the struct */
};

struct transaction {
    bool multi;  /* MULTI was given: commands queue */
    bool doomed; /* an error at queueing: EXEC aborts */
    uint32_t db; /* the database the next queued command will see */
    struct queued *queue;
    int n;
    unsigned cap;
    struct tx_block *blocks; /* the first is being filled */
    struct watch *watches;
};

struct transaction *tx_get(struct client *c); /* makes one if there is none */
void tx_watch(struct call *c, int arg);
void tx_unwatch(struct client *c);
bool tx_watched_changed(struct call *c);
void tx_exec(struct call *c);

#endif
