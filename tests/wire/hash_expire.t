#!/usr/bin/python3
"""Fields of hashes that expire. The oracle, a Redis 7.0, knows nothing of them: what is expected is what the documentation
of Redis 7.4 and 8.0 says."""
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (IS_KELVIN, ROOT, Late, Server, elapse, eq, eventually, expect, in_time, keys, ok, run, seed, session, show,
                    skip_all, test)

if not IS_KELVIN:
    skip_all('a redis-server 7.0 stands in')
SEED = seed()
LONG = 'x' * 70
AT = 9999999999999  # a far deadline in milliseconds

for _form, _value in (('listpackex', '2'), ('hashtable', LONG)):
    session(f'HEXPIRE and its family, {_form}', f'''
        > HSET h a 1 b {_value} c 3
        3
        > HEXPIRE h 1000 FIELDS 2 a nosuch
        [1, -2]
        > OBJECT ENCODING h
        "{_form}"
        > HTTL h FIELDS 3 a b nosuch
        /^\[(1000|9..), -1, -2\]$/
        > HPEXPIREAT h {AT} FIELDS 1 a
        [1]
        > HPEXPIRETIME h FIELDS 3 a b nosuch
        [{AT}, -1, -2]
        > HEXPIRETIME h FIELDS 1 a
        [{AT // 1000 + 1}]
        > HPEXPIREAT h {AT} NX FIELDS 2 a b
        [0, 1]
        > HPEXPIREAT h {AT} XX FIELDS 2 b c
        [1, 0]
        > HPEXPIREAT h {AT + 1} GT FIELDS 2 b c
        [1, 0]
        > HPEXPIREAT h {AT + 1} GT FIELDS 1 b
        [0]
        > HPEXPIREAT h {AT - 1} LT FIELDS 3 a b c
        [1, 1, 1]
        > HPEXPIREAT h {AT - 1} LT FIELDS 1 a
        [0]
        > HPERSIST h FIELDS 4 a b nosuch a
        [1, 1, -2, -1]
        > HPTTL h FIELDS 2 a b
        [-1, -1]
        > HEXPIRE h 0 FIELDS 2 a nosuch
        [2, -2]
        > HEXISTS h a
        0
        > HEXPIREAT h 1 FIELDS 1 b
        [2]
        > HPEXPIREAT h 1 NX FIELDS 1 c
        [0]
        > HGETALL h
        ["c", "3"]
        > HPEXPIRE h 0 LT FIELDS 1 c
        [2]
        > EXISTS h
        0
        > HEXPIRE h 10 FIELDS 2 a b
        [-2, -2]
        > HTTL h FIELDS 1 a
        [-2]
        > HPERSIST h FIELDS 1 a
        [-2]
    ''')

session('arguments', '''
    > SET s x
    +OK
    > HSET h a 1
    1
    > HEXPIRE s 10 FIELDS 1 a
    -WRONGTYPE Operation against a key holding the wrong kind of value
    > HTTL s FIELDS 1 a
    -WRONGTYPE Operation against a key holding the wrong kind of value
    > HPERSIST s FIELDS 1 a
    -WRONGTYPE Operation against a key holding the wrong kind of value
    > HEXPIRE h x FIELDS 1 a
    -ERR value is not an integer or out of range
    > HEXPIRE h -1 FIELDS 1 a
    -ERR invalid expire time, must be >= 0
    > HEXPIRE h 9223372036854775807 FIELDS 1 a
    -ERR invalid expire time in 'hexpire' command
    > HPEXPIREAT h 70368744177664 FIELDS 1 a
    -ERR invalid expire time in 'hpexpireat' command
    > HPEXPIREAT h 70368744177663 FIELDS 1 a
    [1]
    > HEXPIREAT h 70368744178 FIELDS 1 a
    -ERR invalid expire time in 'hexpireat' command
    > HEXPIRE h 10 FIELD 1 a
    -ERR Mandatory argument FIELDS is missing or not at the right position
    > HEXPIRE h 10 NX XX FIELDS 1 a
    -ERR Mandatory argument FIELDS is missing or not at the right position
    > HEXPIRE h 10 FIELDS 0 a
    -ERR Parameter `numFields` should be greater than 0
    > HEXPIRE h 10 FIELDS x a
    -ERR Parameter `numFields` should be greater than 0
    > HEXPIRE h 10 FIELDS 2 a
    -ERR The `numfields` parameter must match the number of arguments
    > HEXPIRE h 10 FIELDS 1 a b
    -ERR The `numfields` parameter must match the number of arguments
    > HTTL h FIELDS 0 a
    -ERR Number of fields must be a positive integer
    > HPERSIST h FIELDS 2 a
    -ERR The `numfields` parameter must match the number of arguments
    > HTTL h a b c
    -ERR Mandatory argument FIELDS is missing or not at the right position
    > HEXPIRE h 10 FIELDS 1
    -ERR wrong number of arguments for 'hexpire' command
    > hexpire h 10 nx fields 1 a
    [0]
''')

