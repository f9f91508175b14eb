#include "core/base/glob.h"

#include <ctype.h>

static uint8_t fold(uint8_t c, bool ignore_case) { return ignore_case ? (uint8_t)tolower(c) : c; }

/* One bracket class at p[i] == '['; sets *next behind it. An unterminated class ends with the pattern. */
static bool match_class(struct slice p, size_t i, uint8_t c, bool ignore_case, size_t *next)
{
    bool negate, hit = false;
    i++;
    negate = i < p.len && p.p[i] == '^';
    i += negate;
    for (;; i++) {
        if (i >= p.len) {
            i--;
            break;
        }
        if (p.p[i] == '\\' && i + 1 < p.len) {
            i++;
            hit |= p.p[i] == c;
        } else if (p.p[i] == ']') {
            break;
        } else if (i + 2 < p.len && p.p[i + 1] == '-') {
            uint8_t lo = fold(p.p[i], ignore_case), hi = fold(p.p[i + 2], ignore_case), x = fold(c, ignore_case);
            if (lo > hi) {
                uint8_t t = lo;
                lo = hi;
                hi = t;
            }
            i += 2;
            hit |= x >= lo && x <= hi;
        } else {
            hit |= fold(p.p[i], ignore_case) == fold(c, ignore_case);
        }
    }
    *next = i + 1;
    return hit != negate;
}

/* Whether pattern element at i matches one byte; *next is the element behind it. */
static bool match_one(struct slice p, size_t i, uint8_t c, bool ignore_case, size_t *next)
{
    *next = i + 1;
    if (p.p[i] == '?')
        return true;
    if (p.p[i] == '[')
        return match_class(p, i, c, ignore_case, next);
    if (p.p[i] == '\\' && i + 1 < p.len) {
        *next = i + 2;
        return fold(p.p[i + 1], ignore_case) == fold(c, ignore_case);
    }
    return fold(p.p[i], ignore_case) == fold(c, ignore_case);
}

bool glob_match(struct slice p, struct slice s, bool ignore_case)
{
    size_t i = 0, j = 0, star = SIZE_MAX, star_j = 0, next;
    if (s.len == 0) /* as Redis: not even a star matches nothing */
        return p.len == 0;
    while (j < s.len) {
        if (i < p.len && p.p[i] == '*') {
            star = ++i;
            star_j = j;
        } else if (i < p.len && match_one(p, i, s.p[j], ignore_case, &next)) {
            i = next;
            j++;
        } else if (star != SIZE_MAX) {
            i = star;
            j = ++star_j;
        } else {
            return false;
        }
    }
    while (i < p.len && p.p[i] == '*')
        i++;
    return i >= p.len;
}
