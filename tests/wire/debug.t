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

session('about values', '''
    > HSET l a b
    1
    > SADD s a b
    2
    > SET k 12345678901234567890123456789012345678901234567890
    +OK
    > SET n 5
    +OK
    > DEBUG LISTPACK l
    +Listpack structure printed on stdout
    > DEBUG LISTPACK k
    -ERR Not a listpack encoded object.
    > DEBUG LISTPACK missing
    -ERR no such key
    > DEBUG SDSLEN k
    /^\\+key_sds_len:1, key_sds_avail:0, key_zmalloc: \\d+, val_sds_len:50, val_sds_avail:\\d+, val_zmalloc: \\d+$/
    > DEBUG SDSLEN n
    -ERR Not an sds encoded string.
    > DEBUG HTSTATS 0
    /Dictionary HT.*number of elements: 4/
    > DEBUG HTSTATS 99
    /^-ERR/
    > DEBUG HTSTATS-KEY l
    -ERR The value stored at the specified key is not represented using an hash table
    > DEBUG HTSTATS-KEY missing
    -ERR no such key
''')

session('ERROR, LOG, switches', '''
    > DEBUG ERROR "MYCODE with a text"
    -MYCODE with a text
    > DEBUG LOG "a line"
    +OK
    > DEBUG PAUSE-CRON 1
    +OK
    > DEBUG PAUSE-CRON 0
    +OK
''')


@test('SET-SKIP-CHECKSUM-VALIDATION')
def _(s):
    c = s.client()
    c.call('SET', 'k', 'value')
    dump = bytearray(c.call('DUMP', 'k'))
    dump[3] ^= 1
    expect(c, ['RESTORE', 'r', 0, dump], '-ERR DUMP payload version or checksum are wrong')
    expect(c, 'DEBUG SET-SKIP-CHECKSUM-VALIDATION 1', '+OK')
    expect(c, ['RESTORE', 'r', 0, dump], '+OK')
    expect(c, 'DEBUG SET-SKIP-CHECKSUM-VALIDATION 0', '+OK')
    expect(c, ['RESTORE', 'r', 0, dump, 'REPLACE'], '-ERR DUMP payload version or checksum are wrong')


@test('QUICKLIST-PACKED-THRESHOLD: larger elements are nodes of their own')
def _(s):
    c = s.client()
    size = c.call('CONFIG', 'GET', 'list-max-listpack-size')[1]
    expect(c, 'CONFIG SET list-max-listpack-size 2', '+OK')
    expect(c, 'DEBUG QUICKLIST-PACKED-THRESHOLD x', '/^-ERR argument must be a memory value/')
    expect(c, 'DEBUG QUICKLIST-PACKED-THRESHOLD 30b', '+OK')
    big = b'x' * 30
    c.call('RPUSH', 'l', 'a', 'b', 'c', big, 'd', big)
    if s.is_kelvin:  # a node each: a b, c, big, d, big
        eq(c.call('DUMP', 'l')[1], 5)
    for call in (('LSET', 'l', 0, big), ('LINSERT', 'l', 'BEFORE', 'c', big), ('LREM', 'l', 0, 'b')):
        c.call(*call)
    eq(c.call('LRANGE', 'l', 0, -1), [big, big, b'c', big, b'd', big])
    eq(c.call('LPOS', 'l', big, 'COUNT', 0), [0, 1, 3, 5])
    expect(c, 'DEBUG RELOAD', '+OK')
    eq(c.call('LRANGE', 'l', 0, -1), [big, big, b'c', big, b'd', big])
    eq(c.call('RPOP', 'l'), big)
    expect(c, 'DEBUG QUICKLIST-PACKED-THRESHOLD 0', '+OK')
    c.call('CONFIG', 'SET', 'list-max-listpack-size', size)


session('PROTOCOL', '''
    > DEBUG PROTOCOL string
    "Hello World"
    > DEBUG PROTOCOL integer
    12345
    > DEBUG PROTOCOL null
    nil
    > DEBUG PROTOCOL array
    [0, 1, 2]
    > DEBUG PROTOCOL bignum
    "1234567999999999999999999999999999999"
    > DEBUG PROTOCOL attrib
    "Some real reply following the attribute"
    > DEBUG PROTOCOL push
    -ERR RESP2 is not supported by this command
    > HELLO 3
    ...
    > DEBUG PROTOCOL bignum
    (1234567999999999999999999999999999999
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


@test('PROTOCOL attrib and push in RESP3, byte by byte')
def _(s):
    c = s.client()
    c.call('HELLO', 3)
    c.raw(b'DEBUG PROTOCOL attrib\r\nDEBUG PROTOCOL push\r\n')
    want = (b'|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n$39\r\nSome real reply following the attribute\r\n'
            b'>2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply\r\n')
    eq(c.reader.exactly(len(want)), want)


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


@test('enable-debug-command local')
def _(_s):
    server = Server({'enable-debug-command': 'local'})
    expect(server.client(), 'DEBUG SLEEP 0', '+OK')
    expect(server.client(), 'CONFIG GET enable-debug-command', '["enable-debug-command", "local"]')
    server.stop()


run(Server())
