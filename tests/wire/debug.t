#!/usr/bin/python3
"""DEBUG, as test suites of this ecosystem use it; off unless allowed."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, Skip, Server, eq, expect, ok, run, session, show, test

session('subcommands', '''
    > SET k v
    +OK
    > DEBUG OBJECT k
    /encoding:embstr .*serializedlength:[0-9]+ lru:[0-9]+ lru_seconds_idle:[0-9]+/
    > DEBUG OBJECT missing
    -ERR no such key
    > DEBUG SLEEP 0
    +OK
    > DEBUG SET-ACTIVE-EXPIRE 1
    +OK
    > DEBUG NOSUCH
    /^-ERR .*DEBUG/
''')

session('PROTOCOL', '''
    > DEBUG PROTOCOL string
    "Hello World"
    > DEBUG PROTOCOL integer
    12345
    > DEBUG PROTOCOL null
    nil
    > DEBUG PROTOCOL array
    [0, 1, 2]
    > HELLO 3
    ...
    > DEBUG PROTOCOL double
    ,3.141
    > DEBUG PROTOCOL null
    null
    > DEBUG PROTOCOL map
    {0: #f, 1: #t, 2: #f}
    > DEBUG PROTOCOL set
    ~[0, 1, 2]
    > DEBUG PROTOCOL true
    #t
    > DEBUG PROTOCOL false
    #f
    > DEBUG PROTOCOL verbatim
    =txt:"This is a verbatim\\nstring"
''')


@test('DIGEST says whether two states are the same')
def _(s):
    c = s.client()
    empty = show(c.call('DEBUG', 'DIGEST'))
    eq(empty, '+' + '0' * 40)
    c.call('MSET', 'a', '1', 'b', '2')
    one = show(c.call('DEBUG', 'DIGEST'))
    c.call('SET', 'a', '2')
    ok(show(c.call('DEBUG', 'DIGEST')) != one, 'another value, another digest')
    c.call('FLUSHALL')
    c.call('MSET', 'b', '2', 'a', '1')
    eq(show(c.call('DEBUG', 'DIGEST')), one)
    c.call('EXPIRE', 'a', '1000')
    ok(show(c.call('DEBUG', 'DIGEST')) != one, 'an expiry counts')


@test('DIGEST-VALUE')
def _(s):
    c = s.client()
    c.call('MSET', 'a', 'same', 'b', 'same', 'c', 'other')
    a, b, other, missing = c.call('DEBUG', 'DIGEST-VALUE', 'a', 'b', 'c', 'missing')
    ok(a == b and a != other and bytes(missing) == b'0' * 40, 'digests of values')


@test('POPULATE')
def _(s):
    c = s.client()
    expect(c, 'DEBUG POPULATE 1000', '+OK')
    eq(c.call('DBSIZE'), 1000)
    expect(c, 'GET key:7', '"value:7"')
    expect(c, 'DEBUG POPULATE 10 pre 100', '+OK')
    eq(c.call('STRLEN', 'pre:3'), 100)


@test('LOADAOF brings the state back from disk')
def _(_s):
    server = Server({'durability': 'everysec', 'maxmemory': '96mb', 'tier-memory': '8mb', 'checkpoint-log-size': '1mb'},
                    ['db 0 maxmemory 1mb', 'db 3 durability none', 'db 3 maxmemory 512kb']) if IS_KELVIN else Server(
                        {'appendonly': 'yes'})
    c = server.client()
    for turn in range(6):  # some of it cold, some dirty, some in a space that is younger than the last checkpoint
        c.pipeline([('SET', f'k{i}', f'{turn}-{i}-' + 'x' * 1000) for i in range(turn * 100, turn * 100 + 3000)])
        c.pipeline([('DEL', f'k{i}') for i in range(0, 3000, 7)] + [('EXPIRE', f'k{i}', 10000) for i in range(3, 3000, 9)])
        c.pipeline([('SELECT', 3)] + [('SET', f'none{i}', 'y' * 500) for i in range(2000)] + [('SELECT', 0)])
        if turn == 3:
            c.call('FLUSHDB')
            c.pipeline([('APPEND', f'k{i}', 'z' * 100) for i in range(5000)])
        if turn == 4:
            c.call('SWAPDB', 0, 1)
        before = show(c.call('DEBUG', 'DIGEST'))
        expect(c, 'DEBUG LOADAOF', '+OK')
        eq(show(c.call('DEBUG', 'DIGEST')), before)
        if turn % 2:
            c.call('BGREWRITEAOF')
        c.pipeline([('GET', f'k{i}') for i in range(100)])
    expect(c, 'MULTI', '+OK')
    expect(c, 'DEBUG LOADAOF', '+QUEUED')
    if IS_KELVIN:
        expect(c, 'EXEC', '[-ERR DEBUG LOADAOF inside a transaction is not allowed]')
    server.restart() if IS_KELVIN else None
    if IS_KELVIN:
        c = server.client()
        c.call('SELECT', 3)
        eq(c.call('DBSIZE'), 0)
    server.stop()


@test('refused unless enable-debug-command')
def _(_s):
    server = Server({'enable-debug-command': 'no'})
    expect(server.client(), 'DEBUG SLEEP 0', '/^-ERR DEBUG command not allowed/')
    server.stop()


run(Server())
