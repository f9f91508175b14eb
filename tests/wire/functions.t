#!/usr/bin/python3
"""FUNCTION and FCALL: replies and errors against a redis-server, payloads exchanged with it, and what is left of
libraries after kill -9, restarts, checkpoints and RDB files. tests/wire/scripts.t has what scripts may do."""
import os
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (ORACLE, SANITIZED, ErrorReply, Failure, Late, Server, eq, eventually, expect, in_time, need_kelvin,
                    ok, run, seed, show, skip_all, test)

if not ORACLE:
    skip_all('compares with a redis-server')
SEED = seed()
oracle = Server(binary=ORACLE)


def lib(name, *lines):
    return '\n'.join([f'#!lua name={name}', *lines])


def returns(library, value, *functions):
    """A library whose functions return a value."""
    return lib(library, *(f"redis.register_function('{f}', function(keys, args) return {value} end)" for f in functions))


def canonical(reply):
    """Libraries and functions have no order."""
    if isinstance(reply, list):
        parts = [canonical(r) for r in reply]
        return sorted(parts, key=repr) if parts and all(isinstance(p, (list, dict)) for p in parts) else parts
    if isinstance(reply, dict):
        return sorted((canonical(k), canonical(v)) for k, v in reply.items())
    return show(reply)


def expect_reply(client, want):
    eq(show(client.reply()), want)


class Both:
    """The same calls on both servers; replies have to be alike."""

    def __init__(self, server, resp=2):
        self.ours, self.theirs = server.client(resp), oracle.client(resp)
        for c in (self.ours, self.theirs):
            c.call('FLUSHALL')
            c.call('FUNCTION', 'FLUSH')

    def call(self, *words, vague=None):
        """`vague`: what may differ, as a regular expression."""
        ours, theirs = canonical(self.ours.call(*words)), canonical(self.theirs.call(*words))
        if vague and isinstance(ours, str) and isinstance(theirs, str):
            ours, theirs = re.sub(vague, '?', ours), re.sub(vague, '?', theirs)
        if ours != theirs:
            raise Failure(f'> {" ".join(map(str, words))}\n   ours: {ours}\n theirs: {theirs}')
        return ours


@test('LOAD: what metadata is refused')
def _(s):
    both = Both(s)
    body = "\nredis.register_function('f', function() return 1 end)"
    for first in ('', 'x', '#!', '#!lua', '#! name=a', '#!lua name=', '#!lua name=a b', '#!lua name=a name=b', '#!lua NAME=a',
                  '#!lua name=a-b', '#!lua name="a b"', '#!lua name="a', "#!lua name='a'", '#!lua name=a\tx=1', '#!js name=a',
                  '#!Lua   name=B', '#!lua name=a\0b', '#!lua name=\xe4', '#!lua flags=no-writes name=x', '#!lua x name=q',
                  '#!lua name=' + 'n' * 300):
        both.call('FUNCTION', 'LOAD', (first + body).encode('latin-1'))
        both.call('FUNCTION', 'LOAD', 'REPLACE', first.encode('latin-1'))
    both.call('FUNCTION', 'LIST')
    both.call('FUNCTION', 'LIST', 'WITHCODE')


