/* Glob patterns: agree with a plain matcher that keeps the set of all places in the pattern that the text may have
 * reached, and are bounded: a text of n bytes against a pattern of m costs n * m steps at most.
 * Input: letter case (bit 0), length of the pattern, pattern, text. */
#include "core/base/glob.h"

#include "core/base/panic.h"
#include "fuzz/replay.h"

#define ELEMENTS 256

/* One element of a pattern: a star, or the set of bytes it takes. */
struct element {
    bool star;
    bool takes[256];
};

static int fold(int c, bool ignore_case) { return ignore_case && c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }

static void take(struct element *e, uint8_t from, uint8_t to, bool ignore_case)
{
    int low = (signed char)from, high = (signed char)to;
    if (low > high) {
        low = (signed char)to;
        high = (signed char)from;
    }
    for (int c = 0; c < 256; c++) {
        int x = fold((signed char)c, ignore_case);
        e->takes[c] |= x >= fold(low, ignore_case) && x <= fold(high, ignore_case);
    }
}

/* The class whose first byte behind '[' is at p; returns the place behind it. */
static const uint8_t *parse_class(struct element *e, const uint8_t *p, const uint8_t *end, bool ignore_case)
{
    bool negated = p < end && *p == '^';
    p += negated;
    while (p < end && *p != ']') {
        if (*p == '\\' && end - p >= 2) {
            e->takes[p[1]] = true; /* letter case counts behind a backslash in a class, in Redis too */
            p += 2;
        } else if (end - p >= 3 && p[1] == '-') {
            take(e, p[0], p[2], ignore_case);
            p += 3;
        } else {
            take(e, *p, *p, ignore_case);
            p++;
        }
    }
    for (int c = 0; c < 256; c++)
        e->takes[c] ^= negated;
    return p < end ? p + 1 : end;
}

static size_t parse(struct element *e, struct slice pattern, bool ignore_case)
{
    const uint8_t *p = pattern.p, *end = p + pattern.len;
    size_t n = 0;
    for (; p < end; n++) {
        uint8_t c = *p++;
        e[n] = (struct element){.star = c == '*'};
        if (c == '?') {
            for (int i = 0; i < 256; i++)
                e[n].takes[i] = true;
        } else if (c == '[') {
            p = parse_class(&e[n], p, end, ignore_case);
        } else if (c == '\\' && p < end) {
            take(&e[n], *p, *p, ignore_case);
            p++;
        } else if (c != '*') {
            take(&e[n], c, c, ignore_case);
        }
    }
    return n;
}

static void pass_stars(const struct element *e, size_t n, bool *at)
{
    for (size_t i = 0; i < n; i++)
        at[i + 1] |= at[i] && e[i].star;
}

static bool naive(struct slice pattern, struct slice s, bool ignore_case)
{
    static struct element e[ELEMENTS];
    bool at[ELEMENTS + 1] = {true};
    size_t n = parse(e, pattern, ignore_case);
    if (s.len == 0)
        return pattern.len == 0; /* as in Redis, where not even a star matches nothing */
    pass_stars(e, n, at);
    for (size_t j = 0; j < s.len; j++) {
        bool next[ELEMENTS + 1] = {false};
        for (size_t i = 0; i < n; i++) {
            next[i] |= at[i] && e[i].star;
            next[i + 1] |= at[i] && e[i].takes[s.p[j]];
        }
        memcpy(at, next, sizeof(at));
        pass_stars(e, n, at);
    }
    return at[n];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 4096)
        return 0;
    bool ignore_case = data[0] & 1;
    size_t len = min_u64(data[1], size - 2);
    struct slice pattern = slice_of(data + 2, len), s = slice_of(data + 2 + len, size - 2 - len);
    ensure(glob_match(pattern, s, ignore_case) == naive(pattern, s, ignore_case));
    return 0;
}
