/* The log's parsers on any bytes: a segment as recovery reads it, a manifest with its checksum made right (else nothing
 * behind the checksum is ever reached). Besides not crashing: what parses formats back to the same bytes. */
#include <errno.h>
#include <stdio.h>

#include "core/base/crc.h"
#include "core/base/panic.h"
#include "fuzz/replay.h"
#include "persist/manifest.h"
#include "persist/segment.h"

#define SEED_ID 0x4b454c56494e5345ULL /* the seeds' segment id */

struct memory_file {
    struct file file;
    struct slice bytes;
};

static ssize_t memory_pread(struct file *f, void *p, size_t len, uint64_t off)
{
    struct slice s = container_of(f, struct memory_file, file)->bytes;
    size_t n = off >= s.len ? 0 : (size_t)min_u64(len, s.len - off);
    if (n > 0)
        memcpy(p, s.p + off, n);
    return (ssize_t)n;
}

static int64_t memory_size(struct file *f) { return (int64_t)container_of(f, struct memory_file, file)->bytes.len; }

static const struct fs_ops memory_ops = {.pread = memory_pread, .size = memory_size};

static void check_frame(const struct segment_reader *r, struct slice all)
{
    char line[SEGMENT_FRAME_BYTES];
    frame_format(line, &r->frame, r->id, crc32c(0, r->payload.p, r->payload.len));
    ensure(r->item_off + sizeof(line) + r->payload.len <= all.len && r->frame.len == r->payload.len);
    ensure(memcmp(all.p + r->item_off, line, sizeof(line)) == 0);
}

static void read_segment(struct slice bytes)
{
    struct memory_file f = {{&memory_ops}, bytes};
    struct segment_reader r;
    ensure(segment_reader_init(&r, &f.file, SEED_ID) == 0);
    for (;;) {
        uint64_t before = r.off;
        int item = segment_next(&r);
        if (item == SEGMENT_BAD || item == SEGMENT_BLANK)
            item = segment_resync(&r);
        ensure(item >= 0);
        if (item != SEGMENT_FRAME)
            break;
        ensure(r.off > before);
        check_frame(&r, bytes);
    }
    segment_reader_free(&r);
}

static void read_manifest(struct slice bytes)
{
    struct buf text = {0}, again = {0};
    struct manifest m;
    buf_append_slice(&text, bytes);
    buf_printf(&text, "crc %08x\n", crc32c(0, bytes.p, bytes.len));
    manifest_init(&m);
    if (manifest_decode(&m, buf_slice(&text)) == 0) {
        manifest_encode(&m, &again);
        struct manifest second;
        manifest_init(&second);
        ensure(manifest_decode(&second, buf_slice(&again)) == 0 && second.count == m.count && second.l0 == m.l0);
        manifest_free(&second);
    }
    manifest_free(&m);
    buf_free(&text);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_segment(slice_of(data, size));
    read_manifest(slice_of(data, size));
    return 0;
}