@test('LOAD: what code is refused')
def _(s):
    both = Both(s)
    both.call('FUNCTION', 'LOAD', returns('there', 1, 'f1', 'F2'))
    f = 'function() return 1 end'
    for body in ('x =', 'return 5', 'x = 5', 'local x = 5', "redis.call('get', 'x')", "redis.pcall('get', 'x')",
                 "error('x')", "x()", "print('x')", 'redis.register_function()', "redis.register_function('f')",
                 f"redis.register_function('f', {f}, 1)", "redis.register_function('f', 1)",
                 f"redis.register_function({f}, 'f')", f"redis.register_function('', {f})",
                 f"redis.register_function('a b', {f})", f"redis.register_function('a-b', {f})",
                 f"redis.register_function('f1', {f})", f"redis.register_function('F1', {f})",
                 f"redis.register_function('g', {f}) redis.register_function('g', {f})",
                 f"redis.register_function('g', {f}) redis.register_function('h', {f}) redis.register_function('h', {f})",
                 f"redis.register_function('g', {f}) x = 1", f"redis.register_function('g', {f}) error('late')",
                 'redis.register_function{}', "redis.register_function{function_name='f'}",
                 f'redis.register_function{{callback={f}}}', f"redis.register_function{{function_name={{}}, callback={f}}}",
                 "redis.register_function{function_name='f', callback=1}", f'redis.register_function({{}}, {f})',
                 f'redis.register_function{{[{{}}]=1, callback={f}}}', f'redis.register_function{{[1.5]=1, callback={f}}}',
                 f"redis.register_function{{function_name='f', callback={f}, description={{}}}}",
                 f"redis.register_function{{function_name='f', callback={f}, flags='no-writes'}}",
                 f"redis.register_function{{function_name='f', callback={f}, flags={{'x'}}}}",
                 f"redis.register_function{{function_name='f', callback={f}, flags={{1}}}}",
                 f"redis.register_function{{function_name='f', callback={f}, flags={{{{}}}}}}",
                 f"redis.register_function{{function_name='f', callback={f}, more=1}}",
                 f"redis.register_function{{'f', {f}}}", 'redis.register_function(1)', "redis.register_function('f', nil)",
                 'redis.nothing()', 'redis = 1', 'redis.x = 1', "local a = redis.sha1hex('')", 'KEYS = 1', 'return KEYS',
                 'getmetatable(redis).__index = 1', 'local t = ARGV'):
        both.call('FUNCTION', 'LOAD', lib('new', body))
        both.call('FUNCTION', 'LIST')
    both.call('FUNCTION', 'LOAD', 'REPLACE', lib('there', 'x ='))
    both.call('FUNCTION', 'LIST')


@test('LOAD: options, REPLACE, and names that are taken')
def _(s):
    both = Both(s)
    both.call('FUNCTION', 'LOAD', returns('a', 1, 'f'))
    both.call('FUNCTION', 'LOAD', returns('a', 2, 'g'))
    both.call('FUNCTION', 'LOAD', lib('a', 'x ='))
    both.call('FUNCTION', 'LOAD', returns('b', 3, 'F'))
    both.call('FUNCTION', 'LOAD', 'REPLACE', returns('b', 3, 'f', 'h'))
    both.call('FUNCTION', 'LOAD', 'NOTHING', returns('b', 3, 'h'))
    both.call('FUNCTION', 'LOAD', 'REPLACE', 'replace', returns('a', 4, 'g', 'h'))
    both.call('FUNCTION', 'LOAD', 'REPLACE')
    both.call('FUNCTION', 'LOAD')
    both.call('FUNCTION', 'LOAD', 'REPLACE', 'REPLACE')
    for name in 'f', 'g', 'G', 'h', 'F':
        both.call('FCALL', name, 0)
    both.call('FUNCTION', 'LOAD', 'REPLACE', returns('A', 5, 'i'))
    both.call('FUNCTION', 'LIST', 'WITHCODE')
    both.call('FUNCTION', 'DELETE', 'B')
    both.call('FUNCTION', 'DELETE', 'A')
    both.call('FUNCTION', 'DELETE', 'A')
    both.call('FUNCTION', 'DELETE')
    both.call('FCALL', 'i', 0)
    both.call('FCALL', 'g', 0)


def described():
    return lib('described',
               "redis.register_function{function_name='none', callback=function() return 1 end, description='says'}",
               "redis.register_function{function_name='flags', callback=function() return 1 end,",
               "  flags={'no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'}}",
               "redis.register_function{function_name='empty', description='', flags={}, callback=function() end}",
               'redis.register_function(5, function() return 1 end)',
               'redis.register_function{function_name=6, description=1.5, callback=function() return 1 end}',
               "redis.register_function{function_name='twice', flags={'no-writes', 'no-writes'}, callback=function() end}")