session('HGETDEL', f'''
    > HSET h a 1 b 2 c {LONG}
    3
    > HGETDEL h FIELDS 3 a nosuch a
    ["1", nil, nil]
    > HGETDEL h FIELDS 1 c
    ["{LONG}"]
    > HGETDEL h FIELDS 1 b
    ["2"]
    > EXISTS h
    0
    > HGETDEL h FIELDS 2 a b
    [nil, nil]
    > HGETDEL h FIELDS 2 a
    -ERR The `numfields` parameter must match the number of arguments
    > HGETDEL h FIELDS 0 a
    -ERR Number of fields must be a positive integer
    > HGETDEL h a b c
    -ERR Mandatory argument FIELDS is missing or not at the right position
''')

session('HGETEX', f'''
    > HSET h a 1 b 2
    2
    > HGETEX h FIELDS 2 a nosuch
    ["1", nil]
    > HGETEX h EX 1000 FIELDS 1 a
    ["1"]
    > HTTL h FIELDS 2 a b
    /^\[(1000|9..), -1\]$/
    > HGETEX h PXAT {AT} FIELDS 2 a nosuch
    ["1", nil]
    > HPEXPIRETIME h FIELDS 2 a nosuch
    [{AT}, -2]
    > HGETEX h FIELDS 1 a
    ["1"]
    > HPEXPIRETIME h FIELDS 1 a
    [{AT}]
    > HGETEX h PERSIST FIELDS 2 a b
    ["1", "2"]
    > HPEXPIRETIME h FIELDS 2 a b
    [-1, -1]
    > HGETEX h EXAT 1 FIELDS 2 a a
    ["1", nil]
    > HKEYS h
    ["b"]
    > HGETEX h PX 0 FIELDS 1 b
    ["2"]
    > EXISTS h
    0
    > HGETEX h EX 10 FIELDS 1 a
    [nil]
    > HGETEX h EX x FIELDS 1 a
    -ERR value is not an integer or out of range
    > HGETEX h EX -1 FIELDS 1 a
    -ERR invalid expire time, must be >= 0
    > HGETEX h EX 10 PX 10 FIELDS 1 a
    -ERR Mandatory argument FIELDS is missing or not at the right position
    > HGETEX h EX 10 FIELDS 2 a
    -ERR The `numfields` parameter must match the number of arguments
''')

