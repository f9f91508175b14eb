#!/usr/bin/python3
"""EVAL, EVALSHA and SCRIPT: against a redis-server, and what scripts must not be able to do.

lib/scripts.py holds the scripts that are played to both.
"""
import binascii
import hashlib
import os
import random
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (COLD, COLD_OPTIONS, ORACLE, SANITIZED, ErrorReply, Server, Skip, eq, eventually, expect, keys, need_kelvin, ok, run, seed,
                    session, show, test)
from scripts import ESCAPES, cases

SEED = seed()
ARGS = '2', 'k1', 'k2', 'a', 'b', '3'
THREE = [next(k for k in (f'key:{i}' for i in range(99)) if binascii.crc_hqx(k.encode(), 0) % 16384 % 3 == shard)
         for shard in range(3)]

# Texts of errors that Lua's libraries word differently in LuaJIT.
REWORDED = (
    (r"near '<eof>'|near <eof>|near '?<eof>'?", 'near eof'),
)


def normal(reply):
    text = show(reply)
    for pattern, replacement in REWORDED:
        text = re.sub(pattern, replacement, text)
    return text


def oracle():
    if not ORACLE:
        raise Skip('no redis-server here')
    if not _oracle:
        _oracle.append(Server(binary=ORACLE))
    return _oracle[0]


_oracle = []


def compare(server, resp):
    mine, theirs = server.client(resp), oracle().client(resp)
    theirs.call('FLUSHALL')
    wrong = []
    for script in cases():
        got, want = (normal(client.call('EVAL', script, *ARGS)) for client in (mine, theirs))
        if got != want:
            wrong.append(f'{script}\n     kelvin: {got[:300]}\n      redis: {want[:300]}')
    ok(not wrong, f'{len(wrong)} of {len(cases())} scripts differ\n  ' + '\n  '.join(wrong))


@test('scripts say what they say in Redis, RESP2')
def _(server):
    compare(server, 2)


@test('scripts say what they say in Redis, RESP3')
def _(server):
    compare(server, 3)


session('EVAL, EVALSHA and the cache', '''
    > SCRIPT FLUSH
    +OK
    > EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
    -NOSCRIPT No matching script. Please use EVAL.
    > EVAL "return 1" 0
    1
    > EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
    1
    > EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0
    1
    > EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
    1
    > SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0000f9fabfc9d4800c877a703b823ac0578ff8db x
    [1, 0, 0]
    > SCRIPT LOAD "return 2"
    "7f923f79fe76194c868d7e1d0820de36700eb649"
    > EVALSHA 7f923f79fe76194c868d7e1d0820de36700eb649 0
    2
    > SCRIPT FLUSH ASYNC
    +OK
    > SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db 7f923f79fe76194c868d7e1d0820de36700eb649
    [0, 0]
    > SCRIPT FLUSH SYNC
    +OK
    > SCRIPT FLUSH x
    -ERR SCRIPT FLUSH only support SYNC|ASYNC option
    > SCRIPT LOAD "x x"
    /^-ERR Error compiling script/
    > SCRIPT NOSUCH
    -ERR unknown subcommand 'NOSUCH'. Try SCRIPT HELP.
    > SCRIPT KILL
    -NOTBUSY No scripts in execution right now.
    > EVALSHA x 0
    -NOSCRIPT No matching script. Please use EVAL.
    > EVAL "return 1"
    -ERR wrong number of arguments for 'eval' command
    > EVAL "return 1" x
    -ERR value is not an integer or out of range
    > EVAL "return 1" 1
    -ERR Number of keys can't be greater than number of args
    > EVAL "return 1" -1
    -ERR Number of keys can't be negative
    > EVAL_RO "return redis.call('set', 'a', 1)" 0
    /^-ERR Write commands are not allowed from read-only scripts. script: /
    > EVAL_RO "return redis.call('get', 'a')" 0
    nil
''')


