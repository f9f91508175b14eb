/* Lines of directives: the file, the command line, CONFIG REWRITE. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "server/config_table.h"

#define FILE_MAX (16 * MIB)
#define INCLUDE_DEPTH 16

static const char escaped[] = "\n\r\t\b\a", escape_letters[] = "nrtba";

/* The escape whose backslash is at p; returns its last byte. */
static char *unescape(char *p, char *out)
{
    const char *at = strchr(escape_letters, *++p);
    if (*p == 'x' && num_hex_digit((uint8_t)p[1]) >= 0 && num_hex_digit((uint8_t)p[2]) >= 0) {
        *out = (char)(num_hex_digit((uint8_t)p[1]) * 16 + num_hex_digit((uint8_t)p[2]));
        return p + 2;
    }
    *out = at != NULL ? escaped[at - escape_letters] : *p;
    return p;
}

/* A quoted word, unquoted in its place; p is behind the quote. Returns what is behind the closing one, or NULL if there
 * is none or if text follows it. */
static char *quoted_word(char *p, struct slice *word)
{
    char quote = p[-1], *start = p, *out = p;
    for (; *p != quote; p++, out++) {
        if (*p == 0)
            return NULL;
        *out = *p;
        if (*p == '\\' && quote == '"' && p[1] != 0)
            p = unescape(p, out);
        else if (*p == '\\' && quote == '\'' && p[1] == '\'')
            *out = *++p;
    }
    *word = slice_of(start, (size_t)(out - start));
    p++;
    return *p == 0 || *p == ' ' || *p == '\t' || *p == '\r' ? p : NULL;
}

int config_split_line(char *line, struct slice *argv, int max)
{
    char *p = line;
    for (int n = 0;; n++) {
        p += strspn(p, " \t\r");
        if (*p == 0)
            return n;
        if (n == max)
            return -1;
        if (*p == '"' || *p == '\'') {
            p = quoted_word(p + 1, &argv[n]);
            if (p == NULL)
                return -1;
        } else {
            argv[n] = slice_of(p, strcspn(p, " \t\r"));
            p += argv[n].len;
        }
    }
}

static bool apply_words(struct config *cfg, const struct slice *argv, int argc, char *error)
{
    int64_t db;
    if (!slice_is(argv[0], "db"))
        return config_set(cfg, -1, argv[0], argv + 1, argc - 1, error);
    if (argc < 4 || !num_parse_i64(argv[1], &db) || db < 0 || db >= CONFIG_DATABASES_MAX) {
        snprintf(error, CONFIG_ERROR_MAX, "db takes a database number, a directive and its value");
        return false;
    }
    return config_set(cfg, (int)db, argv[2], argv + 3, argc - 3, error);
}

static bool load_file(struct config *cfg, const char *path, int depth, char *error);

static bool apply_line(struct config *cfg, char *line, int depth, char *error)
{
    struct slice argv[CONFIG_LINE_ARGS];
    int argc = config_split_line(line, argv, CONFIG_LINE_ARGS);
    if (argc < 0) {
        snprintf(error, CONFIG_ERROR_MAX, "Unbalanced quotes in configuration line");
        return false;
    }
    if (argc == 0 || argv[0].p[0] == '#')
        return true;
    if (slice_is(argv[0], "include") && argc == 2) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.*s", (int)argv[1].len, (const char *)argv[1].p);
        return load_file(cfg, path, depth + 1, error);
    }
    return apply_words(cfg, argv, argc, error);
}

static void explain(char *error, const char *path, int line, const char *text, const char *why)
{
    snprintf(error, CONFIG_ERROR_MAX,
             "*** FATAL CONFIG FILE ERROR (Kelvin %s) ***\nReading the configuration file, at line %d of %s\n>>> "
             "'%.200s'\n%.150s",
             KELVIN_VERSION, line, path, text, why);
}

