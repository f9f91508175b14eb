#!/usr/bin/python3
"""What commands on keys of any type do to values of every type and encoding, hot and cold."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import COLD, IS_KELVIN, Server, eq, eventually, expect, need_kelvin, ok, run, show, test

MANY = range(700)
VALUES = {
    'int': ('string', ['SET', '12345678901234567']),
    'embstr': ('string', ['SET', 'a short string of some bytes']),
    'raw': ('string', ['SET', 'long' * 300]),
    'short list': ('list', ['RPUSH', 'a', '1', 'b' * 50, '-7']),
    'long list': ('list', ['RPUSH', *[f'item:{i}' * (i % 7) for i in MANY], 'x' * 9000]),
    'intset': ('set', ['SADD', '1', '70000', '-5', '9000000000']),
    'small set': ('set', ['SADD', 'a', '1', 'b' * 50]),
    'big set': ('set', ['SADD', *[f'member:{i}' for i in MANY]]),
    'small hash': ('hash', ['HSET', 'f', 'v', 'n', '1', 'g', 'w' * 50]),
    'big hash': ('hash', ['HSET', *[f'{word}:{i}' for i in MANY for word in ('field', 'value')]]),
    'small zset': ('zset', ['ZADD', '1', 'a', '-1.5', 'b' * 50, 'inf', 'c']),
    'big zset': ('zset', ['ZADD', *[x for i in MANY for x in (i * 37 % 101 / 8, f'member:{i}')]]),
}
NAMES = sorted(VALUES)
LENGTHS = {'string': 'STRLEN', 'list': 'LLEN', 'set': 'SCARD', 'hash': 'HLEN', 'zset': 'ZCARD'}
READS = {'string': ['GETRANGE', '0', '1'], 'list': ['LINDEX', '0'], 'set': ['SISMEMBER', 'a'], 'hash': ['HGET', 'f'],
         'zset': ['ZSCORE', 'a']}


def fill(c, prefix=''):
    for name, (_, (command, *args)) in VALUES.items():
        reply = c.call(command, prefix + name, *args)
        ok(reply == b'OK' or isinstance(reply, int) and reply > 0, f'{name}: {show(reply)}')


def digests(c, names):
    return [show(x) for x in c.call('DEBUG', 'DIGEST-VALUE', *names)]


def chill(s, c, names):
    """Makes the keys' values cold. A number takes no more room than a cold entry: it stays."""
    names = [name for name in names if c.call('OBJECT', 'ENCODING', name) != b'int']
    c.call('CONFIG', 'SET', 'db.0.maxmemory', '1kb')
    try:
        for name in names:
            eventually(lambda name=name: c.call('OBJECT', 'TIER', name) == b'cold', f'{name} should be cold')
    finally:
        c.call('CONFIG', 'SET', 'db.0.maxmemory', '1mb' if COLD else '0')


def hot_and_cold(name):
    """A test of every value: as it was made, and after it was written to flash and dropped."""
    def register(function):
        @test(f'{name}: hot')
        def _(s):
            c = s.client()
            fill(c)
            for key in NAMES:
                function(s, c, key, lambda key: None)

        @test(f'{name}: cold')
        def _(s):
            need_kelvin('flash tier')
            c = s.client()
            fill(c)
            for key in NAMES:
                function(s, c, key, lambda key: chill(s, c, [key]))
    return register


