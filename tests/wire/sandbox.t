#!/usr/bin/python3
"""Scripts as an attacker writes them: out of the sandbox, through the stack, to the end of memory, for ever."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import ErrorReply, Server, eq, eventually, expect, need_kelvin, ok, run, show, test


def refused(s, script, why):
    reply = s.client().call('EVAL', script, 0)
    ok(isinstance(reply, ErrorReply) and why in str(reply), f'{script}\n got: {show(reply)[:300]}\nwant: {why}')


@test('what would end the stack of the thread is an error')
def _(s):
    for script in ('local function f(n) local co = coroutine.wrap(f) return co(n + 1) end return f(1)',
                   "local function f() return (string.gsub('x', 'x', f)) end return f()",
                   "local function f() return (string.gsub('x', 'x', coroutine.wrap(f))) end return f()",
                   "local t = setmetatable({}, {__index=function(t) return (string.gsub('x', 'x', t)) end})"
                   " return (string.gsub('x', 'x', t))",
                   'local function f() table.sort({1, 2, 3}, function(a, b) coroutine.wrap(f)() return a < b end) end f()',
                   'local function f() table.sort({1, 2, 3}, function(a, b) f() return a < b end) end f()',
                   'local t = setmetatable({}, {__index=function(t, k) return t[k + 1] end}) return t[1]'):
        refused(s, script, 'stack overflow')
    c = s.client()
    for script in ('local function f() local a = pcall(f) return a end return tostring(f())',
                   'local function f() local a = xpcall(f, f) return a end return tostring(f())',
                   'local function f(n) local co = coroutine.create(f) coroutine.resume(co, n + 1) return 1 end return f(1)',
                   'local function f() return load(f) end return tostring(f())'):
        c.call('EVAL', script, 0)  # whatever it says
        expect(c, 'PING', '+PONG')


@test('what is nested without end is not followed')
def _(s):
    refused(s, 'cjson.encode_max_depth(1e9) local t = {} t[1] = t return cjson.encode(t)', 'excessive')
    refused(s, "cjson.decode_max_depth(1e9) return cjson.decode(string.rep('[', 1e5))", 'too many nested')
    refused(s, "return cmsgpack.unpack(string.rep('\\145', 1e6))", 'nested too deeply')
    refused(s, 'local t = {} t[1] = t[1] return unpack({}, 1, 1e7)', 'too many results')
    expect(s.client(), ['EVAL', "return #string.rep('x', 31)", 0], '31')


@test('nothing leads out')
def _(s):
    for name in 'require', 'package', 'io', 'jit', 'ffi', 'debug', 'getfenv', 'setfenv', 'dofile', 'loadfile', 'newproxy', 'module':
        refused(s, f'return {name}', 'nonexistent global')
    for script in ('rawset(_G, "x", 1)', 'rawset(string, "x", 1)', 'getmetatable("").__index = 1', 'getmetatable(_G).__index = 1',
                   'setmetatable(_G, {})', 'table.insert(redis, 1)', 'for k in pairs(redis) do redis[k] = nil end', 'x = 1',
                   'string.len = 1', 'redis.call = nil', '_G.x = 1', 'function string.f() end'):
        refused(s, script, 'readonly table')
    c = s.client()
    for script in ("return loadstring('\\27LJ\\2\\0') == nil and 1", 'return loadstring(string.dump(function() end)) == nil and 1',
                   'local d = string.dump(function() end) return load(function() local g = d d = nil return g end) == nil and 1',
                   "local f = string.gsub return load(function() local g = f f = nil return g and '\\27LJ\\2\\0' end) == nil and 1"):
        expect(c, ['EVAL', script, 0], '1')


@test('there are no numbers of the FFI: to read one would load it')
def _(s):
    need_kelvin('LuaJIT')
    for number in '1LL', '0x1ull', '1e-5LL', '.5LL', '3i', '1..5LL':
        refused(s, f'return {number}', 'malformed number')
    for script in ("return loadstring('return 1LL') == nil and 1", "return loadstring('--x\\r return 1LL') == nil and 1",
                   "return loadstring('# \\'\\n return 1LL') == nil and 1", "return loadstring('function f(1LL)') == nil and 1",
                   "return loadstring('local function f(...) return arg, 1LL end') == nil and 1",
                   "local t = {'return 1', 'L', 'L'} return load(function() return table.remove(t, 1) end) == nil and 1"):
        expect(s.client(), ['EVAL', script, 0], '1')
    refused(s, '--x\r return 1LL', 'malformed number')
    refused(s, '#!lua\n return 1LL', 'malformed number')
    refused(s, "# '\n return 1LL", 'unexpected symbol')


@test('memory ends, and the next script finds some')
def _(s):
    need_kelvin('limit to the memory of scripts')
    c = s.client()
    was = c.call('CONFIG', 'GET', 'script-memory-limit')[1]
    c.call('SCRIPT', 'FLUSH')
    c.call('CONFIG', 'SET', 'script-memory-limit', '8mb')
    for script in ('local t = {} for i = 1, 1e9 do t[i] = i end', "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1000) .. i end",
                   "return #string.rep('x', 1e8)", "local s = 'x' while true do s = s .. s end",
                   "local t = {} for i = 1, 1e6 do t[i] = 'x' end return cjson.encode(t)",
                   'local t = {} while true do t[#t + 1] = function() return t end end',
                   'local function f(n) local co = coroutine.create(f) return coroutine.resume(co, n + 1) end return f(1)'):
        refused(s, script, 'not enough memory') if 'coroutine' not in script else c.call('EVAL', script, 0)
        expect(c, ['EVAL', 'return 1', 0], '1')
        expect(c, ['EVAL', f'return {len(script)}', 0], str(len(script)))
    c.call('CONFIG', 'SET', 'script-memory-limit', was)


@test('whatever runs for ever can be killed')
def _(s):
    busy, other = s.client(), s.client()
    other.call('CONFIG', 'SET', 'busy-reply-threshold', 20)
    for script in ('while true do pcall(coroutine.wrap(function() while true do end end)) end',
                   "while true do pcall(string.gsub, string.rep('x', 1000), 'x', function() while true do end end) end",
                   'while true do pcall(table.sort, {3, 2, 1}, function() while true do end end) end',
                   'while true do xpcall(function() while true do end end, function() while true do end end) end',
                   'while true do load(function() while true do end end) end',
                   "return string.find(string.rep('a', 1e5), '.-.-.-b')",
                   "return string.find(string.rep('a', 1e6), '(a*)%1b')",
                   "while true do local b = string.rep('x', 2e6) end",
                   "local a, b = string.rep('x', 2e6) .. 'a', string.rep('x', 2e6) .. 'b' while a < b do end",
                   'local t = {} for i = 1, 2e5 do t[i] = (i * 7919) % 2e5 end while true do table.sort(t) end',
                   "while true do pcall(cjson.decode, string.rep('[', 100)) end"):
        busy.send('EVAL', script, 0)
        eventually(lambda: other.call('SCRIPT', 'KILL') == b'OK', f'it is killed: {script}')
        ok('Script killed by user' in str(busy.reply()), script)
        expect(other, 'PING', '+PONG')


run(Server())
