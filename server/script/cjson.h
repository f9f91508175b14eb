/* cjson: the JSON module that scripts expect (the interface of lua-cjson 2.1.0). Settings are kept a module: the one
 * of the environment, and each that cjson.new() makes. */
#ifndef SERVER_SCRIPT_CJSON_H
#define SERVER_SCRIPT_CJSON_H

#include "server/script/env.h"

struct json_settings {
    bool sparse_convert;
    int sparse_ratio, sparse_safe;
    int encode_depth, decode_depth;
    int precision;
    int encode_invalid; /* INVALID_* */
    bool decode_invalid;
    bool keep_buffer;
};
enum { INVALID_REFUSED, INVALID_WRITTEN, INVALID_NULL };

/* The settings stand in the function's first upvalue. */
struct json_settings *json_settings(lua_State *L);
int json_encode(lua_State *L);
int json_decode(lua_State *L);

#endif
