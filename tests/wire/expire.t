#!/usr/bin/python3
"""Expiry: the EXPIRE and TTL families, and keys that fall due."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, eventually, expect, keys, note, ok, run, session, test

session('EXPIRE family', '''
    > EXPIRE missing 10
    0
    > SET k v
    +OK
    > TTL k
    -1
    > PTTL k
    -1
    > EXPIRETIME k
    -1
    > PEXPIRETIME k
    -1
    > TTL missing
    -2
    > PTTL missing
    -2
    > EXPIRETIME missing
    -2
    > PEXPIRETIME missing
    -2
    > EXPIRE k 1000
    1
    > TTL k
    /^(1000|9..)$/
    > PEXPIRE k 1000000
    1
    > PTTL k
    /^(1000000|9.....)$/
    > EXPIREAT k 99999999999
    1
    > EXPIRETIME k
    99999999999
    > PEXPIREAT k 99999999999999
    1
    > PEXPIRETIME k
    99999999999999
    > PERSIST k
    1
    > PERSIST k
    0
    > PERSIST missing
    0
    > EXPIRE k -1
    1
    > EXISTS k
    0
''')

session('NX XX GT LT', '''
    > SET k v
    +OK
    > EXPIREAT k 5000000000 XX
    0
    > EXPIREAT k 5000000000 GT
    0
    > EXPIREAT k 5000000000 NX
    1
    > EXPIREAT k 6000000000 NX
    0
    > EXPIREAT k 4900000000 GT
    0
    > EXPIREAT k 5000000000 GT
    0
    > EXPIREAT k 5100000000 GT
    1
    > EXPIREAT k 5200000000 LT
    0
    > EXPIREAT k 5000000000 LT
    1
    > EXPIREAT k 5300000000 XX GT
    1
    > EXPIRETIME k
    5300000000
    > PERSIST k
    1
    > EXPIREAT k 5000000000 LT
    1
    > EXPIREAT k 5000000000 NX XX
    -ERR NX and XX, GT or LT options at the same time are not compatible
    > EXPIREAT k 5000000000 GT LT
    -ERR GT and LT options at the same time are not compatible
    > EXPIREAT k 5000000000 NX GT
    -ERR NX and XX, GT or LT options at the same time are not compatible
    > EXPIRE k 100 BOGUS
    -ERR Unsupported option BOGUS
''')

session('times out of range', '''
    > SET k v
    +OK
    > EXPIRE k 9223372036854775807
    -ERR invalid expire time in 'expire' command
    > EXPIRE k -9223372036854775808
    -ERR invalid expire time in 'expire' command
    > PEXPIRE k 9223372036854775807
    -ERR invalid expire time in 'pexpire' command
    > EXPIREAT k 9223372036854775807
    -ERR invalid expire time in 'expireat' command
    > EXPIRE k ten
    -ERR value is not an integer or out of range
    > EXPIRE k 1.5
    -ERR value is not an integer or out of range
    > TTL k
    -1
''')


@test('a key is gone when its time has come, for every command')
def _(s):
    c = s.client()
    c.pipeline([('SET', f'k{i}', 'v', 'PX', 20) for i in range(12)])
    time.sleep(0.05)
    for i, (command, want) in enumerate((('GET {}', 'nil'), ('EXISTS {}', '0'), ('TTL {}', '-2'), ('TYPE {}', '+none'),
                                         ('APPEND {} x', '1'), ('INCR {}', '1'), ('DEL {}', '0'), ('PERSIST {}', '0'),
                                         ('RENAME {} z', '-ERR no such key'), ('SETNX {} 1', '1'), ('STRLEN {}', '0'),
                                         ('COPY {} z', '0'))):
        expect(c, command.format(f'k{i}'), want)
    expect(c, 'TTL k4', '-1')


@test('SET, APPEND and INCR: who keeps the expiry')
def _(s):
    c = s.client()
    for command, kept in (('SET k 1', False), ('APPEND k 1', True), ('INCR k', True), ('INCRBYFLOAT k 1', True),
                          ('SETRANGE k 0 1', True), ('GETSET k 1', False), ('MSET k 1', False), ('SET k 1 KEEPTTL', True)):
        c.call('SET', 'k', '1', 'EX', '1000')
        c.call(*command.split())
        eq(c.call('TTL', 'k') > 0, kept, command)


@test('keys fall due by themselves: expired_keys and DBSIZE')
def _(s):
    c = s.client()
    before = int(s.info('stats')['expired_keys'])
    c.pipeline([('SET', f'k{i}', 'v', 'PX', 30) for i in range(1000)] + [('SET', 'stays', 'v')])
    eventually(lambda: c.call('DBSIZE') == 1, 'due keys should go')
    eq(int(s.info('stats')['expired_keys']) - before, 1000)
    expect(c, 'GET stays', '"v"')


@test('DEBUG SET-ACTIVE-EXPIRE 0: hidden, not removed')
def _(s):
    c = s.client()
    expect(c, 'DEBUG SET-ACTIVE-EXPIRE 0', '+OK')
    try:
        c.pipeline([('SET', f'k{i}', 'v', 'PX', 10) for i in range(100)])
        time.sleep(0.3)
        eq(c.call('DBSIZE'), 100)
        expect(c, 'GET k1', 'nil')
        eq(c.call('DBSIZE'), 99)
        expect(c, 'KEYS *', '[]')
    finally:
        expect(c, 'DEBUG SET-ACTIVE-EXPIRE 1', '+OK')
    eventually(lambda: c.call('DBSIZE') == 0, 'due keys should go')


@test('many keys falling due together are gone soon, and nobody stalls')
def _(s):
    c = s.client()
    n = keys(200000)
    due = int(time.time() * 1000) + 2500
    for start in range(0, n, 20000):
        c.pipeline([('SET', f'k{i}', 'v', 'PXAT', due) for i in range(start, min(n, start + 20000))])
    c.pipeline([('SET', f'stay{i}', i) for i in range(keys(1000))])
    time.sleep(max(0.0, due / 1000 - time.time()))
    begin, slowest = time.monotonic(), 0.0
    while c.call('DBSIZE') > keys(1000):
        sent = time.monotonic()
        c.call('GET', 'stay1')
        slowest = max(slowest, time.monotonic() - sent)
        ok(time.monotonic() - begin < 120, f'{c.call("DBSIZE") - keys(1000)} keys are left after 120 s')
        time.sleep(0.005)
    note(f'gone {time.monotonic() - begin:.2f} s after their time; slowest GET meanwhile {slowest * 1000:.1f} ms')
    eq(c.pipeline([('GET', f'stay{i}') for i in range(keys(1000))]), [b'%d' % i for i in range(keys(1000))])


@test('expiry survives a restart, absolute')
def _(s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    c.pipeline([('SET', 'soon', 'v', 'PX', 300), ('SET', 'late', 'v', 'PXAT', 99999999999999), ('SET', 'never', 'v')])
    server.restart()
    time.sleep(0.3)
    c = server.client()
    expect(c, 'MGET soon late never', '[nil, "v", "v"]')
    expect(c, 'PEXPIRETIME late', '99999999999999')
    expect(c, 'TTL never', '-1')
    server.stop()


@test('what is due when its log is replayed goes behind all of it')
def _(s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    c.pipeline([('SET', 'k', 'v', 'PX', 1000), ('APPEND', 'k', 'w'), ('RPUSH', 'l', 1), ('PEXPIRE', 'l', 1000), ('RPUSH', 'l', 2),
                ('LSET', 'l', 1, 3)])
    server.kill9()
    time.sleep(1)
    server.start()
    eq(server.client().call('EXISTS', 'k', 'l'), 0)
    server.stop()


run(Server())
