#include "core/base/mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/panic.h"

#ifndef KELVIN_NO_JEMALLOC
#include <jemalloc/jemalloc.h>
#endif

#define HUGE_PAGE (2 * MIB)

static void *checked(void *p, size_t size)
{
    if (unlikely(p == NULL))
        panic("out of memory allocating %zu bytes", size);
    return p;
}

static size_t at_least_one(size_t size) { return size ? size : 1; }

#ifndef KELVIN_NO_JEMALLOC

/* Read by jemalloc. Freed pages go back to the kernel within about a second (maxmemory is about resident memory), from
 * a thread of jemalloc's own: a shard never pays for it. Few arenas and caches of small blocks alone keep little memory
 * idle (measured: with a budget of 25 MiB a third less than by default); each shard has an arena of its own.
 * A slab costs 128 bytes beside its pages, which is much where it is one page with a single block of 4096 bytes, or
 * four of 1024: these classes get some more pages. Few, as a slab keeps its pages while one block in it is in use
 * (measured: with eight pages for all classes, a tenth of the data that is left after churn takes a third more). */
const char *malloc_conf = "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,narenas:2,tcache_max:4096,"
                          "slab_sizes:1024-1024:4|2048-2048:2|4096-4096:2";

void *mem_alloc(size_t size) { return checked(mallocx(at_least_one(size), 0), size); }
void *mem_zalloc(size_t size) { return checked(mallocx(at_least_one(size), MALLOCX_ZERO), size); }

void *mem_alloc_aligned(size_t size, size_t align)
{
    return checked(mallocx(at_least_one(size), MALLOCX_ALIGN(align)), size);
}

void mem_free_aligned(void *p, size_t size, size_t align)
{
    if (p != NULL)
        sdallocx(p, at_least_one(size), MALLOCX_ALIGN(align));
}

void *mem_realloc(void *p, size_t old, size_t size)
{
    (void)old;
    return p == NULL ? mem_alloc(size) : checked(rallocx(p, at_least_one(size), 0), size);
}

void mem_free(void *p, size_t size)
{
    if (p != NULL)
        sdallocx(p, at_least_one(size), 0);
}

static uint64_t stat_of(const char *name)
{
    size_t value = 0, len = sizeof(value);
    if (mallctl(name, &value, &len, NULL, 0) != 0)
        return 0;
    return value;
}

static void allocator_stats(struct mem_stats *out)
{
    uint64_t epoch = 1;
    size_t len = sizeof(epoch);
    mallctl("epoch", &epoch, &len, &epoch, len);
    out->allocated = stat_of("stats.allocated");
    out->active = stat_of("stats.active");
    out->resident = stat_of("stats.resident");
}

void mem_keep_pages_ms(int64_t ms)
{
    ssize_t decay = (ssize_t)ms;
    char name[64];
    snprintf(name, sizeof(name), "arena.%u.dirty_decay_ms", MALLCTL_ARENAS_ALL);
    mallctl("arenas.dirty_decay_ms", NULL, NULL, &decay, sizeof(decay));
    mallctl(name, NULL, NULL, &decay, sizeof(decay));
}

void mem_own_arena(void)
{
    unsigned arena;
    size_t len = sizeof(arena);
    if (mallctl("arenas.create", &arena, &len, NULL, 0) == 0)
        mallctl("thread.arena", NULL, NULL, &arena, sizeof(arena));
}

void mem_after_fork(void)
{
    bool on = true;
    mallctl("background_thread", NULL, NULL, &on, sizeof(on));
}

bool mem_report(void (*write)(void *arg, const char *text), void *arg)
{
    malloc_stats_print(write, arg, NULL);
    return true;
}

void mem_purge(void)
{
    char name[64];
    snprintf(name, sizeof(name), "arena.%u.purge", MALLCTL_ARENAS_ALL);
    mallctl(name, NULL, NULL, NULL, 0);
}

#else

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* clang's way of saying it */
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_allocated_size(const volatile void *p);

/* jemalloc trusts the size that is given back: a wrong one corrupts its bins long before anything crashes. */
static void check_size(const void *p, size_t size)
{
    if (p != NULL && __sanitizer_get_allocated_size(p) != at_least_one(size))
        panic("freed with size %zu, allocated with %zu", size, __sanitizer_get_allocated_size(p));
}
#else
static void check_size(const void *p, size_t size) { (void)p, (void)size; }
#endif

void *mem_alloc(size_t size) { return checked(malloc(at_least_one(size)), size); }
void *mem_zalloc(size_t size) { return checked(calloc(1, at_least_one(size)), size); }

void *mem_alloc_aligned(size_t size, size_t align)
{
    void *p = NULL;
    if (posix_memalign(&p, align, at_least_one(size)) != 0)
        p = NULL;
    return checked(p, size);
}

void mem_free_aligned(void *p, size_t size, size_t align)
{
    (void)align;
    check_size(p, size);
    free(p);
}

void *mem_realloc(void *p, size_t old, size_t size)
{
    check_size(p, old);
    return checked(realloc(p, at_least_one(size)), size);
}

void mem_free(void *p, size_t size)
{
    check_size(p, size);
    free(p);
}

static void allocator_stats(struct mem_stats *out) { (void)out; }
void mem_keep_pages_ms(int64_t ms) { (void)ms; }
void mem_own_arena(void) {}
void mem_after_fork(void) {}
bool mem_report(void (*write)(void *arg, const char *text), void *arg)
{
    (void)write;
    (void)arg;
    return false;
}
void mem_purge(void) {}

#endif

void mem_advise_huge(void *p, size_t size)
{
    uintptr_t from = ((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t to = ((uintptr_t)p + size) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (from < to)
        madvise((void *)from, to - from, MADV_HUGEPAGE);
}

/* The second figure of /proc/self/statm: the resident set in pages. */
static uint64_t resident_set(void)
{
    char text[128];
    unsigned long long pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

void mem_stats(struct mem_stats *out)
{
    *out = (struct mem_stats){0};
    allocator_stats(out);
    out->rss = resident_set();
    if (out->resident == 0)
        out->allocated = out->active = out->resident = out->rss;
}

void *mem_room_for_one(void *array, unsigned n, unsigned *cap, size_t size, unsigned first)
{
    if (n < *cap)
        return array;
    unsigned more = *cap > 0 ? *cap * 2 : first;
    array = mem_realloc(array, size * *cap, size * more);
    *cap = more;
    return array;
}
