#!/usr/bin/python3
"""Commands on keys of any type: DEL … COPY, the databases, OBJECT, DUMP and RESTORE, WAIT."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, expect, need_kelvin, ok, run, seed, session, show, test

SEED = seed()

session('DEL UNLINK EXISTS TYPE TOUCH', '''
    > MSET a 1 b 2 c 3
    +OK
    > EXISTS a b a missing
    3
    > TOUCH a missing c
    2
    > TYPE a
    +string
    > TYPE missing
    +none
    > DEL a missing
    1
    > UNLINK b b c
    2
    > DBSIZE
    0
    > DEL
    -ERR wrong number of arguments for 'del' command
''')

session('RENAME RENAMENX', '''
    > RENAME missing x
    -ERR no such key
    > SET a 1 EX 1000
    +OK
    > RENAME a b
    +OK
    > TTL b
    /^(1000|9..)$/
    > EXISTS a
    0
    > SET c 2
    +OK
    > RENAMENX b c
    0
    > RENAMENX c d
    1
    > RENAME b d
    +OK
    > GET d
    "1"
    > TTL d
    /^(1000|9..)$/
    > RENAME d d
    +OK
    > RENAMENX d d
    0
    > RENAMENX missing y
    -ERR no such key
''')

session('COPY', '''
    > SET a 1 EX 1000
    +OK
    > COPY a b
    1
    > TTL b
    /^(1000|9..)$/
    > COPY a b
    0
    > SET a 2
    +OK
    > COPY a b REPLACE
    1
    > MGET a b
    ["2", "2"]
    > TTL b
    -1
    > COPY a a
    -ERR source and destination objects are the same
    > COPY a a DB 1
    1
    > COPY a x DB 99
    -ERR DB index is out of range
    > COPY a x DB one
    -ERR value is not an integer or out of range
    > COPY missing x
    0
    > COPY a x BOGUS
    -ERR syntax error
    > APPEND b !
    2
    > GET a
    "2"
''')

session('databases: SELECT MOVE SWAPDB FLUSHDB DBSIZE', '''
    > SET k zero
    +OK
    > SELECT 1
    +OK
    > GET k
    nil
    > SET k one
    +OK
    > SET m 1 EX 1000
    +OK
    > MOVE k 0
    0
    > MOVE m 0
    1
    > MOVE m 0
    0
    > SELECT 0
    +OK
    > TTL m
    /^(1000|9..)$/
    > DBSIZE
    2
    > MOVE m 0
    -ERR source and destination objects are the same
    > MOVE m 99
    -ERR DB index is out of range
    > SELECT 99
    -ERR DB index is out of range
    > SELECT x
    -ERR value is not an integer or out of range
    > SWAPDB 0 1
    +OK
    > MGET k m
    ["one", nil]
    > SWAPDB 0 0
    +OK
    > SWAPDB 0 99
    -ERR DB index is out of range
    > SWAPDB a 1
    -ERR invalid first DB index
    > SWAPDB 0 b
    -ERR invalid second DB index
    > FLUSHDB
    +OK
    > DBSIZE
    0
    > SELECT 1
    +OK
    > DBSIZE
    2
    > FLUSHALL ASYNC
    +OK
    > DBSIZE
    0
    > FLUSHDB BOGUS
    -ERR syntax error
    > FLUSHALL SYNC
    +OK
''')

session('SWAPDB is seen by other connections', '''
    a> SET k zero
    +OK
    b> SELECT 1
    +OK
    b> GET k
    nil
    a> SWAPDB 0 1
    +OK
    b> GET k
    "zero"
    a> GET k
    nil
''')

session('OBJECT', '''
    > MSET i 12345 s short l "a text that is longer than forty-four bytes, so it is raw"
    +OK
    > OBJECT ENCODING i
    "int"
    > OBJECT ENCODING s
    "embstr"
    > OBJECT ENCODING l
    "raw"
    > APPEND s x
    6
    > OBJECT ENCODING s
    "raw"
    > OBJECT REFCOUNT l
    1
    > OBJECT IDLETIME l
    /^[0-9]{1,2}$/
    > OBJECT ENCODING missing
    nil
    > OBJECT FREQ missing
    nil
    > OBJECT FREQ s
    -ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.
    > OBJECT
    -ERR wrong number of arguments for 'object' command
    > OBJECT ENCODING
    -ERR wrong number of arguments for 'object|encoding' command
    > OBJECT HELP
    /OBJECT <subcommand>/
''')


@test('OBJECT FREQ under an LFU policy')
def _(s):
    c = s.client()
    expect(c, 'CONFIG SET maxmemory-policy allkeys-lfu', '+OK')
    try:
        c.call('SET', 'k', 'v')
        for _ in range(50):
            c.call('GET', 'k')
        ok(5 <= c.call('OBJECT', 'FREQ', 'k') <= 60, 'the counter should have grown')
        expect(c, 'OBJECT IDLETIME k', '/An LFU maxmemory policy is selected, idle time not tracked/')
    finally:
        expect(c, 'CONFIG SET maxmemory-policy noeviction', '+OK')


@test('OBJECT TIER')
def _(s):
    need_kelvin('OBJECT TIER')
    c = s.client()
    c.call('SET', 'k', 'v')
    expect(c, 'OBJECT TIER k', '/hot|cold/')
    expect(c, 'OBJECT TIER missing', 'nil')


session('DUMP and RESTORE', r'''
    > DUMP missing
    nil
    > RESTORE x 0 "not a payload at all"
    -ERR DUMP payload version or checksum are wrong
    > RESTORE x -1 "\x00\x01v\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00"
    -ERR Invalid TTL value, must be >= 0
    > RESTORE x 0
    -ERR wrong number of arguments for 'restore' command
    > RESTORE x 0 payload BOGUS
    -ERR syntax error
''')


@test('DUMP and RESTORE carry every kind of string')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    values = [b'', b'0', b'-1', b'127', b'128', b'32767', b'32768', b'2147483647', b'-2147483648', b'2147483648',
              b'9223372036854775807', b'0123', b'a' * 20, b'a' * 21, b'ab' * 5000, rng.randbytes(63), rng.randbytes(64),
              rng.randbytes(16383), rng.randbytes(16384), rng.randbytes(200000)]
    for value in values:
        c.call('SET', 'from', value)
        payload = c.call('DUMP', 'from')
        expect(c, ['RESTORE', 'to', '0', payload, 'REPLACE'], '+OK')
        ok(c.call('GET', 'to') == value, f'{value[:30]!r} came back different')
        damaged = bytearray(payload)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        expect(c, ['RESTORE', 'to', '0', bytes(damaged), 'REPLACE'], '-ERR DUMP payload version or checksum are wrong')


@test('RESTORE with a TTL beyond the end of time')
def _(s):
    c = s.client()
    c.call('SET', 'from', 'v')
    expect(c, ['RESTORE', 'to', '9223372036854775807', c.call('DUMP', 'from')], '+OK')
    expect(c, 'EXISTS to', '0')


@test('RESTORE: TTL, ABSTTL, REPLACE, IDLETIME, FREQ')
def _(s):
    c = s.client()
    c.call('SET', 'k', 'v')
    payload = c.call('DUMP', 'k')
    expect(c, ['RESTORE', 'k', '0', payload], '-BUSYKEY Target key name already exists.')
    expect(c, ['RESTORE', 'k', '1000000', payload, 'REPLACE'], '+OK')
    ok(900 <= c.call('TTL', 'k') <= 1000, 'TTL')
    expect(c, ['RESTORE', 'k', '99999999999999', payload, 'REPLACE', 'ABSTTL'], '+OK')
    expect(c, 'PEXPIRETIME k', '99999999999999')
    expect(c, ['RESTORE', 'k', '1', payload, 'REPLACE', 'ABSTTL'], '+OK')
    expect(c, 'EXISTS k', '0')
    expect(c, ['RESTORE', 'k', '0', payload, 'IDLETIME', '1000'], '+OK')
    ok(c.call('OBJECT', 'IDLETIME', 'k') in range(1000, 1100), 'IDLETIME')
    expect(c, ['RESTORE', 'k2', '0', payload, 'IDLETIME', '-1'], '-ERR Invalid IDLETIME value, must be >= 0')
    expect(c, ['RESTORE', 'k2', '0', payload, 'FREQ', '256'], '-ERR Invalid FREQ value, must be >= 0 and <= 255')
    expect(c, ['RESTORE', 'k2', '0', payload, 'FREQ', '5', 'IDLETIME', '5'], '-ERR syntax error')


@test('RANDOMKEY')
def _(s):
    c = s.client()
    expect(c, 'RANDOMKEY', 'nil')
    names = {f'key:{i}'.encode() for i in range(50)}
    c.pipeline([('SET', n, 'v') for n in names])
    seen = set(c.pipeline([('RANDOMKEY',)] * 2000))
    ok(seen <= names, f'not a key: {seen - names}')
    ok(len(seen) > 25, f'only {len(seen)} of 50 keys ever came')


session('WAIT without replicas', '''
    > WAIT 0 0
    0
    > WAIT 1 10
    0
    > WAIT -1 0
    ...
    > WAIT x 0
    -ERR value is not an integer or out of range
    > WAIT 0 -1
    -ERR timeout is negative
''')


@test('a key moves between databases while others look')
def _(s):
    a, b = s.client(), s.client()
    b.call('SELECT', '1')
    for i in range(200):
        a.call('SET', 'k', i)
        eq(a.call('MOVE', 'k', '1'), 1)
        eq(show(b.call('GETDEL', 'k')), f'"{i}"')


run(Server())