session('HSETEX', f'''
    > HSETEX h EX 1000 FIELDS 2 a 1 b 2
    1
    > HTTL h FIELDS 2 a b
    /^\[(1000|9..), (1000|9..)\]$/
    > HSETEX h FXX FIELDS 2 a 3 c 3
    0
    > HSETEX h FNX FIELDS 2 a 3 c 3
    0
    > HSETEX h FXX KEEPTTL FIELDS 2 a 3 b {LONG}
    1
    > HTTL h FIELDS 2 a b
    /^\[(1000|9..), (1000|9..)\]$/
    > HSETEX h FNX PXAT {AT} FIELDS 1 c 4
    1
    > HSETEX h FIELDS 1 a 5
    1
    > HPEXPIRETIME h FIELDS 2 a c
    [-1, {AT}]
    > HSETEX h EXAT 1 FIELDS 3 a 6 new 7 c 8
    1
    > HGETALL h
    ["b", "{LONG}"]
    > HSETEX h PX 0 FIELDS 1 b 6
    1
    > EXISTS h
    0
    > HSETEX h PX 0 FIELDS 1 b 6
    1
    > HSETEX h FXX FIELDS 1 b 6
    0
    > EXISTS h
    0
    > HSETEX h EX 10 KEEPTTL FIELDS 1 b 6
    -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
    > HSETEX h FXX FNX FIELDS 1 b 6
    -ERR Only one of FXX or FNX arguments can be specified
    > HSETEX h EX -1 FIELDS 1 b 6
    -ERR invalid expire time, must be >= 0
    > HSETEX h BOGUS FIELDS 1 b 6
    -ERR unknown argument: BOGUS
    > HSETEX h FIELDS 2 b 6
    -ERR wrong number of arguments for 'hsetex' command
    > HSETEX h EX 1 FIELDS 2 b 6
    -ERR wrong number of arguments for 'hsetex' command
    > HSETEX h EX 1 FIELDS 0 b 6
    -ERR invalid number of fields
    > HSETEX h FXX KEEPTTL b 6
    -ERR unknown argument: b
    > HSETEX h KEEPTTL FXX FIELDS 1
    -ERR wrong number of arguments for 'hsetex' command
    > SET s x
    +OK
    > HSETEX s FIELDS 1 b 6
    -WRONGTYPE Operation against a key holding the wrong kind of value
''')

session('what becomes of a deadline', f'''
    > HSETEX h PXAT {AT} FIELDS 3 a 1 b 2 c 3
    1
    > HSET h a 5
    0
    > HINCRBY h b 5
    7
    > HINCRBYFLOAT h c 0.5
    "3.5"
    > HPEXPIRETIME h FIELDS 3 a b c
    [-1, {AT}, {AT}]
    > HMSET h b 1
    +OK
    > HPEXPIRETIME h FIELDS 1 b
    [-1]
    > COPY h g
    1
    > RENAME g f
    +OK
    > HPEXPIRETIME f FIELDS 1 c
    [{AT}]
    > OBJECT ENCODING f
    "listpackex"
    > HPERSIST f FIELDS 1 c
    [1]
    > OBJECT ENCODING f
    "listpack"
    > HSETNX h a 9
    0
    > HDEL h c
    1
    > HSET h c 9
    1
    > HPEXPIRETIME h FIELDS 1 c
    [-1]
''')


def forms(s):
    """A client, and hashes of 20 fields, the first ten of which expire soon: a pack, a table."""
    c = s.client()
    for key, value in (('p', 'v'), ('t', LONG)):
        for i in range(20):
            c.call('HSET', key, f'f{i}', f'{value}{i}')
    return c


