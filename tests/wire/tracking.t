#!/usr/bin/python3
"""CLIENT TRACKING: who is told of which change, in which frames, and in which order with replies. All of it but what
says otherwise holds for a redis-server too. The caches of clients under load are in tracking_model.t."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (IS_KELVIN, Late, Server, alive, elapse, encode, eq, eventually, expect, in_time, need_kelvin, ok, run,
                    session, show, split, test)

SILENCE = 0.01  # nothing may arrive for so long; a message that comes later would go unnoticed
SHARDS = int(os.environ.get('KELVIN_TEST_SHARDS') or 1)


def tracker(s, *options, resp=3):
    c = s.client(resp=resp)
    expect(c, ['CLIENT', 'TRACKING', 'ON', *options], '+OK')
    return c


def gets(c, *want):
    """Exactly these come, in this order; with several shards in any."""
    got = [show(c.read()) for _ in want]
    ok(got == list(want) or (SHARDS > 1 and sorted(got) == sorted(want)), f' got: {got}\nwant: {list(want)}')
    ok(c.quiet(SILENCE), 'and nothing else')


def keys(*names):
    return '>["invalidate", [' + ', '.join(f'"{name}"' for name in names) + ']]'


def message(*names):
    return '["message", "__redis__:invalidate", [' + ', '.join(f'"{name}"' for name in names) + ']]'


def subscriber(s, channel='__redis__:invalidate'):
    """A RESP2 connection that listens, and its id."""
    c = s.client()
    number = c.call('CLIENT', 'ID')
    c.send('SUBSCRIBE', channel)
    c.read()
    return c, number


def client_id(c):
    return c.call('CLIENT', 'ID')


def line(c, of):
    """What CLIENT LIST says of a client."""
    text = c.call('CLIENT', 'LIST', 'ID', of).decode().split('txt:')[-1]
    return dict(pair.split('=', 1) for pair in text.split() if '=' in pair)


session('modes and their errors', '''
    > CLIENT TRACKING
    -ERR wrong number of arguments for 'client|tracking' command
    > CLIENT TRACKING foo
    -ERR syntax error
    > CLIENT TRACKING on foo
    -ERR syntax error
    > CLIENT TRACKING on redirect
    -ERR syntax error
    > CLIENT TRACKING on redirect x
    -ERR value is not an integer or out of range
    > CLIENT TRACKING on redirect 987654321
    -ERR The client ID you want redirect to does not exist
    > CLIENT TRACKING on redirect 0
    -ERR The client ID you want redirect to does not exist
    > CLIENT TRACKING on redirect -1
    -ERR The client ID you want redirect to does not exist
    > CLIENT TRACKING off redirect 987654321
    -ERR The client ID you want redirect to does not exist
    > CLIENT TRACKING off nonsense
    -ERR syntax error
    > CLIENT TRACKINGINFO
    ["flags", ["off"], "redirect", -1, "prefixes", []]
    > CLIENT GETREDIR
    -1
    > CLIENT CACHING
    -ERR wrong number of arguments for 'client|caching' command
    > CLIENT CACHING yes
    -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
    > CLIENT CACHING foo
    -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled
    > CLIENT TRACKING on prefix a
    -ERR PREFIX option requires BCAST mode to be enabled
    > CLIENT TRACKING on prefix
    -ERR syntax error
    > CLIENT TRACKING on bcast optin
    -ERR OPTIN and OPTOUT are not compatible with BCAST
    > CLIENT TRACKING on prefix a optout bcast
    -ERR OPTIN and OPTOUT are not compatible with BCAST
    > CLIENT TRACKING on optin optout
    -ERR You can't specify both OPTIN mode and OPTOUT mode
    > CLIENT TRACKINGINFO
    ["flags", ["off"], "redirect", -1, "prefixes", []]
    > CLIENT TRACKING on
    +OK
    > CLIENT GETREDIR
    0
    > CLIENT TRACKINGINFO
    ["flags", ["on"], "redirect", 0, "prefixes", []]
    > CLIENT CACHING yes
    -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
    > CLIENT CACHING no
    -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
    > CLIENT CACHING foo
    -ERR syntax error
    > CLIENT TRACKING on bcast
    -ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.
    > CLIENT TRACKING on optin
    +OK
    > CLIENT CACHING no
    -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
    > CLIENT TRACKING on optout
    -ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.
    > CLIENT TRACKING off
    +OK
    > CLIENT TRACKING off
    +OK
    > CLIENT TRACKINGINFO
    ["flags", ["off"], "redirect", -1, "prefixes", []]
''')

session('CACHING lasts for one command', '''
    > CLIENT TRACKING on optin
    +OK
    > CLIENT CACHING yes
    +OK
    > CLIENT TRACKINGINFO
    ["flags", ["on", "optin", "caching-yes"], "redirect", 0, "prefixes", []]
    > CLIENT ID
    ...
    > CLIENT TRACKINGINFO
    ["flags", ["on", "optin", "caching-yes"], "redirect", 0, "prefixes", []]
    > PING
    +PONG
    > CLIENT TRACKINGINFO
    ["flags", ["on", "optin"], "redirect", 0, "prefixes", []]
    > CLIENT CACHING yes
    +OK
    > NOSUCH
    -ERR unknown command 'NOSUCH', with args beginning with:
    > CLIENT TRACKINGINFO
    ["flags", ["on", "optin"], "redirect", 0, "prefixes", []]
    > CLIENT CACHING yes
    +OK
    > MULTI
    +OK
    > GET a
    +QUEUED
    > CLIENT TRACKINGINFO
    +QUEUED
    > EXEC
    [nil, ["flags", ["on", "optin", "caching-yes"], "redirect", 0, "prefixes", []]]
    > CLIENT TRACKINGINFO
    ["flags", ["on", "optin"], "redirect", 0, "prefixes", []]
    > CLIENT TRACKING off
    +OK
    > CLIENT TRACKING on optout noloop
    +OK
    > CLIENT CACHING no
    +OK
    > CLIENT TRACKINGINFO
    ["flags", ["on", "optout", "caching-no", "noloop"], "redirect", 0, "prefixes", []]
    > CLIENT TRACKING on
    +OK
    > CLIENT TRACKINGINFO
    ["flags", ["on"], "redirect", 0, "prefixes", []]
''')

session('prefixes add up and must not overlap', '''
    > CLIENT TRACKING on bcast prefix foo prefix bar
    +OK
    > CLIENT TRACKING on bcast prefix foobar
    -ERR Prefix 'foobar' overlaps with an existing prefix 'foo'. Prefixes for a single client must not overlap.
    > CLIENT TRACKING on bcast prefix x prefix xy
    -ERR Prefix 'x' overlaps with another provided prefix 'xy'. Prefixes for a single client must not overlap.
    > CLIENT TRACKING on bcast prefix x noloop
    +OK
    > CLIENT TRACKINGINFO
    ["flags", ["on", "bcast", "noloop"], "redirect", 0, "prefixes", ["bar", "foo", "x"]]
    > CLIENT TRACKING on
    -ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.
    > CLIENT TRACKING on bcast
    +OK
    > CLIENT TRACKINGINFO
    ["flags", ["on", "bcast"], "redirect", 0, "prefixes", ["", "bar", "foo", "x"]]
    > CLIENT TRACKING on bcast prefix zz
    -ERR Prefix 'zz' overlaps with an existing prefix ''. Prefixes for a single client must not overlap.
    > RESET
    +RESET
    > CLIENT TRACKINGINFO
    ["flags", ["off"], "redirect", -1, "prefixes", []]
    > CLIENT TRACKING on bcast prefix zz
    +OK
''')



@test('the frames')
def _(s):
    a, b = s.client(), tracker(s)
    b.call('GET', 'k')
    a.call('SET', 'k', '1')
    eq(b.sock.recv(100), b'>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n')
    a.call('FLUSHDB')
    eq(b.sock.recv(100), b'>2\r\n$10\r\ninvalidate\r\n_\r\n')
    d, number = subscriber(s)
    c = tracker(s, 'REDIRECT', number, resp=2)
    c.call('GET', 'k')
    a.call('SET', 'k', '1')
    eq(d.sock.recv(100), b'*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n')
    a.call('FLUSHDB')
    eq(d.sock.recv(100), b'*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n')


@test('a key that was read is invalidated once, by whom it may be')
def _(s):
    a, b, c = s.client(), tracker(s), tracker(s)
    b.call('GET', 'k')
    b.call('GET', 'k')
    c.call('GET', 'k')
    c.call('GET', 'other')
    a.call('SET', 'k', '1')
    a.call('SET', 'k', '2')
    gets(b, keys('k'))
    gets(c, keys('k'))
    eq(b.call('GET', 'k'), b'2')
    a.call('SET', 'k', '3')
    gets(b, keys('k'))
    gets(c)


@test('the keys of read-only commands count, whatever they reply')
def _(s):
    a, b = s.client(), tracker(s)
    a.call('SET', 'string', 'x')
    for command in ('MGET a string b', 'LLEN string', 'EXISTS string', 'STRLEN string', 'ZSCORE z m',
                    'ZRANGE z 0 -1', 'OBJECT ENCODING string', 'TTL string', 'SINTERCARD 2 s t', 'TYPE t', 'DUMP string',
                    'XRANGE x - +', 'SORT_RO l', 'GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 1 m', 'XREAD STREAMS x y 0 0'):
        b.call(*split(command))
    for name in ('string', 'a', 'b', 'z', 's', 't', 'x', 'y', 'l', 'g'):
        a.call('DEL', name)
        a.call('SET', name, '1')
        gets(b, keys(name))
    for command in ('APPEND w x', 'GETSET w y', 'GETEX w EX 100', 'SET w z GET', 'INCR v', 'PING', 'KEYS *', 'SCAN 0',
                    'RANDOMKEY', 'DBSIZE', 'GET', 'MGET', 'ECHO w'):
        b.call(*split(command))
    a.call('MSET', 'w', '1', 'v', '2')
    gets(b)


CHANGES = """
SET k new | SET k 1 | GET k
GETSET k new | SET k 1
GETDEL k | SET k 1
GETEX k EX 100 | SET k 1
SETRANGE k 1 x | SET k 1
APPEND k x | SET k 1
INCR k | SET k 1
INCRBYFLOAT k 1.5 | SET k 1
MSET j 1 k 1
MSETNX k 1
SETNX k 1
DEL k | SET k 1
UNLINK k | SET k 1
EXPIRE k 100 | SET k 1
EXPIREAT k 1 | SET k 1
PERSIST k | SET k 1 EX 100
RENAME k {k}j | SET k 1
RENAME {k}j k | SET {k}j 1
COPY {k}j k | SET {k}j 1
MOVE k 1 | SET k 1
SETBIT k 7 1
BITFIELD k SET u8 0 1
BITOP NOT k k | SET k 1
PFADD k a
PFMERGE k
LPUSH k a
RPOP k | RPUSH k a b
LSET k 0 z | RPUSH k a b
LTRIM k 0 0 | RPUSH k a b
LREM k 0 a | RPUSH k a b
LINSERT k BEFORE a x | RPUSH k a b
LMOVE k k LEFT RIGHT | RPUSH k a b
LMPOP 1 k LEFT | RPUSH k a b
SADD k c | SADD k a b
SREM k a | SADD k a b
SPOP k | SADD k a b
SMOVE k k2 a | SADD k a b
SINTERSTORE k k{x} | SADD k a b
ZADD k 1 a
ZADD k XX 2 a | ZADD k 1 a
ZINCRBY k 1 a | ZADD k 1 a
ZREM k a | ZADD k 1 a
ZPOPMIN k | ZADD k 1 a
ZUNIONSTORE k 1 k | ZADD k 1 a
ZRANGESTORE k k 0 -1 | ZADD k 1 a
ZREMRANGEBYRANK k 0 0 | ZADD k 1 a
GEOADD k 1 1 a
HSET k f v
HINCRBY k f 1 | HSET k f 1
HDEL k f | HSET k f 1
SORT k STORE k | RPUSH k 2 1
XADD k * f v
XDEL k 1-1 | XADD k 1-1 f v
XTRIM k MAXLEN 0 | XADD k 1-1 f v
"""
NO_CHANGES = """
GET k | SET k 1
SETNX k 1 | SET k 1
MSETNX k 1 | SET k 1
SET k 2 NX | SET k 1
SET k 2 XX
DEL k
EXPIRE k 100
EXPIRE k 100 XX | SET k 1
PERSIST k | SET k 1
GETEX k | SET k 1
LPUSHX k a
LREM k 0 x | RPUSH k a b
SADD k a | SADD k a
SREM k x | SADD k a
ZADD k 1 a | ZADD k 1 a
ZREM k x | ZADD k 1 a
HDEL k x | HSET k f 1
HSETNX k f 2 | HSET k f 1
XTRIM k MAXLEN 100 | XADD k 1-1 f v
SETRANGE k 0 ""
PFADD k a | PFADD k a
INCR k | SET k x
LPUSH k a | SET k x
"""


@test('every way to change a key, and what is none')
def _(s):
    a, b = s.client(), tracker(s)
    for rows, want in ((CHANGES, [keys('k')]), (NO_CHANGES, [])):
        for row in rows.strip().splitlines():
            change, _, setup = row.partition('|')
            a.call('DEL', 'k', '{k}j')
            if setup:
                a.call(*split(setup))
            b.call('EXISTS', 'k', '{k}end')
            reply = a.call(*split(change))
            a.call('INCR', '{k}end')
            got = []
            while not got or got[-1] != keys('{k}end'):
                got.append(show(b.read()))
            eq(got[:-1], want, f'{row}: {show(reply)}')
            if not want:
                a.call('SET', 'k', '1')
                gets(b, keys('k'))


@test('a reply comes before what it makes invalid')
def _(s):
    a, b = s.client(), tracker(s)
    b.call('GET', 'k')
    b.raw(encode(['SET', 'k', '1']))
    gets(b, '+OK', keys('k'))
    b.raw(encode(['GET', 'k']) + encode(['SET', 'k', '2']) + encode(['PING']))
    got = [show(b.read()) for _ in range(4)]
    ok(got.index('+OK') < got.index(keys('k')), got)
    if SHARDS == 1:
        eq(got, ['"1"', '+OK', keys('k'), '+PONG'])
    b.call('MGET', '{t}x', '{t}y')
    b.raw(b''.join(map(encode, (['MULTI'], ['SET', '{t}x', '1'], ['SET', '{t}y', '1'], ['SET', '{t}x', '2'],
                                ['GET', '{t}y'], ['EXEC'], ['PING']))))
    got = [show(b.read()) for _ in range(9)]
    eq([text for text in got if text[0] != '>'],
       ['+OK', '+QUEUED', '+QUEUED', '+QUEUED', '+QUEUED', '[+OK, +OK, +OK, "1"]', '+PONG'])
    ok(got.index(keys('{t}x')) > 5 and got.index(keys('{t}y')) > 5, got)
    a.call('SET', '{t}y', '3')  # it was read after its change
    gets(b, keys('{t}y'))


@test('transactions of others, and reads inside of one')
def _(s):
    a, b = s.client(), tracker(s)
    names = [f'k{i}' for i in range(6)]
    b.call('MGET', *names)
    a.pipeline([['MULTI'], ['MSET', *sum(([name, '1'] for name in names), [])], ['DEL', *names], ['EXEC']])
    gets(b, *map(keys, names))
    b.pipeline([['MULTI'], *(['GET', name] for name in names), ['EXEC']])
    a.call('MSET', *sum(([name, '1'] for name in names), []))
    gets(b, *map(keys, names))
    b.pipeline([['CLIENT', 'TRACKING', 'OFF'], ['MULTI'], ['GET', 'k0'], ['CLIENT', 'TRACKING', 'ON'], ['GET', 'k1'],
                ['EXEC']])
    a.call('MSET', 'k0', '1', 'k1', '1')
    gets(b, keys('k1'))


@test('databases do not count; FLUSHDB, FLUSHALL and SWAPDB')
def _(s):
    a, b = s.client(), tracker(s)
    b.call('GET', 'k')
    a.call('SELECT', '1')
    a.call('SET', 'k', '1')
    gets(b, keys('k'))
    for flush in ('FLUSHDB', 'FLUSHALL', 'FLUSHALL ASYNC'):
        b.call('GET', 'k')
        a.call(*split(flush))
        gets(b, '>["invalidate", null]')
        a.call('SET', 'k', '1')
        gets(b)
    b.raw(encode(['FLUSHALL']) + encode(['PING']))
    gets(b, '+OK', '>["invalidate", null]', '+PONG')
    b.call('GET', 'k')
    a.call('SWAPDB', '0', '1')
    gets(b)


@test('keys that expire')
def _(s):
    names = [f'k{i}' for i in range(5)]

    def expire(ms):
        b = tracker(s)
        s.client().pipeline([['SET', name, '1', 'PX', ms] for name in names])
        alive(b.call('MGET', *names))
        eq({show(b.read()) for _ in names}, {keys(name) for name in names})

    in_time(expire)


@test('keys that are due and not yet deleted')
def _(s):
    def cached(ms, *options):
        c = tracker(s, *options)
        c.call('SET', 'k', '1', 'PX', ms)
        alive(c.call('GET', 'k'))
        elapse(ms)
        return c

    a = s.client()
    a.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
    try:
        b = in_time(cached)
        gets(b)
        a.call('GET', 'k')
        gets(b, keys('k'))
        b = in_time(cached)
        b.raw(encode(['GET', 'k']))
        gets(b, 'null', keys('k'))
        for options, want in ((['NOLOOP'], []), (['NOLOOP', 'BCAST'], [keys('k')])):
            c = in_time(lambda ms: cached(ms, *options))
            c.raw(encode(['EXISTS', 'k']))  # deleting what is due is nobody's doing, but only BCAST knows
            gets(c, '0', *want)
    finally:
        a.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1')


@test('fields that expire')
def _(s):
    need_kelvin('fields that expire')

    def expire(ms):
        b = tracker(s)
        s.client().pipeline([['HSET', 'h', 'f', '1', 'g', '2'], ['HPEXPIRE', 'h', ms, 'FIELDS', '1', 'f']])
        if b.call('HLEN', 'h') != 2:
            raise Late('field expired')
        gets(b, keys('h'))
        eq(b.call('HGETALL', 'h'), [b'g', b'2'])

    in_time(expire)


@test('NOLOOP')
def _(s):
    a, b = s.client(), tracker(s, 'NOLOOP')
    b.call('GET', 'k')
    b.call('SET', 'k', '1')
    gets(b)
    b.call('GET', 'k')
    a.call('SET', 'k', '2')
    gets(b, keys('k'))
    b.call('GET', 'k')
    b.call('SET', 'k', '3')
    a.call('SET', 'k', '4')  # b's own change made it be forgotten
    gets(b)
    b.call('FLUSHALL')
    gets(b, '>["invalidate", null]')


@test('OPTIN and OPTOUT')
def _(s):
    a, b = s.client(), tracker(s, 'OPTIN')
    b.call('GET', 'a')
    b.call('CLIENT', 'CACHING', 'YES')
    b.call('GET', 'b')
    b.call('GET', 'c')
    b.pipeline([['CLIENT', 'CACHING', 'YES'], ['MULTI'], ['GET', 'd'], ['GET', 'e'], ['EXEC'], ['GET', 'f']])
    b.pipeline([['MULTI'], ['GET', 'g'], ['CLIENT', 'CACHING', 'YES'], ['GET', 'h'], ['EXEC']])
    for name in 'abcdefgh':
        a.call('SET', name, '1')
    gets(b, *map(keys, 'bdeh'))
    b = tracker(s, 'OPTOUT')
    b.pipeline([['GET', 'a'], ['CLIENT', 'CACHING', 'NO'], ['GET', 'b'], ['GET', 'c']])
    a.call('MSET', *sum(([name, '1'] for name in 'abc'), []))
    gets(b, keys('a'), keys('c'))


@test('scripts: what they read, and what they change')
def _(s):
    a, b = s.client(), tracker(s)
    for command in ('EVAL', 'EVAL_RO'):
        b.call(command, 'return redis.call("GET", KEYS[1])', '1', 'k')
        a.call('EVAL', 'redis.call("SET", KEYS[1], 1) return redis.call("SET", KEYS[1], 2)', '1', 'k')
        gets(b, keys('k'))
    b.call('GET', 'k')
    b.raw(encode(['EVAL', 'redis.call("SET", KEYS[1], 3) return redis.call("SET", KEYS[1], 4)', '1', 'k']))
    gets(b, '+OK', keys('k'))
    c = tracker(s, 'OPTIN')
    read = ['EVAL', 'return redis.call("GET", KEYS[1])', '1', 'k']
    c.pipeline([read, ['CLIENT', 'CACHING', 'YES'], read, read])
    a.call('SET', 'k', '5')
    a.call('SET', 'k', '6')
    gets(c, keys('k'))
    if IS_KELVIN:  # so since 7.2; before, all keys that the script had declared counted
        b.call('EVAL', 'redis.call("INCR", KEYS[3]) return redis.call("GET", KEYS[1])', '3', '{k}a', '{k}b', '{k}c')
        b.call('EVAL_RO', 'return 1', '1', '{k}b')
        a.call('MSET', '{k}a', '1', '{k}b', '1', '{k}c', '1')
        gets(b, keys('{k}a'))


@test('broadcast, ended and begun again')
def _(s):
    a, c = s.client(), tracker(s, 'BCAST', 'PREFIX', 'old:')
    for i in range(20):
        c.pipeline([['CLIENT', 'TRACKING', 'OFF'], ['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', f'new{i}:']])
        a.call('MSET', f'new{i}:x', '1', 'old:x', '1', f'new{i - 1}:x', '1')
        eq(show(c.read()), keys(f'new{i}:x'))
    gets(c)


@test('broadcast')
def _(s):
    a = s.client()
    b, every, c = tracker(s, 'BCAST', 'PREFIX', 'b:', 'PREFIX', 'a:'), tracker(s, 'BCAST'), s.client(resp=3)
    a.call('SET', 'b:{1}', '1')
    gets(b, keys('b:{1}'))
    gets(every, keys('b:{1}'))
    a.call('SET', 'c', '1')
    a.call('GET', 'a:')
    gets(b)
    gets(every, keys('c'))
    a.pipeline([['MULTI'], *(['SET', name, '1'] for name in ('b:{1}2', 'a:{1}2', 'a:{1}', 'a:{1}2', 'a:', 'x{1}', 'b{1}')),
                ['EXEC']])
    gets(b, keys('a:', 'a:{1}', 'a:{1}2'), keys('b:{1}2'))
    gets(every, keys('a:', 'a:{1}', 'a:{1}2', 'b:{1}2', 'b{1}', 'x{1}'))
    a.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
    a.call('SET', 'b:1', '1', 'PX', '1')
    gets(b, keys('b:1'))
    a.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1')
    gets(b, keys('b:1'))  # it has expired
    a.call('FLUSHALL')
    gets(b, '>["invalidate", null]')
    ok(c.quiet(0.001), 'nothing for who does not track')


@test('broadcast with NOLOOP')
def _(s):
    a, b, c = s.client(), tracker(s, 'BCAST', 'NOLOOP', 'PREFIX', 'k'), tracker(s, 'BCAST', 'PREFIX', 'k')
    b.call('SET', 'k1', '1')
    gets(b)
    gets(c, keys('k1'))
    a.call('SET', 'k2', '1')
    gets(b, keys('k2'))
    gets(c, keys('k2'))
    expect(b, 'CLIENT TRACKING on bcast prefix x', '+OK')  # for all prefixes
    b.raw(encode(['SET', 'k1', '1']))
    gets(b, '+OK', keys('k1'))


@test('from keys to broadcast and back')
def _(s):
    a, b = s.client(), tracker(s)
    b.call('GET', 'k')
    b.call('CLIENT', 'TRACKING', 'OFF')
    expect(b, 'CLIENT TRACKING on bcast prefix x', '+OK')
    a.call('SET', 'k', '1')
    gets(b)
    a.call('SET', 'x', '1')
    gets(b, keys('x'))
    b.call('CLIENT', 'TRACKING', 'OFF')
    a.call('SET', 'x', '1')
    gets(b)
    expect(b, 'CLIENT TRACKING on', '+OK')
    b.call('GET', 'x')
    a.call('SET', 'x', '1')
    gets(b, keys('x'))


@test('REDIRECT to a subscriber')
def _(s):
    a, (d, number) = s.client(), subscriber(s)
    two, three = tracker(s, 'REDIRECT', number, resp=2), tracker(s, 'REDIRECT', number, 'NOLOOP')
    expect(two, 'CLIENT GETREDIR', str(number))
    expect(two, 'CLIENT TRACKINGINFO', f'["flags", ["on"], "redirect", {number}, "prefixes", []]')
    eq((line(a, client_id(two))['flags'], line(a, client_id(two))['redir'], line(a, client_id(a))['redir']),
       ('t', str(number), '-1'))
    two.call('GET', 'k')
    a.call('SET', 'k', '1')
    gets(d, message('k'))
    two.call('GET', 'k')
    two.call('SET', 'k', '2')
    gets(d, message('k'))
    three.call('GET', 'k')
    two.call('GET', 'k')
    a.call('SET', 'k', '3')
    gets(d, message('k'), message('k'))
    three.call('GET', 'k')
    three.call('SET', 'k', '2')
    gets(d)
    ok(two.quiet(0.001) and three.quiet(0.001), 'nothing comes here')
    b = tracker(s, 'BCAST', 'REDIRECT', number, 'PREFIX', 'p', resp=2)
    a.call('SET', 'p1', '1')
    gets(d, message('p1'))
    a.call('PUBLISH', '__redis__:invalidate', 'x')
    gets(d, '["message", "__redis__:invalidate", "x"]')
    b.call('CLIENT', 'TRACKING', 'OFF')
    a.call('SET', 'p1', '1')
    gets(d)
    # To another subscriber, for what was read before too.
    e, other = subscriber(s, 'something else')
    two.call('GET', 'k')
    expect(two, ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', other], '+OK')
    a.call('SET', 'k', '4')
    gets(e, message('k'))
    gets(d)


@test('REDIRECT to a RESP3 connection, and to one that does not listen')
def _(s):
    a, d = s.client(), s.client(resp=3)
    b = tracker(s, 'REDIRECT', client_id(d), resp=2)
    b.call('GET', 'k')
    a.call('SET', 'k', '1')
    gets(d, keys('k'))
    d.call('HELLO', '2')
    b.call('GET', 'k')
    a.call('SET', 'k', '1')
    gets(d)
    itself = s.client(resp=3)
    expect(itself, ['CLIENT', 'TRACKING', 'ON', 'REDIRECT', client_id(itself)], '+OK')
    itself.call('GET', 'k')
    a.call('SET', 'k', '1')
    gets(itself, keys('k'))


@test('a broken redirection')
def _(s):
    a, d = s.client(), s.client(resp=3)
    number = client_id(d)
    b, c = tracker(s, 'REDIRECT', number), tracker(s, 'REDIRECT', number, resp=2)
    b.call('GET', 'k')
    c.call('GET', 'k')
    expect(d, 'QUIT', '+OK')
    broken = f'>["tracking-redir-broken", {number}]'
    a.call('SET', 'k', '1')
    gets(b, broken)
    gets(c)
    for client in (b, c):
        expect(client, 'CLIENT GETREDIR', str(number))
        eq(line(a, client_id(client))['flags'], 'tR')
    expect(c, 'CLIENT TRACKINGINFO', f'["flags", ["on", "broken_redirect"], "redirect", {number}, "prefixes", []]')
    a.call('FLUSHALL')
    gets(b, broken)
    b.call('GET', 'k')
    b.raw(encode(['SET', 'k', '1']))
    gets(b, '+OK', broken)
    expect(b, 'CLIENT TRACKING on', '+OK')
    expect(b, 'CLIENT TRACKINGINFO', '{"flags": ~["on"], "redirect": 0, "prefixes": []}')
    b.call('GET', 'k')
    a.call('SET', 'k', '2')
    gets(b, keys('k'))


@test('HELLO and RESET')
def _(s):
    a, b = s.client(), tracker(s, resp=2)
    b.call('GET', 'k')
    a.call('SET', 'k', '1')
    gets(b)  # RESP2 has no way to be told
    b.call('GET', 'k')
    b.call('HELLO', '3')
    a.call('SET', 'k', '1')
    gets(b, keys('k'))
    b.call('GET', 'k')
    b.call('RESET')
    b.call('HELLO', '3')
    a.call('SET', 'k', '1')
    gets(b)


@test('CLIENT REPLY OFF does not keep invalidations back')
def _(s):
    a, b = s.client(), tracker(s)
    b.raw(encode(['CLIENT', 'REPLY', 'OFF']) + encode(['GET', 'k']))
    eventually(lambda: s.info('stats')['tracking_total_keys'] == '1', 'not read')
    a.call('SET', 'k', '1')
    gets(b, keys('k'))


@test('INFO and CLIENT LIST')
def _(s):
    def figures():
        info = s.info()
        return [int(info[name]) for name in ('tracking_clients', 'tracking_total_keys', 'tracking_total_items',
                                             'tracking_total_prefixes')]

    a, b, c, d = s.client(), tracker(s), tracker(s, 'BCAST', 'PREFIX', 'x', 'PREFIX', 'y'), tracker(s, 'BCAST', 'PREFIX', 'x')
    e = tracker(s)
    eventually(lambda: figures() == [4, 0, 0, 2], 'at the beginning')
    b.call('MGET', 'k', 'l')
    e.call('MGET', 'l', 'm')
    eq(figures(), [4, 3, 4, 2])
    eq([line(a, client_id(client))['flags'] for client in (a, b, c)], ['N', 't', 'tB'])
    a.call('SET', 'l', '1')
    eq(figures(), [4, 2, 2, 2])
    for client in (c, e):
        client.close()
    eventually(lambda: figures()[0] == 2 and figures()[3] == 1, 'still counted')
    d.call('CLIENT', 'TRACKING', 'OFF')
    eventually(lambda: figures()[0] == 1 and figures()[3] == 0, 'still counted')
    if IS_KELVIN:
        eventually(lambda: figures() == [1, 1, 1, 0], 'what a client that is gone has read')
    a.call('FLUSHALL')
    eq(figures(), [1, 0, 0, 0])


@test('clients come and go')
def _(s):
    need_kelvin('memory for that')  # it keeps their ids until the key is changed
    for _ in range(50):
        c = tracker(s)
        c.call('MGET', *range(20))
        c.close()
    eventually(lambda: s.info('stats')['tracking_total_items'] == '0', 'their numbers stay')


@test('tracking-table-max-keys')
def _(s):
    a, b, c = s.client(), tracker(s), tracker(s)
    expect(a, 'CONFIG GET tracking-table-max-keys', '["tracking-table-max-keys", "1000000"]')
    names = [f'k{i}' for i in range(20)]
    try:
        expect(a, 'CONFIG SET tracking-table-max-keys 5', '+OK')
        for name in names:
            b.call('GET', name)
            c.call('GET', name)
        b.call('PING')
        c.call('PING')
        ok(int(s.info('stats')['tracking_total_keys']) <= 5, 'too many keys')
        eventually(lambda: b.call('PING') and len(b.pushes) >= 15, 'too few invalidations')
        ok(len(b.pushes) >= 15, b.pushes)
        ok(all(push[1][0].decode() in names for push in b.pushes), b.pushes)
        expect(a, 'CONFIG SET tracking-table-max-keys 0', '+OK')
        for name in names:
            b.call('GET', name)
        b.pushes.clear()
        ok(int(s.info('stats')['tracking_total_keys']) == 20, 'all are kept')
        expect(a, 'CONFIG SET tracking-table-max-keys 3', '+OK')
        eventually(lambda: int(s.info('stats')['tracking_total_keys']) <= 3, 'no less')
    finally:
        a.call('CONFIG', 'SET', 'tracking-table-max-keys', '1000000')


@test('a value that goes to flash and comes back has not changed; an evicted key has')
def _(s):
    need_kelvin('flash')
    with_tier = Server({'maxmemory': '64mb', 'tier-memory': '8mb'}, lines=['db 0 maxmemory 1mb', 'db 1 maxmemory 1mb',
                       'db 1 tier off', 'db 1 maxmemory-policy allkeys-lru'])
    a, b = with_tier.client(), tracker(with_tier)
    names = [f'k{i}' for i in range(100)]
    value = b'x' * 20000
    a.pipeline([['SET', name, value] for name in names])
    b.call('MGET', *names[:10])
    b.call('PING')
    eventually(lambda: a.pipeline([['GET', name] for name in names]) and int(with_tier.info('tier')['tier_drops']) > 0,
               'nothing became cold')
    gets(b)
    b.call('SELECT', '1')
    a.call('SELECT', '1')
    cached = set()
    for name in names:
        a.call('SET', name, value)
        if type(b.call('GET', name)) is bytes:
            cached.add(name.encode())
    eventually(lambda: int(with_tier.info('stats')['evicted_keys']) > 0, 'nothing was evicted')

    def told():
        there = {name for name in cached if a.call('EXISTS', name)}
        b.call('PING')
        for push in b.pushes:
            cached.difference_update(push[1])
        return cached <= there and len(there) < len(names)

    eventually(told, 'evicted keys are still cached')
    with_tier.stop()


@test('an invalidation waits until the change it tells of is on disk')
def _(s):
    need_kelvin('databases whose durability is `always`')
    logged = Server({'durability': 'always'})
    a, b, look = logged.client(), [tracker(logged), tracker(logged, 'BCAST', 'PREFIX', 'k')], logged.client()
    for _ in range(4):
        b.append(logged.client(3))
        tracker(logged, 'BCAST', 'PREFIX', 'k', 'REDIRECT', b[-1].call('CLIENT', 'ID'))
    first = b[0]
    for i in range(60):
        first.call('GET', f'k{i}')
        a.send('SET', f'k{i}', 'x' * 100000)
        b.append(b.pop(0))  # the first one read finds out
        for c in b:
            eq(show(c.read()), keys(f'k{i}'))
            info = dict(line.split(':') for line in look.call('INFO', 'persistence').decode().split() if ':' in line)
            eq(info['log_durable_lsn'], info['log_appended_lsn'], 'durable and appended')
        a.reply()
    logged.stop()


run(Server())
