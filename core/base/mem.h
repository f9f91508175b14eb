/* The only file that calls the allocator (jemalloc in normal builds, libc's under sanitizers).
 * Allocation failure aborts here and nowhere else. Sizes are given back on free (sized deallocation), so every
 * owner knows what it holds, and accounting needs no look-up: charge mem_class(size). Any thread. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "core/base/base.h"

/* `size` bytes, uninitialised; never NULL; size 0 is rounded up to 1. Caller frees with mem_free(p, size). */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);
/* Aligned to `align` (a power of two). Caller frees with mem_free_aligned. */
void *mem_alloc_aligned(size_t size, size_t align);
void mem_free_aligned(void *p, size_t size, size_t align);
/* `p` (of `old` bytes, or NULL with old 0) moved into `size` bytes. */
void *mem_realloc(void *p, size_t old, size_t size);
/* The array of `n` items of `size` bytes, with room for *cap, with room for one more: when it is full it gets twice as
 * much, or room for `first` if it had none (NULL). Freed with mem_free(array, size * cap). */
void *mem_room_for_one(void *array, unsigned n, unsigned *cap, size_t size, unsigned first);
/* NULL is allowed. `size` is what was asked for. */
void mem_free(void *p, size_t size);
#ifndef KELVIN_NO_JEMALLOC
/* Bytes the allocator really takes for a request of `size` (its size class): as jemalloc's nallocx knows them but
 * without the call: 8, then every 16 bytes up to 128, then four to a doubling. */
static inline size_t mem_class(size_t size)
{
    if (size <= 8)
        return 8;
    if (size <= 128)
        return (size + 15) & ~(size_t)15;
    size_t step = (size_t)1 << (61 - __builtin_clzl(size - 1));
    return (size + step - 1) & ~(step - 1);
}
/* Whether a block of `old` bytes needs no move for `size`: both have the same size class. */
static inline bool mem_same_class(size_t old, size_t size) { return mem_class(old) == mem_class(size); }
#else
static inline size_t mem_class(size_t size) { return ((size ? size : 1) + 15) & ~(size_t)15; }
/* A block is exactly as long as it was asked for: the sanitizers see every byte beyond. */
static inline bool mem_same_class(size_t old, size_t size) { return old == size; }
#endif

/* Pages of [p, p+size) are advised to be huge pages; a no-op where it does not fit. */
void mem_advise_huge(void *p, size_t size);

struct mem_stats {
    uint64_t allocated; /* bytes in live allocations */
    uint64_t active;    /* bytes in pages that hold them */
    uint64_t resident;  /* resident bytes mapped by the allocator */
    uint64_t rss;       /* the process's resident set, from the kernel */
};
/* Cost: a few microseconds (a statistics epoch and one read of /proc). */
void mem_stats(struct mem_stats *out);
/* How long freed pages are kept for reuse before the kernel gets them back: they count as resident. At start. */
void mem_keep_pages_ms(int64_t ms);
/* The calling thread allocates from an arena of its own from now on: for the few threads that allocate all the time. */
void mem_own_arena(void);
/* In the child of a fork: the allocator's own thread is started again. */
void mem_after_fork(void);
/* The allocator's own report, for people. False if it has none (sanitizer builds). */
bool mem_report(void (*write)(void *arg, const char *text), void *arg);
/* Gives unused pages back to the kernel. Cost: up to milliseconds. */
void mem_purge(void);

#endif