@test('a field that is due is gone for every command, while nothing deletes it')
def _(s):
    c = forms(s)
    c.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
    for key in 'pt':
        c.call('HPEXPIRE', key, 30, 'FIELDS', 10, *[f'f{i}' for i in range(10)])
        c.call('HPEXPIREAT', key, AT, 'FIELDS', 5, *[f'f{i}' for i in range(10, 15)])
    time.sleep(0.05)
    for key in 'pt':
        left = {b'f%d' % i for i in range(10, 20)}
        eq(c.call('HLEN', key), 10)
        eq(set(c.call('HKEYS', key)), left)
        eq(len(c.call('HVALS', key)), 10)
        eq(set(c.call('HGETALL', key)[::2]), left)
        eq(c.call('HEXISTS', key, 'f1'), 0)
        expect(c, f'HGET {key} f1', 'nil')
        eq(c.call('HSTRLEN', key, 'f1'), 0)
        expect(c, f'HMGET {key} f1 f2', '[nil, nil]')
        eq(c.call('HTTL', key, 'FIELDS', 1, 'f1'), [-2])
        eq(c.call('HPERSIST', key, 'FIELDS', 1, 'f1'), [-2])
        eq(c.call('HEXPIRE', key, 100, 'FIELDS', 1, 'f1'), [-2])
        eq(set(c.call('HSCAN', key, 0, 'COUNT', 1000)[1][::2]), left)
        eq(set(c.call('HRANDFIELD', key, 100)), left)
        ok(set(c.call('HRANDFIELD', key, -100)) <= left, 'a random field that is due')
        expect(c, f'HGETDEL {key} FIELDS 1 f0', '[nil]')
        eq(c.call('HDEL', key, 'f2', 'f3'), 0)
        eq(c.call('HSETEX', key, 'FXX', 'FIELDS', 1, 'f4', 'x'), 0)
        eq(c.call('HSETNX', key, 'f4', 'new'), 1)
        eq(c.call('HINCRBY', key, 'f5', 5), 5)
        expect(c, f'HINCRBYFLOAT {key} f6 1.5', '"1.5"')
        eq(c.call('HSET', key, 'f7', 'new'), 1)
        eq(c.call('HSETEX', key, 'FNX', 'KEEPTTL', 'FIELDS', 1, 'f8', 'new'), 1)
        eq(c.call('HTTL', key, 'FIELDS', 5, 'f4', 'f5', 'f6', 'f7', 'f8'), [-1] * 5)
        eq(c.call('HLEN', key), 15)
    c.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1')


@test('fields are deleted when they are due, and the key with the last one')
def _(s):
    def expire(ms):
        c = forms(s)
        before = int(s.info('stats')['expired_subkeys'])
        for key in 'pt':
            c.call('HPEXPIRE', key, ms, 'FIELDS', 10, *[f'f{i}' for i in range(10)])
            c.call('HPEXPIRE', key, 2 * ms, 'FIELDS', 9, *[f'f{i}' for i in range(10, 19)])
        with_deadlines = s.info('keyspace')['db0']
        if int(s.info('stats')['expired_subkeys']) > before:
            raise Late('fields are gone')
        ok('subexpiry=2' in with_deadlines, with_deadlines)
        return c, before

    c, before = in_time(expire, 30)
    eventually(lambda: int(s.info('stats')['expired_subkeys']) - before == 38, 'not all fields were deleted')
    eq([c.call('HGETALL', k) for k in 'pt'], [[b'f19', b'v19'], [b'f19', LONG.encode() + b'19']])
    for key in 'pt':
        c.call('HPEXPIRE', key, 1, 'FIELDS', 1, 'f19')
    eventually(lambda: c.call('DBSIZE') == 0, 'hashes without fields')


@test('a hash of very many fields that are due at once')
def _(s):
    c, n = s.client(), keys(50000) // 1000 * 1000
    for at in range(0, n, 1000):
        c.call('HSET', 'h', *[w for i in range(at, at + 1000) for w in (f'field{i}', 'v')])
    for at in range(0, n, 1000):
        c.call('HPEXPIRE', 'h', 300, 'FIELDS', 1000, *[f'field{i}' for i in range(at, at + 1000)])
    c.call('HSET', 'h', 'stays', '1')
    eventually(lambda: c.call('HLEN', 'h') == 1, 'fields stay')
    eventually(lambda: int(s.info('stats')['expired_subkeys']) >= n, 'fields are only hidden')
    c.call('HDEL', 'h', 'stays')
    eq(c.call('EXISTS', 'h'), 0)