@hot_and_cold('TYPE EXISTS EXPIRE TTL PERSIST TOUCH OBJECT')
def _(s, c, key, prepare):
    kind = VALUES[key][0]
    prepare(key)
    tier = c.call('OBJECT', 'TIER', key) if IS_KELVIN else None
    expect(c, ['TYPE', key], f'+{kind}')
    expect(c, ['EXISTS', key, key], '2')
    expect(c, ['TTL', key], '-1')
    expect(c, ['EXPIRE', key, '1000'], '1')
    ok(900 <= c.call('TTL', key) <= 1000, f'{key}: TTL')
    expect(c, ['PEXPIREAT', key, '9000000000000', 'GT'], '1')
    expect(c, ['PEXPIRETIME', key], '9000000000000')
    expect(c, ['PERSIST', key], '1')
    expect(c, ['PERSIST', key], '0')
    ok(c.call('OBJECT', 'IDLETIME', key) in range(60), f'{key}: IDLETIME')
    expect(c, ['OBJECT', 'FREQ', key], '/An LFU maxmemory policy is not selected/')
    if IS_KELVIN and not COLD:
        eq(c.call('OBJECT', 'TIER', key), tier, f'{key}: nothing of this needs the value')
    expect(c, ['TOUCH', key, 'missing'], '1')
    expect(c, ['OBJECT', 'REFCOUNT', key], '/^[0-9]+$/')


@hot_and_cold('COPY: equal, and independent')
def _(s, c, key, prepare):
    before = digests(c, [key])
    encoding = c.call('OBJECT', 'ENCODING', key)
    c.call('PEXPIREAT', key, '9000000000000')
    prepare(key)
    expect(c, ['COPY', key, 'copy', 'REPLACE'], '1')
    eq(digests(c, [key, 'copy'])[0], digests(c, ['copy'])[0], key)
    eq(c.call('OBJECT', 'ENCODING', 'copy'), encoding, key)
    expect(c, 'PEXPIRETIME copy', '9000000000000')
    command = VALUES[key][1][0]
    c.call(*{'SET': ['APPEND', 'copy', '!'], 'HSET': ['HSET', 'copy', 'new', '1'], 'ZADD': ['ZADD', 'copy', '5', 'new']}.get(
        command, [command, 'copy', 'new']))
    c.call('PERSIST', key)
    eq(digests(c, [key]), before, f'{key}: its copy was changed, not it')


@hot_and_cold('RENAME and MOVE take value and expiry along')
def _(s, c, key, prepare):
    c.call('PEXPIREAT', key, '9000000000000')
    before = digests(c, [key])
    c.call('SET', 'target', 'is overwritten', 'EX', '1000')
    prepare(key)
    expect(c, ['RENAME', key, 'target'], '+OK')
    expect(c, ['EXISTS', key], '0')
    eq(digests(c, ['target']), before, key)
    expect(c, 'PEXPIRETIME target', '9000000000000')
    prepare('target')
    expect(c, ['RENAMENX', 'target', key], '1')
    prepare(key)
    expect(c, ['MOVE', key, '1'], '1')
    expect(c, ['EXISTS', key], '0')
    expect(c, 'SELECT 1', '+OK')
    eq(digests(c, [key]), before, key)
    expect(c, ['PEXPIRETIME', key], '9000000000000')
    expect(c, ['MOVE', key, '0'], '1')
    expect(c, 'SELECT 0', '+OK')
    eq(digests(c, [key]), before, key)


@hot_and_cold('DUMP and RESTORE')
def _(s, c, key, prepare):
    before, encoding = digests(c, [key]), c.call('OBJECT', 'ENCODING', key)
    prepare(key)
    payload = c.call('DUMP', key)
    expect(c, ['RESTORE', 'restored', '0', payload, 'REPLACE'], '+OK')
    eq(digests(c, ['restored']), before, key)
    eq(c.call('OBJECT', 'ENCODING', 'restored'), encoding, key)
    eq(c.call('DUMP', 'restored') == payload or VALUES[key][0] in ('set', 'hash'), True, f'{key}: its payload')
    prepare('restored')
    expect(c, ['RESTORE', 'restored', '100000000', payload, 'REPLACE', 'IDLETIME', '500'], '+OK')
    ok(c.call('OBJECT', 'IDLETIME', 'restored') in range(500, 560), f'{key}: IDLETIME')
    ok(99000 <= c.call('TTL', 'restored') <= 100000, f'{key}: TTL')
    expect(c, ['RESTORE', 'restored', '0', payload], '-BUSYKEY Target key name already exists.')


