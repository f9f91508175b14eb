/* History ids: kept after a clean stop, replaced after any other end. */
#include "replication/history.h"

#include <string.h>

#include "tests/sim/tap.h"

int main(void)
{
    struct entropy *entropy = entropy_real();
    struct history none = {0};
    struct history first = history_continue(&none, false, 0, entropy);
    ok(strlen(first.id) == HISTORY_ID_CHARS && first.second[0] == '\0' && first.second_limit == 0,
       "the first run has an id and no second one");
    struct history same = history_continue(&first, true, 500, entropy);
    ok(memcmp(&same, &first, sizeof(same)) == 0, "a clean stop changes nothing");
    struct history next = history_continue(&same, false, 700, entropy);
    ok(strcmp(next.id, first.id) != 0 && strcmp(next.second, first.id) == 0 && next.second_limit == 700,
       "after a crash there is a new id, and the old one is good up to the end of recovery");
    struct history third = history_continue(&next, false, 900, entropy);
    ok(strcmp(third.second, next.id) == 0 && third.second_limit == 900, "only the last one is remembered");
    ok(history_continue(&none, true, 0, entropy).id[0] != '\0', "a clean stop without an id is none");
    return tap_done();
}