@test('while writes are paused nothing is deleted, and nothing that is due is seen')
def _(s):
    def deleted():
        return s.info('stats')['expired_subkeys']

    def pause(ms):
        c.call('CLIENT', 'UNPAUSE')
        c.call('DEL', 'p', 't')
        forms(s)
        before = deleted()
        c.call('HPEXPIRE', 'p', ms, 'FIELDS', 1, 'f1')
        c.call('CLIENT', 'PAUSE', '600000', 'WRITE')
        if deleted() != before:
            raise Late('the field is gone')
        elapse(ms)
        return before

    c = s.client()
    before = in_time(pause)
    time.sleep(0.3)
    eq(c.call('HLEN', 'p'), 19)
    eq(deleted(), before)
    c.call('CLIENT', 'UNPAUSE')
    eventually(lambda: deleted() != before, 'the field was never deleted')


@test('WATCH sees a field expire')
def _(s):
    def deleted():
        return int(s.info('stats')['expired_subkeys'])

    def watch(ms):
        c.call('UNWATCH')
        other, before = forms(s), deleted()
        other.call('HPEXPIRE', 'p', ms, 'FIELDS', 1, 'f1')
        c.call('WATCH', 'p')
        if deleted() > before:
            raise Late('the field is gone')
        eventually(lambda: deleted() > before, 'the field was never deleted')

    c = s.client()
    in_time(watch, 60)
    c.call('MULTI')
    c.call('PING')
    expect(c, 'EXEC', 'nilarray')


@test('DUMP and RESTORE keep deadlines; the payload says that only a Redis 7.4 can read it')
def _(s):
    c = forms(s)
    for key in 'pt':
        eq(c.call('DUMP', key)[-10], 10)
        for i in range(10):
            c.call('HPEXPIREAT', key, AT + i * 1000, 'FIELDS', 1, f'f{i}')
        payload = c.call('DUMP', key)
        eq((payload[0], payload[-10]), (25, 12) if key == 'p' else (24, 12))
        eq(show(c.call('RESTORE', 'r', '0', payload, 'REPLACE')), '+OK')
        eq(sorted(c.call('HGETALL', 'r')), sorted(c.call('HGETALL', key)))
        names = [f'f{i}' for i in range(20)]
        want = [AT + i * 1000 for i in range(10)] + [-1] * 10
        eq(c.call('HPEXPIRETIME', 'r', 'FIELDS', 20, *names), want)
    # What a Redis 7.4 dumps: field a, 1 at 1000 (long past), b without a deadline.
    body = b'\x19\xe8\x03' + bytes(6) + b'\x17\x17\0\0\0\6\0\x81a\2\1\1\xc3\xe8\2\x81b\2\x81x\2\0\1\xff'
    eq(show(c.call('RESTORE', 'old', '0', body + b'\x0c\0' + bytes(8))), '+OK')
    expect(c, 'HGETALL old', '["b", "x"]')
    eq(show(c.call('RESTORE', 'bad', '0', body[:-1] + b'\0' + b'\x0c\0' + bytes(8))), '-ERR Bad data format')


def effects(server):
    dump = subprocess.run([os.path.join(ROOT, os.environ.get('KELVIN_BUILD', 'build'), 'kelvin-log_dump'),
                           os.path.join(server.dir, 'appendonlydir')], capture_output=True, text=True, check=False)
    return [' '.join(re.findall(r'"([^"]*)"', e)) for e in re.findall(r'^    \d+ db\d+ (.*)$', dump.stdout, re.M)
            if 'SELECT' not in e]


