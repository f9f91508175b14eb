#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/crc.h"
#include "core/base/mem.h"
#include "core/base/num.h"
#include "core/value/rdb_skip.h"
#include "persist/rdb_file.h"
#include "persist/rdb_opcode.h"

#define READ_AT_ONCE (256 * KIB)
#define KEEP (MIB)
#define SUM_SINCE 5 /* the version from which files end with a checksum */
#define ERROR_MAX 512
#define PATH_SHOWN 200

struct rdb_reader {
    struct file *file;
    struct rdb_source source;
    char path[PATH_SHOWN];
    uint8_t *bytes;
    size_t len, pos; /* of what is in `bytes` */
    uint64_t off;    /* in the file, of what is behind it */
    uint64_t sum;    /* of everything taken so far */
    uint64_t size;
    unsigned version;
    uint32_t db;
    struct buf name, payload, scratch, living;
    struct rdb_about about;
    int (*library)(void *arg, struct slice code, char *error);
    void *arg;
};

static uint64_t place(const struct rdb_reader *r) { return r->off - (r->len - r->pos); }

static uint64_t left(void *arg)
{
    const struct rdb_reader *r = arg;
    uint64_t at = place(r);
    return at < r->size ? r->size - at : 0;
}

/* From the file: past the buffer if it is much. */
static int read_more(struct rdb_reader *r, uint8_t *p, size_t n)
{
    bool direct = n >= READ_AT_ONCE;
    ssize_t got = fs_read_full(r->file, direct ? p : r->bytes, direct ? n : READ_AT_ONCE, r->off);
    if (got < 0)
        return (int)got;
    if ((size_t)got < n)
        return -EBADMSG;
    r->off += (uint64_t)got;
    r->len = direct ? 0 : (size_t)got;
    r->pos = direct ? 0 : n;
    if (!direct)
        memcpy(p, r->bytes, n);
    return 0;
}

static int take(void *arg, void *p, size_t n)
{
    struct rdb_reader *r = arg;
    size_t here = min_u64(n, r->len - r->pos);
    if (here > 0)
        memcpy(p, r->bytes + r->pos, here);
    r->pos += here;
    int err = n > here ? read_more(r, (uint8_t *)p + here, n - here) : 0;
    if (err == 0)
        r->sum = crc64_jones(r->sum, p, n);
    return err;
}

printf_like(3, 4) static int refuse(struct rdb_reader *r, char *error, const char *fmt, ...)
{
    va_list ap;
    size_t n = (size_t)snprintf(error, ERROR_MAX, "the RDB file %s cannot be loaded: ", r->path);
    va_start(ap, fmt);
    vsnprintf(error + n, ERROR_MAX - n, fmt, ap);
    va_end(ap);
    return -EBADMSG;
}

/* What a failed read means. */
static int failed(struct rdb_reader *r, int err, char *error)
{
    if (err == -EBADMSG)
        return refuse(r, error, "it is damaged or cut short, about byte %llu of %llu", (unsigned long long)place(r),
                      (unsigned long long)r->size);
    refuse(r, error, "%s", strerror(-err));
    return err;
}

/* --- opening --- */

/* The digits behind REDIS; 0 if they are none. */
static unsigned parse_version(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        if (p[i] < '0' || p[i] > '9')
            return 0;
        v = v * 10 + (unsigned)(p[i] - '0');
    }
    return v;
}

static int read_header(struct rdb_reader *r, char *error)
{
    char header[RDB_HEADER_BYTES];
    int err = take(r, header, sizeof(header));
    if (err < 0 && err != -EBADMSG)
        return failed(r, err, error);
    if (err < 0 || memcmp(header, "REDIS", 5) != 0)
        return refuse(r, error, "Wrong signature: it does not begin with REDIS and a version");
    r->version = parse_version(header + 5);
    if (r->version < 1 || r->version > RDB_VERSION_NEWEST)
        return refuse(r, error, "Can't handle RDB format version %.4s, the newest known is %d", header + 5,
                      RDB_VERSION_NEWEST);
    return 0;
}

