/* RDB files on a simulated disk: what is written is read; cut at every byte, with every byte damaged, and by hand with
 * all opcodes; a crash at any moment leaves the old file or the new one. */
#include <errno.h>
#include <stdio.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/panic.h"
#include "core/base/rng.h"
#include "core/value/rdb.h"
#include "persist/rdb_file.h"
#include "tests/sim/fs_sim.h"
#include "tests/sim/tap.h"

#define DIR "data"
#define PATH DIR "/dump.rdb"
#define ERROR 512

static struct fs_sim *sim;

static struct rdb_writer_config config(bool compress)
{
    return (struct rdb_writer_config){.fs = fs_sim_fs(sim),
                                      .dir = DIR,
                                      .name = "dump.rdb",
                                      .temp = "temp-1.rdb",
                                      .compress = compress,
                                      .checksum = true};
}

static void new_disk(uint64_t seed)
{
    sim = fs_sim_new(seed);
    ensure(fs_sim_fs(sim)->ops->mkdir(fs_sim_fs(sim), DIR) == 0);
    ensure(fs_sim_fs(sim)->ops->sync_dir(fs_sim_fs(sim), ".") == 0);
}

static struct rdb_entry entry(uint32_t db, const char *name, struct slice payload)
{
    return (struct rdb_entry){
        .db = db, .name = slice_str(name), .expire_ms = -1, .idle_s = -1, .freq = -1, .payload = payload};
}

/* A text of what a file holds; "!" and the reason at its end if it is refused. */
static void text_of(struct buf *out)
{
    struct rdb_reader *r;
    struct rdb_entry e;
    char error[ERROR];
    int more;
    buf_clear(out);
    if (rdb_reader_open(&r, fs_sim_fs(sim), PATH, error) < 0) {
        buf_printf(out, "!%s", error);
        return;
    }
    while ((more = rdb_reader_next(r, &e, error)) == 1) {
        buf_printf(out, "%u %.*s %lld %lld %lld ", e.db, (int)e.name.len, (const char *)e.name.p,
                   (long long)e.expire_ms, (long long)e.idle_s, (long long)e.freq);
        buf_append_slice(out, e.payload);
        buf_append_byte(out, '\n');
    }
    if (more < 0)
        buf_printf(out, "!%s", error);
    rdb_reader_close(r);
}

static bool holds_slice(struct slice want)
{
    struct buf text = {0};
    text_of(&text);
    bool same = slice_eq(buf_slice(&text), want);
    buf_free(&text);
    return same;
}

#define holds(text) holds_slice(SLICE_LIT(text))

static bool refused(const char *why)
{
    struct buf text = {0};
    text_of(&text);
    buf_append_byte(&text, 0);
    const char *at = memrchr(text.p, '!', text.len);
    bool found = at != NULL && strstr(at, why) != NULL;
    if (!found)
        tap_diag("holds %s", (const char *)text.p);
    buf_free(&text);
    return found;
}

static void put_file(struct slice bytes)
{
    struct fs *fs = fs_sim_fs(sim);
    struct file *f;
    ensure(fs->ops->open(fs, PATH, FS_WRITE | FS_CREATE | FS_TRUNC, &f) == 0);
    ensure(fs_write_full(f, bytes.p, bytes.len, 0) == 0);
    f->ops->close(f);
}

/* With the right checksum behind it. */
static void put_summed(struct slice bytes)
{
    struct buf b = {0};
    buf_append_slice(&b, bytes);
    buf_put_u64(&b, crc64_jones(0, bytes.p, bytes.len));
    put_file(buf_slice(&b));
    buf_free(&b);
}

static void get_file(struct buf *out)
{
    uint8_t *p;
    size_t len;
    ensure(fs_slurp(fs_sim_fs(sim), PATH, 64 * MIB, &p, &len) == 0);
    buf_clear(out);
    buf_append(out, p, len);
    mem_free(p, len);
}

