/* Active expiry of hash fields. */
#ifndef SERVER_EXPIRE_FIELDS_H
#define SERVER_EXPIRE_FIELDS_H

#include "server/shard.h"

/* A slice of deleting the fields that are due, once a turn; true if more can be done at once. The values of cold hashes
 * are fetched for that, a few at a time; those that are not there yet are passed over. */
bool expire_fields_slice(struct shard *s);

#endif
