/* Format and reader of segments; segment.h has the layout. Formatting and parsing are exact inverses: every field has
 * one spelling, so an annotation that parses is byte for byte what was written. */
#include "persist/segment.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"

#define WINDOW_BYTES (1024 * 1024)

/* The fixed text of each line; '0' stands for a digit, which is where the fields lie. */
static const char header_form[] = "#KELVIN-SEGMENT v1 id=0000000000000000 first=0000000000000000 \r\n";
static const char frame_form[] = "#F lsn=0000000000000000 len=00000000 prev=0000000000000000 durable=0000000000000000"
                                 " head=00000000 crc=00000000\r\n";
static const char end_form[] = "#E lsn=0000000000000000 durable=0000000000000000 crc=00000000\r\n";

enum {
    HEADER_ID_AT = 22,
    HEADER_FIRST_AT = 45,
    FRAME_LSN_AT = 7,
    FRAME_LEN_AT = 28,
    FRAME_PREV_AT = 42,
    FRAME_DURABLE_AT = 67,
    FRAME_HEAD_TEXT = 83, /* what `head` covers */
    FRAME_HEAD_AT = 89,
    FRAME_CRC_TEXT = 97, /* what `crc` covers */
    FRAME_CRC_AT = 102,
    END_LSN_AT = 7,
    END_DURABLE_AT = 32,
    END_CRC_TEXT = 48,
    END_CRC_AT = 53,
};
static_assert(sizeof(header_form) == SEGMENT_HEADER_BYTES + 1, "header layout");
static_assert(sizeof(frame_form) == SEGMENT_FRAME_BYTES + 1, "frame layout");
static_assert(sizeof(end_form) == SEGMENT_END_BYTES + 1, "end mark layout");
static_assert(SEGMENT_FRAME_BYTES < 128, "Redis reads an annotation into 128 bytes");

static void put_hex(char *out, uint64_t v, int digits)
{
    for (int i = digits - 1; i >= 0; i--, v >>= 4)
        out[i] = "0123456789abcdef"[v & 15];
}

