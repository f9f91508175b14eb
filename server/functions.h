/* The libraries of functions (FUNCTION LOAD, FCALL): what the server has, as an immutable set that is replaced as a
 * whole. A change makes a new set of the old one and puts it in its place under a hold of all shards; whoever needs a
 * set for longer than a call (checkpoints, RDB files) keeps a reference. Libraries are shared between sets.
 *
 * Nothing here runs Lua: a library's functions are what its code has registered when it was loaded
 * (server/script/loaded.h). Each shard loads a library into its own Lua when it is called there first; a library's
 * `id` says which loading of a name it is.
 *
 * Library names are compared byte by byte, names of functions without regard to case, as in Redis. */
#ifndef SERVER_FUNCTIONS_H
#define SERVER_FUNCTIONS_H

#include <stdatomic.h>

#include "core/base/buf.h"

struct function {
    struct slice name, description; /* the description's p is NULL if there is none */
    uint32_t flags;                 /* enum script_flag */
    const struct library *library;
};

struct library {
    _Atomic unsigned refs;
    uint64_t id; /* unique in this process */
    struct slice name, engine, code;
    unsigned n, cap;
    struct function *functions; /* in the order in which they were registered */
    size_t bytes;               /* memory, as the allocator takes it */
};

struct functions {
    _Atomic unsigned refs;
    uint64_t generation; /* every set has another one */
    unsigned nlibraries, nfunctions;
    struct library **libraries;      /* by name */
    const struct function **by_name; /* of all of them */
    size_t bytes;                    /* with its libraries */
};

/* --- names and metadata --- */

/* Letters, digits and underscores, at least one. */
bool functions_name_ok(struct slice name);
/* What Redis says of bad names of either. */
#define FUNCTIONS_BAD_NAME \
    "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"
/* "#!engine name=…" in the first line of a library's code. False, with Redis's error (without its code) in `error`, if
 * it does not make sense or its name is none. The words stand in *text (cleared and filled). */
struct library_about {
    struct slice engine, name;
    size_t line; /* length of the first line, without its end */
};
bool functions_about(struct slice code, struct library_about *out, struct buf *text, struct buf *error);

/* --- libraries --- */

/* A library without functions; copies what it is given. One reference, the caller's. */
struct library *library_new(const struct library_about *about, struct slice code);
/* While it is being loaded, and nobody else has it. Copies. The name is valid; -EEXIST: it has one of this name. */
int library_add(struct library *l, struct slice name, struct slice description, uint32_t flags) must_check;
struct library *library_ref(struct library *l);
void library_unref(struct library *l);
const struct function *library_find(const struct library *l, struct slice name);

/* --- sets --- */

/* The empty one. One reference, the caller's; so for all that return a set. */
struct functions *functions_new(void);
struct functions *functions_ref(struct functions *f);
void functions_unref(struct functions *f);
/* NULL: there is none. O(log n). */
struct library *functions_library(const struct functions *f, struct slice name);
const struct function *functions_find(const struct functions *f, struct slice name);
/* The set of these libraries; takes their references in any case. NULL, with Redis's error, if a name of a library or a
 * function is there twice. */
struct functions *functions_of(struct library **libraries, unsigned n, struct buf *error);
/* What becomes of `old` when this library comes, in the place of one of its name. Takes its reference in any case.
 * NULL, with Redis's error, if another library has a function of one of its names. */
struct functions *functions_with(const struct functions *old, struct library *l, struct buf *error);
/* The same with all libraries of `more`. NULL, too, if one of their names is there, unless `replace`. */
struct functions *functions_join(const struct functions *old, const struct functions *more, bool replace,
                                 struct buf *error);
struct functions *functions_without(const struct functions *old, const struct library *l);

/* --- bytes --- */

/* What FUNCTION DUMP gives: for each library the opcode of RDB files and its code, then the footer of DUMP. Flash holds
 * the same. */
void functions_encode(const struct functions *f, struct buf *out);
/* Whether the footer is right. */
bool functions_payload_ok(struct slice payload);
/* Calls `each` with the code of every library in a payload, until it returns false. False, with an error if `each` did
 * not make one. */
bool functions_decode(struct slice payload, bool (*each)(void *arg, struct slice code), void *arg, struct buf *error);

#endif