static void write_some(bool compress, const char *value)
{
    struct rdb_writer_config cfg = config(compress);
    struct rdb_writer *w;
    struct buf payload = {0};
    buf_append_byte(&payload, 0);
    rdb_put_string(&payload, slice_str(value));
    ensure(rdb_writer_open(&w, &cfg) == 0);
    rdb_writer_aux(w, "redis-ver", SLICE_LIT("7.4.0"));
    rdb_writer_aux(w, "redis-bits", SLICE_LIT("64"));
    rdb_writer_sizes(w, 0, 2, 1);
    struct rdb_entry e = entry(0, "a", buf_slice(&payload));
    rdb_writer_add(w, &e);
    e.name = SLICE_LIT("12345");
    e.expire_ms = 1700000000123;
    e.idle_s = 77;
    rdb_writer_add(w, &e);
    e = entry(9, "b", SLICE_LIT("\x01\x02\x01x\xc0\x05"));
    e.freq = 200;
    rdb_writer_add(w, &e);
    ensure(rdb_writer_finish(w) == 0);
    buf_free(&payload);
}

static const char plain[] = "0 a -1 -1 -1 \0\x05value\n0 12345 1700000000123 77 -1 \0\x05value\n"
                            "9 b -1 -1 200 \x01\x02\x01x\xc0\x05\n";

/* The second of the name is refused. */
static int append_library(void *arg, struct slice code, char *error)
{
    struct buf *codes = arg;
    bool twice = codes->len > 0 && slice_eq(code, slice_of(codes->p, min_u64(code.len, codes->len)));
    buf_append_slice(codes, code);
    snprintf(error, ERROR, "not this one");
    return twice ? -EEXIST : 0;
}

static int read_libraries(struct buf *codes, char *error)
{
    struct rdb_reader *r;
    struct rdb_entry e;
    buf_clear(codes);
    ensure(rdb_reader_open(&r, fs_sim_fs(sim), PATH, error) == 0);
    rdb_reader_take_libraries(r, append_library, codes);
    int more = rdb_reader_next(r, &e, error);
    rdb_reader_close(r);
    return more;
}

static void write_libraries(const char *const *codes, int n)
{
    struct rdb_writer_config cfg = config(true);
    struct rdb_entry e = entry(0, "k", SLICE_LIT("\x00\x01v"));
    struct rdb_writer *w;
    ensure(rdb_writer_open(&w, &cfg) == 0);
    for (int i = 0; i < n; i++)
        rdb_writer_library(w, slice_str(codes[i]));
    rdb_writer_add(w, &e);
    ensure(rdb_writer_finish(w) == 0);
}

static void libraries(void)
{
    static const char *const codes[] = {"first,", "second,", "first,"};
    struct buf got = {0};
    char error[ERROR];
    write_libraries(codes, 2);
    ok(holds_slice(SLICE_LIT("0 k -1 -1 -1 \0\x01v\n")), "libraries of functions may be passed over");
    ok(read_libraries(&got, error) == 1 && slice_eq(buf_slice(&got), SLICE_LIT("first,second,")), "or taken");
    write_libraries(codes, 3);
    ok(read_libraries(&got, error) < 0 && strcmp(error, "not this one") == 0, "or refused, with the reason");
    buf_free(&got);
}