int rdb_reader_open(struct rdb_reader **out, struct fs *fs, const char *path, char *error)
{
    struct rdb_reader *r = mem_zalloc(sizeof(*r));
    snprintf(r->path, sizeof(r->path), "%s", path);
    int err = fs->ops->open(fs, path, FS_READ, &r->file);
    if (err < 0) {
        snprintf(error, ERROR_MAX, "the RDB file %s cannot be opened: %s", r->path, strerror(-err));
        mem_free(r, sizeof(*r));
        return err;
    }
    int64_t size = r->file->ops->size(r->file);
    r->size = size < 0 ? 0 : (uint64_t)size;
    r->bytes = mem_alloc(READ_AT_ONCE);
    r->source = (struct rdb_source){take, left, r};
    err = size < 0 ? failed(r, (int)size, error) : read_header(r, error);
    if (err < 0) {
        rdb_reader_close(r);
        return err;
    }
    *out = r;
    return 0;
}

void rdb_reader_close(struct rdb_reader *r)
{
    r->file->ops->close(r->file);
    mem_free(r->bytes, READ_AT_ONCE);
    buf_free(&r->name);
    buf_free(&r->payload);
    buf_free(&r->scratch);
    buf_free(&r->living);
    mem_free(r, sizeof(*r));
}

void rdb_reader_take_libraries(struct rdb_reader *r, int (*each)(void *arg, struct slice code, char *error), void *arg)
{
    r->library = each;
    r->arg = arg;
}

void rdb_reader_about(const struct rdb_reader *r, struct rdb_about *out)
{
    *out = r->about;
    out->version = r->version;
    out->size = r->size;
    out->at = place(r);
    out->living = buf_slice(&r->living);
}

/* --- opcodes --- */

static int take_length(struct rdb_reader *r, uint64_t *n) { return rdb_read_length(&r->source, n); }

static int skip_lengths(struct rdb_reader *r, int n)
{
    uint64_t ignored;
    int err = 0;
    for (int i = 0; i < n && err == 0; i++)
        err = take_length(r, &ignored);
    return err;
}

static int skip_string(struct rdb_reader *r)
{
    buf_reset(&r->scratch, KEEP);
    return rdb_collect(0, &r->source, false, &r->scratch);
}

static int take_fixed(struct rdb_reader *r, size_t n, uint64_t *out)
{
    uint8_t bytes[8] = {0}; /* little-endian, as this machine is (crc.c) */
    int err = take(r, bytes, n);
    memcpy(out, bytes, sizeof(*out));
    return err;
}

/* A module's data: numbered pieces up to a zero. */
static int skip_module_aux(struct rdb_reader *r)
{
    enum { END, SIGNED, UNSIGNED, FLOAT, DOUBLE, STRING };
    uint64_t kind, ignored;
    int err = take_length(r, &ignored); /* the module's id */
    r->about.module_data++;
    while (err == 0 && (err = take_length(r, &kind)) == 0 && kind != END) {
        if (kind == SIGNED || kind == UNSIGNED)
            err = take_length(r, &ignored);
        else if (kind == FLOAT || kind == DOUBLE)
            err = take_fixed(r, kind == FLOAT ? 4 : 8, &ignored);
        else
            err = kind == STRING ? skip_string(r) : -EBADMSG;
    }
    return err;
}

static void note_aux(struct rdb_reader *r, struct slice name, struct slice value)
{
    if (slice_eq(name, SLICE_LIT("redis-ver"))) {
        snprintf(r->about.redis_version, sizeof(r->about.redis_version), "%.*s", (int)min_u64(value.len, 31),
                 (const char *)value.p);
    } else if (slice_eq(name, SLICE_LIT(RDB_AUX_LSN))) {
        r->about.of_kelvin = num_parse_u64(value, &r->about.lsn);
    } else if (slice_eq(name, SLICE_LIT(RDB_AUX_LIVING))) {
        buf_clear(&r->living);
        buf_append_slice(&r->living, value);
    }
}

static int take_aux(struct rdb_reader *r)
{
    int err = rdb_read_string(&r->source, &r->name);
    if (err == 0)
        err = rdb_read_string(&r->source, &r->scratch);
    if (err == 0)
        note_aux(r, buf_slice(&r->name), buf_slice(&r->scratch));
    return err;
}

static int take_db(struct rdb_reader *r)
{
    uint64_t db;
    int err = take_length(r, &db);
    if (err == 0 && db > UINT32_MAX)
        err = -EBADMSG;
    r->db = (uint32_t)db;
    return err;
}