@test('SAVE and DEBUG RELOAD keep deadlines; the file says that only a Redis 7.4 can read it')
def _(_s):
    server = Server({'durability': 'snapshot', 'save': ''})
    c = forms(server)
    c.call('HSET', 'plain', 'a', '1')
    expect(c, 'SAVE', '+OK')
    with open(os.path.join(server.dir, 'dump.rdb'), 'rb') as file:
        eq(file.read(9), b'REDIS0010')
    for key in 'pt':
        c.call('HPEXPIREAT', key, AT, 'FIELDS', 2, 'f1', 'f2')
        c.call('HPEXPIREAT', key, AT + 1, 'FIELDS', 1, 'f3')
    want = state(c)
    for again in ('DEBUG RELOAD', 'SAVE'):
        expect(c, again, '+OK')
        with open(os.path.join(server.dir, 'dump.rdb'), 'rb') as file:
            eq(file.read(9), b'REDIS0012')
        if again == 'SAVE':
            server.restart()
            c = server.client()
        eq(state(c), want)
        ok('subexpiry=2' in server.info('keyspace')['db0'], server.info('keyspace')['db0'])
    server.stop()


@test('the log says what happened, in absolute times')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    steps = [
        ('HSETEX h PXAT 9999999999999 FIELDS 2 a 1 b 2', 'HSET h a 1 b 2|HPEXPIREAT h 9999999999999 FIELDS 2 a b'),
        ('HEXPIRE h 100 FIELDS 2 a nosuch', r'HPEXPIREAT h \d{13} FIELDS 1 a'), ('HEXPIRE h 100 NX FIELDS 1 a', None),
        ('HPEXPIREAT h 9999999999999 FIELDS 1 a', 'HPEXPIREAT h 9999999999999 FIELDS 1 a'),
        ('HPERSIST h FIELDS 2 a nosuch', 'HPERSIST h FIELDS 1 a'), ('HPERSIST h FIELDS 1 a', None),
        ('HINCRBY h b 1', 'HSET h b 3|HPEXPIREAT h 9999999999999 FIELDS 1 b'),
        ('HSETEX h KEEPTTL FIELDS 2 a x b y', 'HSET h a x b y|HPEXPIREAT h 9999999999999 FIELDS 1 b'),
        ('HGETEX h PXAT 9999999999998 FIELDS 1 a', 'HPEXPIREAT h 9999999999998 FIELDS 1 a'),
        ('HGETEX h PERSIST FIELDS 2 a b', 'HPERSIST h FIELDS 2 a b'), ('HGETEX h PERSIST FIELDS 1 a', None),
        ('HGETEX h FIELDS 1 a', None), ('HSETEX h FNX FIELDS 1 a z', None), ('HEXPIRE h 0 FIELDS 2 a nosuch', 'HDEL h a'),
        ('HGETEX h EXAT 1 FIELDS 1 b', 'HDEL h b'), ('HSETEX h EXAT 1 FIELDS 1 a 1', 'HSET h a 1|HDEL h a'), ('HSET h a 1 b 2', 'HSET h a 1 b 2'),
        ('HSETEX h EXAT 1 FIELDS 2 a 1 c 1', 'HSET h a 1 c 1|HDEL h a c'), ('HGETDEL h FIELDS 2 b nosuch', 'HDEL h b'),
        ('HSETEX e PX 40 FIELDS 2 a 1 b 2', r'HSET e a 1 b 2|HPEXPIREAT e \d{13} FIELDS 2 a b|HDEL e [ab] [ab]')]
    want = []
    for command, effect in steps:
        c.call(*command.split())
        want += effect.split('|') if effect else []
    eventually(lambda: c.call('DBSIZE') == 0, 'the fields did not expire')
    server.stop()
    got = [e for e in effects(server) if e not in ('MULTI', 'EXEC')]
    ok(len(got) == len(want) and all(re.fullmatch(w, g) for w, g in zip(want, got)), f'{got}\n{want}')


def state(c):
    made = {}
    for key in c.call('KEYS', '*'):
        names = sorted(c.call('HKEYS', key))
        made[key] = list(zip(names, c.call('HMGET', key, *names), c.call('HPEXPIRETIME', key, 'FIELDS', len(names), *names)))
    return made


