/* Values of directives: from words, and as text. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/base/panic.h"
#include "server/config_table.h"
#include "server/notify.h"

int config_word_index(const char *const *words, struct slice s)
{
    for (int i = 0; words != NULL && words[i] != NULL; i++)
        if (slice_is(s, words[i]))
            return i;
    return -1;
}

char *config_copy_text(struct slice s)
{
    char *p = mem_alloc(s.len + 1);
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    p[s.len] = 0;
    return p;
}

void config_set_text(char **field, struct slice s)
{
    if (*field != NULL)
        mem_free(*field, strlen(*field) + 1);
    *field = config_copy_text(s);
}

static bool store_number(const struct directive *d, void *at, int64_t v, char *error)
{
    if (d->flags & DIRECTIVE_CLAMPED)
        v = v < d->min ? d->min : v > d->max ? d->max : v;
    if (v < d->min || v > d->max) {
        snprintf(error, CONFIG_ERROR_MAX, "argument must be between %lld and %lld inclusive", (long long)d->min,
                 (long long)d->max);
        return false;
    }
    if (d->type == DIRECTIVE_INT || d->type == DIRECTIVE_OCTAL)
        *(int *)at = (int)v;
    else
        *(int64_t *)at = v;
    return true;
}

static bool set_number(const struct directive *d, void *at, struct slice s, char *error)
{
    int64_t v;
    uint64_t bytes;
    if (d->special != NULL && config_word_index(d->special, s) == 0) {
        if (d->type == DIRECTIVE_INT)
            *(int *)at = CONFIG_AUTO;
        else
            *(int64_t *)at = CONFIG_AUTO;
        return true;
    }
    if (d->type == DIRECTIVE_BYTES) {
        if (!num_parse_bytes(s, &bytes) || bytes > INT64_MAX) {
            snprintf(error, CONFIG_ERROR_MAX, "argument must be a memory value");
            return false;
        }
        v = (int64_t)bytes;
    } else if (d->type == DIRECTIVE_OCTAL) {
        char text[16], *end;
        snprintf(text, sizeof(text), "%.*s", (int)s.len, (const char *)s.p);
        v = strtol(text, &end, 8);
        if (*end != 0 || s.len == 0)
            v = -1;
    } else if (!num_parse_i64(s, &v)) {
        snprintf(error, CONFIG_ERROR_MAX, "argument couldn't be parsed into an integer");
        return false;
    }
    return store_number(d, at, v, error);
}

static void list_words(const struct directive *d, char *error)
{
    size_t n = (size_t)snprintf(error, CONFIG_ERROR_MAX, "argument(s) must be one of the following: ");
    for (int i = 0; d->words[i] != NULL; i++)
        n += (size_t)snprintf(error + n, CONFIG_ERROR_MAX - n, "%s%s", i ? ", " : "", d->words[i]);
}

static bool set_word_value(const struct directive *d, void *at, struct slice s, char *error)
{
    int i = config_word_index(d->words, s);
    if (i < 0 && d->type == DIRECTIVE_BOOL)
        i = config_word_index(config_yes_no, s);
    if (i < 0) {
        if (d->type == DIRECTIVE_BOOL)
            snprintf(error, CONFIG_ERROR_MAX, "argument must be '%s' or '%s'", d->words[1], d->words[0]);
        else
            list_words(d, error);
        return false;
    }
    if (d->type == DIRECTIVE_BOOL)
        *(bool *)at = i != 0;
    else
        *(int *)at = i;
    return true;
}

/* "normal 0 0 0 slave 256mb 64mb 60": any number of groups of four. */
static bool set_output_limits(struct config *cfg, const struct slice *argv, int argc, char *error)
{
    static const char *const classes[] = {"normal", "slave", "pubsub", "replica", NULL};
    if (argc == 0 || argc % 4 != 0) {
        snprintf(error, CONFIG_ERROR_MAX, "Wrong number of arguments in buffer limit configuration.");
        return false;
    }
    for (int i = 0; i < argc; i += 4) {
        uint64_t hard, soft;
        int64_t seconds;
        int cls = config_word_index(classes, argv[i]);
        if (cls < 0) {
            snprintf(error, CONFIG_ERROR_MAX, "Invalid client class specified in buffer limit configuration.");
            return false;
        }
        if (!num_parse_bytes(argv[i + 1], &hard) || !num_parse_bytes(argv[i + 2], &soft) ||
            !num_parse_i64(argv[i + 3], &seconds) || seconds < 0 || seconds > INT_MAX) {
            snprintf(error, CONFIG_ERROR_MAX,
                     "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            return false;
        }
        cls = cls == 3 ? 1 : cls;
        cfg->output_limit[cls].hard = hard;
        cfg->output_limit[cls].soft = soft;
        cfg->output_limit[cls].soft_seconds = (int)seconds;
    }
    return true;
}

/* "50 99 99.9". */
static bool set_percentiles(struct percentiles *p, const struct slice *argv, int argc, char *error)
{
    struct percentiles new = {0};
    for (int i = 0; i < argc; i++) {
        double v;
        if (new.n == CONFIG_PERCENTILES || !num_parse_double(argv[i], &v)) {
            snprintf(error, CONFIG_ERROR_MAX, "Invalid latency-tracking-info-percentiles parameters");
            return false;
        }
        if (!(v >= 0 && v <= 100)) {
            snprintf(error, CONFIG_ERROR_MAX,
                     "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]");
            return false;
        }
        new.at[new.n++] = v;
    }
    *p = new;
    return true;
}

/* "3600 1 300 100": pairs of seconds and changes; "": none. */
static bool set_save_points(struct config *cfg, const struct slice *argv, int argc, char *error)
{
    struct save_point at[CONFIG_SAVE_POINTS];
    int n = cfg->loading ? cfg->nsave : 0, from = n;
    bool none = argc == 0 || (argc == 1 && argv[0].len == 0);
    memcpy(at, cfg->save, sizeof(at));
    for (int i = 0; i < argc && !none; i += 2) {
        int64_t seconds, changes;
        if (i + 1 == argc || n == CONFIG_SAVE_POINTS || !num_parse_i64(argv[i], &seconds) ||
            !num_parse_i64(argv[i + 1], &changes) || seconds < 1 || seconds > INT_MAX || changes < 0 ||
            changes > INT_MAX) {
            snprintf(error, CONFIG_ERROR_MAX, "Invalid save parameters");
            return false;
        }
        at[n++] = (struct save_point){(int)seconds, (int)changes};
    }
    cfg->nsave = none ? 0 : n;
    memcpy(cfg->save + from, at + from, sizeof(*at) * (size_t)(n - from));
    return true;
}

/* Texts are C strings: a NUL would end them early, and they would be freed with another size than they have. */
static bool set_text_value(const struct directive *d, char **field, struct slice s, char *error)
{
    if (s.len > 0 && memchr(s.p, 0, s.len) != NULL) {
        snprintf(error, CONFIG_ERROR_MAX, "argument must not contain a NUL byte");
        return false;
    }
    if (strcmp(d->name, "dbfilename") == 0 &&
        (s.len == 0 || s.len > NAME_MAX || memchr(s.p, '/', s.len) != NULL || s.p[0] == '.')) {
        snprintf(error, CONFIG_ERROR_MAX, "dbfilename can't be a path, just a filename");
        return false;
    }
    config_set_text(field, s);
    return true;
}

static void join(const struct slice *argv, int argc, struct buf *out)
{
    buf_clear(out);
    for (int i = 0; i < argc; i++) {
        if (i > 0)
            buf_append_byte(out, ' ');
        buf_append_slice(out, argv[i]);
    }
}

static bool set_at(struct config *cfg, const struct directive *d, void *at, const struct slice *argv, int argc,
                   char *error)
{
    struct buf joined = {0};
    bool ok = true;
    if (d->type == DIRECTIVE_OUTPUT_LIMIT)
        return set_output_limits(cfg, argv, argc, error);
    if (d->type == DIRECTIVE_SAVE_POINTS)
        return set_save_points(cfg, argv, argc, error);
    if (d->type == DIRECTIVE_PERCENTILES)
        return set_percentiles(at, argv, argc == 1 && argv[0].len == 0 ? 0 : argc, error);
    if (argc != 1 && !(d->flags & DIRECTIVE_MANY)) {
        snprintf(error, CONFIG_ERROR_MAX, "wrong number of arguments");
        return false;
    }
    switch (d->type) {
    case DIRECTIVE_TEXT:
        join(argv, argc, &joined);
        ok = set_text_value(d, at, buf_slice(&joined), error);
        break;
    case DIRECTIVE_EVENTS:
        ok = events_parse(argv[0], at);
        if (!ok)
            snprintf(error, CONFIG_ERROR_MAX, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.");
        break;
    case DIRECTIVE_BOOL:
    case DIRECTIVE_WORD:
        ok = set_word_value(d, at, argv[0], error);
        break;
    default:
        ok = set_number(d, at, argv[0], error);
    }
    buf_free(&joined);
    return ok;
}

/* durability follows appendonly, appendfsync and save, as far as it has not been named itself since. */
static void follow_durability(struct config *cfg, const struct directive *d)
{
    static const int modes[] = {DURABILITY_ALWAYS, DURABILITY_EVERYSEC, DURABILITY_OS};
    bool save = d->type == DIRECTIVE_SAVE_POINTS;
    if (!(d->flags & DIRECTIVE_DURABILITY) || (save && cfg->durability_named))
        return;
    cfg->durability_named = false;
    cfg->db_default.durability = cfg->appendonly  ? modes[cfg->appendfsync]
                                 : cfg->nsave > 0 ? DURABILITY_SNAPSHOT
                                                  : DURABILITY_NONE;
    for (int i = 0; i < CONFIG_DATABASES_MAX; i++)
        if (!(cfg->db_named[i] & config_named_bit("durability")))
            cfg->db[i].durability = cfg->db_default.durability;
}

bool config_set(struct config *cfg, int db, struct slice name, const struct slice *argv, int argc, char *error)
{
    const struct directive *d = config_find(name, db >= 0);
    struct db_config tmp;
    if (d == NULL) {
        snprintf(error, CONFIG_ERROR_MAX, "Bad directive or wrong number of arguments");
        return false;
    }
    if (!(d->flags & DIRECTIVE_DB)) {
        if (!set_at(cfg, d, (char *)cfg + d->at, argv, argc, error))
            return false;
        follow_durability(cfg, d);
        return true;
    }
    tmp = db >= 0 ? cfg->db[db] : cfg->db_default;
    if (!set_at(cfg, d, (char *)&tmp + d->at, argv, argc, error))
        return false;
    if (db >= 0) {
        cfg->db[db] = tmp;
        cfg->db_named[db] |= config_named_bit(d->name);
        return true;
    }
    cfg->db_default = tmp;
    cfg->durability_named |= (d->flags & DIRECTIVE_DURABILITY) != 0;
    for (int i = 0; i < CONFIG_DATABASES_MAX; i++)
        if (!(cfg->db_named[i] & config_named_bit(d->name)))
            set_at(cfg, d, (char *)&cfg->db[i] + d->at, argv, argc, error);
    return true;
}

/* --- reading back --- */

static void format_bytes(struct buf *out, int64_t v) { buf_printf(out, "%lld", (long long)v); }

static void format_output_limits(const struct config *cfg, struct buf *out)
{
    static const char *const classes[] = {"normal", "slave", "pubsub"};
    for (int i = 0; i < 3; i++)
        buf_printf(out, "%s%s %llu %llu %d", i ? " " : "", classes[i], (unsigned long long)cfg->output_limit[i].hard,
                   (unsigned long long)cfg->output_limit[i].soft, cfg->output_limit[i].soft_seconds);
}

static void format_percentiles(const struct percentiles *p, struct buf *out)
{
    char text[40];
    for (int i = 0; i < p->n; i++)
        buf_printf(out, "%s%.*s", i ? " " : "", (int)num_format_double(text, p->at[i]), text);
}

void config_format(const struct config *cfg, const struct directive *d, int db, struct buf *out)
{
    const struct db_config *dbc = db >= 0 ? &cfg->db[db] : &cfg->db_default;
    const void *at = d->flags & DIRECTIVE_DB ? (const char *)dbc + d->at : (const char *)cfg + d->at;
    switch (d->type) {
    case DIRECTIVE_TEXT:
        buf_append_str(out, *(char *const *)at ? *(char *const *)at : "");
        break;
    case DIRECTIVE_BOOL:
        buf_append_str(out, d->words[*(const bool *)at]);
        break;
    case DIRECTIVE_WORD:
        buf_append_str(out, d->words[*(const int *)at]);
        break;
    case DIRECTIVE_INT:
        buf_printf(out, "%d", *(const int *)at);
        break;
    case DIRECTIVE_OCTAL:
        buf_printf(out, "%o", *(const int *)at);
        break;
    case DIRECTIVE_OUTPUT_LIMIT:
        format_output_limits(cfg, out);
        break;
    case DIRECTIVE_EVENTS:
        events_format(*(const uint32_t *)at, out);
        break;
    case DIRECTIVE_SAVE_POINTS:
        for (int i = 0; i < cfg->nsave; i++)
            buf_printf(out, "%s%d %d", i ? " " : "", cfg->save[i].seconds, cfg->save[i].changes);
        break;
    case DIRECTIVE_PERCENTILES:
        format_percentiles(at, out);
        break;
    default:
        format_bytes(out, *(const int64_t *)at);
    }
}
