/* HyperLogLog: a string that estimates how many different elements it was given, from 16384 registers of 6 bits. The
 * bytes are Redis's, so that GET, SET, DUMP and log carry them between the two:
 *
 *   "HYLL" | encoding 1 (0 dense, 1 sparse) | unused 3 | cardinality 8, little-endian | registers
 *
 * The cardinality is a cache, valid if its top bit is clear. Dense registers lie one behind the other, least
 * significant bit first. Sparse ones are runs:
 *
 *   ZERO   00xxxxxx           x + 1 registers are 0
 *   XZERO  01xxxxxx yyyyyyyy  (x << 8 | y) + 1 registers are 0
 *   VAL    1vvvvvxx           x + 1 registers are v + 1
 *
 * The order of splitting and joining runs is part of what is compatible: the same elements in the same order give the
 * same bytes as Redis 7. Such a string may come from anywhere (SET): only hll_is's checks have been made when an
 * operation begins, and the operations that meet broken runs say so (hll_*'s false, HLL_CORRUPT).
 *
 * Source: Heule, Nunkesser, Hall, "HyperLogLog in Practice" (2013) for the hash and register layout; Ertl, "New
 * cardinality estimation algorithms for HyperLogLog sketches" (2017) for the estimator. Knows no replies. */
#ifndef VALUE_HLL_H
#define VALUE_HLL_H

#include "core/base/blob.h"
#include "core/base/buf.h"

#define HLL_REGISTERS 16384
#define HLL_HEADER 16
#define HLL_DENSE_BYTES (HLL_HEADER + HLL_REGISTERS * 6 / 8)
#define HLL_EMPTY_BYTES (HLL_HEADER + 2)
#define HLL_GROWTH 3 /* bytes by which one hll_raise may lengthen a sparse string */

/* Header and length are those of a HyperLogLog. All functions below ask for such a string. */
bool hll_is(struct slice s);
bool hll_is_dense(struct slice s);
/* An empty sparse one, whose cached cardinality is not valid. */
struct blob *hll_new(size_t cap);

/* --- adding --- */

/* What an element does: register `index` becomes at least `value`. */
struct hll_mark {
    uint16_t index;
    uint8_t value;
};
struct hll_mark hll_mark_of(struct slice element);

/* Where a mark belongs in a sparse string: found by hll_find, used by hll_raise. Offsets, not pointers: the string may
 * move in between. */
struct hll_spot {
    size_t at;             /* the run that covers the register */
    size_t before;         /* the run before it; 0: none */
    uint32_t first, span;  /* the registers of the run */
    size_t resume;         /* for the next, higher register: a run to start from, */
    uint32_t resume_first; /* and its first register */
};

enum hll_found {
    HLL_SAME,    /* the register has that value or a higher one */
    HLL_RAISE,   /* it has not: hll_raise changes it */
    HLL_CORRUPT, /* the runs end before the register */
};
/* Looks a mark up. `*from` is {0}, or what the last look-up in the same string gave for a lower register. */
enum hll_found hll_find(struct slice s, struct hll_mark m, const struct hll_spot *from, struct hll_spot *out);
/* Writes a mark for which hll_find has just said HLL_RAISE; the blob has room for HLL_GROWTH more bytes. The cached
 * cardinality is valid no more. False, with nothing changed, if a sparse string cannot hold the mark within `limit`
 * bytes: it has to become dense first. */
bool hll_raise(struct blob *b, struct hll_mark m, const struct hll_spot *spot, size_t limit) must_check;
/* Makes a sparse string dense; the blob has room for HLL_DENSE_BYTES. False, with nothing changed, if it is corrupt. */
bool hll_make_dense(struct blob *b) must_check;
/* Gives a string, which may have been sparse, these registers in the dense form; the same room. */
void hll_set_dense(struct blob *b, const uint8_t reg[HLL_REGISTERS]);

/* --- reading --- */

/* All registers, one byte each. False if corrupt. */
bool hll_registers(struct slice s, uint8_t out[HLL_REGISTERS]) must_check;
/* Raises out[] to the registers of `s`. False if corrupt (out[] is then of no use). */
bool hll_merge(uint8_t out[HLL_REGISTERS], struct slice s) must_check;
/* The estimate; false if corrupt. */
bool hll_count(struct slice s, uint64_t *out) must_check;
uint64_t hll_count_registers(const uint8_t reg[HLL_REGISTERS]);
/* The cached cardinality; false if it is not valid. */
bool hll_cached(struct slice s, uint64_t *out);
void hll_cache(uint8_t *p, uint64_t count);
void hll_uncache(uint8_t *p);

/* The runs of a sparse string as text: "Z:16000 v:3,1 z:20", as PFDEBUG DECODE shows them. False if corrupt. */
bool hll_decode(struct slice s, struct buf *out) must_check;

#endif
