/* Libraries of functions in Lua. What the server has is one set for all (server/functions.h); each shard loads a
 * library into its own environment when it needs it, by running its code there, and keeps it until the library is no
 * more.
 *
 * A shard's environment and what is loaded in it are data of the shard. */
#ifndef SERVER_SCRIPT_LOADED_H
#define SERVER_SCRIPT_LOADED_H

#include "server/functions.h"
#include "server/script/engine.h"

struct loaded_libraries;

enum library_load {
    LIBRARY_NEW,     /* its name must not be there */
    LIBRARY_REPLACE, /* it may */
};
/* The library of this code, loaded into the Lua of `s`; not in any set yet. `now`: what is there. `timeout_ms` 0: none.
 * NULL, with Redis's error (without its code). Caller owns the reference; a library that does not become a part of
 * server->functions is forgotten by library_forget_others. */
struct library *library_load(struct shard *s, struct slice code, const struct functions *now, enum library_load how,
                             uint64_t timeout_ms, struct buf *error);
/* Loads the function's library if it is not, and returns the function's reference, or -1 with the reason in `error`. */
int library_function(struct shard *s, const struct function *f, struct buf *error);
/* Unloads what is not in `now`. */
void library_forget_others(struct shard *s, const struct functions *now);
/* Unloads all, and frees the environment. */
void library_forget_all(struct shard *s);

#endif
