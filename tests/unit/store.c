/* The flash store's contract, the same for RocksDB (in a temporary directory) and for the map in memory that stands in
 * for it; then what each can be made to do: RocksDB dies in a child process and meets damaged files, the map crashes
 * and fails on demand. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/panic.h"
#include "core/base/rng.h"
#include "tests/sim/store_mem.h"
#include "tests/sim/tap.h"
#include "tier/record.h"

#define LIT(s) SLICE_LIT(s)
#define KEYS 300

static char directory[512];
static struct rng rng;

/* --- the two stores --- */

struct kind {
    const char *name;
    struct store_mem_disk *disk; /* NULL: RocksDB */
    char path[600];
};

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static void remove_directory(void) { nftw(directory, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static struct store *rocks_at(const char *path)
{
    char error[512];
    struct store *s;
    struct store_config cfg = {path, 4 * MIB, 2};
    ensure(store_rocks_open(&s, &cfg, error) == 0);
    return s;
}

static struct store *open_store(struct kind *k) { return k->disk ? store_mem_open(k->disk) : rocks_at(k->path); }

/* --- short forms --- */

static void put(struct store *s, struct slice key, struct slice value)
{
    struct store_batch b = {0};
    store_batch_put(&b, key, value);
    ensure(s->ops->write(s, &b) == 0);
    store_batch_free(&b);
}

static bool holds(struct store *s, struct slice key, struct slice value)
{
    struct buf out = {0};
    buf_append_str(&out, "what was there before");
    bool same = s->ops->get(s, key, &out) == 0 && slice_eq(buf_slice(&out), value);
    buf_free(&out);
    return same;
}

static bool lacks(struct store *s, struct slice key)
{
    struct buf out = {0};
    bool none = s->ops->get(s, key, &out) == -ENOENT && out.len == 0;
    buf_free(&out);
    return none;
}

static int append_pair(void *arg, struct slice key, struct slice value)
{
    struct buf *out = arg;
    buf_append_slice(out, key);
    buf_append_byte(out, '=');
    buf_append_slice(out, value);
    buf_append_byte(out, ' ');
    return slice_eq(key, LIT("stop")) ? -ECANCELED : 0;
}

static bool scans(struct store *s, struct slice from, struct slice to, int result, const char *want)
{
    struct buf out = {0};
    bool same = s->ops->scan(s, from, to, append_pair, &out) == result && slice_eq(buf_slice(&out), slice_str(want));
    if (!same)
        tap_diag("scanned %.*s", (int)out.len, (const char *)out.p);
    buf_free(&out);
    return same;
}

/* --- the contract --- */

static void single_keys(struct store *s, const char *name)
{
    struct buf big = {0};
    ok(lacks(s, LIT("a")), "%s: an empty store holds nothing", name);
    put(s, LIT("a"), LIT("1"));
    put(s, LIT("a\0\xff"), LIT("\0\r\n"));
    put(s, LIT("b"), LIT(""));
    ok(holds(s, LIT("a"), LIT("1")) && holds(s, LIT("a\0\xff"), LIT("\0\r\n")) && holds(s, LIT("b"), LIT("")),
       "%s: keys and values are binary, values may be empty", name);
    put(s, LIT("a"), LIT("2"));
    ok(holds(s, LIT("a"), LIT("2")) && lacks(s, LIT("a\0")) && lacks(s, LIT("")), "%s: overwritten", name);
    while (big.len < 100000)
        buf_put_u64(&big, rng_u64(&rng));
    put(s, LIT("big"), buf_slice(&big));
    ok(holds(s, LIT("big"), buf_slice(&big)), "%s: a large value", name);
    buf_free(&big);
}

static void batches(struct store *s, const char *name)
{
    struct store_batch b = {0};
    store_batch_put(&b, LIT("c"), LIT("1"));
    store_batch_delete(&b, LIT("c"));
    store_batch_delete(&b, LIT("d"));
    store_batch_put(&b, LIT("d"), LIT("1"));
    store_batch_delete(&b, LIT("a"));
    ok(b.count == 5 && s->ops->write(s, &b) == 0 && lacks(s, LIT("c")) && holds(s, LIT("d"), LIT("1")) &&
           lacks(s, LIT("a")),
       "%s: a batch is done in its order", name);
    store_batch_clear(&b);
    ok(b.count == 0 && s->ops->write(s, &b) == 0, "%s: an empty batch", name);
    store_batch_free(&b);
}

static void ranges(struct store *s, const char *name)
{
    ok(s->ops->delete_range(s, LIT(""), LIT("\xff\xff")) == 0 && lacks(s, LIT("d")) && lacks(s, LIT("big")),
       "%s: a range is deleted", name);
    put(s, LIT("k3"), LIT("3"));
    put(s, LIT("k1"), LIT("1"));
    put(s, LIT("stop"), LIT("s"));
    put(s, LIT("k2"), LIT("2"));
    put(s, LIT("k\xff"), LIT("f"));
    put(s, LIT("t"), LIT("t"));
    ok(scans(s, LIT("k"), LIT("l"), 0, "k1=1 k2=2 k3=3 k\xff=f "), "%s: a scan goes in the order of bytes", name);
    ok(scans(s, LIT("k1"), LIT("k3"), 0, "k1=1 k2=2 ") && scans(s, LIT("k11"), LIT("k3"), 0, "k2=2 ") &&
           scans(s, LIT("x"), LIT("y"), 0, "") && scans(s, LIT("k2"), LIT("k2"), 0, ""),
       "%s: from its begin to before its end", name);
    ok(scans(s, LIT("k3"), LIT("z"), -ECANCELED, "k3=3 k\xff=f stop=s "), "%s: until it is told to stop", name);
    ok(s->ops->delete_range(s, LIT("k1"), LIT("k3")) == 0 && scans(s, LIT("k"), LIT("l"), 0, "k3=3 k\xff=f "),
       "%s: a deleted range ends before its end", name);
    put(s, LIT("k2"), LIT("new"));
    ok(scans(s, LIT("k"), LIT("l"), 0, "k2=new k3=3 k\xff=f "), "%s: and can be written again", name);
}

static void snapshots(struct store *s, const char *name)
{
    struct slice value;
    put(s, LIT("s1"), LIT("old"));
    put(s, LIT("s2"), LIT("old"));
    struct store_snapshot *snap = s->ops->snapshot(s);
    put(s, LIT("s1"), LIT("new"));
    put(s, LIT("s3"), LIT("new"));
    ensure(s->ops->delete_range(s, LIT("s2"), LIT("s3")) == 0 && s->ops->flush(s) == 0);
    struct store_cursor *c = s->ops->cursor(s, snap);
    bool good = s->ops->seek(s, c, LIT("s1"), &value) == 0 && slice_eq(value, LIT("old"));
    good &= s->ops->seek(s, c, LIT("s2"), &value) == 0 && slice_eq(value, LIT("old"));
    good &= s->ops->seek(s, c, LIT("s3"), &value) == -ENOENT;
    ok(good && holds(s, LIT("s1"), LIT("new")) && lacks(s, LIT("s2")), "%s: a snapshot shows what was", name);
    good = s->ops->seek(s, c, LIT("s2"), &value) == 0 && slice_eq(value, LIT("old"));
    good &= s->ops->seek(s, c, LIT("s1"), &value) == 0 && slice_eq(value, LIT("old"));
    ok(good && s->ops->seek(s, c, LIT("s11"), &value) == -ENOENT, "%s: in any order", name);
    s->ops->cursor_free(s, c);
    s->ops->release(s, snap);
}

static void spaces(struct store *s, const char *name)
{
    struct buf key = {0}, from = {0}, to = {0};
    struct space_id space = {7, 1}, next = {7, 2};
    for (int i = 0; i < 3; i++) {
        struct slice user = slice_of(&"abc"[i], 1);
        record_meta_key(&key, space, (struct key){user, 0});
        put(s, buf_slice(&key), user);
        record_value_key(&key, space, (struct key){user, 0});
        put(s, buf_slice(&key), user);
        record_meta_key(&key, next, (struct key){user, 0});
        put(s, buf_slice(&key), user);
    }
    record_space_range(&from, &to, 'm', space);
    buf_clear(&key);
    ok(s->ops->scan(s, buf_slice(&from), buf_slice(&to), append_pair, &key) == 0 && key.len == 3 * (18 + 3),
       "%s: the meta records of a space, and nothing else, lie in its range", name);
    ensure(s->ops->delete_range(s, buf_slice(&from), buf_slice(&to)) == 0);
    record_value_key(&key, space, (struct key){LIT("b"), 0});
    bool good = holds(s, buf_slice(&key), LIT("b"));
    record_meta_key(&key, next, (struct key){LIT("a"), 0});
    ok(good && holds(s, buf_slice(&key), LIT("a")), "%s: and are deleted without the others", name);
    buf_free(&key);
    buf_free(&from);
    buf_free(&to);
}

/* --- against a model, with restarts --- */

struct model {
    int64_t value[KEYS]; /* -1: absent */
};

static struct slice number(char text[static 16], const char *prefix, int64_t v)
{
    return slice_of(text, (size_t)snprintf(text, 16, "%s%05d", prefix, (int)v));
}

static void random_write(struct store *s, struct model *m, int64_t stamp)
{
    struct store_batch b = {0};
    char k[16], v[16];
    if (rng_below(&rng, 50) == 0) {
        int64_t from = (int64_t)rng_below(&rng, KEYS), to = from + (int64_t)rng_below(&rng, 20);
        char end[16];
        ensure(s->ops->delete_range(s, number(k, "r", from), number(end, "r", to)) == 0);
        for (int64_t i = from; i < to && i < KEYS; i++)
            m->value[i] = -1;
        return;
    }
    for (uint64_t n = 1 + rng_below(&rng, 10); n > 0; n--) {
        uint64_t i = rng_below(&rng, KEYS);
        m->value[i] = rng_below(&rng, 3) ? stamp : -1;
        if (m->value[i] < 0)
            store_batch_delete(&b, number(k, "r", (int64_t)i));
        else
            store_batch_put(&b, number(k, "r", (int64_t)i), number(v, "v", stamp));
    }
    ensure(s->ops->write(s, &b) == 0);
    store_batch_free(&b);
}

static bool agrees(struct store *s, const struct model *m)
{
    struct buf want = {0};
    char k[16], v[16];
    bool good = true;
    for (int i = 0; i < KEYS; i++) {
        struct slice key = number(k, "r", i);
        if (m->value[i] < 0)
            good &= lacks(s, key);
        else
            good &= holds(s, key, number(v, "v", m->value[i]));
        if (m->value[i] >= 0)
            append_pair(&want, key, number(v, "v", m->value[i]));
    }
    buf_append_byte(&want, 0);
    good &= scans(s, LIT("r"), LIT("s"), 0, (const char *)want.p);
    buf_free(&want);
    return good;
}

static struct store *random_writes(struct kind *k, struct store *s)
{
    struct model m;
    bool good = true;
    for (int i = 0; i < KEYS; i++)
        m.value[i] = -1;
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 300; i++)
            random_write(s, &m, round * 300 + i);
        good &= agrees(s, &m);
        if (round % 3 == 0)
            good &= s->ops->flush(s) == 0;
        if (round % 4 == 3) {
            s->ops->close(s);
            s = open_store(k);
            good &= agrees(s, &m);
        }
    }
    ok(good, "%s: random writes, flushes and restarts agree with a model", k->name);
    return s;
}