@hot_and_cold('DEL, UNLINK, GETDEL of another type, overwriting')
def _(s, c, key, prepare):
    for command in ('DEL', 'UNLINK'):
        expect(c, ['COPY', key, 'doomed'], '1')
        prepare('doomed')
        expect(c, [command, 'doomed'], '1')
        expect(c, 'EXISTS doomed', '0')
    expect(c, ['COPY', key, 'doomed'], '1')
    prepare('doomed')
    if VALUES[key][0] != 'string':
        expect(c, 'GETDEL doomed', '-WRONGTYPE Operation against a key holding the wrong kind of value')
        expect(c, 'INCR doomed', '-WRONGTYPE Operation against a key holding the wrong kind of value')
    expect(c, 'SET doomed now-a-string', '+OK')
    expect(c, 'TYPE doomed', '+string')
    expect(c, 'DEL doomed', '1')


@hot_and_cold('hits and misses')
def _(s, c, key, prepare):
    kind = VALUES[key][0]
    command, *args = READS[kind]
    prepare(key)
    before = s.info('stats')
    c.call(command, key, *args)
    c.call(LENGTHS[kind], key)
    c.call(command, 'missing', *args)
    after = s.info('stats')
    eq([int(after[f]) - int(before[f]) for f in ('keyspace_hits', 'keyspace_misses')], [2, 1], key)


@hot_and_cold('a value is as it was made')
def _(s, c, key, prepare):
    before = digests(c, [key])
    prepare(key)
    c.call(LENGTHS[VALUES[key][0]], key)
    eq(digests(c, [key]), before, key)


@test('CLIENT NO-TOUCH: reads leave the idle time alone, whatever the type')
def _(s):
    need_kelvin('CLIENT NO-TOUCH')
    c = s.client()
    fill(c)
    for key in NAMES:
        expect(c, ['RESTORE', 'idle', '0', c.call('DUMP', key), 'REPLACE', 'IDLETIME', '5000'], '+OK')
        command, *args = READS[VALUES[key][0]]
        expect(c, 'CLIENT NO-TOUCH on', '+OK')
        c.call(command, 'idle', *args)
        ok(c.call('OBJECT', 'IDLETIME', 'idle') >= 5000, f'{key} was touched')
        expect(c, 'TOUCH idle', '1')  # but this is what TOUCH is for
        ok(c.call('OBJECT', 'IDLETIME', 'idle') < 100, f'{key}: TOUCH did nothing')
        expect(c, 'CLIENT NO-TOUCH off', '+OK')


@test('SCAN TYPE')
def _(s):
    c = s.client()
    fill(c)
    for kind in LENGTHS:
        found, cursor = set(), b'0'
        while True:
            cursor, names = c.call('SCAN', cursor, 'TYPE', kind)
            found.update(names)
            if cursor == b'0':
                break
        eq(sorted(found), [name.encode() for name in NAMES if VALUES[name][0] == kind], kind)
    if IS_KELVIN:
        tiers = {name: c.call('OBJECT', 'TIER', name) for name in NAMES}
        ok(COLD or set(tiers.values()) == {b'hot'}, f'{tiers}')


@test('OBJECT FREQ under an LFU policy grows with use')
def _(s):
    c = s.client()
    expect(c, 'CONFIG SET maxmemory-policy allkeys-lfu', '+OK')
    try:
        fill(c)
        for key in NAMES:
            command, *args = READS[VALUES[key][0]]
            before = c.call('OBJECT', 'FREQ', key)
            c.pipeline([(command, key, *args)] * 60)
            ok(c.call('OBJECT', 'FREQ', key) > before, f'{key}: {before}')
    finally:
        expect(c, 'CONFIG SET maxmemory-policy noeviction', '+OK')


run(Server())