@test('LIST, STATS, HELP and bad arguments')
def _(s):
    for resp in 2, 3:
        both = Both(s, resp)
        both.call('FUNCTION', 'STATS')
        both.call('FUNCTION', 'LIST')
        for code in described(), returns('Abc', 1, 'f'), returns('abd', 1, 'g', 'h'):
            both.call('FUNCTION', 'LOAD', code)
        for words in ((), ('WITHCODE',), ('LIBRARYNAME', 'ab*'), ('libraryname', 'AB?', 'withcode'), ('WITHCODE', 'LIBRARYNAME', '*'),
                      ('LIBRARYNAME', 'x*'), ('LIBRARYNAME', ''), ('LIBRARYNAME',), ('WITHCODE', 'WITHCODE'), ('x',),
                      ('LIBRARYNAME', 'a', 'LIBRARYNAME', 'b'), ('WITHCODE', 'LIBRARYNAME')):
            both.call('FUNCTION', 'LIST', *words)
        both.call('FUNCTION', 'STATS')
        for words in (('STATS', 'x'), ('HELP',), ('HELP', 'x'), ('KILL',), ('KILL', 'x'), ('FLUSH', 'x'), ('FLUSH', 'SYNC', 'x'),
                      ('DUMP', 'x'), ('RESTORE',), ('RESTORE', 'x'), ('RESTORE', 'x', 'y'), ('RESTORE', 'x', 'y', 'z'),
                      ('NOTHING',), (), ('DELETE', 'a', 'b')):
            both.call('FUNCTION', *words)
        both.call('FUNCTION', 'FLUSH', 'ASYNC')
        both.call('FUNCTION', 'STATS')


@test('FCALL: keys, arguments and replies')
def _(s):
    for resp in 2, 3:
        both = Both(s, resp)
        values = ('keys', 'args', 'nil', 'true', 'false', '1.9', "'text'", "{1, 2, nil, 3}", "{ok='fine'}", "{err='MY error'}",
                  "redis.status_reply('fine')", "redis.error_reply('bad')", "redis.error_reply('ERR bad')", '{}', '#keys + #args',
                  "redis.call('SET', keys[1], args[1])", "redis.call('GET', keys[1])", "redis.call('LPUSH', keys[1], 1)",
                  "redis.pcall('LPUSH', keys[1], 1)", "redis.pcall('LPUSH', keys[1], 1).err", "redis.call('NOTHING')", "redis.call()",
                  "(error('x'))", "(error({err='MY x'}))", 'KEYS', 'ARGV', 'x.y', 'math.nothing()', "redis.call('GET', 'a', 'b')",
                  "redis.register_function('x', function() end)", '{double=3.5}', "{map={a=1}}", 'redis.setresp(3)', "{set={a=true}}")
        for i, value in enumerate(values):
            both.call('FUNCTION', 'LOAD', 'REPLACE', returns('l', value, 'f'))
            both.call('FCALL', 'f', 0)
            both.call('FCALL', 'f', 1, 'k', 'v')
            both.call('FCALL', 'F', 1, 'k', 'v', 'w')
        for words in (('g', 0), ('f', 'x'), ('f', 1), ('f', -1), ('f', 2, 'a'), ('f', '0x0'), ('f', ' 0'), ('f',), ('g', 'x'),
                      ('f', 9223372036854775807, 'a'), ('', 0)):
            both.call('FCALL', *words)
            both.call('FCALL_RO', *words)


@test('flags: no-writes, FCALL_RO, and what needs memory')
def _(s):
    both = Both(s)
    both.call('FUNCTION', 'LOAD', lib('l',
              "redis.register_function('plain', function(keys) return redis.call('GET', keys[1]) end)",
              "redis.register_function('writes', function(keys) return redis.call('SET', keys[1], 1) end)",
              "redis.register_function{function_name='reads', flags={'no-writes'},"
              " callback=function(keys) return redis.call('GET', keys[1]) end}",
              "redis.register_function{function_name='lies', flags={'no-writes'},"
              " callback=function(keys) return redis.call('SET', keys[1], 1) end}",
              "redis.register_function{function_name='protected', flags={'no-writes'},"
              " callback=function(keys) return redis.pcall('SET', keys[1], 1).err end}",
              "redis.register_function{function_name='oom', flags={'allow-oom'},"
              " callback=function(keys) return redis.call('GET', keys[1]) end}"))
    for name in 'plain', 'writes', 'reads', 'lies', 'protected', 'oom':
        both.call('FCALL', name, 1, 'k')
        both.call('FCALL_RO', name, 1, 'k')
    both.call('MULTI')
    both.call('FCALL', 'writes', 1, 'k')
    both.call('FCALL_RO', 'writes', 1, 'k')
    both.call('FUNCTION', 'LOAD', returns('in_exec', 7, 'seven'))
    both.call('FCALL', 'seven', 0)
    both.call('FUNCTION', 'LIST')
    both.call('EXEC')


