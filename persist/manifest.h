/* The manifest: the one small file that says which files make up the log and where replay starts. It is only ever
 * replaced as a whole (fs_replace), so whoever changes several facts changes them in one step.
 *
 *   KELVIN-MANIFEST 1
 *   l0 <16 hex>                   replay starts here
 *   replid <40 hex or ->          this history, and the one before it up to its limit
 *   replid2 <40 hex or -> <16 hex>
 *   durable <16 hex>              end LSN of a frame on disk that is known durable
 *   stop <16 hex or ->            end of the stream, if the last run ended cleanly
 *   segment <name> <id: 16 hex> <first: 16 hex or -> <end: 16 hex or ->
 *                                 first: LSN of its first frame if it was in use when the manifest was written;
 *                                 end: frames at or above it do not count (set where recovery has cut)
 *   state <decimal length>
 *   <that many bytes>             the checkpoint's own record, opaque here
 *   crc <8 hex>                   CRC-32C of everything above this line
 *
 * Lines end with \n. The order of the segment lines means nothing: their frames' LSNs say it. A file that looks like a
 * segment and is not listed is what a crash left over. */
#ifndef PERSIST_MANIFEST_H
#define PERSIST_MANIFEST_H

#include "core/base/buf.h"
#include "core/base/fs.h"

#define MANIFEST_NAME "kelvin.manifest"
#define MANIFEST_BYTES_MAX (256 * MIB)
#define SEGMENT_NAME_MAX 32
#define LSN_NONE UINT64_MAX

struct manifest_segment {
    char name[SEGMENT_NAME_MAX];
    uint64_t id;
    uint64_t first; /* LSN_NONE: not in use when this was written */
    uint64_t end;   /* LSN_NONE: not cut */
};

/* Zero-initialised is not valid: manifest_init. Owned by one thread, or under its owner's lock. */
struct manifest {
    uint64_t l0, replid2_limit, durable, stop;
    char replid[41], replid2[41]; /* "" if none */
    struct buf state;
    struct manifest_segment *segments; /* from mem_alloc, `cap` of them */
    size_t count, cap;
};

void manifest_init(struct manifest *m);
void manifest_free(struct manifest *m);
/* The new last entry, zeroed but for first and end; valid until the next call. */
struct manifest_segment *manifest_add(struct manifest *m);

void manifest_encode(const struct manifest *m, struct buf *out);
/* 0 or -EBADMSG; `m` is initialised, and on failure holds what was read so far. */
int manifest_decode(struct manifest *m, struct slice text) must_check;

/* -ENOENT: there is none. -EBADMSG: damaged. */
int manifest_load(struct manifest *m, struct fs *fs, const char *dir) must_check;
/* Durable when it returns 0. After a failure either manifest may be the one on disk. */
int manifest_store(const struct manifest *m, struct fs *fs, const char *dir) must_check;

/* kelvin-<number>.log. */
void segment_name_format(char out[static SEGMENT_NAME_MAX], uint64_t number);
bool segment_name_parse(const char *name, uint64_t *number);

#endif
