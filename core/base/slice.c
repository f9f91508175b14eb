#include "core/base/slice.h"

bool slice_is(struct slice a, const char *word)
{
    size_t i = 0;
    for (; i < a.len; i++) {
        uint8_t x = a.p[i], y = (uint8_t)word[i];
        if (x >= 'A' && x <= 'Z')
            x |= 0x20;
        if (y >= 'A' && y <= 'Z')
            y |= 0x20;
        if (y == 0 || x != y)
            return false;
    }
    return word[i] == 0;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c != 0 ? c : a.len < b.len ? -1 : a.len > b.len;
}
