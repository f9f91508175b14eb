/* Every element of a pattern but the star takes exactly one byte, so the first place where the text behind a star
 * matches up to the next star is as good as any later one: one point to go back to is enough, and the cost is bounded
 * by pattern × string where trying all combinations would be exponential.
 *
 * Where Redis has a choice its behaviour on x86 is followed, byte for byte: a class that is not closed ends with the
 * pattern, a final backslash is itself, bytes in ranges compare as signed, and a reversed range is swapped before
 * letter case is folded. A pattern matches the empty string only if it is empty: not even a star does. */
#include "core/base/glob.h"

static int fold(uint8_t c, bool ignore_case)
{
    return (int8_t)(ignore_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool in_range(uint8_t from, uint8_t to, uint8_t c, bool ignore_case)
{
    bool reversed = (int8_t)from > (int8_t)to;
    int low = fold(reversed ? to : from, ignore_case), high = fold(reversed ? from : to, ignore_case);
    int x = fold(c, ignore_case);
    return x >= low && x <= high;
}

/* Whether the class whose '[' is at p[i] holds `c`; *next is the element behind it. */
static bool match_class(struct slice p, size_t i, uint8_t c, bool ignore_case, size_t *next)
{
    bool negated = ++i < p.len && p.p[i] == '^', hit = false;
    for (i += negated; i < p.len && p.p[i] != ']'; i++) {
        if (p.p[i] == '\\' && i + 1 < p.len) {
            hit |= p.p[++i] == c;
        } else if (i + 2 < p.len && p.p[i + 1] == '-') {
            hit |= in_range(p.p[i], p.p[i + 2], c, ignore_case);
            i += 2;
        } else {
            hit |= fold(p.p[i], ignore_case) == fold(c, ignore_case);
        }
    }
    *next = i < p.len ? i + 1 : p.len;
    return hit != negated;
}

/* Whether the element at p[i], not a star, matches `c`; *next is the element behind it. */
static bool match_one(struct slice p, size_t i, uint8_t c, bool ignore_case, size_t *next)
{
    if (p.p[i] == '[')
        return match_class(p, i, c, ignore_case, next);
    if (p.p[i] == '?') {
        *next = i + 1;
        return true;
    }
    i += p.p[i] == '\\' && i + 1 < p.len;
    *next = i + 1;
    return fold(p.p[i], ignore_case) == fold(c, ignore_case);
}

bool glob_match(struct slice p, struct slice s, bool ignore_case)
{
    size_t i = 0, j = 0, next;
    size_t star = SIZE_MAX, star_j = 0; /* the element behind the last star, and where it was tried last */
    if (s.len == 0)
        return p.len == 0;
    while (j < s.len) {
        if (i < p.len && p.p[i] == '*') {
            star = ++i;
            star_j = j;
            if (i == p.len)
                return true;
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
    return i == p.len;
}
