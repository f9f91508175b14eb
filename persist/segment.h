/* Segments: the files of the log, their byte format, and a reader that finds the valid frames of one.
 *
 * Everything but the payloads is text in lines that begin with '#', each shorter than the 128 bytes within which Redis
 * expects the end of an annotation in an AOF. All fields have a fixed width, lower-case hexadecimal digits:
 *
 *   header      #KELVIN-SEGMENT v1 id=<16> first=<16> \r\n                                        64 bytes
 *   frame       #F lsn=<16> len=<8> prev=<16> durable=<16> head=<8> crc=<8>\r\n  payload          112 bytes + len
 *   end mark    #E lsn=<16> durable=<16> crc=<8>\r\n                                              63 bytes
 *
 *   first    LSN of the first frame; the header is written together with that frame
 *   head     CRC-32C of the annotation's text before " head=", then of the segment's id (8 bytes, little-endian)
 *   crc      CRC-32C of the payload, then of the annotation's text before " crc=" (so `head` is included), then of the
 * id; the end mark has the text and the id only
 *
 * `head` makes the length trustworthy before the payload is read: a torn payload can be told from garbage, and garbage
 * never costs a checksum over gigabytes. The payload comes first in `crc` so that a writer computes that part before it
 * has a place. The id is random and never used twice, not even for one file: an old frame in a recycled segment, or one
 * behind a cut, fails both checksums, and a client cannot forge a frame inside a payload. The id that counts is the
 * manifest's; the header only repeats it for people and tools. */
#ifndef PERSIST_SEGMENT_H
#define PERSIST_SEGMENT_H

#include "core/base/fs.h"
#include "core/base/slice.h"

#define SEGMENT_HEADER_BYTES 64
#define SEGMENT_FRAME_BYTES 112 /* the annotation */
#define SEGMENT_END_BYTES 63
#define SEGMENT_OVERHEAD (SEGMENT_HEADER_BYTES + SEGMENT_FRAME_BYTES + SEGMENT_END_BYTES)

struct frame_mark {
    uint64_t lsn;     /* of the payload's first byte */
    uint32_t len;     /* of the payload */
    uint64_t prev;    /* end LSN of the frame before it on disk */
    uint64_t durable; /* end LSN of the last frame on disk known durable when this one was made */
};
static inline uint64_t frame_end(const struct frame_mark *m) { return m->lsn + m->len; }

void segment_format_header(char out[static SEGMENT_HEADER_BYTES], uint64_t id, uint64_t first);
bool segment_parse_header(struct slice s, uint64_t *id, uint64_t *first);

/* `payload_crc` is crc32c(0, payload). */
void frame_format(char out[static SEGMENT_FRAME_BYTES], const struct frame_mark *m, uint64_t id, uint32_t payload_crc);
/* Whether `s` begins with an annotation of segment `id` whose `head` is right; sets *m and the expected `crc`. */
bool frame_parse(struct slice s, uint64_t id, struct frame_mark *m, uint32_t *crc);
/* Whether an annotation that frame_parse accepted belongs to a payload with this crc32c(0, payload). */
bool frame_matches(const uint8_t *annotation, uint64_t id, uint32_t payload_crc, uint32_t crc);

void segment_format_end(char out[static SEGMENT_END_BYTES], uint64_t lsn, uint64_t durable, uint64_t id);
bool segment_parse_end(struct slice s, uint64_t id, uint64_t *lsn, uint64_t *durable);

/* Writes zeros over [off, off + len) of `f`: blocks that are written, not only reserved, sync fast when overwritten. */
int segment_zero(struct file *f, uint64_t off, uint64_t len) must_check;

/* --- reading ---------------------------------------------------------------------------------------------------- */

enum segment_item {
    SEGMENT_FRAME, /* frame and payload are set */
    SEGMENT_END,   /* the end mark: end_lsn, end_durable are set */
    SEGMENT_BLANK, /* zeros or the end of the file: nothing was written here */
    SEGMENT_BAD,   /* neither; torn_len is the payload length if at least the annotation is whole, else 0 */
};

/* Owned by one thread. Holds a window of the file: memory is bounded by the largest frame plus 1 MiB. */
struct segment_reader {
    struct file *file; /* borrowed */
    uint64_t id;
    uint64_t size; /* of the file */
    uint64_t off;  /* of the next item */
    uint8_t *window;
    size_t window_len, window_cap;
    uint64_t window_off;
    uint64_t item_off; /* of the item last returned */
    struct frame_mark frame;
    struct slice payload; /* borrowed until the next call */
    uint64_t end_lsn, end_durable;
    uint32_t torn_len;
};

/* Begins behind the header (whatever it holds: see above). 0 or a negative errno. */
int segment_reader_init(struct segment_reader *r, struct file *file, uint64_t id) must_check;
void segment_reader_free(struct segment_reader *r);
/* Reads the item at r->off; moves behind it if it is a frame. An enum segment_item or a negative errno. */
int segment_next(struct segment_reader *r) must_check;
/* Behind a bad place: finds the next valid frame or end mark, wherever it begins, and reads it as segment_next would.
 * SEGMENT_BLANK if there is none. Cost: reads the rest of the file. */
int segment_resync(struct segment_reader *r) must_check;

#endif
