/* What SORT does with elements: numbers as it takes them, order, ties, and the first few without sorting all. */
#include "core/value/sort.h"

#include <math.h>

#include "core/base/rng.h"
#include "core/value/list.h"
#include "core/value/set.h"
#include "tests/sim/tap.h"

static struct rng rng;

static void numbers(void)
{
    static const struct {
        const char *text;
        bool good;
        double score;
    } cases[] = {
        {"", true, 0},      {"7", true, 7},          {"-1.5", true, -1.5}, {" 7", true, 7},      {"7 ", false, 0},
        {"0x1F", true, 31}, {"inf", true, INFINITY}, {"nan", false, 0},    {"1e400", false, 0},  {"x", false, 0},
        {"+3", true, 3},    {"1e3", true, 1000},     {"007", true, 7},     {"1e-400", false, 0}, {"-", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double score = 0;
        bool good = sort_parse(slice_str(cases[i].text), &score);
        ok(good == cases[i].good && (!good || score == cases[i].score), "'%s'", cases[i].text);
    }
    char digits[201] = "1";
    memset(digits + 1, '0', 199);
    double score;
    ok(sort_parse(slice_str(digits), &score) && score == 1e199, "a long number");
}

/* In order, and of what is alike the earlier one first. */
static bool ordered(const struct sort_item *a, const struct sort_item *b, bool desc)
{
    if (a->score != b->score)
        return desc ? a->score > b->score : a->score < b->score;
    int text = slice_cmp(a->text, b->text);
    if (text != 0)
        return desc ? text > 0 : text < 0;
    return a->at < b->at;
}

static bool one_round(void)
{
    struct value list = list_class.empty();
    struct sort_vector s = {0};
    uint64_t n = rng_below(&rng, 300), keep = rng_below(&rng, n + 1);
    bool desc = rng_below(&rng, 2), good = true;
    for (uint64_t i = 0; i < n; i++) {
        char text[] = {(char)('a' + rng_below(&rng, 5)), 0};
        list_push(&list, LIST_TAIL, &(struct list_item){.bytes = slice_str(text)}, &value_limits_default);
    }
    sort_load(&s, &list, 0, n, false);
    for (uint64_t i = 0; i < s.n; i++)
        s.at[i].score = (double)rng_below(&rng, 20);
    sort_order(&s, desc ? SORT_DESC : 0, keep);
    for (uint64_t i = 1; i < keep; i++)
        good &= ordered(&s.at[i - 1], &s.at[i], desc);
    for (uint64_t i = keep; keep > 0 && i < s.n; i++)
        good &= ordered(&s.at[keep - 1], &s.at[i], desc);
    good &= s.n == n;
    sort_free(&s);
    list_class.release(&list);
    return good;
}

static void windows(void)
{
    struct value list = list_class.empty(), set = set_class.empty();
    struct sort_vector s = {0};
    for (int64_t i = 0; i < 1000; i++) {
        char text[PACK_TEXT_MAX];
        list_push(&list, LIST_TAIL, &(struct list_item){.bytes = pack_int_text(i, text)}, &value_limits_default);
        set_add(&set, pack_int(i), &value_limits_default);
    }
    sort_load(&s, &list, 10, 3, false);
    ok(s.n == 3 && slice_eq(s.at[0].text, SLICE_LIT("10")) && slice_eq(s.at[2].text, SLICE_LIT("12")),
       "a part of a list");
    sort_free(&s);
    sort_load(&s, &list, 10, 30, true);
    ok(s.n == 11 && slice_eq(s.at[10].text, SLICE_LIT("0")), "against its order, to the end");
    sort_free(&s);
    sort_load(&s, &set, 0, 1000, false);
    ok(s.n == 1000, "a set as a whole");
    sort_free(&s);
    list_class.release(&list);
    set_class.release(&set);
}

int main(void)
{
    bool good = true;
    rng_seed(&rng, tap_seed());
    numbers();
    windows();
    for (int i = 0; i < 2000 && good; i++)
        good = one_round();
    ok(good, "what is kept comes first, in order");
    return tap_done();
}
