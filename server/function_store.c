#include "server/function_store.h"

#include <errno.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "server/script/loaded.h"
#include "tier/record.h"

#define ERROR_MAX 512

void functions_install(struct server *server, struct functions *f)
{
    if (server->functions != NULL)
        functions_unref(server->functions);
    server->functions = f;
    for (unsigned i = 0; i < server->nshards; i++)
        library_forget_others(server->shards[i], f);
    atomic_store(&server->figures_of_functions.libraries, f->nlibraries);
    atomic_store(&server->figures_of_functions.functions, f->nfunctions);
    atomic_store(&server->figures_of_functions.bytes, f->bytes);
}

struct load {
    struct shard *shard;
    struct functions *none;
    struct library **libraries;
    unsigned n, cap;
    struct buf *error;
    uint64_t until_us; /* 0: no limit */
};

/* False: it is over. */
static bool time_left(const struct load *load, uint64_t *ms)
{
    uint64_t now = clock_mono_us(load->shard->server->clock);
    *ms = 0;
    if (load->until_us == 0)
        return true;
    if (now >= load->until_us)
        return false;
    *ms = (load->until_us - now) / 1000 + 1;
    return true;
}

static bool load_one(void *arg, struct slice code)
{
    struct load *load = arg;
    uint64_t ms;
    if (!time_left(load, &ms)) {
        buf_clear(load->error);
        buf_append_str(load->error, "FUNCTION RESTORE timeout");
        return false;
    }
    struct library *l = library_load(load->shard, code, load->none, LIBRARY_NEW, ms, load->error);
    if (l == NULL)
        return false;
    if (load->n == load->cap) {
        unsigned cap = load->cap ? 2 * load->cap : 16;
        load->libraries =
            mem_realloc(load->libraries, sizeof(*load->libraries) * load->cap, sizeof(*load->libraries) * cap);
        load->cap = cap;
    }
    load->libraries[load->n++] = l;
    return true;
}

struct functions *functions_load(struct shard *s, struct slice payload, uint64_t timeout_ms, struct buf *error)
{
    struct load load = {.shard = s, .none = functions_new(), .error = error};
    struct functions *f = NULL;
    if (timeout_ms > 0)
        load.until_us = clock_mono_us(s->server->clock) + timeout_ms * 1000;
    if (functions_decode(payload, load_one, &load, error)) {
        f = functions_of(load.libraries, load.n, error);
    } else {
        for (unsigned i = 0; i < load.n; i++)
            library_unref(load.libraries[i]);
    }
    mem_free(load.libraries, sizeof(*load.libraries) * load.cap);
    functions_unref(load.none);
    return f;
}

static int write_record(struct server *server, const struct functions *f, uint64_t stamp, struct slice key)
{
    struct buf payload = {0}, record = {0};
    struct store_batch batch = {0};
    int err = log_make_durable(server->log, stamp);
    if (err == 0) {
        functions_encode(f, &payload);
        record_value_encode(&record, key, stamp, RECORD_ZSTD, NULL, buf_slice(&payload));
        store_batch_put(&batch, key, buf_slice(&record));
        err = server->store->ops->write(server->store, &batch);
    }
    store_batch_free(&batch);
    buf_free(&payload);
    buf_free(&record);
    return err;
}

/* Most servers have none, and no record either. */
int function_store_write(struct server *server, const struct functions *f, uint64_t stamp)
{
    struct buf key = {0}, there = {0};
    record_functions_key(&key);
    int err = f->nlibraries == 0 ? server->store->ops->get(server->store, buf_slice(&key), &there) : 0;
    if (err == 0)
        err = write_record(server, f, stamp, buf_slice(&key));
    buf_free(&key);
    buf_free(&there);
    return err == -ENOENT ? 0 : err;
}

static int install_payload(struct server *server, struct slice payload, char *message)
{
    struct buf error = {0};
    struct functions *f = NULL;
    if (functions_payload_ok(payload))
        f = functions_load(server->shards[0], payload, 0, &error);
    else
        buf_append_str(&error, "the record is damaged");
    if (f != NULL)
        functions_install(server, f);
    else
        snprintf(message, ERROR_MAX, "the functions on flash cannot be loaded: %.*s", (int)min_u64(error.len, 400),
                 (const char *)error.p);
    buf_free(&error);
    return f != NULL ? 0 : -EBADMSG;
}

int function_store_read(struct server *server, uint64_t *stamp, char *message)
{
    struct buf key = {0}, payload = {0}, record = {0};
    *stamp = 0;
    record_functions_key(&key);
    int err = server->store->ops->get(server->store, buf_slice(&key), &record);
    if (err == 0) {
        err = record_value_decode(buf_slice(&key), buf_slice(&record), NULL, stamp, &payload);
        if (err == 0)
            err = install_payload(server, buf_slice(&payload), message);
        else
            snprintf(message, ERROR_MAX, "the record of the functions on flash is damaged");
    } else if (err == -ENOENT) {
        functions_install(server, functions_new());
        err = 0;
    } else {
        snprintf(message, ERROR_MAX, "the functions cannot be read from flash: %s", strerror(-err));
    }
    buf_free(&key);
    buf_free(&payload);
    buf_free(&record);
    return err;
}
