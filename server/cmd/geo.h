/* What the command files of geo share. */
#ifndef SERVER_CMD_GEO_H
#define SERVER_CMD_GEO_H

#include "core/value/geo.h"
#include "server/cmd/zset.h"

/* Parsers that reply on failure: two arguments that are a valid point; a unit, as metres. */
bool arg_point(struct call *c, const struct slice *argv, struct geo_point *out);
bool arg_unit(struct call *c, struct slice s, double *metres);
/* [longitude, latitude] */
void reply_point(struct call *c, struct geo_point p);
/* With four decimals, as text. */
void reply_distance(struct call *c, double d);

/* For the declarations. */
#define GEO .acl = ACL_GEO, .group = "geo"
extern const struct command_arg geo_unit_args[];

#endif