static void contract(struct kind *k)
{
    struct store_stats stats;
    struct store *s = open_store(k);
    single_keys(s, k->name);
    batches(s, k->name);
    ranges(s, k->name);
    snapshots(s, k->name);
    spaces(s, k->name);
    s = random_writes(k, s);
    s->ops->stats(s, &stats);
    uint64_t before = stats.written_user;
    put(s, LIT("x"), LIT("0123456789"));
    s->ops->stats(s, &stats);
    ok(stats.written_user >= before + 11 && stats.bytes_on_disk > 0 && !stats.stopped, "%s: statistics", k->name);
    s->ops->close(s);
    s = open_store(k);
    ok(holds(s, LIT("x"), LIT("0123456789")), "%s: closing flushes", k->name);
    s->ops->close(s);
}

/* --- crashes --- */

#define CRASH_BATCHES 60

static void write_pair(struct store *s, int64_t i)
{
    struct store_batch b = {0};
    char k[16], v[16];
    store_batch_put(&b, number(k, "m", i), number(v, "", i));
    store_batch_put(&b, number(k, "v", i), number(v, "", i));
    ensure(s->ops->write(s, &b) == 0);
    store_batch_free(&b);
}

/* How many pairs are there; -1 if they are no prefix, or one is there by half, or one before `flushed` is not. */
static int surviving(struct store *s, int flushed)
{
    char k[16], v[16];
    int n = 0;
    while (n < CRASH_BATCHES && !lacks(s, number(k, "m", n)))
        n++;
    for (int i = 0; i < CRASH_BATCHES; i++) {
        bool meta = holds(s, number(k, "m", i), number(v, "", i)),
             value = holds(s, number(k, "v", i), number(v, "", i));
        if (meta != (i < n) || value != meta)
            return -1;
    }
    return n >= flushed ? n : -1;
}