static int take_expiry(struct rdb_reader *r, bool seconds, struct rdb_entry *e)
{
    uint64_t v;
    int err = take_fixed(r, seconds ? 4 : 8, &v);
    e->expire_ms = seconds ? (int64_t)(int32_t)v * 1000 : (int64_t)v;
    /* As in Redis, whatever is before 1970 is as good as the first moment of it: past. */
    if (e->expire_ms < 0)
        e->expire_ms = 0;
    return err;
}

static int take_heat(struct rdb_reader *r, bool idle, struct rdb_entry *e)
{
    uint64_t v;
    int err = idle ? take_length(r, &v) : take_fixed(r, 1, &v);
    if (idle)
        e->idle_s = (int64_t)min_u64(v, INT64_MAX);
    else
        e->freq = (int64_t)v;
    return err;
}

/* -ENOTSUP: it is refused, and the error says why. */
static int take_library(struct rdb_reader *r, char *error)
{
    int err = rdb_read_string(&r->source, &r->payload);
    return err == 0 && r->library(r->arg, buf_slice(&r->payload), error) < 0 ? -ENOTSUP : err;
}

/* 0: something before a key that is not one. */
static int take_opcode(struct rdb_reader *r, uint8_t code, struct rdb_entry *e, char *error)
{
    switch (code) {
    case RDB_SLOT_INFO:
        return skip_lengths(r, 3);
    case RDB_SIZES:
        return skip_lengths(r, 2);
    case RDB_FUNCTION:
        return r->library != NULL ? take_library(r, error) : skip_string(r);
    case RDB_MODULE_AUX:
        return skip_module_aux(r);
    case RDB_AUX:
        return take_aux(r);
    case RDB_SELECT:
        return take_db(r);
    case RDB_EXPIRE_MS:
    case RDB_EXPIRE_S:
        return take_expiry(r, code == RDB_EXPIRE_S, e);
    case RDB_IDLE:
    case RDB_FREQ:
        return take_heat(r, code == RDB_IDLE, e);
    default:
        if (code == RDB_FUNCTION_OF_CANDIDATE)
            refuse(r, error, "Pre-release function format not supported");
        else
            refuse(r, error, "byte %llu is %u, which is neither a known opcode nor the type of a value%s",
                   (unsigned long long)place(r) - 1, code, code == 6 || code == 7 ? " (but of a module's)" : "");
        return -ENOTSUP;
    }
}

static int take_end(struct rdb_reader *r, char *error)
{
    uint64_t want = r->sum, sum = 0;
    if (r->version < SUM_SINCE)
        return 0;
    int err = take_fixed(r, 8, &sum);
    if (err < 0)
        return failed(r, err, error);
    if (sum != 0 && sum != want)
        return refuse(r, error, "Wrong RDB checksum expected: (%llx) but got (%llx)", (unsigned long long)want,
                      (unsigned long long)sum);
    return 0;
}

static int take_key(struct rdb_reader *r, uint8_t type, struct rdb_entry *e)
{
    buf_reset(&r->payload, KEEP);
    buf_append_byte(&r->payload, type);
    int err = rdb_read_string(&r->source, &r->name);
    if (err == 0)
        err = rdb_collect(type, &r->source, false, &r->payload);
    size_t len = r->payload.len;
    buf_put_u16(&r->payload, RDB_VERSION_LEAST);
    buf_put_u64(&r->payload, 0);
    e->db = r->db;
    e->name = buf_slice(&r->name);
    e->dump = buf_slice(&r->payload);
    e->payload = slice_of(r->payload.p, len);
    return err;
}

int rdb_reader_next(struct rdb_reader *r, struct rdb_entry *e, char *error)
{
    *e = (struct rdb_entry){.expire_ms = -1, .idle_s = -1, .freq = -1};
    for (;;) {
        uint8_t code;
        int err = take(r, &code, 1);
        if (err == 0 && code == RDB_END)
            return take_end(r, error);
        bool key = err == 0 && rdb_type_version(code) != 0;
        if (err == 0)
            err = key ? take_key(r, code, e) : take_opcode(r, code, e, error);
        if (err == -ENOTSUP)
            return -EBADMSG;
        if (err < 0)
            return failed(r, err, error);
        if (key)
            return 1;
    }
}
