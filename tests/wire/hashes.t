#!/usr/bin/python3
"""Hashes where the differential test cannot reach: what is random, iterations, the forms, what the log says, restarts."""
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, ROOT, Server, eq, expect, keys, need_kelvin, ok, run, seed, session, show, test

SEED = seed()


def fields(n, prefix='field:'):
    return {f'{prefix}{i:09}'.encode(): b'%d' % i if i % 3 else b'value %d' % i for i in range(n)}


FORMS = {
    'listpack': {**fields(60), b'': b'', b'12': b'-7', b'-5000000000': b'x', b'e': b'1.5'},
    'hashtable': {**fields(keys(5000)), b'x' * 300: b'y' * 70000, b'': b'', b'7': b'z' * 254, b'8': b'z' * 255},
}


def fill(c, key, pairs):
    c.call('DEL', key)
    words = [w for pair in pairs.items() for w in pair]
    for at in range(0, len(words), 1000):
        c.call('HSET', key, *words[at:at + 1000])


def get(c, key):
    reply = c.call('HGETALL', key)
    pairs = dict(zip(reply[::2], reply[1::2]))
    eq(len(pairs), len(reply) // 2)
    return pairs


def each_form(s):
    c = s.client()
    for form, pairs in FORMS.items():
        fill(c, 'h', pairs)
        eq(c.call('OBJECT', 'ENCODING', 'h').decode(), form)
        yield c, pairs


session('forms and limits', '''
    > HSET h a 1
    1
    > OBJECT ENCODING h
    "listpack"
    > HSET h a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    0
    > OBJECT ENCODING h
    "hashtable"
    > HSET h a 2
    0
    > OBJECT ENCODING h
    "hashtable"
    > CONFIG SET hash-max-listpack-entries 2 hash-max-listpack-value 3
    +OK
    > HSET p a 1 b 2
    2
    > OBJECT ENCODING p
    "listpack"
    > HINCRBY p a 998
    999
    > OBJECT ENCODING p
    "listpack"
    > HINCRBY p a 1
    1000
    > OBJECT ENCODING p
    "hashtable"
    > HSET q a 1 b 2 c 3
    3
    > OBJECT ENCODING q
    "hashtable"
    > HSETNX q long 4
    1
    > HGETALL q
    sorted ["1", "2", "3", "4", "a", "b", "c", "long"]
    > CONFIG SET hash-max-listpack-entries 512 hash-max-listpack-value 64
    +OK
    > HDEL q a b c long
    4
    > EXISTS q
    0
''')

session('what 7.0 has not: HSCAN NOVALUES', '''
    > HSET h a 1 b 2
    2
    > HSCAN h 0 NOVALUES
    ["0", ["a", "b"]]
    > HSCAN h 0 MATCH b novalues COUNT 1
    ["0", ["b"]]
    > HSCAN h 0 NOVALUES COUNT
    -ERR syntax error
    > HSCAN h 0 MATCH NOVALUES
    ["0", []]
    > SSCAN h 0 NOVALUES
    -WRONGTYPE Operation against a key holding the wrong kind of value
    > SADD s a
    1
    > SSCAN s 0 NOVALUES
    -ERR syntax error
''' if IS_KELVIN else '''
    > PING
    +PONG
''')


@test('HRANDFIELD: all that is asked for, fields only, and no two alike')
def _(s):
    for c, pairs in each_form(s):
        n = len(pairs)
        for count in (1, 2, n // 20, n // 2, n - 1, n, 10 ** 6):
            some = c.call('HRANDFIELD', 'h', count)
            eq(len(some), min(n, count))
            ok(len(set(some)) == len(some) and set(pairs).issuperset(some), f'{count} random fields')
        for count in (1, 7, 1000):
            reply = c.call('HRANDFIELD', 'h', -count, 'WITHVALUES')
            eq(len(reply), 2 * count)
            ok(all(pairs[f] == v for f, v in zip(reply[::2], reply[1::2])), f'{-count} random fields')
        reply = s.client(resp=3).call('HRANDFIELD', 'h', 5, 'WITHVALUES')
        ok(len(reply) == 5 and all(pairs[f] == v for f, v in reply), 'pairs in RESP3')
        seen = {c.call('HRANDFIELD', 'h') for _ in range(200)}
        ok(len(seen) > 30 and set(pairs).issuperset(seen), f'{len(seen)} different ones in 200 draws')


def hscan(c, key, *options, between=lambda: None):
    cursor, found = b'0', []
    while True:
        cursor, page = c.call('HSCAN', key, cursor, *options)
        found += zip(page[::2], page[1::2])
        if cursor == b'0':
            return found
        between()


@test('HSCAN gives each field once, and with changes meanwhile all that stay')
def _(s):
    rng = random.Random(SEED)
    for c, pairs in each_form(s):
        eq(sorted(hscan(c, 'h', 'COUNT', rng.choice([1, 10, 1000]))), sorted(pairs.items()))
        want = {f: v for f, v in pairs.items() if f.endswith(b'1')}
        eq(dict(hscan(c, 'h', 'MATCH', '*1')), want)
    stay, go = fields(keys(3000)), fields(keys(3000), 'gone:')
    fill(c, 'h', {**stay, **go})

    def change():
        for i in range(20):
            c.call('HSET', 'h', b'new:%d' % rng.randrange(10 ** 6), 'x', rng.choice(list(go)), 'y' * rng.randrange(90))
        c.call('HDEL', 'h', *rng.sample(list(go), 40))
    found = dict(hscan(c, 'h', 'COUNT', 20, between=change))
    ok(all(found.get(f) == v for f, v in stay.items()), 'a field that stayed was missed')


@test('random changes agree with a dict')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    for n in (8, 300, 3000):
        names, model = list(fields(n)), {}
        for _ in range(60):
            calls, want = [], []
            for _ in range(50):
                name, value = rng.choice(names), rng.choice([b'%d' % rng.randrange(100), b'v' * rng.randrange(40)])
                kind = rng.randrange(4)
                if kind == 0:
                    calls.append(('HDEL', f'm{n}', name))
                    want.append(int(model.pop(name, None) is not None))
                elif kind == 1:
                    calls.append(('HGET', f'm{n}', name))
                    want.append(model.get(name))
                elif kind == 2:
                    calls.append(('HSETNX', f'm{n}', name, value))
                    want.append(int(name not in model))
                    model.setdefault(name, value)
                else:
                    calls.append(('HSET', f'm{n}', name, value))
                    want.append(int(name not in model))
                    model[name] = value
            eq([r if isinstance(r, (int, bytes)) else None for r in c.pipeline(calls)], want)
            eq(c.call('HLEN', f'm{n}'), len(model))
        eq(get(c, f'm{n}'), model)


@test('DUMP here, RESTORE there, both ways')
def _(s):
    if ORACLE is None:
        return
    oracle = Server(binary=ORACLE)
    ours, theirs = s.client(), oracle.client()
    rng = random.Random(SEED)
    numbers = {b'%d' % (i << bits): b'%d' % -(i << bits) for bits in (0, 6, 11, 14, 22, 30, 55) for i in range(-9, 9)}
    for pairs in list(FORMS.values()) + [numbers, fields(512), fields(513), {b'a': b'x' * 65}, {b'': b''}]:
        for source, target in ((ours, theirs), (theirs, ours)):
            fill(source, 'h', pairs)
            for name in rng.sample(list(pairs), len(pairs) // 3):
                source.call('HDEL', 'h', name)
            for c in (source, target):
                eq(show(c.call('RESTORE', 'd', 0, source.call('DUMP', 'h'), 'REPLACE')), '+OK')
            eq(get(target, 'd'), get(source, 'h'))
            eq(target.call('OBJECT', 'ENCODING', 'd'), source.call('OBJECT', 'ENCODING', 'd'))
            target.call('HSET', 'd', 'new', 1, *list(pairs)[:1], 'other')
            eq(target.call('HLEN', 'd'), len(get(source, 'h') | {b'new': 1, list(pairs)[0]: b''}))
    oracle.stop()


def effects(server):
    dump = subprocess.run([os.path.join(ROOT, os.environ.get('KELVIN_BUILD', 'build'), 'kelvin-log_dump'),
                           os.path.join(server.dir, 'appendonlydir')], capture_output=True, text=True, check=False)
    return [e for e in re.findall(r'^    \d+ db\d+ (.*)$', dump.stdout, re.M) if 'SELECT' not in e]


def says(server, steps):
    """Each step is a command and the effects that it has, apart by |."""
    c = server.client()
    want = []
    for command, effect in steps:
        c.call(*command.split())
        want += effect.split('|') if effect else []
    server.stop()
    got = [' '.join(re.findall(r'"([^"]*)"', e)) for e in effects(server)]
    ok(len(got) == len(want) and all(re.fullmatch(w, g) for w, g in zip(want, got)), f'{got}\n{want}')


@test('the log says what happened')
def _(_s):
    need_kelvin('effects of its own')
    says(Server({'durability': 'everysec'}), [
        ('HSET h a 1 b 2', 'HSET h a 1 b 2'), ('HSETNX h a 3', None), ('HSETNX h c 3', 'HSET h c 3'),
        ('HMSET h d x', 'HMSET h d x'), ('HINCRBY h a 5', 'HSET h a 6'), ('HINCRBYFLOAT h a 0.5', 'HSET h a 6.5'),
        ('HINCRBY h a 1', None), ('HDEL h nosuch', None), ('HDEL h a nosuch', 'HDEL h a nosuch'), ('HGET h b', None),
        ('HDEL h b c d', 'HDEL h b c d'), ('HDEL h b', None)])


@test('hashes survive restarts and kill -9')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    rng = random.Random(SEED)
    for round_ in range(4):
        for name, pairs in FORMS.items():
            for i in range(3):
                key = f'{name}{i}'
                fill(c, key, dict(rng.sample(list(pairs.items()), len(pairs) // 2)))
                c.call('HDEL', key, *rng.sample(list(pairs), 20))
                c.call('HINCRBY', key, 'counter', rng.randrange(1000))
                c.call('HINCRBYFLOAT', key, 'counter', '0.25')
                c.call('HSET', key, *[w for f in rng.sample(list(pairs), 10) for w in (f, rng.randbytes(rng.choice([3, 90])))])
        model = {name: get(c, name) for name in c.call('KEYS', '*')}
        if IS_KELVIN and round_ % 2:
            c.call('BGREWRITEAOF')
        server.restart(kill=round_ % 2 == 0)
        c = server.client()
        eq({name: get(c, name) for name in c.call('KEYS', '*')}, model)
    server.stop()


@test('a hash of many fields is deleted, overwritten and expired')
def _(s):
    c = s.client()
    for command in ('DEL h', 'UNLINK h', 'SET h x', 'PEXPIRE h 1'):
        fill(c, 'h', fields(keys(20000)))
        c.call(*command.split())
        c.call('FLUSHALL')
    eq(c.call('DBSIZE'), 0)
    fill(c, 'h', fields(keys(20000)))
    names = list(fields(keys(20000)))
    for at in range(0, len(names), 1000):
        c.call('HDEL', 'h', *names[at:at + 1000])
    expect(c, 'EXISTS h', '0')


run(Server())
