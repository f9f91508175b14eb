/* The tokens of Lua text, as LuaJIT cuts it, for what changes a text before it is compiled. Any text has some: what is
 * not Lua is cut somehow. Own no memory. */
#ifndef SERVER_SCRIPT_TOKENS_H
#define SERVER_SCRIPT_TOKENS_H

#include "core/base/buf.h"

/* A comment is none; a mark is one character, but for ".." and "...". */
enum token { END_OF_TEXT, WORD, STRING, NUMBER, MARK };

struct tokens {
    const char *at, *end;
    enum token token;
    struct slice text; /* of the token */
};

struct tokens tokens_of(struct slice text);
void next_token(struct tokens *t);

bool token_is(const struct tokens *t, const char *text); /* a string is never */
/* Begins a block that "end" or "until" ends. */
bool token_opens(const struct tokens *t);
bool token_closes(const struct tokens *t);

#endif
