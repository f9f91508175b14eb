/* What the files of DEBUG share. */
#ifndef SERVER_CMD_DEBUG_H
#define SERVER_CMD_DEBUG_H

#include "server/call.h"

/* False, and replied, unless enable-debug-command. */
bool debug_allowed(struct call *c);

void debug_object_run(struct call *c);
void debug_listpack_run(struct call *c);
void debug_sdslen_run(struct call *c);
void debug_htstats_run(struct call *c);
void debug_htstats_key_run(struct call *c);
void debug_digest_run(struct call *c);
void debug_digest_value_run(struct call *c);

#endif
