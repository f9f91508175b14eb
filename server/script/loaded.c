#include "server/script/loaded.h"

#include <errno.h>

#include "core/base/mem.h"
#include "core/base/panic.h"
#include "server/server.h"

#define CHUNK "@user_function"

/* A library in one shard's Lua: a reference for each of its functions. */
struct loaded {
    struct loaded *next;
    struct library *library;
    int *refs; /* by index in the library; as many as it has room for */
    unsigned n;
};

struct loaded_libraries {
    struct loaded *first; /* the one that was used last */
};

static struct loaded_libraries *libraries_of(struct shard *s)
{
    if (s->libraries == NULL)
        s->libraries = mem_zalloc(sizeof(*s->libraries));
    return s->libraries;
}

static void free_loaded(struct shard *s, struct loaded *l)
{
    for (unsigned i = 0; i < l->n; i++)
        script_unref(script_env_of(s, SCRIPT_FUNCTION), l->refs[i]);
    mem_free(l->refs, sizeof(*l->refs) * l->n);
    library_unref(l->library);
    mem_free(l, sizeof(*l));
}

static struct loaded *find(struct shard *s, const struct library *library)
{
    struct loaded **first = &libraries_of(s)->first;
    for (struct loaded **at = first, *l; (l = *at) != NULL; at = &l->next)
        if (l->library == library) {
            *at = l->next;
            l->next = *first;
            *first = l;
            return l;
        }
    return NULL;
}

/* --- loading --- */

struct loading {
    struct script_loader loader; /* first */
    struct library *library;     /* what is being made; or NULL: `is` is loaded once more */
    const struct library *is;
    struct loaded *loaded;
};

static void keep_ref(struct loaded *l, int ref)
{
    l->refs = mem_realloc(l->refs, sizeof(*l->refs) * l->n, sizeof(*l->refs) * (l->n + 1));
    l->refs[l->n++] = ref;
}

/* A library that is loaded once more registers the same functions, in the same order. */
static const char *add(struct script_loader *loader, struct slice name, int ref, uint32_t flags,
                       struct slice description)
{
    struct loading *l = (struct loading *)loader;
    if (l->library == NULL) {
        if (l->loaded->n >= l->is->n || !slice_eq(l->is->functions[l->loaded->n].name, name))
            return "ERR the library does not register what it did when it was loaded";
    } else if (!functions_name_ok(name)) {
        return "ERR " FUNCTIONS_BAD_NAME;
    } else if (library_add(l->library, name, description, flags) == -EEXIST) {
        return "ERR Function already exists in the library";
    }
    keep_ref(l->loaded, ref);
    return NULL;
}

/* Runs the code; the library's line of metadata is not Lua, and counts as a line. */
static bool run(struct shard *s, struct loading *l, struct slice code, size_t line, uint64_t timeout_ms,
                struct buf *error)
{
    l->loader = (struct script_loader){.add = add, .timeout_ms = timeout_ms};
    l->loaded = mem_zalloc(sizeof(*l->loaded));
    l->loaded->library = library_ref(l->library != NULL ? l->library : (struct library *)l->is);
    struct script_env *env = script_env_of(s, SCRIPT_FUNCTION);
    struct slice text = slice_of(code.p + line, code.len - line);
    buf_clear(error);
    if (env == NULL)
        buf_append_str(error, "not enough memory to run scripts (script-memory-limit)");
    bool good = env != NULL && script_load(env, text, CHUNK, &l->loader, error) == 0;
    if (good && l->loaded->n == 0) {
        buf_append_str(error, "No functions registered");
        good = false;
    }
    if (good) {
        l->loaded->next = libraries_of(s)->first;
        libraries_of(s)->first = l->loaded;
    } else {
        free_loaded(s, l->loaded);
    }
    return good;
}

static bool may_load(const struct library_about *about, const struct functions *now, enum library_load how,
                     struct buf *error)
{
    buf_clear(error);
    if (!slice_is(about->engine, "lua")) {
        buf_printf(error, "Engine '%.*s' not found", (int)about->engine.len, (const char *)about->engine.p);
        return false;
    }
    if (how == LIBRARY_REPLACE || functions_library(now, about->name) == NULL)
        return true;
    buf_printf(error, "Library '%.*s' already exists", (int)about->name.len, (const char *)about->name.p);
    return false;
}

struct library *library_load(struct shard *s, struct slice code, const struct functions *now, enum library_load how,
                             uint64_t timeout_ms, struct buf *error)
{
    struct loading l = {0};
    struct library_about about;
    struct buf words = {0};
    if (functions_about(code, &about, &words, error) && may_load(&about, now, how, error)) {
        l.library = library_new(&about, code);
        if (!run(s, &l, l.library->code, about.line, timeout_ms, error)) {
            library_unref(l.library);
            l.library = NULL;
        }
    }
    buf_free(&words);
    return l.library;
}

/* --- use --- */

int library_function(struct shard *s, const struct function *f, struct buf *error)
{
    struct loaded *l = find(s, f->library);
    if (l == NULL) {
        struct loading again = {.is = f->library};
        const uint8_t *end = memchr(f->library->code.p, '\n', f->library->code.len);
        if (!run(s, &again, f->library->code, (size_t)(end - f->library->code.p), 0, error))
            return -1;
        l = again.loaded;
    }
    unsigned at = (unsigned)(f - f->library->functions);
    if (at < l->n)
        return l->refs[at];
    buf_clear(error);
    buf_append_str(error, "the library does not register what it did when it was loaded");
    return -1;
}

void library_forget_others(struct shard *s, const struct functions *now)
{
    if (s->libraries == NULL)
        return;
    for (struct loaded **at = &s->libraries->first, *l; (l = *at) != NULL;) {
        if (functions_library(now, l->library->name) == l->library) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        free_loaded(s, l);
    }
}

void library_forget_all(struct shard *s)
{
    if (s->libraries == NULL)
        return;
    for (struct loaded *l = s->libraries->first, *next; l != NULL; l = next) {
        next = l->next;
        free_loaded(s, l);
    }
    mem_free(s->libraries, sizeof(*s->libraries));
    s->libraries = NULL;
    script_env_set(s, SCRIPT_FUNCTION, NULL);
}
