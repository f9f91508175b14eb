/* What SINTERSTORE, ZRANGESTORE, SORT STORE … have in common. */
#ifndef SERVER_CMD_STORE_H
#define SERVER_CMD_STORE_H

#include "server/call.h"

/* The key in argument `arg` becomes this collection, which the callee owns from now on; without elements, the key is
 * deleted. Recorded as a RESTORE of the result, told as `event`. Replies the number of elements. */
void store_result(struct call *c, int arg, struct value *v, uint32_t event_class, const char *event);

#endif