@test('deadlines survive restarts and kill -9; what fell due meanwhile is gone')
def _(_s):
    server = Server({'durability': 'everysec'})
    rng = random.Random(SEED)
    c = server.client()
    for round_ in range(4):
        for i in range(40):
            key, n = f'h{rng.randrange(30)}', rng.choice([3, 10, 50])
            names = [f'f{rng.randrange(n)}' for _ in range(5)]
            c.call('HSET', key, *[w for f in names for w in (f, rng.choice(['v', '12', LONG]))])
            c.call('HPEXPIREAT', key, AT + rng.randrange(1000), 'FIELDS', 2, *names[:2])
            c.call('HINCRBY', key, 'n', 1)
            c.call('HSETEX', key, 'KEEPTTL', 'FIELDS', 1, names[2], 'kept')
            if rng.random() < 0.3:
                c.call('HPERSIST', key, 'FIELDS', 1, names[0])
            c.call('HPEXPIRE', key, 700, 'FIELDS', 1, names[3])
        want = {k: [x for x in v if x[2] == -1 or x[2] >= AT] for k, v in state(c).items()}
        if round_ % 2:
            c.call('BGREWRITEAOF')
        server.restart(kill=round_ % 2 == 0)
        c = server.client()
        time.sleep(0.7)
        eq({k: v for k, v in state(c).items() if v}, {k: v for k, v in want.items() if v})
    server.stop()


@test('cold hashes: deadlines are kept, known without the value, and obeyed')
def _(_s):
    n = 3000
    server = in_time(lambda ms: restarted_cold(n, ms), 4000)
    # All are cold after a restart; those that are due are fetched and changed, all by themselves.
    c = server.client()
    for i in range(0, n, 50):
        eq(c.call('HGETALL', f'h{i}')[::2].count(b'goes'), 0)
        eq(c.call('HPEXPIRETIME', f'h{i}', 'FIELDS', 2, 'later', 'stays'), [AT + i, -1])
    eventually(lambda: int(server.info('stats')['expired_subkeys']) == n, 'not all expire', seconds=60)
    server.restart(kill=True)
    c = server.client()
    eq(c.pipeline([('HLEN', f'h{i}') for i in range(n)]), [2] * n)
    eq(server.info('stats')['expired_subkeys'], '0')
    server.stop()


def restarted_cold(n, ms):
    """A server with n hashes that has been killed and stopped, and a field of each of which is due since."""
    server = Server({'durability': 'everysec', 'maxmemory': '64mb', 'tier-memory': '8mb'}, ['db 0 maxmemory 2mb'])
    c = server.client()
    for start in range(0, n, 100):
        c.pipeline([('HSET', f'h{i}', 'stays', i, 'goes', LONG * 10, 'later', LONG * 4) for i in range(start, start + 100)])
        c.pipeline([('HPEXPIREAT', f'h{i}', AT + i, 'FIELDS', 1, 'later') for i in range(start, start + 100)])
    due = int(time.time() * 1000) + ms
    c.pipeline([('HPEXPIREAT', f'h{i}', due, 'FIELDS', 1, 'goes') for i in range(n)])

    def is_due():
        return time.time() * 1000 >= due

    def cold():
        return sum(p == b'cold' for p in c.pipeline([('OBJECT', 'TIER', f'h{i}') for i in range(n)]))
    eventually(lambda: cold() > n // 2 or is_due(), 'too few are cold')
    for kill in (None, True, False):
        if kill is not None:
            server.restart(kill)
            c = server.client()
        eventually(lambda: f'subexpiry={n}' in server.info('keyspace')['db0'], server.info('keyspace')['db0'])
    if is_due():
        server.stop()
        raise Late('fields were due before the last restart')
    elapse(due - time.time() * 1000)
    return server


run(Server())