/* Before any thread is started: the child has RocksDB for itself. */
static void rocks_dies(void)
{
    char path[600];
    int status;
    snprintf(path, sizeof(path), "%s/dies", directory);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct store *s = rocks_at(path);
        for (int i = 0; i < CRASH_BATCHES; i++) {
            write_pair(s, i);
            if (i == 39)
                ensure(s->ops->flush(s) == 0);
        }
        _exit(0);
    }
    ensure(waitpid(child, &status, 0) == child);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "rocksdb: a process writes, flushes, writes and dies");
    struct store *s = rocks_at(path);
    ok(surviving(s, 40) >= 40, "rocksdb: what was flushed is there, of what came after whole batches at most");
    s->ops->close(s);
}

static void memory_crashes(void)
{
    bool good = true, lost = false, kept = false;
    for (uint64_t round = 0; round < 200; round++) {
        struct store_mem_disk *disk = store_mem_disk_new(rng_u64(&rng));
        struct store *s = store_mem_open(disk);
        int flushed = (int)rng_below(&rng, CRASH_BATCHES);
        for (int i = 0; i < CRASH_BATCHES; i++) {
            write_pair(s, i);
            if (i == flushed)
                good &= s->ops->flush(s) == 0;
        }
        store_mem_crash(s);
        s = store_mem_open(disk);
        int n = surviving(s, flushed + 1);
        good &= n >= 0;
        lost |= n < CRASH_BATCHES;
        kept |= n > flushed + 1;
        s->ops->close(s);
        store_mem_disk_free(disk);
    }
    ok(good && lost && kept, "memory: a crash leaves a prefix of the batches, all that was flushed and sometimes more");
}

