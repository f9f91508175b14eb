#!/usr/bin/python3
"""Sorted sets where the differential test cannot reach: what is random, iterations, the forms, what is newer than the
oracle, what the log says, payloads of all encodings, restarts."""
import math
import os
import random
import re
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, ROOT, Server, eq, expect, keys, need_kelvin, ok, run, seed, session, show, test

SEED = seed()


def members(n, prefix='member:'):
    return [f'{prefix}{i:09}'.encode() for i in range(n)]


FORMS = {
    'listpack': [b'm%d' % i for i in range(60)] + [b'%d' % i for i in range(30)] + [b''],
    'skiplist': members(keys(5000)) + [b'x' * 70, b'y' * 70000, b'', b'17'],
}
SCORES = [0, 1, -1, 1.5, 0.1, 1e300, -1e-300, 1e17, math.inf, -math.inf, 5e-324, 123456789.125, 2.0 ** 53, -7]


def score_of(rng):
    return rng.choice(SCORES) if rng.random() < 0.2 else rng.randint(-100, 100) if rng.random() < 0.5 else rng.random()


def fill(c, key, scores):
    c.call('DEL', key)
    items = list(scores.items())
    for at in range(0, len(items), 500):
        c.call('ZADD', key, *[x for member, score in items[at:at + 500] for x in (repr(score), member)])


def read(c, key, *options):
    flat = c.call('ZRANGE', key, *(options or ('0', '-1')), 'WITHSCORES')
    return [(flat[i], float(flat[i + 1])) for i in range(0, len(flat), 2)]


def in_order(scores):
    return sorted(scores.items(), key=lambda item: (item[1], item[0]))


def each_form(s, rng):
    c = s.client()
    for form, words in FORMS.items():
        scores = {word: score_of(rng) for word in words}
        fill(c, 'z', scores)
        eq(c.call('OBJECT', 'ENCODING', 'z').decode(), form)
        yield c, scores


session('forms and limits', '''
    > ZADD z 1 a 2 b
    2
    > OBJECT ENCODING z
    "listpack"
    > ZADD z 3 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    1
    > OBJECT ENCODING z
    "skiplist"
    > CONFIG SET zset-max-listpack-entries 2 zset-max-listpack-value 1
    +OK
    > ZADD p 1 a 2 b
    2
    > OBJECT ENCODING p
    "listpack"
    > ZADD p 3 a
    0
    > OBJECT ENCODING p
    "listpack"
    > ZADD p 3 c
    1
    > OBJECT ENCODING p
    "skiplist"
    > ZADD q 1 aa
    1
    > OBJECT ENCODING q
    "skiplist"
    > ZUNIONSTORE u 1 q
    1
    > OBJECT ENCODING u
    "skiplist"
    > CONFIG SET zset-max-listpack-entries 0
    +OK
    > ZADD none 1 a
    1
    > OBJECT ENCODING none
    "skiplist"
    > CONFIG SET zset-max-listpack-entries 128 zset-max-listpack-value 64
    +OK
    > ZREM p a b c
    3
    > EXISTS p
    0
''')

session('WITHSCORE of ZRANK, and the shortest spelling of scores', '''
    > ZADD z 0.1 a 2 b 1e20 c -inf d
    4
    > ZRANK z b WITHSCORE
    [2, "2"]
    > ZREVRANK z d withscore
    [3, "-inf"]
    > ZRANK z nosuch WITHSCORE
    nilarray
    > ZRANK nosuch x WITHSCORE
    nilarray
    > ZRANK nosuch x
    nil
    > ZRANK z b WITHSCORES
    -ERR syntax error
    > ZRANK z b WITHSCORE x
    -ERR wrong number of arguments for 'zrank' command
    > ZRANGE z 0 -1 WITHSCORES
    ["d", "-inf", "a", "0.1", "b", "2", "c", "1e+20"]
    > ZADD z INCR 0.2 a
    "0.30000000000000004"
    > ZADD z -0 zero
    1
    > ZSCORE z zero
    "0"
''' if IS_KELVIN else '''
    > PING
    +PONG
''')


