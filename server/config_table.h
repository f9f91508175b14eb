/* The directives, for the config_*.c files and the CONFIG command. */
#ifndef SERVER_CONFIG_TABLE_H
#define SERVER_CONFIG_TABLE_H

#include "server/config.h"

#define CONFIG_AUTO (-2)
#define CONFIG_LINE_ARGS 16
#define CONFIG_ERROR_MAX 512

enum directive_type {
    DIRECTIVE_INT,
    DIRECTIVE_I64,
    DIRECTIVE_BYTES,
    DIRECTIVE_OCTAL,
    DIRECTIVE_BOOL,
    DIRECTIVE_WORD,
    DIRECTIVE_TEXT,
    DIRECTIVE_OUTPUT_LIMIT,
    DIRECTIVE_SAVE_POINTS,
    DIRECTIVE_PERCENTILES,
    DIRECTIVE_EVENTS,
};
enum directive_flag {
    DIRECTIVE_FIXED = 1,   /* cannot change at run time */
    DIRECTIVE_DB = 2,      /* per database; the field is in struct db_config */
    DIRECTIVE_DB_ONLY = 4, /* has no unprefixed form */
    DIRECTIVE_MANY = 8,    /* takes several words */
    DIRECTIVE_SECRET = 16,
    DIRECTIVE_DURABILITY = 32, /* a change is a change of mode */
    DIRECTIVE_OLD_NAME = 64,   /* of a directive that has a row too: REWRITE adds only that */
    DIRECTIVE_CLAMPED = 128,   /* a number out of range is the nearest in it */
    DIRECTIVE_HIDDEN = 256,    /* for tests: no pattern finds it, only its name */
};
struct directive {
    const char *name;
    enum directive_type type;
    size_t at;
    int64_t min, max;
    const char *const *words;
    const char *const *special; /* a word accepted beside numbers: CONFIG_AUTO */
    const char *def;
    int flags;
};
extern const struct directive config_directives[];
extern const char *const config_yes_no[]; /* what every switch understands, whatever its own words are */

const struct directive *config_find(struct slice name, bool of_db);
/* Sets one directive (db < 0: the default for all). False with the reason in `error` (512 bytes); nothing is changed.
 */
bool config_set(struct config *cfg, int db, struct slice name, const struct slice *argv, int argc, char *error);
void config_format(const struct config *cfg, const struct directive *d, int db, struct buf *out);
unsigned config_named_bit(const char *name);
/* Where it stands among `words` (may be NULL), or -1. */
int config_word_index(const char *const *words, struct slice s);

/* A copy with a NUL behind it, of len + 1 bytes: the caller's. */
char *config_copy_text(struct slice s);

/* Puts a copy in place of what the field had. */
void config_set_text(char **field, struct slice s);

/* Splits a line into words, in its place; "double" and 'single' quotes as in Redis's configuration. -1: unbalanced, or
 * more than `max`. */
int config_split_line(char *line, struct slice *argv, int max);

/* Writes the file the server was started with. 0 or negative errno. */
int config_rewrite(struct config *cfg, char *error) must_check;

#endif
