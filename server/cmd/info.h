/* Sections of INFO that stand in files of their own. */
#ifndef SERVER_CMD_INFO_H
#define SERVER_CMD_INFO_H

#include "core/base/buf.h"
#include "server/call.h"

void info_commandstats(struct call *c, struct buf *b);
void info_latencystats(struct call *c, struct buf *b);
void info_errorstats(struct call *c, struct buf *b);

#endif
