/* RDB files: the format of Redis for a whole data set, streamed both ways. Source: the format as published (versions 1
 * to 13).
 *
 *   REDIS<version, 4 digits>  then opcodes, each a byte:
 *     250 aux: name, value    254 select database: number     251 its sizes: keys, keys that expire
 *     252 expiry in ms: 8     253 in seconds: 4               248 idle seconds     249 frequency: 1
 *     0..25 a value's type, then key and value                255 end, then the CRC-64 of everything before it: 8
 *     245 a library of functions: its code               read over: 244 slot sizes, 247 a module's own data
 *
 * Neither end holds more of the file in memory than one value. Owned by one thread. */
#ifndef PERSIST_RDB_FILE_H
#define PERSIST_RDB_FILE_H

#include "core/base/buf.h"
#include "core/base/fs.h"

/* A key in a file. */
struct rdb_entry {
    uint32_t db;
    struct slice name;
    int64_t expire_ms;    /* Unix time; -1: none */
    int64_t idle_s, freq; /* -1: not told */
    struct slice payload; /* RDB type byte and the type's encoding, as value_encode makes them */
    struct slice dump;    /* when read: the same as DUMP gives it, without a checksum */
};

/* --- writing --- */

struct rdb_writer;

struct rdb_writer_config {
    struct fs *fs;
    const char *dir, *name; /* the file */
    const char *temp;       /* what it is called in `dir` until it is whole */
    bool compress;          /* strings, with LZF */
    bool checksum;
};

/* Begins a file. 0 or a negative errno. Ended by rdb_writer_finish or rdb_writer_abandon. */
int rdb_writer_open(struct rdb_writer **out, const struct rdb_writer_config *cfg) must_check;
/* These remember the first failure: rdb_writer_finish reports it, rdb_writer_error tells it meanwhile. */
void rdb_writer_aux(struct rdb_writer *w, const char *name, struct slice value);
/* The code of a library of functions: before the first database. */
void rdb_writer_library(struct rdb_writer *w, struct slice code);
/* How many keys a database has: before its first key. */
void rdb_writer_sizes(struct rdb_writer *w, uint32_t db, uint64_t keys, uint64_t expires);
void rdb_writer_add(struct rdb_writer *w, const struct rdb_entry *e);
int rdb_writer_error(const struct rdb_writer *w);
uint64_t rdb_writer_bytes(const struct rdb_writer *w);
/* Ends the file and puts it, durably, in the place of the one before. The version in its header is the lowest that has
 * all the types in it. Frees `w`. 0, or a negative errno: then the file before is still there, and nothing is left of
 * this one. */
int rdb_writer_finish(struct rdb_writer *w) must_check;
/* Removes what was written. Frees `w`. */
void rdb_writer_abandon(struct rdb_writer *w);

/* --- reading --- */

struct rdb_reader;

/* 0; -ENOENT; or another negative errno with what is wrong in `error` (512 bytes). Caller closes. */
int rdb_reader_open(struct rdb_reader **out, struct fs *fs, const char *path, char *error) must_check;
void rdb_reader_close(struct rdb_reader *r);
/* The next key: 1. *e borrows from the reader until the next call. 0: the end, and the checksum is right. A negative
 * errno: *error says what is wrong and where. */
int rdb_reader_next(struct rdb_reader *r, struct rdb_entry *e, char *error) must_check;

/* rdb_reader_next calls `each` for every library of functions on its way (they stand before the first key); what it
 * returns below 0 is an error, with the reason in `error`. Without it they are passed over. */
void rdb_reader_take_libraries(struct rdb_reader *r, int (*each)(void *arg, struct slice code, char *error), void *arg);

struct rdb_about {
    unsigned version;
    char redis_version[32]; /* of the writer, if the file tells */
    uint64_t size, at;      /* bytes of the file, and read so far */
    uint64_t module_data;   /* sections of modules, passed over */
    /* Of files that Kelvin wrote, from the first key on: the end of the log at the instant that the file holds, and the
     * numbers of the databases that live by the file, separated by blanks. */
    bool of_kelvin;
    uint64_t lsn;
    struct slice living; /* borrowed from the reader */
};
#define RDB_AUX_LSN "kelvin-lsn"
#define RDB_AUX_LIVING "kelvin-snapshot"
void rdb_reader_about(const struct rdb_reader *r, struct rdb_about *out);

#endif