@test('what blocks does not, and takes what is there')
def _(server):
    need_kelvin('blocking commands in scripts, as since 7.2')
    client = server.client()
    for call in ("'blpop', 'l', 0", "'brpop', 'l', 0", "'blmove', 'l', 'm', 'left', 'left', 0", "'brpoplpush', 'l', 'm', 0",
                 "'blmpop', 0, 1, 'l', 'left'", "'bzpopmin', 'z', 0", "'bzpopmax', 'z', 0", "'bzmpop', 0, 1, 'z', 'min'",
                 "'xread', 'block', 0, 'streams', 's', '$'"):
        expect(client, ['EVAL', f'return redis.call({call})', 0], 'nil')
    expect(client, ['EVAL', "return redis.call('wait', 1, 0)", 0], '0')
    client.call('RPUSH', 'l', 1, 2)
    expect(client, ['EVAL', "return {redis.call('blpop', 'l', 0), redis.call('brpoplpush', 'l', 'm', 0), redis.call('blpop', 'l', 0)}",
                    0], '[["l", "1"], "2", nil]')
    expect(client, 'LRANGE m 0 -1', '["2"]')
    expect(client, ['EVAL', "return redis.call('blpop', 'l', 'x')", 0], '/^-ERR timeout is not a float or out of range script: /')


@test('of the scripts that came by EVAL those stay that were called last')
def _(server):
    need_kelvin('limit to what is cached, as since 7.4')
    client, other = server.client(), server.client()
    sha = lambda script: hashlib.sha1(script.encode()).hexdigest()
    known = lambda *scripts: client.call('SCRIPT', 'EXISTS', *map(sha, scripts))

    def count(name, section):
        return int(server.info(section)[name])

    client.call('SCRIPT', 'FLUSH')
    client.call('CONFIG', 'RESETSTAT')
    client.call('SCRIPT', 'LOAD', 'return "loaded"')
    client.call('EVAL', 'return "both"', 0)
    client.call('SCRIPT', 'LOAD', 'return "both"')
    for i in range(500):
        eq(client.call('EVAL', f'return {i}', 0), i)
    eq([count('number_of_cached_scripts', 'memory'), count('evicted_scripts', 'stats')], [502, 0])
    bytes_of_502 = count('used_memory_scripts_eval', 'memory')
    eq(client.call('EVAL', 'return 0', 0), 0)
    eq(other.call('EVALSHA', sha('return 1'), 0), 1)
    eq(client.call('EVAL', 'return "one more"', 0), b'one more')
    eq(known('return 0', 'return 1', 'return 2', 'return 3', 'return "one more"'), [1, 1, 0, 1, 1])
    expect(client, ['EVALSHA', sha('return 2'), 0], '-NOSCRIPT No matching script. Please use EVAL.')
    eq([client.call('EVAL', 'return 2', 0), client.call('EVALSHA', sha('return 2'), 0), known('return 3')], [2, 2, [0]])
    for i in range(1200):  # with a first line they run on the shards of their keys
        eq((client, other)[i % 2].call('EVAL', f'#!lua\nreturn {i}', 1, f'key:{i}'), i)
    eq([count('number_of_cached_scripts', 'memory'), count('evicted_scripts', 'stats')], [502, 1202])
    eq(known('return 0', 'return "one more"', '#!lua\nreturn 699', '#!lua\nreturn 700'), [0, 0, 0, 1])
    eq([client.call('EVALSHA', sha(f'return "{word}"'), 0) for word in ('loaded', 'both')], [b'loaded', b'both'])
    ok(count('used_memory_scripts_eval', 'memory') < 3 * bytes_of_502, 'what was evicted is freed')
    client.call('SCRIPT', 'FLUSH')
    eq(count('number_of_cached_scripts', 'memory'), 0)
    client.call('CONFIG', 'RESETSTAT')
    eq(count('evicted_scripts', 'stats'), 0)


@test('a script runs in the database of its client, and its SELECT ends with it')
def _(server):
    client = server.client()
    client.call('SELECT', '3')
    client.call('EVAL', "redis.call('set', KEYS[1], 3) redis.call('select', 4) return redis.call('set', KEYS[1], 4)", '1', 'k')
    eq(client.call('GET', 'k'), b'3')
    client.call('SELECT', '4')
    eq(client.call('GET', 'k'), b'4')


@test('in MULTI, with other commands, and undone by nothing')
def _(server):
    client = server.client()
    client.call('MULTI')
    client.call('SET', 'a', '1')
    client.call('EVAL', "redis.call('incr', KEYS[1]) error('x')", '1', 'a')
    client.call('EVAL', "return {redis.call('incr', KEYS[1]), redis.call('incr', 'b'), redis.call('incr', 'c')}", '1', 'a')
    reply = client.call('EXEC')
    eq([type(reply[1]).__name__, reply[2]], ['ErrorReply', [3, 1, 1]])