@test('a library has a state of its own, and cannot reach another')
def _(s):
    both = Both(s)
    both.call('FUNCTION', 'LOAD', lib('a', 'local n = 0', "redis.register_function('next', function() n = n + 1 return n end)",
                                      "redis.register_function('global', function() leaked = 1 return 1 end)",
                                      "redis.register_function('change', function() redis.call = 1 end)",
                                      "redis.register_function('change_string', function() string.len = 1 end)",
                                      "redis.register_function('meta', function() getmetatable('').__index = 1 end)"))
    for _ in range(3):
        both.call('FCALL', 'next', 1, 'k')
    both.call('FUNCTION', 'LOAD', returns('b', 1, 'other'))  # does not begin it anew
    both.call('FCALL', 'next', 1, 'k')
    for name in 'global', 'change', 'change_string', 'meta':
        both.call('FCALL', name, 0)
    both.call('FUNCTION', 'LOAD', returns('c', 'leaked', 'see'))
    both.call('FCALL', 'see', 0)


@test('DUMP and RESTORE with every policy, each way')
def _(s):
    both = Both(s)
    codes = [returns('a', 1, 'f'), returns('b', 2, 'g', 'h'), described(), lib('long', '--' + 'abc' * 9000, "redis.register_function"
             "('long', function() return 'long' end)")]
    for code in codes:
        both.call('FUNCTION', 'LOAD', code)
    which = "(?<=Library )\\w+(?= already)"  # the first of several, in any order
    payloads = both.ours.call('FUNCTION', 'DUMP'), both.theirs.call('FUNCTION', 'DUMP')
    for payload in payloads:
        for policy in ('FLUSH',), ('APPEND',), ('REPLACE',), (), ('nothing',):
            both.call('FUNCTION', 'RESTORE', payload, *policy, vague=which)
            both.call('FUNCTION', 'LIST', 'WITHCODE')
        both.call('FUNCTION', 'FLUSH')
        both.call('FUNCTION', 'RESTORE', payload)
        both.call('FUNCTION', 'LIST', 'WITHCODE')
        both.call('FCALL', 'long', 0)
        both.call('FUNCTION', 'FLUSH')
        both.call('FUNCTION', 'LOAD', returns('other', 9, 'h'))  # a function of this name is in the payload
        both.call('FUNCTION', 'LOAD', returns('a', 8, 'i'))
        for policy in 'APPEND', 'REPLACE':
            both.call('FUNCTION', 'RESTORE', payload, policy, vague=which)
            both.call('FUNCTION', 'LIST', 'WITHCODE')
        both.call('FUNCTION', 'DELETE', 'other')
        for policy in 'APPEND', 'REPLACE':
            both.call('FUNCTION', 'RESTORE', payload, policy, vague=which)
            both.call('FUNCTION', 'LIST', 'WITHCODE')
        both.call('FCALL', 'h', 0)
    both.call('FUNCTION', 'FLUSH')
    empty = both.ours.call('FUNCTION', 'DUMP'), both.theirs.call('FUNCTION', 'DUMP')
    eq(*empty)
    for policy in 'APPEND', 'FLUSH':
        both.call('FUNCTION', 'RESTORE', empty[0], policy)


def crc64(data):
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x95ac9329ac4bc9b5 if crc & 1 else 0)
    return crc.to_bytes(8, 'little')


def payload(*records, version=10):
    body = b''.join(records) + version.to_bytes(2, 'little')
    return body + crc64(body)


def record(code, opcode=245):
    code = code.encode()
    return bytes([opcode]) + (bytes([len(code)]) if len(code) < 64 else bytes([64 | len(code) >> 8, len(code) & 255])) + code