static bool load_file(struct config *cfg, const char *path, int depth, char *error)
{
    uint8_t *bytes;
    size_t len;
    int err = depth > INCLUDE_DEPTH ? -ELOOP : fs_slurp(fs_real(), path, FILE_MAX, &bytes, &len), line = 0;
    if (err < 0) {
        snprintf(error, CONFIG_ERROR_MAX, "Fatal error, can't open config file '%s': %s", path, strerror(-err));
        return false;
    }
    struct buf text = {0};
    buf_append(&text, bytes, len);
    buf_append_byte(&text, 0);
    mem_free(bytes, len);
    bool ok = true;
    for (char *p = (char *)text.p, *next; ok && p != NULL; p = next) {
        char why[CONFIG_ERROR_MAX], *shown;
        next = strchr(p, '\n');
        if (next != NULL)
            *next++ = 0;
        line++;
        shown = config_copy_text(slice_str(p));
        ok = apply_line(cfg, p, depth, why);
        if (!ok)
            explain(error, path, line, shown, why);
        mem_free(shown, strlen(shown) + 1);
    }
    buf_free(&text);
    return ok;
}

static bool is_option(const char *arg) { return arg[0] == '-' && arg[1] == '-'; }

/* --name value value ... up to the next --name; "--db 1 durability always" is a "db" line. */
static bool apply_options(struct config *cfg, int argc, char **argv, char *error)
{
    for (int i = 0; i < argc;) {
        struct slice words[CONFIG_LINE_ARGS];
        char why[CONFIG_ERROR_MAX] = "";
        int n = 0;
        if (!is_option(argv[i])) {
            snprintf(error, CONFIG_ERROR_MAX, "'%s' is neither an option nor its value", argv[i]);
            return false;
        }
        words[n++] = slice_str(argv[i++] + 2);
        while (i < argc && !is_option(argv[i]) && n < CONFIG_LINE_ARGS)
            words[n++] = slice_str(argv[i++]);
        if (!apply_words(cfg, words, n, why)) {
            explain(error, "the command line", 1, (const char *)words[0].p, why);
            return false;
        }
    }
    return true;
}

static int load(struct config *cfg, int argc, char **argv, char *error)
{
    char path[PATH_MAX];
    if (argc > 1 && !is_option(argv[1])) {
        if (realpath(argv[1], path) == NULL) {
            snprintf(error, CONFIG_ERROR_MAX, "Fatal error, can't open config file '%s': %s", argv[1], strerror(errno));
            return -1;
        }
        config_set_text(&cfg->path, slice_str(path));
        if (!load_file(cfg, path, 0, error))
            return -1;
        argc--;
        argv++;
    }
    return apply_options(cfg, argc - 1, argv + 1, error) ? 0 : -1;
}

int config_load(struct config *cfg, int argc, char **argv, char *error)
{
    cfg->loading = true;
    int err = load(cfg, argc, argv, error);
    cfg->loading = false;
    return err;
}

/* --- rewriting --- */

/* What can stand in a file as it is: words with one blank between them. */
static bool plain_words(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] == '"' || s.p[i] == '\'' || s.p[i] == '\\' || s.p[i] == 0x7f ||
            (s.p[i] == ' ' && (i == 0 || i + 1 == s.len || s.p[i - 1] == ' ')))
            return false;
    return s.len > 0;
}

static void rewrite_line(const struct config *cfg, const struct directive *d, int db, struct buf *out)
{
    struct buf value = {0};
    config_format(cfg, d, db, &value);
    if (db >= 0)
        buf_printf(out, "db %d ", db);
    buf_printf(out, "%s ", d->name);
    bool text = d->type == DIRECTIVE_TEXT || d->type == DIRECTIVE_EVENTS ||
                ((d->type == DIRECTIVE_SAVE_POINTS || d->type == DIRECTIVE_PERCENTILES) && value.len == 0);
    if (text && !((d->flags & DIRECTIVE_MANY) && plain_words(buf_slice(&value))))
        buf_append_quoted(out, buf_slice(&value));
    else
        buf_append_slice(out, buf_slice(&value));
    buf_append_byte(out, '\n');
    buf_free(&value);
}

static bool same_line(const struct config *a, const struct config *b, const struct directive *d)
{
    struct buf x = {0}, y = {0};
    config_format(a, d, -1, &x);
    config_format(b, d, -1, &y);
    bool same = slice_eq(buf_slice(&x), buf_slice(&y));
    buf_free(&x);
    buf_free(&y);
    return same;
}