@test('what escapes try fails, and the next script finds all as it was')
def _(server):
    need_kelvin('sandbox of ours')
    client = server.client()
    probe = '''local names = {} for k, v in pairs(_G) do names[#names + 1] = k
        if type(v) == 'table' and v ~= _G and k ~= 'KEYS' and k ~= 'ARGV' then for n in pairs(v) do names[#names + 1] = k .. n end end end
        table.sort(names) return {names, redis.call('ping'), ('x'):rep(2), cjson.encode({1})}'''
    before = client.call('EVAL', probe, '0')
    missed = []
    for script in ESCAPES.strip('\n').split('\n'):
        reply = client.call('EVAL', script, '1', 'k')
        if not isinstance(reply, ErrorReply):
            missed.append(f'{script}: {show(reply)}')
        if client.call('EVAL', probe, '0') != before:
            missed.append(f'{script}: something has changed')
            break
    ok(not missed, '\n'.join(missed))


@test('memory bombs end in an error, and the memory comes back')
def _(server):
    need_kelvin('limit of memory for scripts')
    client = server.client()
    client.call('SCRIPT', 'FLUSH')  # what earlier tests have left on other shards
    client.call('CONFIG', 'SET', 'script-memory-limit', '16mb')
    for script in ("local t = {} for i = 1, 1e9 do t[i] = i end",
                   "local s = 'x' while true do s = s .. s end",
                   "return string.rep('x', 1e9)",
                   "return ('x'):rep(1e9, 'y')",
                   "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end return cjson.encode(t)",
                   "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end return cmsgpack.pack(t)",
                   "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end return table.concat(t)",
                   "local s = string.rep('x', 1e6) local t = {} for i = 1, 1000 do t[i] = s end return t",
                   "return struct.pack(string.rep('c0', 1000), unpack((function() local t = {} for i = 1, 1000 do t[i] = string.rep('x', 1e5) end return t end)()))",
                   "return (string.rep('x', 1e6):gsub('x', string.rep('y', 1e4)))",
                   "local function f() return f() + 1 end return f()",
                   "local function f() local ok, e = pcall(f) return e end return f()",
                   "local t = {} for i = 1, 1e6 do t = {t} end return cjson.encode(t)",
                   "local a = {} local b = {a} a[1] = b return cmsgpack.pack(a) and error('fine')",
                   "local co = {} for i = 1, 1e9 do co[i] = coroutine.create(function() coroutine.yield() end) coroutine.resume(co[i]) end",
                   "return string.format('%' .. string.rep('9', 99) .. 'd', 1)",
                   "return cjson.decode(string.rep('[', 1e6))",
                   "return loadstring('return ' .. string.rep('(', 1e5) .. '1' .. string.rep(')', 1e5))() ",
                   "return redis.call('set', KEYS[1], string.rep('x', 1e9))"):
        reply = client.call('EVAL', script, '1', 'k')
        ok(isinstance(reply, ErrorReply) or reply in ([], b'stack overflow'), f'{script}: {show(reply)[:100]}')
        eq(client.call('EVAL', 'return 1', '0'), 1)
    ok(int(server.info('memory')['used_memory_lua']) < 16 << 20, 'more is in use than may be')
    client.call('SCRIPT', 'FLUSH')
    eq(server.info('memory')['used_memory_lua'], '0')
    eq(server.info('memory')['number_of_cached_scripts'], '0')
    client.call('CONFIG', 'SET', 'script-memory-limit', '256mb')


LOOPS = (
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local co = coroutine.wrap(function() while true do end end) while true do pcall(co) end",
    "xpcall(function() while true do end end, function() while true do end end)",
    "return string.find(string.rep('a', 5000), string.rep('a*', 50) .. 'b')",
    "while true do redis.pcall('ping') end",
    "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return t.x",
    "string.gsub('x', 'x', function() while true do end end)",
    "load(function() while true do end end)",
    "table.sort({3, 2, 1, 5, 4}, function() while true do end end)",
    "local f f = function() return pcall(f) end while true do f() end",
)


def wait_busy(client):
    eventually(lambda: show(client.call('GET', 'x')).startswith('-BUSY'), 'the server is to be busy')


