/* Scripts that run long: kills, and what is served meanwhile.
 *
 * Each shard says what runs on it in one word, which any thread may look at and kills change:
 *     0 nothing    running -> wrote (first write command)    running -> killed
 * so a script is either killed or has written, never both.
 *
 * After busy-reply-threshold the running shard serves its loop between two instructions: connections are accepted and
 * read, answers leave, and each request gets -BUSY unless its command may run then. It is a turn within a turn, with a
 * wave of its own; what the outer turn had not begun goes back to where it came from (shard_busy_begin). */
#ifndef SERVER_SCRIPT_BUSY_H
#define SERVER_SCRIPT_BUSY_H

#include "server/script/env.h"

void busy_begin(struct run *r);
void busy_end(struct run *r);
/* Before the first write command: false if it has been killed. */
bool busy_wrote(struct run *r);
/* Looks at the clock and at kills, and serves the loop if it is time to. */
enum stop busy_look(struct script_env *env);

#endif