@test('RESTORE of damaged payloads changes nothing')
def _(s):
    both = Both(s)
    both.call('FUNCTION', 'LOAD', returns('there', 1, 'f'))
    good = returns('a', 1, 'g')
    both.call('FUNCTION', 'RESTORE', payload(record(good)), 'FLUSH')
    both.call('FUNCTION', 'LOAD', 'REPLACE', returns('there', 1, 'f'))
    for bad in (b'', b'x', b'x' * 10, b'x' * 30, payload(record(good), version=99), payload(record(good))[:-1] + b'x',
                payload(record(good))[:-8] + bytes(8), payload(record(good), record(good)),
                payload(record(good, 0)), payload(record(good), b'\0'), payload(b'\xf5'), payload(b'\xf5\x40\xffabc'),
                payload(record(good), record(returns('b', 1, 'g'))), payload(record(lib('a', 'x ='))), payload(record('nothing')),
                payload(record(good), record(lib('a2', 'return 1'))), payload(b'\xf5\xc0\x05'), payload(b'\xf5\xc3\x02\x05ab')):
        for policy in 'APPEND', 'REPLACE', 'FLUSH':
            both.call('FUNCTION', 'RESTORE', bad, policy)
        both.call('FUNCTION', 'LIST', 'WITHCODE')
    expect(both.ours, ['FUNCTION', 'RESTORE', payload(record(good, 246))], '-ERR Pre-GA function format not supported')
    both.call('FCALL', 'f', 0)


@test('one that runs long: STATS, KILL, and what may not be killed')
def _(s):
    c = s.client()
    c.call('FUNCTION', 'FLUSH')
    c.call('CONFIG', 'SET', 'busy-reply-threshold', 20)
    c.call('FUNCTION', 'LOAD', lib('l', "redis.register_function('loop', function() while true do pcall(function() while true do end end)"
                                        " end end)",
                                   "redis.register_function('writes', function(keys, args) redis.call('SET', keys[1], 1)",
                                   "  local until_s = os.clock() + args[1] while os.clock() < until_s do end return 'done' end)"))
    busy, other = s.client(), s.client()

    def running():
        fields = other.call('FUNCTION', 'STATS')[1]
        return fields and dict(zip(fields[::2], fields[1::2]))

    busy.send('FCALL', 'loop', 1, 'k', 'arg')
    eventually(running, 'it is told what runs')
    found = running()
    eq((found[b'name'], found[b'command']), (b'loop', [b'FCALL', b'loop', b'1', b'k', b'arg']))
    ok(found[b'duration_ms'] >= 20, found)
    expect(other, 'GET k', '-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.')
    expect(other, 'SCRIPT KILL', '-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.')
    expect(other, 'FUNCTION KILL', '+OK')
    expect_reply(busy, '-ERR Script killed by user with SCRIPT KILL... script: loop, on @user_function:2.')
    expect(other, 'FUNCTION KILL', '-NOTBUSY No scripts in execution right now.')
    ok(running() is None or not running(), 'nothing runs')

    def kill(ms):
        busy.send('FCALL', 'writes', 1, 'k', ms / 1000)
        while not running():
            if not busy.quiet(0.01):
                break
        reply = other.call('FUNCTION', 'KILL')
        expect_reply(busy, '"done"')
        if reply.startswith(b'NOTBUSY'):
            raise Late('it has ended')
        ok(reply.startswith(b'UNKILLABLE Sorry'), f'it has written: {reply}')

    in_time(kill, 500)
    expect(other, 'GET k', '"1"')


@test('FLUSHALL leaves functions; they count in INFO')
def _(s):
    both = Both(s)
    both.call('FUNCTION', 'LOAD', returns('a', 1, 'f', 'g'))
    both.call('FLUSHALL')
    both.call('FCALL', 'f', 0)
    for server in (s, oracle):
        eq([server.info()[name] for name in ('number_of_libraries', 'number_of_functions')], ['1', '2'], server.binary)
    before = int(s.info()['used_memory_functions'])
    both.ours.call('FUNCTION', 'LOAD', lib('b', '--' + 'x' * 100000, "redis.register_function('h', function() end)"))
    ok(int(s.info()['used_memory_functions']) > before + 100000, 'the code counts')
    both.ours.call('FUNCTION', 'FLUSH')
    eq(s.info()['number_of_functions'], '0')


