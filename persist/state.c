#include "persist/state.h"

#include <errno.h>

#include "core/base/mem.h"

#define STATE_VERSION 2
#define STATE_DATABASES_MAX 65536

enum { MODE_NONE = 0, MODE_LOGGED = 1, MODE_SNAPSHOT = 2 };

void state_init(struct state *s, uint32_t databases)
{
    s->databases = databases;
    s->db = mem_zalloc(sizeof(*s->db) * databases);
    for (uint32_t i = 0; i < databases; i++)
        s->db[i].space = (struct space_id){0, i};
}

void state_free(struct state *s)
{
    mem_free(s->db, sizeof(*s->db) * s->databases);
    *s = (struct state){0};
}

bool state_any_logged(const struct state *s)
{
    for (uint32_t i = 0; i < s->databases; i++)
        if (s->db[i].logged)
            return true;
    return false;
}

void state_encode(const struct state *s, struct buf *out)
{
    buf_append_byte(out, STATE_VERSION);
    buf_put_u64(out, s->hash_seed);
    buf_put_u32(out, s->databases);
    for (uint32_t i = 0; i < s->databases; i++) {
        buf_put_u64(out, s->db[i].space.lsn);
        buf_put_u32(out, s->db[i].space.db);
        buf_append_byte(out, s->db[i].logged ? MODE_LOGGED : s->db[i].snapshot ? MODE_SNAPSHOT : MODE_NONE);
    }
}

int state_decode(struct slice bytes, struct state *s)
{
    struct reader r = reader_of(bytes);
    uint8_t version = reader_u8(&r);
    uint64_t hash_seed = reader_u64(&r);
    uint32_t databases = reader_u32(&r);

    *s = (struct state){0};
    if (r.bad || version != STATE_VERSION || databases == 0 || databases > STATE_DATABASES_MAX)
        return -EBADMSG;
    state_init(s, databases);
    s->hash_seed = hash_seed;
    for (uint32_t i = 0; i < databases; i++) {
        s->db[i].space.lsn = reader_u64(&r);
        s->db[i].space.db = reader_u32(&r);
        uint8_t mode = reader_u8(&r);
        s->db[i].logged = mode == MODE_LOGGED;
        s->db[i].snapshot = mode == MODE_SNAPSHOT;
    }
    if (!r.bad && reader_left(&r) == 0)
        return 0;
    state_free(s);
    return -EBADMSG;
}
