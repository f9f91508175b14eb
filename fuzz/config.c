/* Configuration. Input: a mode, then either a file as the server loads it (odd), or the words of a CONFIG SET, of any
 * bytes, with 0x1f between them. What is accepted is written by CONFIG REWRITE into a file that loads, and means the
 * same.
 *
 * Files are real ones, in a directory of their own under TMPDIR (give a memory file system). Inputs with `include` are
 * left out: they would read what lies around. */
#include <string.h>
#include <unistd.h>

#include "core/base/panic.h"
#include "fuzz/replay.h"
#include "server/config_table.h"

#define SEPARATOR 0x1f
#define INPUT_MAX 4096

static char directory[512], path[600];

static void remove_files(void)
{
    unlink(path);
    rmdir(directory);
}

static void make_directory(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(directory, sizeof(directory), "%s/kelvin-fuzz-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    ensure(mkdtemp(directory) != NULL);
    snprintf(path, sizeof(path), "%s/kelvin.conf", directory);
    atexit(remove_files);
}

static void write_file(struct slice text)
{
    FILE *f = fopen(path, "wb");
    ensure(f != NULL && fwrite(text.p, 1, text.len, f) == text.len);
    fclose(f);
}

static bool load(struct config *cfg)
{
    char error[512] = "", *argv[] = {"kelvin-server", path, NULL};
    int err = config_load(cfg, 2, argv, error);
    ensure(err == 0 || error[0] != 0);
    return err == 0;
}

/* Everything that CONFIG GET shows, a line each. */
static void describe(const struct config *cfg, struct buf *out)
{
    buf_clear(out);
    for (const struct directive *d = config_directives; d->name != NULL; d++)
        for (int db = -1; db < (d->flags & DIRECTIVE_DB ? 16 : 0); db++) {
            if (db < 0 && (d->flags & DIRECTIVE_DB_ONLY))
                continue;
            buf_printf(out, "%d %s=", db, d->name);
            config_format(cfg, d, db, out);
            buf_append_byte(out, '\n');
        }
}

static void rewrites_the_same(struct config *cfg)
{
    char error[512];
    struct config *again = config_new();
    struct buf before = {0}, after = {0};
    config_resolve(cfg);
    ensure(config_rewrite(cfg, error) == 0);
    ensure(load(again));
    config_resolve(again);
    describe(cfg, &before);
    describe(again, &after);
    if (!slice_eq(buf_slice(&before), buf_slice(&after)))
        panic("rewritten:\n%.*s\nwas:\n%.*s", (int)after.len, (const char *)after.p, (int)before.len,
              (const char *)before.p);
    buf_free(&before);
    buf_free(&after);
    config_free(again);
}

static void set_words(struct config *cfg, struct slice text)
{
    struct slice words[16];
    char error[512];
    int n = 0;
    while (n < 16 && text.len > 0) {
        const uint8_t *end = memchr(text.p, SEPARATOR, text.len);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.len;
        words[n++] = slice_of(text.p, len);
        text = slice_of(text.p + len + (end != NULL), text.len - len - (end != NULL));
    }
    const struct directive *d = n > 1 ? config_find(words[0], false) : NULL;
    if (d != NULL && !(d->flags & DIRECTIVE_FIXED))
        (void)config_set(cfg, -1, words[0], words + 1, n - 1, error);
    if (n > 1)
        (void)config_set(cfg, (int)(words[0].len % 16), words[0], words + 1, n - 1, error);
}

/* In any letter case; a backslash inside quotes is dropped by the parser. */
static bool has_include(const uint8_t *data, size_t size)
{
    char plain[INPUT_MAX];
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        if (data[i] != '\\')
            plain[n++] = (char)(data[i] | 0x20);
    return memmem(plain, n, "include", 7) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (directory[0] == 0)
        make_directory();
    if (size < 1 || size > INPUT_MAX || has_include(data, size))
        return 0;
    struct slice text = slice_of(data + 1, size - 1);
    struct config *cfg = config_new();
    bool file = data[0] & 1;
    write_file(file ? text : SLICE_LIT(""));
    if (load(cfg)) {
        if (!file)
            set_words(cfg, text);
        rewrites_the_same(cfg);
    }
    config_free(cfg);
    return 0;
}
