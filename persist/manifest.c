/* Manifest text, strict in both directions: what is not exactly as written is damage. The checksum is looked at first,
 * so the parser proper only meets files that some Kelvin wrote; it still trusts none of them. */
#include "persist/manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/crc.h"
#include "core/base/mem.h"

#define TITLE "KELVIN-MANIFEST 1\n"
#define CRC_LINE_BYTES 13 /* "crc 01234567\n" */

void manifest_init(struct manifest *m) { *m = (struct manifest){.stop = LSN_NONE}; }

void manifest_free(struct manifest *m)
{
    buf_free(&m->state);
    mem_free(m->segments, m->cap * sizeof(*m->segments));
    manifest_init(m);
}

struct manifest_segment *manifest_add(struct manifest *m)
{
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 8 : m->cap * 2;
        m->segments = mem_realloc(m->segments, m->cap * sizeof(*m->segments), cap * sizeof(*m->segments));
        m->cap = cap;
    }
    struct manifest_segment *s = &m->segments[m->count++];
    *s = (struct manifest_segment){.first = LSN_NONE, .end = LSN_NONE};
    return s;
}

static void put_lsn(struct buf *out, uint64_t lsn)
{
    if (lsn == LSN_NONE)
        buf_append_str(out, " -");
    else
        buf_printf(out, " %016" PRIx64, lsn);
}

static const char *id_or_dash(const char *id) { return id[0] == '\0' ? "-" : id; }

void manifest_encode(const struct manifest *m, struct buf *out)
{
    buf_clear(out);
    buf_append_str(out, TITLE);
    buf_printf(out, "l0 %016" PRIx64 "\n", m->l0);
    buf_printf(out, "replid %s\n", id_or_dash(m->replid));
    buf_printf(out, "replid2 %s %016" PRIx64 "\n", id_or_dash(m->replid2), m->replid2_limit);
    buf_printf(out, "durable %016" PRIx64 "\nstop", m->durable);
    put_lsn(out, m->stop);
    for (size_t i = 0; i < m->count; i++) {
        const struct manifest_segment *s = &m->segments[i];
        buf_printf(out, "\nsegment %s %016" PRIx64, s->name, s->id);
        put_lsn(out, s->first);
        put_lsn(out, s->end);
    }
    buf_printf(out, "\nstate %zu\n", m->state.len);
    buf_append_slice(out, buf_slice(&m->state));
    buf_append_byte(out, '\n');
    buf_printf(out, "crc %08" PRIx32 "\n", crc32c(0, out->p, out->len));
}

/* --- parsing: a cursor that only moves over what it expects ----------------------------------------------------- */

static bool take(struct slice *s, const char *word)
{
    size_t n = strlen(word);
    if (s->len < n || memcmp(s->p, word, n) != 0)
        return false;
    *s = slice_of(s->p + n, s->len - n);
    return true;
}

/* The bytes up to the next blank or line end, at most max - 1 of them, as a string. */
static bool take_word(struct slice *s, char *out, size_t max)
{
    size_t n = 0;
    while (n < s->len && s->p[n] != ' ' && s->p[n] != '\n' && s->p[n] != '\0')
        n++;
    if (n == 0 || n >= max)
        return false;
    memcpy(out, s->p, n);
    out[n] = '\0';
    *s = slice_of(s->p + n, s->len - n);
    return true;
}

static bool take_number(struct slice *s, int base, uint64_t *out)
{
    char word[24];
    char *end;
    if (!take_word(s, word, sizeof(word)) || word[0] == '-' || word[0] == '+')
        return false;
    errno = 0;
    *out = strtoull(word, &end, base);
    return *end == '\0' && errno == 0;
}

static bool take_lsn(struct slice *s, uint64_t *out)
{
    if (!take(s, "-"))
        return take_number(s, 16, out);
    *out = LSN_NONE;
    return true;
}

static bool take_replid(struct slice *s, char out[static 41])
{
    if (!take_word(s, out, 41))
        return false;
    if (strcmp(out, "-") == 0)
        out[0] = '\0';
    return true;
}

static bool take_segment(struct slice *s, struct manifest_segment *seg)
{
    uint64_t number;
    return take_word(s, seg->name, sizeof(seg->name)) && segment_name_parse(seg->name, &number) && take(s, " ") &&
           take_number(s, 16, &seg->id) && take(s, " ") && take_lsn(s, &seg->first) && take(s, " ") &&
           take_lsn(s, &seg->end) && take(s, "\n");
}

static bool take_facts(struct slice *s, struct manifest *m)
{
    return take(s, TITLE "l0 ") && take_number(s, 16, &m->l0) && take(s, "\nreplid ") && take_replid(s, m->replid) &&
           take(s, "\nreplid2 ") && take_replid(s, m->replid2) && take(s, " ") &&
           take_number(s, 16, &m->replid2_limit) && take(s, "\ndurable ") && take_number(s, 16, &m->durable) &&
           take(s, "\nstop ") && take_lsn(s, &m->stop) && take(s, "\n");
}

static bool take_state(struct slice *s, struct manifest *m)
{
    uint64_t len;
    if (!take(s, "state ") || !take_number(s, 10, &len) || !take(s, "\n") || len > s->len)
        return false;
    buf_clear(&m->state);
    buf_append(&m->state, s->p, (size_t)len);
    *s = slice_of(s->p + len, s->len - (size_t)len);
    return take(s, "\n");
}

static bool crc_is_right(struct slice text)
{
    char line[CRC_LINE_BYTES + 1];
    if (text.len < CRC_LINE_BYTES)
        return false;
    size_t covered = text.len - CRC_LINE_BYTES;
    snprintf(line, sizeof(line), "crc %08" PRIx32 "\n", crc32c(0, text.p, covered));
    return memcmp(text.p + covered, line, CRC_LINE_BYTES) == 0;
}

int manifest_decode(struct manifest *m, struct slice text)
{
    if (!crc_is_right(text))
        return -EBADMSG;
    struct slice s = slice_of(text.p, text.len - CRC_LINE_BYTES);
    if (!take_facts(&s, m))
        return -EBADMSG;
    while (take(&s, "segment "))
        if (!take_segment(&s, manifest_add(m)))
            return -EBADMSG;
    return take_state(&s, m) && s.len == 0 ? 0 : -EBADMSG;
}

int manifest_load(struct manifest *m, struct fs *fs, const char *dir)
{
    struct buf path = {0};
    uint8_t *text;
    size_t len;
    buf_printf(&path, "%s/%s%c", dir, MANIFEST_NAME, 0);
    int err = fs_slurp(fs, (const char *)path.p, MANIFEST_BYTES_MAX, &text, &len);
    buf_free(&path);
    if (err != 0)
        return err;
    err = manifest_decode(m, slice_of(text, len));
    mem_free(text, len);
    return err;
}

int manifest_store(const struct manifest *m, struct fs *fs, const char *dir)
{
    struct buf text = {0};
    manifest_encode(m, &text);
    int err = fs_replace(fs, dir, MANIFEST_NAME, text.p, text.len);
    buf_free(&text);
    return err;
}

void segment_name_format(char out[static SEGMENT_NAME_MAX], uint64_t number)
{
    snprintf(out, SEGMENT_NAME_MAX, "kelvin-%08" PRIu64 ".log", number);
}

bool segment_name_parse(const char *name, uint64_t *number)
{
    char again[SEGMENT_NAME_MAX];
    if (sscanf(name, "kelvin-%20" SCNu64 ".log", number) != 1)
        return false;
    segment_name_format(again, *number);
    return strcmp(name, again) == 0;
}