# --- what is left of them ---------------------------------------------------------------------------------------------

def codes_of(client):
    """{library: code}"""
    found = {}
    for library in client.call('FUNCTION', 'LIST', 'WITHCODE'):
        fields = dict(zip(library[::2], library[1::2])) if isinstance(library, list) else library
        found[fields[b'library_name'].decode()] = fields[b'library_code'].decode()
    return found


def checkpoint(server):
    before = int(server.info()['checkpoints_completed'])
    eventually(lambda: not isinstance(server.client().call('BGREWRITEAOF'), ErrorReply), 'a checkpoint begins')
    eventually(lambda: int(server.info()['checkpoints_completed']) > before, 'it completes')


@test('kill -9 and restarts, with checkpoints between and without')
def _(_s):
    need_kelvin('checkpoints')
    server = Server()
    c = server.client()
    payload_of = {}
    for i in range(3):
        c.call('FUNCTION', 'LOAD', returns(f'l{i}', i, f'f{i}'))
    c.call('SET', 'k', 'v')
    want = codes_of(c)
    payload_of['three'] = c.call('FUNCTION', 'DUMP')

    def check(kill):
        nonlocal c
        server.restart(kill=kill)
        c = server.client()
        eq(codes_of(c), want)
        expect(c, 'GET k', '"v"')

    check(True)
    checkpoint(server)
    check(True)
    expect(c, 'FCALL f2 1 k', '2')
    c.call('FUNCTION', 'DELETE', 'l1')
    c.call('FUNCTION', 'LOAD', 'REPLACE', returns('l2', 22, 'f2'))
    want = codes_of(c)
    check(True)
    expect(c, 'FCALL f2 1 k', '22')
    checkpoint(server)
    c.call('FUNCTION', 'FLUSH')
    want = {}
    check(True)
    checkpoint(server)
    check(True)
    c.call('FUNCTION', 'RESTORE', payload_of['three'])
    c.call('FUNCTION', 'LOAD', returns('more', 1, 'more'))
    c.call('FUNCTION', 'RESTORE', payload_of['three'], 'REPLACE')
    want = codes_of(c)
    eq(len(want), 4)
    check(False)
    check(True)
    c.call('FUNCTION', 'RESTORE', payload_of['three'], 'FLUSH')
    want = codes_of(c)
    eq(len(want), 3)
    expect(c, 'DEBUG LOADAOF', '+OK')
    eq(codes_of(c), want)
    expect(c, 'FCALL f1 1 k', '1')
    expect(c, 'DEBUG RELOAD', '+OK')
    eq(codes_of(c), want)
    expect(c, 'FCALL f1 1 k', '1')
    check(True)
    server.stop()


@test('what a function did is in the log, not the function')
def _(_s):
    need_kelvin('log')
    server = Server()
    c = server.client()
    c.call('FUNCTION', 'LOAD', lib('l', "redis.register_function('f', function(keys, args) redis.call('INCR', keys[1])"
                                        " redis.call('RPUSH', keys[2], args[1]) return 1 end)"))
    expect(c, 'FCALL f 2 {a}n {a}l x', '1')
    expect(c, 'FCALL f 2 {a}n {a}l y', '1')
    c.call('FUNCTION', 'FLUSH')
    server.restart(kill=True)
    c = server.client()
    expect(c, 'GET {a}n', '"2"')
    expect(c, 'LRANGE {a}l 0 -1', '["x", "y"]')
    eq(codes_of(c), {})
    server.stop()


