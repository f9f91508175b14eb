/* kelvin-log_dump DIR: prints a log directory (appendonlydir/) without changing it: the manifest, the segments, every
 * frame with its LSN and annotation, every effect in it, and the places that cannot be read. Of a running server's log
 * the end may look torn: it is being written. Exit status: 0, 1 if something below the manifest's mark is missing, 2
 * for usage. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "persist/effects.h"
#include "persist/manifest.h"
#include "persist/segment.h"

#define ARG_SHOWN 64

struct dump {
    const char *dir;
    struct manifest manifest;
    struct effects effects;
    uint64_t tip; /* end of the frame printed last; LSN_NONE: none */
    bool missing;
};

static void print_arg(struct slice s)
{
    size_t shown = s.len < ARG_SHOWN ? s.len : ARG_SHOWN;
    printf(" \"");
    for (size_t i = 0; i < shown; i++) {
        uint8_t c = s.p[i];
        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c >= ' ' && c < 0x7f)
            putchar(c);
        else
            printf("\\x%02x", c);
    }
    printf("\"");
    if (shown < s.len)
        printf("...(%zu bytes)", s.len);
}

static void print_effects(struct dump *d, uint64_t lsn, struct slice payload)
{
    struct effect_item item;
    int more;
    effects_begin(&d->effects, lsn, payload);
    while ((more = effects_next(&d->effects, &item)) == 1) {
        printf("    %" PRIu64 " db%" PRIu32, item.lsn, item.db);
        for (int i = 0; i < item.argc; i++)
            print_arg(item.argv[i]);
        printf("\n");
    }
    if (more != 0)
        printf("    (the rest of the frame does not hold effects)\n");
}

/* A frame must follow the one before it; below the manifest's mark nothing may be missing. */
static void print_frame(struct dump *d, const struct segment_reader *r)
{
    const struct frame_mark *m = &r->frame;
    uint64_t behind = d->tip == LSN_NONE ? d->manifest.l0 : d->tip;
    if (m->prev > behind) {
        printf("  MISSING: frames from LSN %" PRIu64 " to %" PRIu64 "\n", behind, m->prev);
        d->missing |= behind < d->manifest.durable || behind < m->durable;
    }
    printf("  frame lsn=%" PRIu64 " len=%" PRIu32 " prev=%" PRIu64 " durable=%" PRIu64 " offset=%" PRIu64 "\n", m->lsn,
           m->len, m->prev, m->durable, r->item_off);
    d->tip = frame_end(m);
    print_effects(d, m->lsn, r->payload);
}

static int next_item(struct segment_reader *r)
{
    int item = segment_next(r);
    if (item != SEGMENT_BAD && item != SEGMENT_BLANK)
        return item;
    bool bad = item == SEGMENT_BAD;
    uint64_t off = r->item_off;
    uint32_t torn = r->torn_len;
    item = segment_resync(r);
    if (item == SEGMENT_FRAME || item == SEGMENT_END)
        printf("  UNREADABLE: %" PRIu64 " bytes at offset %" PRIu64 "\n", r->item_off - off, off);
    else if (torn > 0)
        printf("  torn frame of %" PRIu32 " bytes at offset %" PRIu64 "\n", torn, off);
    else if (bad)
        printf("  the rest, from offset %" PRIu64 " on, is not of this segment's time\n", off);
    return item;
}

static int dump_frames(struct dump *d, struct file *file, const struct manifest_segment *s)
{
    struct segment_reader r;
    int item = segment_reader_init(&r, file, s->id);
    if (item != 0)
        return item;
    while ((item = next_item(&r)) == SEGMENT_FRAME && r.frame.lsn < s->end)
        print_frame(d, &r);
    if (item == SEGMENT_FRAME)
        printf("  cut at LSN %" PRIu64 ": what follows does not count\n", s->end);
    if (item == SEGMENT_END)
        printf("  end mark lsn=%" PRIu64 " durable=%" PRIu64 "\n", r.end_lsn, r.end_durable);
    segment_reader_free(&r);
    return item < 0 ? item : 0;
}

static int open_listed(const struct dump *d, const struct manifest_segment *s, struct file **out)
{
    struct buf path = {0};
    buf_printf(&path, "%s/%s", d->dir, s->name);
    buf_append_byte(&path, 0);
    int err = fs_real()->ops->open(fs_real(), (const char *)path.p, FS_READ, out);
    buf_free(&path);
    return err;
}

static void dump_segment(struct dump *d, const struct manifest_segment *s)
{
    struct file *file;
    printf("segment %s id=%016" PRIx64 "%s\n", s->name, s->id, s->first == LSN_NONE ? " (spare)" : "");
    int err = open_listed(d, s, &file);
    if (err == 0) {
        err = dump_frames(d, file, s);
        file->ops->close(file);
    }
    if (err != 0) {
        printf("  UNREADABLE: %s\n", strerror(-err));
        d->missing = true;
    }
}

/* The LSN of the first frame in a segment. A spare that was taken into use since the manifest was written has one too.
 */
static uint64_t find_first(const struct dump *d, const struct manifest_segment *s)
{
    struct file *file;
    struct segment_reader r;
    uint64_t first = LSN_NONE;
    if (open_listed(d, s, &file) != 0)
        return first;
    if (segment_reader_init(&r, file, s->id) == 0) {
        int item = segment_next(&r);
        if (item == SEGMENT_BAD || item == SEGMENT_BLANK)
            item = segment_resync(&r);
        if (item == SEGMENT_FRAME)
            first = r.frame.lsn;
        segment_reader_free(&r);
    }
    file->ops->close(file);
    return first;
}

static int by_first(const void *a, const void *b)
{
    const struct manifest_segment *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

static void dump_manifest(const struct manifest *m)
{
    printf("checkpoint l0=%" PRIu64 " state=%zu bytes\n", m->l0, m->state.len);
    printf("history id=%s second=%s up to %" PRIu64 "\n", m->replid, m->replid2, m->replid2_limit);
    printf("durable at least up to %" PRIu64 "\n", m->durable);
    if (m->stop != LSN_NONE)
        printf("stopped cleanly at %" PRIu64 "\n", m->stop);
}

static void dump_log(struct dump *d)
{
    struct manifest *m = &d->manifest;
    dump_manifest(m);
    for (size_t i = 0; i < m->count; i++)
        m->segments[i].first = find_first(d, &m->segments[i]);
    if (m->count > 1)
        qsort(m->segments, m->count, sizeof(*m->segments), by_first);
    for (size_t i = 0; i < m->count; i++)
        dump_segment(d, &m->segments[i]);
    uint64_t end = d->tip == LSN_NONE ? m->l0 : d->tip;
    if (end < m->durable) {
        printf("MISSING: the log ends at LSN %" PRIu64 " and was durable up to %" PRIu64 "\n", end, m->durable);
        d->missing = true;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: kelvin-log_dump DIRECTORY (appendonlydir of a data directory)\n");
        return 2;
    }
    struct dump d = {.dir = argv[1], .tip = LSN_NONE};
    manifest_init(&d.manifest);
    effects_init(&d.effects);
    int err = manifest_load(&d.manifest, fs_real(), d.dir);
    if (err != 0)
        fprintf(stderr, "%s/%s: %s\n", d.dir, MANIFEST_NAME, err == -EBADMSG ? "damaged" : strerror(-err));
    else
        dump_log(&d);
    effects_free(&d.effects);
    manifest_free(&d.manifest);
    return err != 0 || d.missing;
}