/* Which directive a line of the file sets, or NULL (comments, blank lines, includes). */
static const struct directive *line_directive(const char *line, int *db)
{
    struct slice argv[CONFIG_LINE_ARGS];
    char *copy = config_copy_text(slice_str(line));
    int argc = config_split_line(copy, argv, CONFIG_LINE_ARGS);
    const struct directive *d = NULL;
    int64_t n = -1;
    *db = -1;
    if (argc >= 2 && argv[0].p[0] != '#') {
        if (slice_is(argv[0], "db") && argc >= 4 && num_parse_i64(argv[1], &n)) {
            bool known = n >= 0 && n < CONFIG_DATABASES_MAX; /* the file may have been edited since it was loaded */
            *db = known ? (int)n : -1;
            d = known ? config_find(argv[2], true) : NULL;
        } else {
            d = config_find(argv[0], false);
        }
    }
    mem_free(copy, strlen(line) + 1);
    return d;
}

/* "auto" in the file is not replaced by what it came to on this machine; what cannot change at run time has not. */
static bool stays_auto(const struct config *cfg, const struct directive *d, const char *line)
{
    struct slice argv[CONFIG_LINE_ARGS];
    char *copy = config_copy_text(slice_str(line));
    bool is_auto = d->special != NULL && config_split_line(copy, argv, CONFIG_LINE_ARGS) == 2 &&
                   config_word_index(d->special, argv[1]) == 0;
    mem_free(copy, strlen(line) + 1);
    return is_auto && ((d->flags & DIRECTIVE_FIXED) || cfg->maxmemory_auto);
}

struct rewritten {
    bool done[128];
    unsigned db_done[CONFIG_DATABASES_MAX];
};

static void rewrite_existing(struct config *cfg, char *text, struct rewritten *w, struct buf *out)
{
    for (char *p = text, *next; p != NULL && *p != 0; p = next) {
        int db;
        next = strchr(p, '\n');
        if (next != NULL)
            *next++ = 0;
        const struct directive *d = line_directive(p, &db);
        if (d == NULL) {
            buf_printf(out, "%s\n", p);
            continue;
        }
        bool *done = &w->done[d - config_directives];
        if (db >= 0 ? w->db_done[db] & config_named_bit(d->name) : *done)
            continue;
        if (db >= 0)
            w->db_done[db] |= config_named_bit(d->name);
        else
            *done = true;
        if (stays_auto(cfg, d, p))
            buf_printf(out, "%s\n", p);
        else
            rewrite_line(cfg, d, db, out);
    }
}

/* The file keeps its comments and order; values are updated in place, new ones appended. */
int config_rewrite(struct config *cfg, char *error)
{
    struct config *defaults = config_new();
    struct rewritten *w = mem_zalloc(sizeof(*w));
    struct buf out = {0}, text = {0};
    uint8_t *bytes;
    size_t len;
    int err = fs_slurp(fs_real(), cfg->path, FILE_MAX, &bytes, &len);

    if (err == 0) {
        buf_append(&text, bytes, len);
        buf_append_byte(&text, 0);
        mem_free(bytes, len);
        rewrite_existing(cfg, (char *)text.p, w, &out);
    }
    for (const struct directive *d = config_directives; d->name != NULL; d++)
        if (!w->done[d - config_directives] &&
            !(d->flags & (DIRECTIVE_DB_ONLY | DIRECTIVE_FIXED | DIRECTIVE_OLD_NAME)) && !same_line(cfg, defaults, d) &&
            !(strcmp(d->name, "maxmemory") == 0 && cfg->maxmemory_auto))
            rewrite_line(cfg, d, -1, &out);
    for (int db = 0; db < CONFIG_DATABASES_MAX; db++)
        for (const struct directive *d = config_directives; d->name != NULL; d++)
            if ((d->flags & DIRECTIVE_DB) && (cfg->db_named[db] & ~w->db_done[db] & config_named_bit(d->name)))
                rewrite_line(cfg, d, db, &out);
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s", cfg->path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL)
        *slash = 0;
    if (err == 0 || err == -ENOENT)
        err = fs_replace(fs_real(), dir, slash ? slash + 1 : cfg->path, out.p, out.len);
    if (err < 0)
        snprintf(error, CONFIG_ERROR_MAX, "%s", strerror(-err));
    buf_free(&out);
    buf_free(&text);
    mem_free(w, sizeof(*w));
    config_free(defaults);
    return err;
}