static bool get_hex(const uint8_t *s, int digits, uint64_t *out)
{
    uint64_t v = 0;
    for (int i = 0; i < digits; i++) {
        uint8_t c = s[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* Whether `s` begins with the line `form`, its fields aside. */
static bool has_form(struct slice s, const char *form, size_t len)
{
    if (s.len < len)
        return false;
    for (size_t i = 0; i < len; i++)
        if (form[i] != '0' && s.p[i] != (uint8_t)form[i])
            return false;
    return true;
}

static uint32_t seal(uint32_t crc, const void *text, size_t len, uint64_t id)
{
    uint8_t le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (uint8_t)(id >> (8 * i));
    return crc32c(crc32c(crc, text, len), le, sizeof(le));
}

void segment_format_header(char out[static SEGMENT_HEADER_BYTES], uint64_t id, uint64_t first)
{
    memcpy(out, header_form, SEGMENT_HEADER_BYTES);
    put_hex(out + HEADER_ID_AT, id, 16);
    put_hex(out + HEADER_FIRST_AT, first, 16);
}

bool segment_parse_header(struct slice s, uint64_t *id, uint64_t *first)
{
    return has_form(s, header_form, SEGMENT_HEADER_BYTES) && get_hex(s.p + HEADER_ID_AT, 16, id) &&
           get_hex(s.p + HEADER_FIRST_AT, 16, first);
}

void frame_format(char out[static SEGMENT_FRAME_BYTES], const struct frame_mark *m, uint64_t id, uint32_t payload_crc)
{
    memcpy(out, frame_form, SEGMENT_FRAME_BYTES);
    put_hex(out + FRAME_LSN_AT, m->lsn, 16);
    put_hex(out + FRAME_LEN_AT, m->len, 8);
    put_hex(out + FRAME_PREV_AT, m->prev, 16);
    put_hex(out + FRAME_DURABLE_AT, m->durable, 16);
    put_hex(out + FRAME_HEAD_AT, seal(0, out, FRAME_HEAD_TEXT, id), 8);
    put_hex(out + FRAME_CRC_AT, seal(payload_crc, out, FRAME_CRC_TEXT, id), 8);
}

static bool parse_frame_fields(const uint8_t *p, struct frame_mark *m, uint64_t *head, uint64_t *crc)
{
    uint64_t len;
    if (!get_hex(p + FRAME_LSN_AT, 16, &m->lsn) || !get_hex(p + FRAME_LEN_AT, 8, &len) ||
        !get_hex(p + FRAME_PREV_AT, 16, &m->prev) || !get_hex(p + FRAME_DURABLE_AT, 16, &m->durable))
        return false;
    m->len = (uint32_t)len;
    return get_hex(p + FRAME_HEAD_AT, 8, head) && get_hex(p + FRAME_CRC_AT, 8, crc);
}

bool frame_parse(struct slice s, uint64_t id, struct frame_mark *m, uint32_t *crc)
{
    uint64_t head, whole;
    if (!has_form(s, frame_form, SEGMENT_FRAME_BYTES) || !parse_frame_fields(s.p, m, &head, &whole))
        return false;
    *crc = (uint32_t)whole;
    return head == seal(0, s.p, FRAME_HEAD_TEXT, id) && m->prev <= m->lsn && m->durable <= m->prev &&
           m->len <= UINT64_MAX - m->lsn;
}

bool frame_matches(const uint8_t *annotation, uint64_t id, uint32_t payload_crc, uint32_t crc)
{
    return seal(payload_crc, annotation, FRAME_CRC_TEXT, id) == crc;
}

void segment_format_end(char out[static SEGMENT_END_BYTES], uint64_t lsn, uint64_t durable, uint64_t id)
{
    memcpy(out, end_form, SEGMENT_END_BYTES);
    put_hex(out + END_LSN_AT, lsn, 16);
    put_hex(out + END_DURABLE_AT, durable, 16);
    put_hex(out + END_CRC_AT, seal(0, out, END_CRC_TEXT, id), 8);
}

bool segment_parse_end(struct slice s, uint64_t id, uint64_t *lsn, uint64_t *durable)
{
    uint64_t crc;
    return has_form(s, end_form, SEGMENT_END_BYTES) && get_hex(s.p + END_LSN_AT, 16, lsn) &&
           get_hex(s.p + END_DURABLE_AT, 16, durable) && get_hex(s.p + END_CRC_AT, 8, &crc) &&
           crc == seal(0, s.p, END_CRC_TEXT, id);
}

int segment_zero(struct file *f, uint64_t off, uint64_t len)
{
    static const uint8_t zeros[64 * 1024];
    while (len > 0) {
        size_t n = (size_t)min_u64(len, sizeof(zeros));
        int err = fs_write_full(f, zeros, n, off);
        if (err != 0)
            return err;
        off += n;
        len -= n;
    }
    return 0;
}

int segment_reader_init(struct segment_reader *r, struct file *file, uint64_t id)
{
    int64_t size = file->ops->size(file);
    if (size < 0)
        return (int)size;
    *r = (struct segment_reader){.file = file, .id = id, .size = (uint64_t)size, .off = SEGMENT_HEADER_BYTES};
    return 0;
}

void segment_reader_free(struct segment_reader *r)
{
    mem_free(r->window, r->window_cap);
    r->window = NULL;
    r->window_cap = 0;
}

/* Makes the window hold [off, off + len), or less at the end of the file; reads ahead. */
static int fill_window(struct segment_reader *r, uint64_t off, size_t len)
{
    size_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;
    want = (size_t)min_u64(want, r->size - off);
    if (r->window_cap < want) {
        mem_free(r->window, r->window_cap);
        r->window = mem_alloc(want);
        r->window_cap = want;
    }
    r->window_len = 0;
    ssize_t n = fs_read_full(r->file, r->window, want, off);
    if (n < 0)
        return (int)n;
    r->window_off = off;
    r->window_len = (size_t)n;
    return 0;
}

/* *out: the bytes [off, off + len), shorter at the end of the file; borrowed until the next call. */
static int view(struct segment_reader *r, uint64_t off, size_t len, struct slice *out)
{
    if (off >= r->size) {
        *out = slice_of(NULL, 0);
        return 0;
    }
    len = (size_t)min_u64(len, r->size - off);
    if (off < r->window_off || off + len > r->window_off + r->window_len) {
        int err = fill_window(r, off, len);
        if (err != 0)
            return err;
    }
    size_t at = (size_t)(off - r->window_off);
    *out = slice_of(r->window + at, (size_t)min_u64(len, r->window_len - at));
    return 0;
}

static bool all_zero(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] != 0)
            return false;
    return true;
}

static int read_frame(struct segment_reader *r, const struct frame_mark *m, uint32_t crc)
{
    struct slice whole;
    size_t len = SEGMENT_FRAME_BYTES + (size_t)m->len;
    r->torn_len = m->len;
    if (len > r->size - r->off)
        return SEGMENT_BAD;
    int err = view(r, r->off, len, &whole);
    if (err != 0)
        return err;
    struct slice payload = slice_of(whole.p + SEGMENT_FRAME_BYTES, m->len);
    if (whole.len < len || !frame_matches(whole.p, r->id, crc32c(0, payload.p, payload.len), crc))
        return SEGMENT_BAD;
    r->frame = *m;
    r->payload = payload;
    r->off += len;
    return SEGMENT_FRAME;
}

int segment_next(struct segment_reader *r)
{
    struct slice line;
    struct frame_mark m;
    uint32_t crc;
    r->item_off = r->off;
    r->torn_len = 0;
    int err = view(r, r->off, SEGMENT_FRAME_BYTES, &line);
    if (err != 0)
        return err;
    if (frame_parse(line, r->id, &m, &crc))
        return read_frame(r, &m, crc);
    if (segment_parse_end(line, r->id, &r->end_lsn, &r->end_durable))
        return SEGMENT_END;
    return all_zero(line) ? SEGMENT_BLANK : SEGMENT_BAD;
}

/* The first '#' at or behind `off`; r->size if there is none. */
static int find_mark(struct segment_reader *r, uint64_t off, uint64_t *out)
{
    while (off < r->size) {
        struct slice s;
        int err = view(r, off, 1, &s);
        if (err != 0)
            return err;
        if (s.len == 0)
            break;
        size_t ahead = r->window_len - (size_t)(off - r->window_off);
        const uint8_t *hit = memchr(s.p, '#', ahead);
        if (hit != NULL) {
            *out = off + (size_t)(hit - s.p);
            return 0;
        }
        off += ahead;
    }
    *out = r->size;
    return 0;
}

int segment_resync(struct segment_reader *r)
{
    for (uint64_t off = r->item_off + 1;; off++) {
        int err = find_mark(r, off, &off);
        if (err != 0)
            return err;
        r->off = r->item_off = off;
        if (off >= r->size)
            return SEGMENT_BLANK;
        int item = segment_next(r);
        if (item < 0 || item == SEGMENT_FRAME || item == SEGMENT_END)
            return item;
    }
}