static void memory_fails(void)
{
    struct store_mem_disk *disk = store_mem_disk_new(1);
    struct store *s = store_mem_open(disk);
    struct store_batch b = {0};
    struct buf out = {0};
    store_batch_put(&b, LIT("a"), LIT("1"));
    store_mem_fail(s, STORE_MEM_WRITE, 2, -ENOSPC);
    ok(s->ops->write(s, &b) == 0 && s->ops->write(s, &b) == -ENOSPC && s->ops->write(s, &b) == 0,
       "memory: the write that was asked to fails, once");
    store_mem_fail(s, STORE_MEM_GET, 1, -EBADMSG);
    store_mem_fail(s, STORE_MEM_FLUSH, 1, -EIO);
    store_mem_fail(s, STORE_MEM_DELETE_RANGE, 1, -EIO);
    store_mem_fail(s, STORE_MEM_SCAN, 1, -EIO);
    ok(s->ops->get(s, LIT("a"), &out) == -EBADMSG && s->ops->flush(s) == -EIO &&
           s->ops->delete_range(s, LIT("a"), LIT("b")) == -EIO &&
           s->ops->scan(s, LIT("a"), LIT("b"), append_pair, &out) == -EIO && holds(s, LIT("a"), LIT("1")),
       "memory: so do the others, and change nothing");
    s->ops->close(s);
    store_mem_disk_free(disk);
    store_batch_free(&b);
    buf_free(&out);
}

/* --- errors of RocksDB --- */

static void rocks_refuses(void)
{
    char path[600], error[512] = "";
    struct store *s;
    struct store_config cfg = {path, 4 * MIB, 2};
    snprintf(path, sizeof(path), "%s/file", directory);
    FILE *f = fopen(path, "w");
    ensure(f != NULL && fclose(f) == 0);
    int err = store_rocks_open(&s, &cfg, error);
    ok(err < 0 && strstr(error, path) != NULL, "rocksdb: a path that is a file is refused, and named");
}

static void damage_tables(const char *path)
{
    DIR *d = opendir(path);
    ensure(d != NULL);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char name[900];
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        if (strstr(e->d_name, ".sst") == NULL && strstr(e->d_name, ".blob") == NULL)
            continue;
        FILE *f = fopen(name, "r+");
        ensure(f != NULL && fseek(f, 60, SEEK_SET) == 0);
        for (int i = 0; i < 20; i++)
            fputc(0xa5, f);
        fclose(f);
    }
    closedir(d);
}

static void rocks_sees_damage(void)
{
    char path[600], error[512];
    struct store *s;
    struct store_config cfg = {path, 4 * MIB, 2};
    struct buf value = {0}, out = {0};
    while (value.len < 500)
        buf_append_byte(&value, (uint8_t)rng_u64(&rng));
    snprintf(path, sizeof(path), "%s/damaged", directory);
    s = rocks_at(path);
    put(s, LIT("key"), buf_slice(&value));
    s->ops->close(s);
    damage_tables(path);
    int err = store_rocks_open(&s, &cfg, error);
    if (err == 0) {
        err = s->ops->get(s, LIT("key"), &out);
        s->ops->close(s);
    }
    ok(err == -EBADMSG, "rocksdb: a damaged table is reported as such");
    buf_free(&value);
    buf_free(&out);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    struct kind rocks = {"rocksdb", NULL, ""}, memory = {"memory", NULL, ""};
    rng_seed(&rng, tap_seed());
    snprintf(directory, sizeof(directory), "%s/kelvin-store-XXXXXX", tmp != NULL ? tmp : P_tmpdir);
    ensure(mkdtemp(directory) != NULL);
    atexit(remove_directory);
    snprintf(rocks.path, sizeof(rocks.path), "%s/store", directory);
    memory.disk = store_mem_disk_new(rng_u64(&rng));
    rocks_dies();
    contract(&rocks);
    contract(&memory);
    store_mem_disk_free(memory.disk);
    memory_crashes();
    memory_fails();
    rocks_refuses();
    rocks_sees_damage();
    return tap_done();
}
