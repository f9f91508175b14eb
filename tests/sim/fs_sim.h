/* A simulated disk behind core/base/fs.h, in memory. It keeps apart what programs see and what is on the platter:
 *
 *   data       a write is pending until the file is synced. A power cut keeps any subset of the pending writes, torn at
 *              512-byte boundaries. A sync that fails keeps some too and forgets the others: they stay visible, no
 * later sync writes them, and a power cut takes them away, as Linux does. names      create, rename, unlink and mkdir
 * are pending until the directory is synced. A power cut keeps any subset in which none depends on a lost one (same
 * name or same file); a rename is kept or lost as a whole.
 *
 * What survives is drawn from the seed. Paths are compared as strings. Any thread, like the real one. */
#ifndef TESTS_FS_SIM_H
#define TESTS_FS_SIM_H

#include "core/base/fs.h"

enum fs_sim_call {
    FS_SIM_OPEN,
    FS_SIM_READ,
    FS_SIM_WRITE,
    FS_SIM_SYNC,
    FS_SIM_ALLOCATE,
    FS_SIM_TRUNCATE,
    FS_SIM_RENAME,
    FS_SIM_UNLINK,
    FS_SIM_SYNC_DIR,
    FS_SIM_MKDIR,
    FS_SIM_CALLS,
};

struct fs_sim;

struct fs_sim *fs_sim_new(uint64_t seed);
void fs_sim_free(struct fs_sim *s);
struct fs *fs_sim_fs(struct fs_sim *s);

/* Bytes that files may take together; growth beyond is -ENOSPC. Unlimited at first. */
void fs_sim_set_quota(struct fs_sim *s, uint64_t bytes);
/* The n-th call of this kind from now on (1: the next) fails with `error` (negative), once. */
void fs_sim_fail(struct fs_sim *s, enum fs_sim_call kind, uint64_t n, int error);
/* In the middle of the next write, once: nothing of it is there yet, and other calls may come meanwhile. */
void fs_sim_during_write(struct fs_sim *s, void (*meanwhile)(void *arg), void *arg);
/* After n more calls that change something, every call fails with -EIO and changes nothing: the power is gone, the
 * program does not know it yet; fs_sim_crash ends it. UINT64_MAX: never, and a freeze ends without loss: only the
 * program died. */
void fs_sim_freeze_after(struct fs_sim *s, uint64_t n);
bool fs_sim_frozen(struct fs_sim *s);
/* How many changing calls there have been. */
uint64_t fs_sim_changes(struct fs_sim *s);

/* Power cut and restart. No file may be open. Quota and failures asked for are lifted. */
void fs_sim_crash(struct fs_sim *s);

/* Damages one byte, in the cache and on the platter. False if there is no such byte. */
bool fs_sim_flip(struct fs_sim *s, const char *path, uint64_t off, uint8_t mask);

#endif
