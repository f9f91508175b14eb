/* Glob patterns with Redis's meaning. Random ones are compared with a plain matcher by fuzz/glob.c. */
#include "core/base/glob.h"
#include "core/base/mem.h"
#include "tests/sim/tap.h"

static bool match(const char *pattern, const char *s) { return glob_match(slice_str(pattern), slice_str(s), false); }
static bool match_nocase(const char *pattern, const char *s)
{
    return glob_match(slice_str(pattern), slice_str(s), true);
}

static void plain(void)
{
    ok(match("hello", "hello") && !match("hello", "hell") && !match("hell", "hello") && !match("hello", "Hello"),
       "itself");
    ok(match("", "") && !match("", "a") && !match("a", ""), "nothing matches nothing");
    ok(!match("*", "") && !match("**", "") && !match("?", ""),
       "nothing else matches nothing: not even a star, as in Redis");
    ok(match("h?llo", "hallo") && !match("h?llo", "hllo") && match("???", "abc") && !match("???", "abcd"),
       "question marks");
    ok(glob_match(SLICE_LIT("a\0?c"), SLICE_LIT("a\0\0c"), false) &&
           !glob_match(SLICE_LIT("a\0b"), SLICE_LIT("a"), false),
       "NULs are bytes as others");
}

static void stars(void)
{
    ok(match("*", "x") && match("h*llo", "heeeello") && match("h*llo", "hllo") && !match("h*llo", "hell"), "one star");
    ok(match("*abc", "xxabcabc") && match("abc*", "abc") && match("a*c*e", "abcde") && !match("a*c*e", "abde"),
       "several");
    ok(match("a**b", "ab") && match("***", "x") && match("a***", "a"), "in a row they are one");
    ok(match("*a*a*", "aa") && !match("*a*a*", "a") && match("*ab*ab*", "abaab"), "overlaps");
}

static void classes(void)
{
    ok(match("h[ae]llo", "hello") && match("h[ae]llo", "hallo") && !match("h[ae]llo", "hillo"), "a class");
    ok(match("[a-c]x", "bx") && !match("[a-c]x", "dx") && match("[0-9][A-F]", "7C"), "ranges");
    ok(match("[c-a]", "b") && !match("[c-a]", "d"), "a reversed range is a range");
    ok(match("[^a-c]", "d") && !match("[^a-c]", "b") && !match("[^a]", "a"), "negation");
    ok(match("[a^]", "^") && match("[a^]", "a"), "a caret inside is itself");
    ok(match("[\\]]", "]") && match("[a\\-c]", "-") && !match("[a\\-c]", "b") && match("[\\\\]", "\\"),
       "escapes inside");
    ok(!match("[]", "a") && !match("[]", "]") && match("[^]", "a"), "an empty class, and its opposite");
    ok(match("[ab", "b") && !match("[ab", "c") && match("[^ab", "c") && !match("[", "["), "a class that is not closed");
    ok(match("[a-", "-") && match("[a-", "a") && match("[a-]", "b") == false && match("[a-]x]", "_"),
       "a bracket may end a range");
    ok(match("[*?]", "*") && match("[*?]", "?") && !match("[*?]", "x"), "stars inside are themselves");
}

static void escapes(void)
{
    ok(match("\\*", "*") && !match("\\*", "x") && match("\\?", "?") && match("\\[a]", "[a]"), "escaped");
    ok(match("\\a", "a") && match("\\\\", "\\"), "what needs none");
    ok(match("a\\", "a\\") && !match("a\\", "a"), "a final backslash is itself");
}

static void letter_case(void)
{
    ok(match_nocase("HeLLo", "hEllO") && match_nocase("h[A-E]LLO", "hbllo") && match_nocase("[a-c]", "B"), "ignored");
    ok(match_nocase("\\A", "a") && !match_nocase("[\\A]", "a"), "behind a backslash in a class it counts, as in Redis");
    ok(!match_nocase("\xc3\xa4", "\xc3\x84"), "ASCII only");
}

/* Trying all combinations would take longer than the universe lasts. */
static void bounded(void)
{
    struct buf {
        char pattern[400], s[20001];
    } *b = mem_zalloc(sizeof(*b));
    for (int i = 0; i < 199; i++)
        memcpy(b->pattern + 2 * i, "a*", 2);
    b->pattern[398] = 'b';
    memset(b->s, 'a', sizeof(b->s) - 1);
    ok(!match(b->pattern, b->s), "two hundred stars against 20,000 bytes that nearly match");
    b->s[19999] = 'b';
    ok(match(b->pattern, b->s), "and against 20,000 that do");
    mem_free(b, sizeof(*b));
}

int main(void)
{
    plain();
    stars();
    classes();
    escapes();
    letter_case();
    bounded();
    return tap_done();
}