@test('a script without end can be killed, whatever it catches; others get -BUSY')
def _(server):
    need_kelvin('patience')
    runner, other, killer = server.client(), server.client(), server.client()
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '20')
    for script in LOOPS:
        runner.send('EVAL', script, '0')
        wait_busy(other)
        expect(killer, 'SCRIPT KILL', '+OK')
        reply = show(runner.reply())
        ok('Script killed by user with SCRIPT KILL' in reply, f'{script}: {reply}')
        eq(other.call('SET', 'x', '1'), b'OK')
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '5000')


@test('while a script runs: transactions, new connections, clients that leave')
def _(server):
    need_kelvin('patience')
    runner, other = server.client(), server.client()
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '20')
    watcher = server.client()
    watcher.call('MULTI')
    watcher.call('SET', 'a', '1')
    runner.send('EVAL', 'while true do end', '0')
    wait_busy(other)
    late = server.client()
    expect(late, 'PING', '/BUSY|PONG/')
    ok('EXECABORT' in show(watcher.call('EXEC')), 'EXEC is refused')
    for _ in range(3):
        leaver = server.client()
        leaver.send('GET', 'a')
        leaver.close()
    runner.raw(b'*1\r\n$4\r\nPING\r\n')
    expect(late, 'MULTI', '+OK')
    ok('BUSY' in show(late.call('SET', 'a', '2')), 'nothing is queued')
    expect(other, 'SCRIPT KILL', '+OK')
    ok('killed' in show(runner.reply()), 'it was killed')
    expect(runner, 'PING', '+PONG')
    eq(runner.reply(), b'PONG')
    ok('EXECABORT' in show(late.call('EXEC')), 'the transaction was spoilt')
    runner.send('EVAL', 'while true do end', '0')
    wait_busy(other)
    runner.close()
    time.sleep(0.05)
    expect(other, 'SCRIPT KILL', '+OK')
    eventually(lambda: other.call('SET', 'x', '1') == b'OK', 'it goes on')
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '5000')


@test('a long script on one shard: the others go on, and wait for it only if they must')
def _(server):
    need_kelvin('shards')
    if int(server.info('server').get('shards', '1')) < 3:
        raise Skip('one shard')
    other = server.client()
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '20')
    runners, listeners = [server.client() for _ in range(2)], [server.client() for _ in range(4)]
    for listener in listeners:
        listener.call('SUBSCRIBE', THREE[1])
    runners[0].send('EVAL', '#!lua\nwhile true do end', '1', THREE[0])
    eventually(lambda: show(other.call('GET', THREE[0])).startswith('-BUSY'), 'its shard is busy')
    eq(other.call('SET', THREE[1], '1'), b'OK')
    expect(other, ['PUBLISH', THREE[1], 'x'], '4')
    for listener in listeners:  # to those who live where the script runs too
        eq(listener.read()[2], b'x')
    runners[1].send('EVAL', "#!lua\nredis.call('get', KEYS[1]) while true do end", '1', THREE[1])
    eventually(lambda: show(other.call('GET', THREE[1])).startswith('-BUSY'), 'a second one is')
    eq(other.call('SET', THREE[2], '1'), b'OK')
    while True:  # until one lives on the third shard: the others are busy
        flusher = server.client()
        if show(flusher.call('PING')) == '+PONG':
            break
    flusher.send('FLUSHALL')
    eventually(lambda: show(other.call('GET', THREE[2])).startswith('-BUSY'), 'all are: somebody wants to hold them')
    expect(other, 'PING', '/BUSY|PONG/')
    leaver = server.client()
    leaver.send('BLPOP', THREE[2], '0')
    leaver.close()
    expect(other, 'SCRIPT KILL', '+OK')
    for runner in runners:
        ok('killed' in show(runner.reply()), 'both were killed')
    eq(flusher.reply(), b'OK')
    eq(other.call('EXISTS', *THREE), 0)
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '5000')


@test('a script that has written cannot be killed; SHUTDOWN NOSAVE ends it, and nothing of it stays')
def _(server):
    need_kelvin('patience')
    runner, other = server.client(), server.client()
    other.call('CONFIG', 'SET', 'busy-reply-threshold', '20')
    other.call('SET', 'kept', '1')
    runner.send('EVAL', "redis.call('set', KEYS[1], '2') redis.call('set', 'second', '2') while true do end", '1', 'kept')
    wait_busy(other)
    ok(show(other.call('SCRIPT', 'KILL')).startswith('-UNKILLABLE'), 'it has written')
    other.send('SHUTDOWN', 'NOSAVE')
    eq(server.wait_exit(), 0)
    server.start()
    client = server.client()
    eq(client.call('MGET', 'kept', 'second'), [b'1', client.call('GET', 'nosuch')])