@test('every range agrees with that of Python, in both forms')
def _(s):
    rng = random.Random(SEED)
    for c, scores in each_form(s, rng):
        want = in_order(scores)
        eq(read(c, 'z'), want)
        for _ in range(40):
            a, b = rng.randint(-len(want) - 2, len(want) + 2), rng.randint(-len(want) - 2, len(want) + 2)
            eq(read(c, 'z', a, b), want[max(a + len(want), 0) if a < 0 else a:][:max(0, (b + len(want) if b < 0 else b) + 1 - (
                max(a + len(want), 0) if a < 0 else a))])
            low, high = sorted((score_of(rng), score_of(rng)))
            inside = [item for item in want if low <= item[1] < high]
            eq(read(c, 'z', repr(low), f'({high!r}', 'BYSCORE'), inside)
            eq(read(c, 'z', f'({high!r}', repr(low), 'BYSCORE', 'REV', 'LIMIT', 1, 7), inside[::-1][1:8])
            eq(c.call('ZCOUNT', 'z', repr(low), f'({high!r}'), len(inside))
            member = rng.choice(want)
            eq(c.call('ZRANK', 'z', member[0]), want.index(member))
            eq(float(c.call('ZSCORE', 'z', member[0])), member[1])


@test('ZPOPMIN and ZPOPMAX take the ends')
def _(s):
    rng = random.Random(SEED)
    for c, scores in each_form(s, rng):
        left = in_order(scores)
        while left:
            n = rng.choice([1, 2, 30, len(left) // 2 + 1])
            if rng.random() < 0.5:
                flat, want, left = c.call('ZPOPMIN', 'z', n), left[:n], left[n:]
            else:
                flat, want, left = c.call('ZPOPMAX', 'z', n), left[::-1][:n], left[:-n]
            eq([(flat[i], float(flat[i + 1])) for i in range(0, len(flat), 2)], want)
            eq(c.call('ZCARD', 'z'), len(left))
        eq(c.call('EXISTS', 'z'), 0)


@test('ZRANDMEMBER: all that is asked for, members only, and no two alike')
def _(s):
    rng = random.Random(SEED)
    for c, scores in each_form(s, rng):
        for n in (1, 2, len(scores) // 20, len(scores) // 2, len(scores) - 1, len(scores), 10 ** 6):
            some = c.call('ZRANDMEMBER', 'z', n)
            eq(len(some), min(n, len(scores)))
            ok(len(set(some)) == len(some) and scores.keys() >= set(some), f'{n} random members')
        flat = c.call('ZRANDMEMBER', 'z', -500, 'WITHSCORES')
        ok(len(flat) == 1000 and all(scores[flat[i]] == float(flat[i + 1]) for i in range(0, 1000, 2)), 'with scores')
        seen = {c.call('ZRANDMEMBER', 'z') for _ in range(200)}
        ok(len(seen) > 30 and scores.keys() >= seen, f'{len(seen)} different ones in 200 draws')


def zscan(c, key, *options, between=lambda: None):
    cursor, found = b'0', []
    while True:
        cursor, page = c.call('ZSCAN', key, cursor, *options)
        found += [(page[i], float(page[i + 1])) for i in range(0, len(page), 2)]
        if cursor == b'0':
            return found
        between()


@test('ZSCAN gives each member once, and with changes meanwhile all that stay')
def _(s):
    rng = random.Random(SEED)
    for c, scores in each_form(s, rng):
        eq(sorted(zscan(c, 'z', 'COUNT', rng.choice([1, 10, 1000]))), sorted(scores.items()))
        eq({m for m, _ in zscan(c, 'z', 'MATCH', '*1')}, {m for m in scores if m.endswith(b'1')})
    stay, go = members(keys(3000)), members(keys(3000), 'gone:')
    fill(c, 'z', {m: rng.random() for m in stay + go})

    def change():
        c.call('ZADD', 'z', *[x for _ in range(20) for x in (rng.random(), b'new:%d' % rng.randrange(10 ** 6))])
        c.call('ZREM', 'z', *rng.sample(go, 40))
        c.call('ZINCRBY', 'z', 1, rng.choice(stay))
    ok({m for m, _ in zscan(c, 'z', 'COUNT', 20, between=change)} >= set(stay), 'a member that stayed was missed')


@test('large unions, intersections and differences agree with those of Python')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    everything = members(keys(20000))
    for _ in range(6):
        sources = []
        for i in range(rng.randint(1, 5)):
            words = rng.sample(everything, rng.choice([3, 100, 700, len(everything) // 2]))
            sources.append({word: rng.randint(-100, 100) for word in words})
            if rng.random() < 0.3:
                sources[-1] = dict.fromkeys(words, 1)
                c.call('DEL', f'{{t}}{i}')
                c.call('SADD', f'{{t}}{i}', *words)
            else:
                fill(c, f'{{t}}{i}', sources[-1])
        weights = [rng.randint(-3, 3) for _ in sources]
        names = [f'{{t}}{i}' for i in range(len(sources))]
        how, combine = rng.choice([('SUM', sum), ('MIN', min), ('MAX', max)])
        tail = ['WEIGHTS', *weights, 'AGGREGATE', how]
        common = set.intersection(*map(set, sources))
        everywhere = set().union(*sources)

        def combined(words):
            return {m: combine(x[m] * w for x, w in zip(sources, weights) if m in x) for m in words}
        left = set(sources[0]).difference(*sources[1:])
        for name, want, options in (('ZINTERSTORE', combined(common), tail), ('ZUNIONSTORE', combined(everywhere), tail),
                                    ('ZDIFFSTORE', {m: sources[0][m] for m in left}, [])):
            eq(c.call(name, '{t}to', len(names), *names, *options), len(want))
            ok(read(c, '{t}to') == in_order(want), f'{name} of {[len(x) for x in sources]} {tail}')
            flat = c.call(name[:-5], len(names), *names, *options, 'WITHSCORES')
            ok(flat[::2] == [m for m, _ in in_order(want)], name[:-5])
        eq(c.call('ZINTERCARD', len(names), *names), len(common))


def payload(rdb_type, body):
    """A DUMP payload without checksum."""
    return bytes([rdb_type]) + body + b'\x0b\x00' + b'\x00' * 8


def text(b):
    return bytes([len(b)]) + b if len(b) < 64 else b'\x80' + struct.pack('>I', len(b)) + b


def listpack(*items):
    body = b''.join(bytes([0x80 | len(i)]) + i + bytes([len(i) + 1]) for i in items)
    return struct.pack('<IH', len(body) + 7, len(items)) + body + b'\xff'


def ziplist(*items):
    body, before = b'', 0
    for item in items:
        entry = bytes([before, len(item)]) + item
        before = len(entry)
        body += entry
    return struct.pack('<IIH', len(body) + 11, 10 + len(body) - before, len(items)) + body + b'\xff'


def text_scored(*pairs):
    words = {math.inf: b'\xfe', -math.inf: b'\xff'}
    return bytes([len(pairs)]) + b''.join(
        text(m) + words.get(s, bytes([len(repr(s))]) + repr(s).encode()) for m, s in pairs)


def scored(*pairs):
    return bytes([len(pairs)]) + b''.join(text(m) + struct.pack('<d', s) for m, s in pairs)


@test('payloads of all encodings, good and bad')
def _(s):
    need_kelvin('Redis asks for the checksum')
    c = s.client()
    good = [(3, text_scored((b'b', 2.5), (b'a', 1), (b'z', math.inf), (b'y', -math.inf)), 'y -inf a 1 b 2.5 z inf'),
            (5, scored((b'b', 2.5), (b'a', 1), (b'17', -3)), '17 -3 a 1 b 2.5'), (5, scored((b'a', -0.0)), 'a 0'),
            (12, text(ziplist(b'a', b'1', b'b', b'2.5', b'c', b'inf')), 'a 1 b 2.5 c inf'),
            (17, text(listpack(b'a', b'1', b'b', b'2.5', b'c', b'inf')), 'a 1 b 2.5 c inf'),
            (17, text(listpack(b'a', b'1', b'b', b'1')), 'a 1 b 1')]
    for rdb_type, body, want in good:
        eq(show(c.call('RESTORE', 'z', 0, payload(rdb_type, body), 'REPLACE')), '+OK', f'type {rdb_type}')
        eq(b' '.join(c.call('ZRANGE', 'z', 0, -1, 'WITHSCORES')).decode(), want)
        expect(c, 'ZADD z 1.5 more', '1')
    bad = [(3, text_scored()), (3, b'\x01\x01a\xfd'), (3, b'\x01\x01a\x01x'), (3, text_scored((b'a', 1), (b'a', 1))),
           (5, b'\x00'), (5, scored((b'a', math.nan))), (5, scored((b'a', 1), (b'a', 2))), (5, b'\x02' + scored((b'a', 1))[1:]),
           (5, b'\x81' + b'\xff' * 8), (5, scored((b'a', 1)) + b'x'),
           (12, text(ziplist())), (12, text(ziplist(b'a'))), (12, text(ziplist(b'a', b'x'))),
           (12, text(ziplist(b'a', b'1', b'a', b'2'))), (17, text(listpack())), (17, text(listpack(b'a'))),
           (17, text(listpack(b'a', b'nan'))), (17, text(listpack(b'a', b'2', b'b', b'1'))),
           (17, text(listpack(b'b', b'1', b'a', b'1'))), (17, text(listpack(b'a', b'1', b'b', b'2', b'a', b'3'))),
           (17, text(listpack(b'a', b'1'))[:-1]), (17, text(listpack(b'a', b''))), (17, text(b''))]
    for rdb_type, body in bad:
        eq(show(c.call('RESTORE', 'bad', 0, payload(rdb_type, body))), '-ERR Bad data format', f'{rdb_type} {body}')


@test('DUMP here, RESTORE there, both ways')
def _(s):
    if ORACLE is None:
        return
    rng = random.Random(SEED)
    oracle = Server(binary=ORACLE)
    ours, theirs = s.client(), oracle.client()
    for words in list(FORMS.values()) + [[b'1'], [b''], members(129), members(600)]:
        for source, target in ((ours, theirs), (theirs, ours)):
            fill(source, 'z', {word: score_of(rng) for word in words})
            source.call('ZREM', 'z', *rng.sample(words, len(words) // 3))
            eq(show(target.call('RESTORE', 'd', 0, source.call('DUMP', 'z'), 'REPLACE')), '+OK')
            eq(read(target, 'd'), read(source, 'z'))
            expect(target, 'ZADD d 3 another', '1')
    oracle.stop()


def effects(server):
    dump = subprocess.run([os.path.join(ROOT, os.environ.get('KELVIN_BUILD', 'build'), 'kelvin-log_dump'),
                           os.path.join(server.dir, 'appendonlydir')], capture_output=True, text=True, check=False)
    return re.findall(r'^    \d+ db\d+ (.*)$', dump.stdout, re.M)


@test('the log says what happened, one key at a time')
def _(_s):
    need_kelvin('effects are its own')
    server = Server({'durability': 'everysec'})
    c = server.client()
    steps = [('ZADD z 1 a 2 b', '"ZADD" "z" "1" "a" "2" "b"'), ('ZADD z 1 a', None), ('ZADD z NX 5 a 3 c', '"ZADD" "z" "3" "c"'),
             ('ZADD z XX GT CH 0 a 7.25 b', '"ZADD" "z" "7.25" "b"'), ('ZADD z INCR 0.1 a', '"ZADD" "z" "1.1" "a"'),
             ('ZINCRBY z 0.1 a', '"ZADD" "z" "1.2000000000000002" "a"'), ('ZINCRBY z 0 a', None), ('ZINCRBY z inf b',
              '"ZADD" "z" "inf" "b"'), ('ZADD nosuch XX 1 a', None), ('ZREM z x', None), ('ZPOPMIN z', '"ZREM" "z" "a"'),
             ('ZADD z 1 a 4 d', '"ZADD" "z" "1" "a" "4" "d"'), ('ZPOPMAX z 2', '"ZREMRANGEBYRANK" "z" "-2" "-1"'),
             ('ZMPOP 1 z MIN', '"ZREM" "z" "a"'), ('ZREMRANGEBYSCORE z 0 1', None), ('ZREMRANGEBYSCORE z 0 5',
              '"ZREMRANGEBYSCORE" "z" "0" "5"'), ('ZADD z 1 a 2 b 3 c', '"ZADD" "z" "1" "a" "2" "b" "3" "c"'),
             ('ZPOPMIN z 0', None), ('ZRANGESTORE {z}r z 0 1', '"RESTORE" "{z}r" "0" .* "REPLACE"'),
             ('ZUNIONSTORE {z}u 2 z {z}r', '"RESTORE" "{z}u" "0" .* "REPLACE"'), ('ZINTERSTORE {z}u 1 nosuch', '"DEL" "{z}u"'),
             ('ZDIFFSTORE {z}u 1 nosuch', None), ('ZREMRANGEBYRANK z 0 -1', '"ZREMRANGEBYRANK" "z" "0" "-1"'),
             ('GEOADD g 13.361389 38.115556 P', '"ZADD" "g" "3479099956230698" "P"'),
             ('GEOSEARCHSTORE {g}s g FROMLONLAT 13 38 BYRADIUS 100 km', '"RESTORE" "{g}s" "0" .* "REPLACE"'),
             ('GEORADIUS g 13 38 1 m STORE {g}s', '"DEL" "{g}s"')]
    want = []
    for command, effect in steps:
        c.call(*command.split())
        want += [re.sub(r'([{}])', r'\\\1', effect)] if effect else []
    server.stop()
    got = [e for e in effects(server) if 'SELECT' not in e]
    ok(len(got) == len(want) and all(re.fullmatch(w, g) for w, g in zip(want, got)), '\n'.join(
        f'{g}\n    {w}' for w, g in zip(want, got) if not re.fullmatch(w, g)) + f'\n{len(got)} {len(want)}')


@test('sorted sets survive restarts and kill -9')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    rng = random.Random(SEED)
    for round_ in range(4):
        for name, words in FORMS.items():
            for i in range(3):
                key = f'{name}{i}'
                fill(c, key, {word: score_of(rng) for word in rng.sample(words, len(words) // 2)})
                c.call('ZPOPMIN', key)
                c.call('ZPOPMAX', key, rng.randrange(30))
                c.call('ZREM', key, *rng.sample(words, 20))
                for word in rng.sample(words, 20):
                    c.call('ZINCRBY', key, repr(rng.uniform(-1, 1)), word)
                c.call('ZREMRANGEBYRANK', key, 3, 5)
        c.call('ZUNIONSTORE', 'union', 3, *[f'{name}{i}' for name in FORMS for i in range(3)][:3])
        c.call('ZRANGESTORE', 'range', 'skiplist1', 10, 1000)
        model = {name: read(c, name) for name in c.call('KEYS', '*')}
        if IS_KELVIN and round_ % 2:
            c.call('BGREWRITEAOF')
        server.restart(kill=round_ % 2 == 0)
        c = server.client()
        eq({name: read(c, name) for name in c.call('KEYS', '*')}, model)
    server.stop()


@test('a sorted set of many members is deleted, overwritten and expired')
def _(s):
    c = s.client()
    for command in ('DEL z', 'UNLINK z', 'SET z x', 'PEXPIRE z 1', 'ZPOPMIN z 100000', 'ZREMRANGEBYRANK z 0 -1',
                    'ZINTERSTORE z 1 nosuch'):
        fill(c, 'z', {m: 1 for m in members(keys(20000))})
        c.call(*command.split())
        c.call('FLUSHALL')
    eq(c.call('DBSIZE'), 0)


run(Server())
