#!/usr/bin/python3
"""KEYS and SCAN: nothing that stays is missed, whatever happens meanwhile."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, eventually, expect, keys, ok, run, seed, session, test

SEED = seed()


def scan(c, *options):
    """All keys that a full iteration gives, with repetitions."""
    cursor, keys = b'0', []
    while True:
        cursor, page = c.call('SCAN', cursor, *options)
        keys += page
        if cursor == b'0':
            return keys


def fill(c, n, prefix='key:'):
    names = [f'{prefix}{i}'.encode() for i in range(n)]
    c.pipeline([('SET', name, 'v') for name in names])
    return set(names)


session('KEYS patterns', r'''
    > MSET hello 1 hallo 2 hxllo 3 hllo 4 heeello 5 "h*llo" 6 "a[b" 7
    +OK
    > KEYS h?llo
    sorted ["h*llo", "hallo", "hello", "hxllo"]
    > KEYS h*llo
    sorted ["h*llo", "hallo", "heeello", "hello", "hllo", "hxllo"]
    > KEYS h[ae]llo
    sorted ["hallo", "hello"]
    > KEYS h[^e]llo
    sorted ["h*llo", "hallo", "hxllo"]
    > KEYS h[a-e]llo
    sorted ["hallo", "hello"]
    > KEYS "h\\*llo"
    ["h*llo"]
    > KEYS "a\\[b"
    ["a[b"]
    > KEYS nothing*
    []
    > KEYS
    -ERR wrong number of arguments for 'keys' command
''')

session('SCAN: arguments', '''
    > SCAN 0
    ["0", []]
    > SCAN x
    -ERR invalid cursor
    > SCAN -1
    ...
    > SCAN 0 COUNT 0
    -ERR syntax error
    > SCAN 0 COUNT x
    -ERR value is not an integer or out of range
    > SCAN 0 MATCH
    -ERR syntax error
    > SCAN 0 BOGUS 1
    -ERR syntax error
    > SCAN
    -ERR wrong number of arguments for 'scan' command
''')


@test('a full iteration gives every key once on a table at rest')
def _(s):
    c = s.client()
    names = fill(c, keys(20000))
    for options in ([], ['COUNT', 1000], ['COUNT', 1 << 20], ['COUNT', 7]):
        got = scan(c, *options)
        ok(set(got) == names, f'{options}: {len(names - set(got))} missed')
    eq(set(c.call('KEYS', '*')), names)


@test('MATCH and TYPE')
def _(s):
    c = s.client()
    fill(c, 1000)
    fill(c, 100, 'other:')
    eq(len(set(scan(c, 'MATCH', 'other:*'))), 100)
    eq(len(set(scan(c, 'MATCH', 'key:1?'))), 10)
    eq(len(set(scan(c, 'TYPE', 'string', 'COUNT', 100))), 1100)
    eq(scan(c, 'TYPE', 'list'), [])
    eq(scan(c, 'MATCH', 'other:*', 'TYPE', 'hash'), [])


@test('keys that stay are never missed while the table grows and shrinks')
def _(s):
    rng = random.Random(SEED)
    c, other = s.client(), s.client()
    stay = fill(c, 3000, 'stay:')
    cursor, seen, n, pages = b'0', set(), 0, 0
    while True:
        cursor, page = c.call('SCAN', cursor, 'COUNT', rng.choice([1, 10, 50]))
        seen.update(page)
        pages += 1
        if cursor == b'0':
            break
        if rng.random() < 0.5 and n < keys(60000):
            other.pipeline([('SET', f'noise:{n + i}', 'v') for i in range(500)])
            n += 500
        else:
            other.pipeline([('DEL', f'noise:{rng.randrange(n + 1)}') for _ in range(300)])
        ok(pages < 100000, 'SCAN does not end')
    ok(stay <= seen, f'{len(stay - seen)} keys missed')


@test('SCAN on a database being flushed ends')
def _(s):
    c = s.client()
    fill(c, 5000)
    cursor, _ = c.call('SCAN', '0', 'COUNT', 10)
    c.call('FLUSHDB')
    for _ in range(100000):
        if cursor == b'0':
            return
        cursor, page = c.call('SCAN', cursor)
        eq(page, [])
    ok(False, 'SCAN does not end')


@test('SCAN is per database')
def _(s):
    c = s.client()
    fill(c, 100)
    c.call('SELECT', '1')
    other = fill(c, 100, 'one:')
    eq(set(scan(c)), other)


@test('cursors of nowhere do no harm')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    names = fill(c, 1000)
    for _ in range(200):
        reply = c.call('SCAN', rng.getrandbits(rng.choice([8, 16, 32, 48, 63])), 'COUNT', 5)
        ok(set(reply[1]) <= names, 'a key that never was')
    expect(c, 'SCAN 18446744073709551615', '...')
    expect(c, 'SCAN 99999999999999999999999', '-ERR invalid cursor')


@test('SCAN deletes what has expired, of any type; what does not match is not looked at')
def _(s):
    c = s.client()
    expect(c, 'DEBUG SET-ACTIVE-EXPIRE 0', '+OK')
    names = fill(c, 200)
    for key in ('gone:1', 'gone:2', 'other'):
        c.call('SET', key, 'v', 'PX', 1)
    c.call('HSET', 'gone:h', 'f', 'v')
    c.call('PEXPIRE', 'gone:h', 1)
    eventually(lambda: c.call('PTTL', 'gone:h') == -2, 'it should expire')
    c.call('HSET', 'gone:h', 'f', 'v')
    c.call('PEXPIRE', 'gone:h', 1)
    time.sleep(0.01)
    eq(scan(c, 'MATCH', 'gone:*', 'TYPE', 'string'), [])
    expect(c, 'DBSIZE', '201')
    eq(set(scan(c)), names)
    expect(c, 'DBSIZE', '200')
    expect(c, 'DEBUG SET-ACTIVE-EXPIRE 1', '+OK')


run(Server())