@test('they belong to the server: one logged database is enough, without one the RDB file has them')
def _(_s):
    need_kelvin('durability')
    one = Server(lines=['durability none', 'db 3 durability always'])
    one.client().call('FUNCTION', 'LOAD', returns('a', 1, 'f'))
    one.restart(kill=True)
    eq(codes_of(one.client()), {'a': returns('a', 1, 'f')})
    one.client().call('CONFIG', 'SET', 'db.3.durability', 'none')
    one.restart(kill=True)
    eq(codes_of(one.client()), {}, 'nothing is logged any more')
    one.stop()

    file = Server({'durability': 'snapshot'}, lines=['save 3600 1000000'])
    c = file.client()
    c.call('FUNCTION', 'LOAD', returns('a', 1, 'f'))
    expect(c, 'SAVE', '+OK')
    c.call('FUNCTION', 'LOAD', returns('b', 1, 'g'))
    file.restart(kill=True)
    eq(list(codes_of(file.client())), ['a'])
    c = file.client()
    expect(c, 'CONFIG SET durability everysec', '+OK')
    checkpoint(file)
    c.call('FUNCTION', 'DELETE', 'a')
    c.call('FUNCTION', 'LOAD', returns('c', 1, 'h'))
    file.restart(kill=True)
    eq(list(codes_of(file.client())), ['c'])
    file.stop()


@test('RDB files, each way')
def _(_s):
    need_kelvin('way to tell which is which')
    codes = [returns('a', 1, 'f'), described(), lib('long', '--' + 'abc' * 9000, "redis.register_function('l', function() end)")]
    for source, target in (Server(), Server(binary=ORACLE)), (Server(binary=ORACLE), Server(start=False)):
        c = source.client()
        for code in codes:
            c.call('FUNCTION', 'LOAD', code)
        c.call('SET', 'k', 'v')
        expect(c, 'SAVE', '+OK')
        file = os.path.join(source.dir, 'dump.rdb')
        check = subprocess.run([shutil.which('redis-check-rdb'), file], capture_output=True)
        eq(check.returncode, 0, check.stdout)
        if target.process:
            target.stop()
        shutil.copy(file, os.path.join(target.dir, 'dump.rdb'))
        target.start()
        eq(codes_of(target.client()), codes_of(c))
        expect(target.client(), 'FCALL f 1 k', '1')
        expect(target.client(), 'GET k', '"v"')
        source.stop()
        target.restart(kill=target.is_kelvin)
        eq(len(codes_of(target.client())), 3)
        target.stop()


@test('among writes, with kill -9 at any point')
def _(_s):
    need_kelvin('log')
    r = random.Random(SEED)
    server = Server({'checkpoint-log-size': '64kb', 'log-segment-size': '64kb'})
    libraries, version = {}, 0
    for _round in range(3 if SANITIZED else 6):
        c = server.client()
        for _ in range(r.randrange(20, 60)):
            name = f'l{r.randrange(4)}'
            kind = r.randrange(10)
            if kind < 5:
                c.pipeline([('SET', f'k{r.randrange(1000)}', r.randbytes(300)) for _ in range(20)])
            elif kind < 8:
                version += 1
                libraries[name] = returns(name, version, 'f' + name)
                eq(c.call('FUNCTION', 'LOAD', 'REPLACE', libraries[name]), name.encode())
            elif libraries.pop(name, None):
                eq(c.call('FUNCTION', 'DELETE', name), b'OK')
        # One more whose answer nobody gets: it happened, or it did not.
        version += 1
        last = returns('l0', version, 'fl0')
        c.send('FUNCTION', 'LOAD', 'REPLACE', last)
        if r.randrange(2):
            server.client().call('PING')
        server.restart(kill=True)
        found = codes_of(server.client())
        ok(found in (libraries, {**libraries, 'l0': last}), f'{found}\n{libraries}')
        libraries = found
        for name, code in found.items():
            eq(server.client().call('FCALL', f'f{name}', 1, 'k'), int(code.split('return ')[1].split()[0]))
    server.stop()


@test('functions are called from all shards while they change')
def _(s):
    c = s.client()
    others = [s.client() for _ in range(4)]
    c.call('FUNCTION', 'FLUSH')
    c.call('FUNCTION', 'LOAD', returns('a', 0, 'f'))
    for i in range(30):
        for n, other in enumerate(others):
            for k in range(20):
                other.send('FCALL', 'f', 1, f'k{n}{k}')
        c.call('FUNCTION', 'LOAD', 'REPLACE', returns('a', i, 'f'))
        for other in others:
            for _ in range(20):
                got = other.read()
                ok(got in (i, max(i - 1, 0)), f'{got} in round {i}')
        expect(c, 'FCALL f 1 k', str(i))


run(Server())
