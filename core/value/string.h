/* Strings: an integer, bytes embedded in the entry, or a blob. Operations on the bytes; knows no entries, no replies.
 */
#ifndef VALUE_STRING_H
#define VALUE_STRING_H

#include "core/value/value.h"

#define STRING_INT_CHARS 20
/* Strings up to this length may be embedded in their entry (the keyspace decides by the total). */
#define STRING_EMBED_MAX 1024

extern const struct value_class string_class;

/* The best representation of these bytes: an integer if they are one in canonical form; else ENC_EMBED (borrowing `s`)
 * up to STRING_EMBED_MAX, else a new blob with a copy. */
struct value string_value(struct slice s);
/* The bytes of a string value; an integer is formatted into `scratch`. Borrows from the value. */
struct slice string_bytes(const struct value *v, char scratch[static STRING_INT_CHARS + 1]);

#endif