static void there_and_back(void)
{
    struct buf file = {0};
    write_some(false, "value");
    ok(holds_slice(SLICE_LIT(plain)), "what is written is read");
    get_file(&file);
    ok(memcmp(file.p, "REDIS0010", 9) == 0, "Redis 7.0's version unless a type needs more");
    uint64_t sum;
    memcpy(&sum, file.p + file.len - 8, 8);
    ok(sum == crc64_jones(0, file.p, file.len - 8), "it ends with the sum of everything before");
    size_t short_len = file.len;
    write_some(true, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    get_file(&file);
    ok(file.len < short_len + 40, "compressed strings are short (%zu bytes)", file.len);
    struct file *f;
    ok(fs_sim_fs(sim)->ops->open(fs_sim_fs(sim), DIR "/temp-1.rdb", FS_READ, &f) == -ENOENT, "no temporary file stays");
    buf_free(&file);
}

static void versions(void)
{
    struct rdb_writer_config cfg = config(true);
    struct rdb_writer *w;
    struct buf file = {0};
    ensure(rdb_writer_open(&w, &cfg) == 0);
    struct rdb_entry e = entry(0, "h",
                               SLICE_LIT("\x18tttttttt\x01\x05\x01"
                                         "f\x01v"));
    rdb_writer_add(w, &e);
    ok(rdb_writer_finish(w) == 0 && holds("0 h -1 -1 -1 \x18tttttttt\x01\x05\x01"
                                          "f\x01v\n"),
       "a hash with expiring fields");
    get_file(&file);
    ok(memcmp(file.p, "REDIS0012", 9) == 0, "makes it version 12");
    ensure(rdb_writer_open(&w, &cfg) == 0);
    e = entry(0, "x", SLICE_LIT("\x01\x02\x01x"));
    rdb_writer_add(w, &e);
    ok(rdb_writer_error(w) == -EBADMSG && rdb_writer_finish(w) == -EBADMSG, "half a value is not written");
    get_file(&file);
    ok(memcmp(file.p, "REDIS0012", 9) == 0, "and the file before stays");
    cfg.checksum = false;
    ensure(rdb_writer_open(&w, &cfg) == 0);
    rdb_writer_abandon(w);
    ensure(rdb_writer_open(&w, &cfg) == 0);
    ok(rdb_writer_finish(w) == 0 && holds(""), "an empty file without a checksum");
    buf_free(&file);
}

static void large(struct rng *rng)
{
    struct rdb_writer_config cfg = config(false);
    struct buf payload = {0};
    size_t len = 3 * MIB + 17;
    bool good = true;
    buf_append_byte(&payload, 0);
    rdb_put_length(&payload, len);
    for (size_t i = 0; i < len; i++)
        buf_append_byte(&payload, (uint8_t)rng_u64(rng));
    for (int compress = 0; compress < 2; compress++) {
        struct rdb_writer *w;
        struct rdb_reader *r;
        struct rdb_entry e = entry(0, "big", buf_slice(&payload)), got;
        char error[ERROR];
        cfg.compress = compress;
        ensure(rdb_writer_open(&w, &cfg) == 0);
        rdb_writer_add(w, &e);
        rdb_writer_add(w, &e);
        ensure(rdb_writer_finish(w) == 0);
        ensure(rdb_reader_open(&r, fs_sim_fs(sim), PATH, error) == 0);
        good &= rdb_reader_next(r, &got, error) == 1 && slice_eq(got.payload, e.payload);
        good &= rdb_reader_next(r, &got, error) == 1 && slice_eq(got.payload, e.payload);
        good &= rdb_reader_next(r, &got, error) == 0;
        rdb_reader_close(r);
    }
    ok(good, "values larger than the buffers");
    buf_free(&payload);
}

static void damage(void)
{
    struct buf file = {0};
    unsigned cut = 0, flipped = 0;
    write_some(false, "value");
    get_file(&file);
    for (size_t n = 0; n < file.len; n++) {
        put_file(slice_of(file.p, n));
        cut += refused("");
    }
    ok(cut == file.len, "cut at any byte it is refused");
    for (size_t n = 0; n < file.len; n++) {
        file.p[n] ^= 0x10;
        put_file(buf_slice(&file));
        flipped += refused("");
        file.p[n] ^= 0x10;
    }
    ok(flipped == file.len, "with any byte damaged too");
    buf_free(&file);
}

static void opcodes(void)
{
    put_summed(SLICE_LIT("REDIS0006\xfe\x02\xfd\x10\0\0\0\0\x01k\x01v\xff"));
    ok(holds("2 k 16000 -1 -1 \0\x01v\n"), "expiry in seconds");
    put_summed(SLICE_LIT("REDIS0012\xfa\x01x\xc0\x05\xf5\x03lib\xf4\x01\x02\x03\xfe\0\xfb\x01\0"
                         "\xf7\x81\1\2\3\4\5\6\7\x08\x02\x02\x01\x05\x05\x03"
                         "abc\x03xxxx\x04yyyyyyyy\x01\x09\0"
                         "\xf8\x05\xf9\x07\x01\x01k\0\xff"));
    ok(holds("0 k -1 5 7 \x01\0\n"), "functions, slots and modules' data are passed over");
    put_summed(SLICE_LIT("REDIS0010\xf6\x03lib\xff"));
    ok(refused("Pre-release function format not supported"), "functions of a release candidate are refused");
    put_summed(SLICE_LIT("REDIS0010\x07\x01k\x05\xff"));
    ok(refused("of a module"), "a module's value is refused");
    put_summed(SLICE_LIT("REDIS0010\x1b\x01k\x05\xff"));
    ok(refused("byte 9 is 27"), "an unknown type is refused, with its place");
    put_summed(SLICE_LIT("REDIS0014\xff"));
    ok(refused("version 0014"), "so is a newer version");
    put_summed(SLICE_LIT("VALKEY080\xff"));
    ok(refused("Wrong signature"), "so is another signature");
    put_file(SLICE_LIT("REDIS0010\xff\1\2\3\4\5\6\7\x08"));
    ok(refused("checksum"), "so is a wrong checksum");
    put_file(SLICE_LIT("REDIS0010\xff\0\0\0\0\0\0\0\0"));
    ok(holds(""), "no checksum is none");
    put_file(SLICE_LIT("REDIS0003\xfe\0\0\x01k\x01v\xff"));
    ok(holds("0 k -1 -1 -1 \0\x01v\n"), "old versions have none");
}

/* The power goes after every possible number of changes to the disk. */
static void crashes(uint64_t seed)
{
    unsigned old = 0, new = 0, other = 0;
    for (uint64_t n = 0; n < 40; n++) {
        struct rdb_writer_config cfg;
        struct rdb_writer *w;
        new_disk(seed + n);
        cfg = config(false);
        ensure(rdb_writer_open(&w, &cfg) == 0 && rdb_writer_finish(w) == 0);
        fs_sim_freeze_after(sim, n);
        int err = rdb_writer_open(&w, &cfg);
        struct rdb_entry e = entry(0, "k", SLICE_LIT("\x01\x01\x01x"));
        if (err == 0) {
            rdb_writer_add(w, &e);
            err = rdb_writer_finish(w);
        }
        fs_sim_crash(sim);
        bool is_new = holds("0 k -1 -1 -1 \x01\x01\x01x\n");
        old += !is_new && holds("");
        new += is_new;
        other += (!is_new && !holds("")) || (err == 0 && !is_new);
        fs_sim_free(sim);
    }
    ok(old > 0 && new > 0 && other == 0, "a crash leaves the old file (%u) or the new one (%u)", old, new);
}

static void full_disk(void)
{
    struct rdb_writer_config cfg = config(false);
    struct rdb_writer *w;
    struct buf payload = {0};
    write_some(false, "value");
    buf_append_str(&payload, "\x01\x01");
    rdb_put_length(&payload, MIB);
    for (size_t i = 0; i < MIB; i++)
        buf_append_byte(&payload, 'x');
    fs_sim_set_quota(sim, 500 * KIB);
    ensure(rdb_writer_open(&w, &cfg) == 0);
    struct rdb_entry e = entry(0, "k", buf_slice(&payload));
    rdb_writer_add(w, &e);
    ok(rdb_writer_error(w) == -ENOSPC && rdb_writer_finish(w) == -ENOSPC && holds_slice(SLICE_LIT(plain)),
       "a full disk leaves the file before");
    struct file *f;
    ok(fs_sim_fs(sim)->ops->open(fs_sim_fs(sim), DIR "/temp-1.rdb", FS_READ, &f) == -ENOENT, "and nothing else");
    buf_free(&payload);
}

int main(void)
{
    uint64_t seed = tap_seed();
    struct rng rng;
    rng_seed(&rng, seed);
    new_disk(seed);
    there_and_back();
    libraries();
    versions();
    large(&rng);
    damage();
    opcodes();
    full_disk();
    fs_sim_free(sim);
    crashes(seed);
    return tap_done();
}
