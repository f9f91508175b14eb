/* Random reads, changes, evictions and disconnections, against a matrix of names and numbers: who is told of a change
 * is exactly who has read the name since the last one and is not gone. */
#include "server/tracked.h"

#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/ds/intset.h"
#include "tests/sim/tap.h"

#include <stdio.h>
#include <stdlib.h>

#define NAMES 2000
#define NUMBERS 100
#define WIDE 40 /* numbers that do not fit in 32 bits from here on */

static bool model[NAMES][NUMBERS];
static struct rng rng;
static struct tracked *t;
static bool good;

static struct slice name_of(unsigned name, char text[static 32])
{
    /* Of any length, the empty name too. */
    int len = name == 0 ? 0 : snprintf(text, 32, "%.*sname%u", (int)(name % 7), "xxxxxxx", name);
    return slice_of(text, (size_t)len);
}

/* Some names have the same hash. */
static uint64_t hash_of(unsigned name)
{
    char text[32];
    return name % 10 == 3 ? 42 : hash_key(name_of(name, text), 1);
}

static uint64_t number_of(unsigned who) { return who < WIDE ? who : ((uint64_t)who << 40) + 7; }

static unsigned who_of(uint64_t number) { return number < WIDE ? (unsigned)number : (unsigned)(number >> 40); }

struct told {
    unsigned name;
    uint64_t last;
};

static void tell(void *arg, uint64_t number)
{
    struct told *told = arg;
    unsigned who = who_of(number);
    good &= who < NUMBERS && number == number_of(who) && model[told->name][who];
    good &= told->last == UINT64_MAX || number > told->last;
    told->last = number;
    model[told->name][who] = false;
}

static bool any(unsigned name)
{
    for (unsigned who = 0; who < NUMBERS; who++)
        if (model[name][who])
            return true;
    return false;
}

static void begin(void *arg, struct slice name)
{
    struct told *told = arg;
    char text[32];
    for (told->name = 0; told->name < NAMES && !slice_eq(name_of(told->name, text), name); told->name++)
        ;
    good &= told->name < NAMES;
}

static void change(unsigned name)
{
    char text[32];
    struct told told = {name, UINT64_MAX};
    bool there = any(name);
    good &= tracked_take(t, hash_of(name), name_of(name, text), tell, &told) == there;
    good &= !any(name);
}

static void evict(void)
{
    struct told told = {NAMES, UINT64_MAX};
    bool there = tracked_names(t) > 0;
    good &= tracked_take_random(t, &rng, begin, tell, &told) == there;
    good &= !there || !any(told.name);
}

static void disconnect(unsigned howmany)
{
    uint8_t *gone = intset_new();
    uint64_t cursor = 0;
    while (howmany-- > 0) {
        unsigned who = (unsigned)rng_below(&rng, NUMBERS);
        bool added;
        gone = intset_add(gone, (int64_t)number_of(who), &added);
        for (unsigned name = 0; name < NAMES; name++)
            model[name][who] = false;
    }
    do
        cursor = tracked_sweep(t, cursor, gone);
    while (cursor != 0);
    intset_free(gone);
}

static bool counts_agree(void)
{
    uint64_t names = 0, numbers = 0;
    for (unsigned name = 0; name < NAMES; name++) {
        names += any(name);
        for (unsigned who = 0; who < NUMBERS; who++)
            numbers += model[name][who];
    }
    return tracked_names(t) == names && tracked_numbers(t) == numbers;
}

static void step(unsigned among)
{
    char text[32];
    unsigned name = (unsigned)rng_below(&rng, among), who = (unsigned)rng_below(&rng, NUMBERS);
    uint64_t dice = rng_below(&rng, 1000);
    if (dice < 880) {
        tracked_add(t, hash_of(name), name_of(name, text), number_of(who));
        model[name][who] = true;
    } else if (dice < 990) {
        change(name);
    } else if (dice < 998) {
        evict();
    } else {
        disconnect(1 + (unsigned)rng_below(&rng, 2) * 20);
    }
}

int main(void)
{
    rng_seed(&rng, tap_seed());
    static const unsigned among[] = {3, 50, NAMES};
    for (unsigned round = 0; round < ARRAY_LEN(among); round++) {
        t = tracked_new();
        good = true;
        memset(model, 0, sizeof(model));
        bool counted = true;
        for (unsigned i = 0; i < 60000; i++) {
            step(among[round]);
            if (i % 5000 == 0)
                counted &= counts_agree();
        }
        ok(good, "among %u names exactly those are told who have to be", among[round]);
        ok(counted && counts_agree(), "names and numbers are counted");
        if (round == 0)
            tracked_free(t);
        else
            while (!tracked_free_some(t))
                ;
    }
    return tap_done();
}
