/* Bytes of segments and of the manifest: exact text, exact inverses, and what a reader makes of damage. */
#include <errno.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "persist/manifest.h"
#include "persist/segment.h"
#include "tests/sim/fs_sim.h"
#include "tests/sim/tap.h"

#define ID 0x0123456789abcdefULL

static void test_frame(void)
{
    char line[SEGMENT_FRAME_BYTES];
    struct frame_mark m = {.lsn = 0x1000, .len = 5, .prev = 0xff0, .durable = 0xf00}, back;
    uint32_t crc, payload = crc32c(0, "hello", 5);
    frame_format(line, &m, ID, payload);
    ok(memcmp(line, "#F lsn=0000000000001000 len=00000005 prev=0000000000000ff0 durable=0000000000000f00 head=", 89) ==
               0 &&
           memcmp(line + SEGMENT_FRAME_BYTES - 2, "\r\n", 2) == 0,
       "an annotation is the text that is documented");
    struct slice s = slice_of(line, sizeof(line));
    ok(frame_parse(s, ID, &back, &crc) && back.lsn == m.lsn && back.len == 5 && back.prev == m.prev &&
           back.durable == m.durable,
       "it parses to what it was made of");
    ok(frame_matches(s.p, ID, payload, crc), "the payload's checksum matches");
    ok(!frame_matches(s.p, ID, crc32c(0, "hellp", 5), crc), "another payload's does not");
    ok(!frame_parse(s, ID + 1, &back, &crc), "another segment's annotation is refused");
    ok(!frame_parse(slice_of(line, sizeof(line) - 1), ID, &back, &crc), "a short one is refused");
    unsigned accepted = 0;
    for (size_t i = 0; i < sizeof(line); i++) {
        line[i] ^= 1;
        accepted += frame_parse(s, ID, &back, &crc) && frame_matches(s.p, ID, payload, crc);
        line[i] ^= 1;
    }
    ok(accepted == 0, "no flipped bit goes unnoticed");
}

static void test_header_and_end(void)
{
    char header[SEGMENT_HEADER_BYTES], end[SEGMENT_END_BYTES];
    uint64_t id, first, lsn, durable;
    segment_format_header(header, ID, 77);
    ok(segment_parse_header(slice_of(header, sizeof(header)), &id, &first) && id == ID && first == 77, "header");
    segment_format_end(end, 99, 88, ID);
    ok(segment_parse_end(slice_of(end, sizeof(end)), ID, &lsn, &durable) && lsn == 99 && durable == 88, "end mark");
    ok(!segment_parse_end(slice_of(end, sizeof(end)), ID ^ 1, &lsn, &durable), "another segment's end mark is refused");
}

static uint64_t put_frame(struct file *f, uint64_t off, uint64_t lsn, uint64_t prev, const char *payload)
{
    char line[SEGMENT_FRAME_BYTES];
    size_t len = strlen(payload);
    struct frame_mark m = {.lsn = lsn, .len = (uint32_t)len, .prev = prev};
    frame_format(line, &m, ID, crc32c(0, payload, len));
    ensure(fs_write_full(f, line, sizeof(line), off) == 0);
    ensure(fs_write_full(f, payload, len, off + sizeof(line)) == 0);
    return off + sizeof(line) + len;
}

