#include "replication/history.h"

#include <string.h>

struct history history_continue(const struct history *last, bool clean, uint64_t end, struct entropy *entropy)
{
    struct history h = *last;
    if (clean && last->id[0] != '\0')
        return h;
    memcpy(h.second, last->id, sizeof(h.second));
    h.second_limit = last->id[0] != '\0' ? end : 0;
    entropy_hex(entropy, h.id, HISTORY_ID_CHARS);
    return h;
}
