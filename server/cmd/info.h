/* INFO's sections stand in several files. What they read are figures that the shards publish; nothing is locked. */
#ifndef SERVER_CMD_INFO_H
#define SERVER_CMD_INFO_H

#include "core/base/buf.h"
#include "server/call.h"

/* A line. */
void info_field(struct buf *b, const char *name, const char *fmt, ...) printf_like(3, 4);
void info_number(struct buf *b, const char *name, uint64_t v);
void info_human(struct buf *b, const char *name, uint64_t bytes);

/* A figure of struct db_figures, summed over the shards: of one database, of all. */
#define FIGURE_AT(f) offsetof(struct db_figures, f)
uint64_t info_figure(struct call *c, uint32_t db, size_t at);
uint64_t info_figure_all(struct call *c, size_t at);

void info_commandstats(struct call *c, struct buf *b);
void info_latencystats(struct call *c, struct buf *b);
void info_errorstats(struct call *c, struct buf *b);
void info_tier(struct call *c, struct buf *b);

#endif
