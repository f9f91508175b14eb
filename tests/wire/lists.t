#!/usr/bin/python3
"""Lists where the differential test cannot reach: the forms, elements too large for a node, DUMP both ways, what the log
says, restarts."""
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (IS_KELVIN, ORACLE, ROOT, Server, Skip, eq, expect, keys, need_kelvin, ok, run, seed, session, show, size,
                    test)

SEED = seed()


def fill(c, key, items, command='RPUSH'):
    c.call('DEL', key)
    for at in range(0, len(items), 500):
        c.call(command, key, *items[at:at + 500])


def whole(c, key):
    return c.call('LRANGE', key, 0, -1)


LARGE = [bytes([65 + i]) * size(n) for i, n in enumerate((9000, 70000, 300000, 20000))]
FORMS = {
    'short': [b'a', b'12', b'', b'-7', b'x' * 64],
    'listpack': [b'%d' % (i * i) for i in range(600)],
    'quicklist': [b'item:%06d' % i for i in range(keys(20000))] + [b'%d' % i for i in range(keys(5000))],
    'mixed': [x for i, large in enumerate(LARGE) for x in [b's%d' % i] * (i * 300) + [large]] + [b'end'],
    'alone': LARGE[1:2],
}


session('forms and limits', '''
    > RPUSH l a 1
    2
    > OBJECT ENCODING l
    "listpack"
    > CONFIG SET list-max-listpack-size 4
    +OK
    > RPUSH l b 2
    4
    > OBJECT ENCODING l
    "listpack"
    > LINSERT l AFTER 1 c
    5
    > OBJECT ENCODING l
    "quicklist"
    > LRANGE l 0 -1
    ["a", "1", "c", "b", "2"]
    > LPOP l 2
    ["a", "1"]
    > OBJECT ENCODING l
    "quicklist"
    > RPOP l
    "2"
    > OBJECT ENCODING l
    "listpack"
    > LSET l 0 10
    +OK
    > LRANGE l 0 -1
    ["10", "b"]
    > LREM l -9223372036854775808 10
    -ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
    > CONFIG SET list-max-listpack-size -2
    +OK
''' if IS_KELVIN else '''
    > PING
    +PONG
''')


