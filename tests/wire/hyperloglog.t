#!/usr/bin/python3
"""HyperLogLog commands: bytes, hostile strings, effects. Random calls are compared by the differential test."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import ORACLE, Server, Skip, eq, expect, need_kelvin, ok, run, seed, session, size, test

INVALID = '-WRONGTYPE Key is not a valid HyperLogLog string value.'
CORRUPTED = '-INVALIDOBJ Corrupted HLL object detected'

session('PFADD, PFCOUNT', r'''
    > PFADD h
    1
    > GET h
    "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
    > PFADD h
    0
    > PFCOUNT h
    0
    > GET h
    "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
    > PFADD h a b c
    1
    > PFADD h a b c
    0
    > PFCOUNT h
    3
    > PFADD other c d
    1
    > PFCOUNT h other missing
    4
    > PFCOUNT missing
    0
    > OBJECT ENCODING h
    "raw"
''')

session('PFMERGE', '''
    > PFADD a 1 2 3
    1
    > PFADD b 3 4
    1
    > PEXPIRE a 1000000
    1
    > PFMERGE a b missing
    +OK
    > PFCOUNT a
    4
    > PERSIST a
    1
    > PFMERGE new
    +OK
    > PFCOUNT new
    0
    > PFDEBUG ENCODING a
    +sparse
    > PFDEBUG TODENSE b
    1
    > PFDEBUG TODENSE b
    0
    > PFMERGE a b
    +OK
    > PFDEBUG ENCODING a
    +dense
    > PFDEBUG DECODE a
    -ERR HLL encoding is not sparse
    > PFCOUNT a
    4
    > PFDEBUG NOSUCH a
    -ERR Unknown PFDEBUG subcommand 'NOSUCH'
    > PFDEBUG ENCODING missing
    -ERR The specified key does not exist
    > PFSELFTEST
    +OK
''')

HEAD = b'HYLL\x01' + bytes(10) + b'\x80'


@test('strings that are none, and broken ones')
def _(s):
    c = s.client()
    for value in (b'', b'12', b'HYLL', HEAD[:15], b'hyll' + HEAD[4:], b'HYLL\x02' + HEAD[5:],
                  b'HYLL\x00' + bytes(12298), b'HYLL\x00' + bytes(12300)):
        c.call('SET', 'k', value)
        for call in ('PFADD k a', 'PFCOUNT k', 'PFCOUNT k k', 'PFMERGE k', 'PFMERGE new k', 'PFDEBUG DECODE k'):
            expect(c, call, INVALID)
    for runs in (b'', b'\x7f\xfe', b'\x7f\xff\x00', b'\x7f\xff\x80', b'\x80' * 16383, b'\x7f'):
        c.call('SET', 'k', HEAD + runs)
        for call in ('PFCOUNT k', 'PFCOUNT k k', 'PFMERGE new k', 'PFDEBUG TODENSE k', 'PFDEBUG GETREG k'):
            if runs != b'\x7f\xff\x80' or call in ('PFCOUNT k', 'PFDEBUG TODENSE k', 'PFDEBUG GETREG k'):
                expect(c, call, CORRUPTED)
        eq(c.call('GET', 'k'), HEAD + runs)
    eq(c.call('EXISTS', 'new'), 0)


@test('a forged string whose registers are all beyond what a hash gives')
def _(s):
    c = s.client()
    c.call('SET', 'k', b'HYLL\x00' + bytes(10) + b'\x80' + b'\xff' * 12288)
    eq(c.call('PFCOUNT', 'k'), -2**63)


@test('what was added before a broken run stays, here and after a restart')
def _(s):
    need_kelvin('log of effects')
    c = s.client()
    c.call('SET', 'k', HEAD + b'\x5f\xff')  # the lower half of the registers
    for i in range(50):
        c.call('PFADD', 'k', *(f'e{i}.{j}' for j in range(5)))
    before = c.call('GET', 'k')
    ok(len(before) > 60, f'{len(before)} bytes')
    s.restart(kill=True)
    ok(s.client().call('GET', 'k') == before, 'the bytes differ')


def elements(rng, count):
    return [b'%d' % rng.getrandbits(40) for _ in range(count)]


@test('the error of the estimate')
def _(s):
    rng = random.Random(seed())
    c = s.client()
    added = 0
    for count in (10, 90, 900, 2000, 7000, 40000):
        for _ in range(0, count, 500):
            part = min(500, count)
            c.call('PFADD', 'h', *elements(rng, part))
            added += part
        error = abs(c.call('PFCOUNT', 'h') / added - 1)
        ok(error < 0.05, f'{added} elements, error {error}')
    eq(c.call('PFDEBUG', 'ENCODING', 'h'), b'dense')


@test('hll-sparse-max-bytes, whose changes a replay does not see')
def _(s):
    c = s.client()
    rng = random.Random(seed())
    for limit, encoding in (('0', b'dense'), ('100', b'dense'), ('3000', b'sparse')):
        c.call('CONFIG', 'SET', 'hll-sparse-max-bytes', limit)
        for _ in range(10):
            c.call('PFADD', limit, *elements(rng, 10))
        eq(c.call('PFDEBUG', 'ENCODING', limit), encoding)
    c.call('PFCOUNT', '100')
    c.call('PFMERGE', 'merged', '3000', '100')
    c.call('CONFIG', 'SET', 'hll-sparse-max-bytes', '3000')
    need_kelvin('log of effects')
    keys = sorted(c.call('KEYS', '*'))
    before = c.pipeline([('GET', k) for k in keys])
    s.restart(kill=True)
    ok(s.client().pipeline([('GET', k) for k in keys]) == before, 'the bytes differ')


@test('redis-server reads ours and we read its')
def _(s):
    if ORACLE is None:
        raise Skip('no redis-server here')
    rng = random.Random(seed())
    oracle = Server(binary=ORACLE)
    sides = [s.client(), oracle.client()]
    for i in range(size(60)):
        source, target = sides if i % 2 else sides[::-1]
        source.call('DEL', 'h')
        for _ in range(rng.randint(1, 4)):
            source.call('PFADD', 'h', *elements(rng, rng.choice([1, 10, 300, 900])))
        more = elements(rng, 20)
        target.call('SET', 'h', source.call('GET', 'h'))
        counts = [c.pipeline([('PFCOUNT', 'h'), ('PFADD', 'h', *more), ('PFCOUNT', 'h'), ('GET', 'h')]) for c in sides]
        ok(counts[0] == counts[1], f'{counts[0][:3]} and {counts[1][:3]}')


run(Server())