static void test_reader(void)
{
    struct fs_sim *disk = fs_sim_new(1);
    struct file *f;
    struct segment_reader r;
    char end[SEGMENT_END_BYTES];
    ensure(fs_sim_fs(disk)->ops->open(fs_sim_fs(disk), "s", FS_WRITE | FS_CREATE, &f) == 0);
    ensure(f->ops->allocate(f, 0, 4096) == 0);
    uint64_t second = put_frame(f, SEGMENT_HEADER_BYTES, 0, 0, "one");
    uint64_t third = put_frame(f, second, 3, 3, "two #F lsn=0000");
    uint64_t behind = put_frame(f, third, 18, 18, "three");
    ensure(segment_reader_init(&r, f, ID) == 0);
    ok(segment_next(&r) == SEGMENT_FRAME && r.frame.lsn == 0 && slice_is(r.payload, "one"), "first frame");
    ok(segment_next(&r) == SEGMENT_FRAME && r.frame.lsn == 3 && r.item_off == second, "second frame");
    ok(segment_next(&r) == SEGMENT_FRAME && r.off == behind, "third frame");
    ok(segment_next(&r) == SEGMENT_BLANK, "zeros are the end");
    segment_reader_free(&r);

    ensure(fs_sim_flip(disk, "s", second + SEGMENT_FRAME_BYTES + 1, 1));
    ensure(segment_reader_init(&r, f, ID) == 0);
    ok(segment_next(&r) == SEGMENT_FRAME && segment_next(&r) == SEGMENT_BAD && r.torn_len == 15,
       "a torn payload is bad");
    ok(segment_resync(&r) == SEGMENT_FRAME && r.frame.lsn == 18, "the frame behind it is found");
    segment_reader_free(&r);

    segment_format_end(end, 23, 0, ID);
    ensure(fs_write_full(f, end, sizeof(end), behind) == 0);
    ensure(segment_reader_init(&r, f, ID) == 0);
    r.off = behind;
    ok(segment_next(&r) == SEGMENT_END && r.end_lsn == 23, "the end mark is found");
    segment_reader_free(&r);
    ensure(segment_reader_init(&r, f, ID + 1) == 0);
    ok(segment_next(&r) == SEGMENT_BAD && segment_resync(&r) == SEGMENT_BLANK, "under another id nothing is there");
    segment_reader_free(&r);
    f->ops->close(f);
    fs_sim_free(disk);
}

static void example(struct manifest *m)
{
    manifest_init(m);
    m->l0 = 4096;
    m->durable = 5000;
    memset(m->replid, 'a', 40);
    m->replid2_limit = 12;
    buf_append_str(&m->state, "two\nlines \0 and");
    struct manifest_segment *s = manifest_add(m);
    segment_name_format(s->name, 7);
    s->id = ID;
    s->first = 3000;
    s = manifest_add(m);
    segment_name_format(s->name, 123456789);
    s->id = ID + 1;
    s->first = 4000;
    s->end = 4500;
}

static void test_manifest(void)
{
    struct manifest m, back;
    struct buf text = {0}, again = {0};
    example(&m);
    manifest_encode(&m, &text);
    manifest_init(&back);
    ok(manifest_decode(&back, buf_slice(&text)) == 0, "a manifest parses");
    ok(back.count == 2 && back.l0 == 4096 && back.stop == LSN_NONE && back.segments[1].end == 4500 &&
           back.segments[0].end == LSN_NONE && strlen(back.replid) == 40 && back.replid2[0] == '\0' &&
           slice_eq(buf_slice(&back.state), buf_slice(&m.state)),
       "to what it was made of");
    manifest_encode(&back, &again);
    ok(slice_eq(buf_slice(&text), buf_slice(&again)), "and to the same text");
    unsigned accepted = 0;
    for (size_t i = 0; i < text.len; i++) {
        manifest_free(&back);
        text.p[i] ^= 0x04;
        accepted += manifest_decode(&back, buf_slice(&text)) != -EBADMSG;
        text.p[i] ^= 0x04;
        manifest_free(&back);
        accepted += manifest_decode(&back, slice_of(text.p, i)) != -EBADMSG;
    }
    ok(accepted == 0, "no damage and no shortening goes unnoticed");
    manifest_free(&back);
    manifest_free(&m);
    buf_free(&text);
    buf_free(&again);
}

static void test_names(void)
{
    uint64_t n;
    char name[SEGMENT_NAME_MAX];
    segment_name_format(name, 42);
    ok(strcmp(name, "kelvin-00000042.log") == 0 && segment_name_parse(name, &n) && n == 42, "segment names");
    segment_name_format(name, UINT64_MAX);
    ok(segment_name_parse(name, &n) && n == UINT64_MAX, "of any number");
    ok(!segment_name_parse("kelvin-42.log", &n) && !segment_name_parse("kelvin.manifest", &n) &&
           !segment_name_parse("kelvin-00000042.log.bak", &n),
       "and nothing else");
}

int main(void)
{
    test_frame();
    test_header_and_end();
    test_reader();
    test_manifest();
    test_names();
    return tap_done();
}