@test('effects are logged as one group: kill -9 and restart')
def _(server):
    need_kelvin('log')
    client = server.client()
    client.call('EVAL', '''redis.call('set', 'a', 1) redis.call('incrbyfloat', 'b', 1.5) redis.call('rpush', 'c', 1, 2, 3)
        redis.call('expire', 'a', 1000) redis.call('select', 2) redis.call('sadd', 's', 'x') return redis.call('spop', 's')''', '0')
    client.call('EVAL', "redis.call('set', 'd', 1) error('x')", '0')
    client.call('EVAL', "for i = 1, 100 do redis.call('hset', KEYS[1], i, redis.sha1hex(i)) end", '1', 'h')
    before = [client.call(*c) for c in (('GET', 'a'), ('GET', 'b'), ('LRANGE', 'c', '0', '-1'), ('GET', 'd'), ('HLEN', 'h'))]
    server.restart(kill=True)
    client = server.client()
    eq([client.call(*c) for c in (('GET', 'a'), ('GET', 'b'), ('LRANGE', 'c', '0', '-1'), ('GET', 'd'), ('HLEN', 'h'))], before)
    ok(client.call('TTL', 'a') > 900, 'it still expires')
    eq(client.call('DBSIZE'), 5)


@test('values that are cold: read before the first write and after it')
def _(server):
    need_kelvin('tier')
    client = server.client()
    n = keys(2000)
    for i in range(n):
        client.call('SET', f'v:{i}', f'{i}:' + 'x' * 1000)
    read = "local n = 0 for i = ARGV[1], ARGV[2] do n = n + #redis.call('get', 'v:' .. i) end return n"
    for at in (0, n // 2):
        want = sum(len(f'{i}:') + 1000 for i in range(at, at + 20))
        eq(client.call('EVAL', read, '0', str(at), str(at + 19)), want)
        eq(client.call('EVAL', "redis.call('set', 'w', 1) " + read, '0', str(at), str(at + 19)), want)
    eq(client.call('EVAL', "return #redis.call('get', KEYS[1]) + #redis.call('get', KEYS[2])", '2', 'v:1', 'v:2'), 2 * 1002)


@test('a script that has changed or told something is not run again for a value that is cold')
def _(_server):
    need_kelvin('tier')
    server = Server(COLD_OPTIONS, lines=['db 0 maxmemory 1mb'])
    client, listener = server.client(), server.client()
    names = [f'v:{i}' for i in range(2000)]

    def cold():
        return [name for name, tier in zip(names, client.pipeline([('OBJECT', 'TIER', name) for name in names])) if tier == b'cold'][:20]

    client.pipeline([('SET', name, 'x' * 1000) for name in names])
    eventually(lambda: len(cold()) == 20, 'some are to become cold')
    listener.call('SUBSCRIBE', 'said')
    for first in ("redis.call('INCR', 'n')", "redis.call('PUBLISH', 'said', ARGV[1])"):
        for name in cold():
            eq(client.call('EVAL', first + " return #redis.call('GET', ARGV[1])", 0, name), 1000)
    client.call('PUBLISH', 'said', 'end')
    said = [listener.read()[2] for _ in range(21)]
    eq((client.call('GET', 'n'), len(set(said)), said[-1]), (b'20', 21, b'end'))
    server.stop()


@test('many at once: each is atomic, on one key and on several')
def _(server):
    move = '''local n = tonumber(redis.call('get', KEYS[1]) or '100') local m = tonumber(redis.call('get', KEYS[2]) or '100')
        redis.call('set', KEYS[1], n - 1) redis.call('set', KEYS[2], m + 1) return n + m'''
    sha = hashlib.sha1(move.encode()).hexdigest()
    server.client().call('SCRIPT', 'LOAD', move)
    wrong = []

    def worker(number):
        rng, client = random.Random(SEED + number), server.client()
        for _ in range(150):
            a, b = rng.sample(THREE, 2)
            reply = client.call('EVALSHA', sha, '2', a, b)
            total = client.call('EVAL', "local n = 0 for _, k in ipairs(KEYS) do n = n + (redis.call('get', k) or 100) end return n",
                                '3', *THREE)
            if not isinstance(reply, int) or total != 300:
                wrong.append((show(reply), show(total)))

    threads = [threading.Thread(target=worker, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eq(wrong, [])


@test('with several shards a script with a first line keeps to its keys')
def _(server):
    need_kelvin('shards')
    client = server.client()
    several = int(server.info('server').get('shards', '1')) > 1
    foreign = "#!lua\nreturn redis.call('set', ARGV[1], 1)"
    replies = [show(client.call('EVAL', foreign, '1', THREE[0], k)) for k in THREE]
    eq(replies[0], '+OK')
    eq(any('non local key' in r for r in replies[1:]), several)
    across = "#!lua flags=allow-cross-slot-keys\nreturn redis.call('set', ARGV[1], 1)"
    eq([show(client.call('EVAL', across, '1', THREE[0], k)) for k in THREE], ['+OK'] * 3)
    eq([show(client.call('EVAL', "#!lua\nreturn redis.call('mset', KEYS[1], 1, KEYS[2], 2, KEYS[3], 3)", '3', *THREE))], ['+OK'])
    client.call('FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('f', function(keys, args) return redis.call('set', args[1], 1) end)")
    for call in ('EVAL', foreign), ('EVALSHA', client.call('SCRIPT', 'LOAD', foreign)), ('FCALL', 'f'):
        eq([show(client.call(*call, 0, k)) for k in THREE], ['+OK'] * 3, 'without keys it may touch any')
    client.call('CONFIG', 'SET', 'script-undeclared-keys', 'no')
    replies = [show(client.call('EVAL', "return redis.call('set', ARGV[1], 1)", '1', THREE[0], k)) for k in THREE]
    eq(any('non local key' in r for r in replies[1:]), several)
    eq(any('non local key' in show(client.call('FCALL', 'f', 0, k)) for k in THREE), several)
    client.call('CONFIG', 'SET', 'script-undeclared-keys', 'yes')


@test('time stands still in a script')
def _(server):
    client = server.client()
    client.call('SET', 'k', '1', 'PX', '40')
    reply = client.call('EVAL', '''local first = redis.call('exists', KEYS[1]) local t = os and os.clock() or 0
        for i = 1, 3e6 do local x = i * 2 end return {first, redis.call('exists', KEYS[1])}''', '1', 'k')
    eq(reply[0], reply[1])


@test('TIME stands still in a script, and goes on behind it')
def _(server):
    need_kelvin('time of 7.2')
    client = server.client()
    script = "local a = redis.call('time') for i = 1, 3e5 do local x = i * 2 end local b = redis.call('time') return {a[1], a[2], b[1], b[2]}"
    first, second = client.call('EVAL', script, 0), client.call('EVAL', script, 0)
    eq([first[:2], second[:2]], [first[2:], second[2:]])
    ok(first != second, 'the next script has a time of its own')


@test('DEBUG SET-DISABLE-DENY-SCRIPTS lets scripts call what suites look at them with')
def _(server):
    client = server.client(3)
    client.call('DEBUG', 'SET-DISABLE-DENY-SCRIPTS', 1)
    for kind, want in (('bignum', '(1234567999999999999999999999999999999'), ('double', ',3.141'), ('true', '#t'), ('null', 'null'),
                       ('verbatim', '=txt:"This is a verbatim\\nstring"'), ('attrib', '"Some real reply following the attribute"')):
        expect(client, ['EVAL', f"redis.setresp(3) return redis.call('debug', 'protocol', '{kind}')", 0], want)
    expect(client, ['EVAL', "redis.call('debug', 'sleep', 0) return #redis.call('client', 'list') > 10", 0], '1')
    need_kelvin('guard of the rest')
    expect(client, ['EVAL', "return redis.call('debug', 'reload')", 0], '/^-ERR This Redis command is not allowed from script/')
    client.call('DEBUG', 'SET-DISABLE-DENY-SCRIPTS', 0)
    expect(client, ['EVAL', "return redis.call('debug', 'sleep', 0)", 0], '/^-ERR This Redis command is not allowed from script/')


run(Server())