@test('list-compress-depth: inner nodes are written compressed, and it is the same list')
def _(s):
    c = s.client()
    items = [b'item %d ' % i + b'x' * 100 for i in range(100)]
    expect(c, 'CONFIG SET list-max-listpack-size 10', '+OK')
    plain = 100 * 110
    for depth, least, most in ((0, plain, 2 * plain), (1, 0, plain // 2), (4, plain // 2, plain), (5, plain, 2 * plain)):
        expect(c, f'CONFIG SET list-compress-depth {depth}', '+OK')
        c.call('DEL', 'l')
        c.call('RPUSH', 'l', *items)
        dump = c.call('DUMP', 'l')
        if s.is_kelvin:
            ok(least < len(dump) < most, f'{len(dump)} bytes with depth {depth}')
        expect(c, ['RESTORE', 'copy', 0, dump, 'REPLACE'], '+OK')
        eq(c.call('LRANGE', 'copy', 0, -1), items)
        expect(c, 'DEBUG RELOAD', '+OK')
        eq(c.call('LRANGE', 'l', 0, -1), items)
        eq(c.call('LINDEX', 'l', 55), items[55])
        if ORACLE:
            oracle = Server(binary=ORACLE)
            expect(oracle.client(), ['RESTORE', 'l', 0, dump], '+OK')
            eq(oracle.client().call('LRANGE', 'l', 0, -1), items)
            oracle.stop()
    expect(c, 'CONFIG SET list-compress-depth 0 list-max-listpack-size -2', '+OK')


@test('elements too large for a node are kept, moved and replaced')
def _(s):
    c = s.client()
    for large in LARGE:
        eq(c.call('RPUSH', '{t}l', b'a', large, b'z'), 3)
        eq(c.call('LPUSH', '{t}l', large), 4)
        ok(whole(c, '{t}l') == [large, b'a', large, b'z'], 'pushed')
        eq(c.call('LPOS', '{t}l', large, 'COUNT', 0), [0, 2])
        ok(c.call('LMOVE', '{t}l', '{t}l', 'LEFT', 'RIGHT') == large, 'rotated')
        ok(c.call('RPOPLPUSH', '{t}l', '{t}m') == large, 'moved')
        ok(c.call('LINDEX', '{t}m', 0) == large and c.call('LINDEX', '{t}l', 1) == large, 'read')
        eq(c.call('LINSERT', '{t}l', 'AFTER', 'a', large[1:]), 4)
        eq(c.call('LINSERT', '{t}l', 'BEFORE', large, 'b'), 5)
        ok(whole(c, '{t}l') == [b'a', large[1:], b'b', large, b'z'], 'inserted')
        eq(show(c.call('LSET', '{t}l', 1, 'small')), '+OK')
        eq(show(c.call('LSET', '{t}l', 0, large)), '+OK')
        ok(whole(c, '{t}l') == [large, b'small', b'b', large, b'z'], 'set')
        eq(c.call('LREM', '{t}l', -1, large), 1)
        ok(whole(c, '{t}l') == [large, b'small', b'b', b'z'], 'removed')
        # What a reply refers to stays as it is while it waits to be sent.
        c.send('LRANGE', '{t}l', 0, -1)
        c.send('LSET', '{t}l', 0, b'other')
        c.send('DEL', '{t}l', '{t}m')
        ok(c.read()[0] == large and show(c.read()) == '+OK' and c.read() == 2, 'sent')


def change(rng, c, model, items):
    """One random change, of the list l and of its model."""
    item, n, at = rng.choice(items), rng.randrange(1, 60), rng.randrange(-len(model) - 2, len(model) + 2)
    kind = rng.randrange(9)
    if kind < 2:
        some = rng.choices(items, k=n)
        model[:0] = some[::-1] if kind else []
        model += [] if kind else some
        eq(c.call('LPUSH' if kind else 'RPUSH', 'l', *some), len(model))
    elif kind == 2:
        eq(c.call('LPOP', 'l', n) or [], model[:n])
        del model[:n]
    elif kind == 3:
        eq(c.call('RPOP', 'l', n) or [], model[::-1][:n])
        del model[len(model) - min(n, len(model)):]
    elif kind == 4 and model:
        in_range = -len(model) <= at < len(model)
        eq(show(c.call('LSET', 'l', at, item)), '+OK' if in_range else '-ERR index out of range')
        if in_range:
            model[at] = item
    elif kind == 5 and item in model:
        where = model.index(item)
        model.insert(where, b'new')
        eq(c.call('LINSERT', 'l', 'BEFORE', item, b'new'), len(model))
    elif kind == 6:
        limit = rng.choice([1, 3, len(model)])
        gone = [i for i, x in enumerate(model) if x == item][-limit:]
        eq(c.call('LREM', 'l', -limit if limit else 0, item), len(gone))
        for i in reversed(gone):
            del model[i]
    elif kind == 7 and rng.random() < 0.2:
        low, high = rng.randrange(0, 40), max(0, len(model) - rng.randrange(0, 40))
        c.call('LTRIM', 'l', low, high)
        model[:] = model[low:high + 1]
    elif model:
        model.append(model.pop(0))
        ok(c.call('LMOVE', 'l', 'l', 'LEFT', 'RIGHT') == model[-1], 'LMOVE gave something else')


@test('random changes agree with a list of Python')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    for limit in (-2, -1, 3, 50, -5):
        c.call('FLUSHALL')
        if IS_KELVIN:
            c.call('CONFIG', 'SET', 'list-max-listpack-size', limit)
        items = [b'%d' % i for i in range(40)] + [b'i' * i for i in range(0, 400, 7)] + [b'L' * size(9000)]
        model = []
        for step in range(300):
            change(rng, c, model, items)
            if step % 10 == 0:
                ok(whole(c, 'l') == model, f'after {step} steps with limit {limit}')
                low, high = sorted(rng.randrange(-len(model) - 3, len(model) + 3) for _ in range(2))
                at = rng.randrange(len(model) + 1)
                ok(c.call('LRANGE', 'l', at, at + 5) == model[at:at + 6], 'a range')
        eq(c.call('LLEN', 'l'), len(model))
    if IS_KELVIN:
        c.call('CONFIG', 'SET', 'list-max-listpack-size', -2)


@test('DUMP here, RESTORE there, both ways')
def _(s):
    if ORACLE is None:
        raise Skip('no redis-server')
    oracle = Server(binary=ORACLE)
    for limit in (-2, 3, -5):
        ours, theirs = s.client(), oracle.client()
        for c in (ours, theirs):
            c.call('CONFIG', 'SET', 'list-max-listpack-size', limit)
        for form, items in FORMS.items():
            for source, target in ((ours, theirs), (theirs, ours)):
                fill(source, 'l', items)
                source.call('LSET', 'l', -1, b'x' * 9000)
                payload = source.call('DUMP', 'l')
                eq(show(target.call('RESTORE', 'd', 0, payload, 'REPLACE')), '+OK')
                ok(whole(target, 'd') == whole(source, 'l'), f'{form} came back different')
                eq(target.call('LPUSH', 'd', 'more'), len(items) + 1)
    s.client().call('CONFIG', 'SET', 'list-max-listpack-size', -2)
    oracle.stop()


OLD = {
    # RDB type, bytes, and what they hold; as published, and as older servers wrote them.
    'LIST': (1, b'\x03\x01a\xc0\x05\x02zz', [b'a', b'5', b'zz']),
    'ZIPLIST': (10, b'\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf6\xff', [b'a', b'5']),
    'QUICKLIST': (14, b'\x02\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\xf6\xff\x10\x10\0\0\0\x0d\0\0\0\x02\0\0\x01b\x03\xf7\xff',
                  [b'a', b'5', b'b', b'6']),
    'QUICKLIST_2': (18, b'\x02\x01\x05plain\x02\x0a\x0a\0\0\0\x01\0\x81b\x02\xff', [b'plain', b'b']),
}


@test('RESTORE of the older encodings')
def _(s):
    c = s.client()
    for name, (rdb_type, body, want) in OLD.items():
        payload = bytes([rdb_type]) + body + b'\x09\x00' + b'\x00' * 8
        eq(show(c.call('RESTORE', 'l', 0, payload, 'REPLACE')), '+OK', name)
        eq(whole(c, 'l'), want, name)
        for cut in range(1, len(body)):
            torn = bytes([rdb_type]) + body[:cut] + b'\x09\x00' + b'\x00' * 8
            ok(show(c.call('RESTORE', 'torn', 0, torn, 'REPLACE')).startswith('-ERR Bad data format'), f'{name} cut at {cut}')


def effects(server):
    dump = subprocess.run([os.path.join(ROOT, os.environ.get('KELVIN_BUILD', 'build'), 'kelvin-log_dump'),
                           os.path.join(server.dir, 'appendonlydir')], capture_output=True, text=True, check=False)
    return re.findall(r'^    \d+ db\d+ (.*)$', dump.stdout, re.M)


STEPS = [
    ('RPUSH l a b c 1', '"RPUSH" "l" "a" "b" "c" "1"'), ('LPUSHX nosuch a', None), ('LPUSHX l z', '"LPUSHX" "l" "z"'),
    ('LPOP nosuch', None), ('LPOP l', '"LPOP" "l"'), ('RPOP l 0', None), ('RPOP l 1', '"RPOP" "l" "1"'),
    ('LSET l 0 A', '"LSET" "l" "0" "A"'), ('LSET l 9 A', None), ('LINSERT l BEFORE nosuch x', None),
    ('LINSERT l BEFORE b x', '"LINSERT" "l" "BEFORE" "b" "x"'), ('LREM l 0 nosuch', None),
    ('LREM l 0 x', '"LREM" "l" "0" "x"'), ('LTRIM l 0 -1', None), ('LTRIM l 0 1', '"LTRIM" "l" "0" "1"'),
    ('LMOVE l {l}t LEFT RIGHT', '"RPUSH" "{l}t" "A"|"LPOP" "l"'), ('RPOPLPUSH l {l}t', '"LPUSH" "{l}t" "b"|"RPOP" "l"'),
    ('LMOVE {l}t {l}t LEFT RIGHT', '"LPOP" "{l}t"|"RPUSH" "{l}t" "b"'), ('LMOVE {l}t {l}t LEFT LEFT', None),
    ('RPOPLPUSH l {l}t', None), ('RPUSH {l}t 1 2 3', '"RPUSH" "{l}t" "1" "2" "3"'),
    ('LMPOP 2 l {l}t LEFT', '"LPOP" "{l}t"'), ('LMPOP 2 l {l}t RIGHT COUNT 2', '"RPOP" "{l}t" "2"'),
    ('LMPOP 1 l LEFT COUNT 2', None), ('LTRIM {l}t 5 1', '"LTRIM" "{l}t" "5" "1"'), ('EXISTS {l}t', None),
]


@test('the log says what happened, one key at a time')
def _(_s):
    need_kelvin('effects are its own')
    server = Server({'durability': 'everysec'})
    c = server.client()
    want = []
    for command, effect in STEPS:
        c.call(*command.split())
        want += effect.split('|') if effect else []
    server.stop()
    eq([e for e in effects(server) if 'SELECT' not in e], want)


@test('a list that is rotated keeps its expiry, after a replay too')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    for key, items in (('one', ['only']), ('two', ['a', 'b'])):
        c.call('RPUSH', key, *items)
        c.call('PEXPIREAT', key, 5000000000000)
        expect(c, f'RPOPLPUSH {key} {key}', f'"{items[-1]}"')
        expect(c, f'PEXPIRETIME {key}', '5000000000000')
    server.restart(kill=True)
    for key in ('one', 'two'):
        expect(server.client(), f'PEXPIRETIME {key}', '5000000000000')
    expect(server.client(), 'LRANGE two 0 -1', '["b", "a"]')
    server.stop()


@test('lists survive restarts and kill -9')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    rng = random.Random(SEED)
    for round_ in range(4):
        for name, items in FORMS.items():
            for i in range(2):
                key = f'{name}{i}'
                fill(c, key, rng.choices(items, k=len(items) // 2 + 1), rng.choice(['LPUSH', 'RPUSH']))
                c.call('LPOP', key, rng.randrange(30))
                c.call('LREM', key, rng.randrange(-3, 4), rng.choice(items))
                c.call('LINSERT', key, 'AFTER', rng.choice(items), 'inserted')
                c.call('LTRIM', key, rng.randrange(3), -rng.randrange(1, 3))
                c.call('LMOVE', key, f'{name}0', 'LEFT', 'RIGHT')
                c.call('LMPOP', 2, key, f'{name}0', 'RIGHT', 'COUNT', rng.randrange(1, 5))
        names = c.call('KEYS', '*')
        model = {name: whole(c, name) for name in names}
        if IS_KELVIN and round_ % 2:
            c.call('BGREWRITEAOF')
        server.restart(kill=round_ % 2 == 0)
        c = server.client()
        ok({name: whole(c, name) for name in c.call('KEYS', '*')} == model, f'round {round_}')
    server.stop()


@test('a list of many elements is copied, deleted, overwritten and trimmed')
def _(s):
    c = s.client()
    for n, command in enumerate(['DEL {l}', 'UNLINK {l}', 'SET {l} x', 'PEXPIRE {l} 1', 'LPOP {l} 100000', 'LTRIM {l} 3 2']):
        fill(c, '{l}', FORMS['quicklist'])
        c.call('COPY', '{l}', '{l}copy')
        c.call(*command.split())
        ok(n == 2 or n == 3 or c.call('EXISTS', '{l}') == 0, command)
        ok(whole(c, '{l}copy') == FORMS['quicklist'], 'the copy')
        c.call('FLUSHALL')
    eq(c.call('DBSIZE'), 0)


run(Server())
