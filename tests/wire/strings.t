#!/usr/bin/python3
"""String commands: what each replies, in Redis's words."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, expect, ok, run, session, size, test

session('SET and GET', r'''
    > SET k v
    +OK
    > GET k
    "v"
    > GET missing
    nil
    > SET k ""
    +OK
    > GET k
    ""
    > SET "bin\x00\r\nkey" "\x00\xff\r\n"
    +OK
    > GET "bin\x00\r\nkey"
    "\x00\xff\r\n"
    > SET k v bogus
    -ERR syntax error
    > SET k
    -ERR wrong number of arguments for 'set' command
''')

session('SET: NX, XX, GET', '''
    > SET k 1 XX
    nil
    > SET k 1 NX
    +OK
    > SET k 2 NX
    nil
    > SET k 2 XX
    +OK
    > SET k 3 GET
    "2"
    > SET k 4 NX GET
    "3"
    > GET k
    "3"
    > SET new 1 NX GET
    nil
    > GET new
    "1"
    > SET k 5 XX GET
    "3"
    > SET absent 1 XX GET
    nil
    > EXISTS absent
    0
    > SET k 6 NX XX
    -ERR syntax error
''')

session('SET: expiry options', '''
    > SET k v EX 1000
    +OK
    > TTL k
    /^(1000|9..)$/
    > SET k v PX 1000000
    +OK
    > TTL k
    /^(1000|9..)$/
    > SET k v EXAT 99999999999
    +OK
    > EXPIRETIME k
    99999999999
    > SET k v PXAT 99999999999123
    +OK
    > PEXPIRETIME k
    99999999999123
    > SET k w KEEPTTL
    +OK
    > PEXPIRETIME k
    99999999999123
    > SET k w
    +OK
    > TTL k
    -1
    > SET k v EX 0
    -ERR invalid expire time in 'set' command
    > SET k v PX -5
    -ERR invalid expire time in 'set' command
    > SET k v EX 9223372036854775807
    -ERR invalid expire time in 'set' command
    > SET k v EX ten
    -ERR value is not an integer or out of range
    > SET k v EX
    -ERR syntax error
    > SET k v EX 10 PX 10
    -ERR syntax error
    > SET k v KEEPTTL EX 10
    -ERR syntax error
    > SET k v PXAT 1
    +OK
    > EXISTS k
    0
''')

session('SETNX SETEX PSETEX GETSET GETDEL', '''
    > SETNX k 1
    1
    > SETNX k 2
    0
    > SETEX k 1000 v
    +OK
    > TTL k
    /^(1000|9..)$/
    > PSETEX k 1000000 v
    +OK
    > TTL k
    /^(1000|9..)$/
    > SETEX k 0 v
    -ERR invalid expire time in 'setex' command
    > PSETEX k -1 v
    -ERR invalid expire time in 'psetex' command
    > GETSET k w
    "v"
    > TTL k
    -1
    > GETSET fresh 1
    nil
    > GETDEL k
    "w"
    > GETDEL k
    nil
''')

session('GETEX', '''
    > SET k v
    +OK
    > GETEX k EX 1000
    "v"
    > TTL k
    /^(1000|9..)$/
    > GETEX k PERSIST
    "v"
    > TTL k
    -1
    > GETEX k PXAT 99999999999999
    "v"
    > PEXPIRETIME k
    99999999999999
    > GETEX k
    "v"
    > PEXPIRETIME k
    99999999999999
    > GETEX missing EX 10
    nil
    > GETEX k EX 0
    -ERR invalid expire time in 'getex' command
    > GETEX k PERSIST EX 10
    -ERR syntax error
    > GETEX k KEEPTTL
    -ERR syntax error
    > GETEX k EXAT 1
    "v"
    > EXISTS k
    0
''')

session('MSET MGET MSETNX', '''
    > MSET a 1 b 2 c 3
    +OK
    > MGET a b missing c
    ["1", "2", nil, "3"]
    > MSET a 1 b
    -ERR wrong number of arguments for 'mset' command
    > MSETNX x 1 a 2
    0
    > EXISTS x
    0
    > MSETNX x 1 y 2
    1
    > MGET x y
    ["1", "2"]
    > MSET d 1 d 2
    +OK
    > GET d
    "2"
    > MSETNX
    -ERR wrong number of arguments for 'msetnx' command
''')

session('INCR and DECR', '''
    > INCR n
    1
    > INCRBY n 41
    42
    > DECR n
    41
    > DECRBY n 50
    -9
    > SET n 9223372036854775807
    +OK
    > INCR n
    -ERR increment or decrement would overflow
    > SET n -9223372036854775808
    +OK
    > DECR n
    -ERR increment or decrement would overflow
    > DECRBY n -9223372036854775808
    -ERR decrement would overflow
    > SET n " 1"
    +OK
    > INCR n
    -ERR value is not an integer or out of range
    > SET n 01
    +OK
    > INCR n
    -ERR value is not an integer or out of range
    > SET n 9223372036854775808
    +OK
    > INCR n
    -ERR value is not an integer or out of range
    > INCRBY m 1.5
    -ERR value is not an integer or out of range
    > SET t 1 EX 1000
    +OK
    > INCR t
    2
    > TTL t
    /^(1000|9..)$/
''')

session('INCRBYFLOAT', '''
    > INCRBYFLOAT f 1.5
    "1.5"
    > INCRBYFLOAT f 1.5
    "3"
    > INCRBYFLOAT f -1e2
    "-97"
    > SET f 5.0e3
    +OK
    > INCRBYFLOAT f 200
    "5200"
    > SET f abc
    +OK
    > INCRBYFLOAT f 1
    -ERR value is not a valid float
    > INCRBYFLOAT g abc
    -ERR value is not a valid float
    > SET h 1
    +OK
    > INCRBYFLOAT h inf
    -ERR increment would produce NaN or Infinity
    > SET third 0
    +OK
    > INCRBYFLOAT third 0.1
    "0.1"
    > INCRBYFLOAT third 0.2
    "0.3"
''')

session('APPEND STRLEN GETRANGE SUBSTR SETRANGE', r'''
    > APPEND k Hello
    5
    > APPEND k ""
    5
    > APPEND k " World"
    11
    > STRLEN k
    11
    > STRLEN missing
    0
    > GETRANGE k 0 4
    "Hello"
    > GETRANGE k -5 -1
    "World"
    > GETRANGE k 5 2
    ""
    > GETRANGE k 0 -100
    "H"
    > GETRANGE missing 0 -1
    ""
    > SUBSTR k 6 100
    "World"
    > SETRANGE k 6 Redis
    11
    > GET k
    "Hello Redis"
    > SETRANGE pad 3 x
    4
    > GET pad
    "\x00\x00\x00x"
    > SETRANGE none 5 ""
    0
    > EXISTS none
    0
    > SETRANGE k -1 x
    -ERR offset is out of range
    > SETRANGE k 536870912 x
    -ERR string exceeds maximum allowed size (proto-max-bulk-len)
    > SETRANGE k x y
    -ERR value is not an integer or out of range
    > SET i 12345
    +OK
    > APPEND i 6
    6
    > INCR i
    123457
''')

session('LCS', '''
    > MSET a ohmytext b mynewtext
    +OK
    > LCS a b
    "mytext"
    > LCS a b LEN
    6
    > LCS a b IDX
    ["matches", [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], "len", 6]
    > LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN
    ["matches", [[[4, 7], [5, 8], 4]], "len", 6]
    > LCS a missing
    ""
    > LCS a b IDX LEN
    -ERR If you want both the length and indexes, please just use IDX.
    > LCS a b BOGUS
    -ERR syntax error
''')


@test('LCS IDX is a map in RESP3')
def _(s):
    c = s.client(resp=3)
    c.call('MSET', 'a', 'ohmytext', 'b', 'mynewtext')
    expect(c, 'LCS a b IDX MINMATCHLEN 4', '{"matches": [[[4, 7], [5, 8]]], "len": 6}')
    expect(c, 'GET missing', 'null')
    expect(c, 'MGET missing a', '[null, "ohmytext"]')


@test('values of all sizes around the encodings come back as they were')
def _(s):
    c = s.client()
    sizes = list(range(0, 70)) + [100, 127, 128, 255, 256, 1000, 4095, 4096, 16383, 16384, 65535, 65536, size(1 << 20)]
    values = {f'size:{n}': bytes((n * 7 + i) % 256 for i in range(n)) for n in sizes}
    c.pipeline([('SET', k, v) for k, v in values.items()])
    for (key, value), got in zip(values.items(), c.pipeline([('GET', k) for k in values])):
        ok(got == value, f'{key} differs')
    eq(c.pipeline([('STRLEN', k) for k in values]), sizes)


@test('integers are kept to the digit')
def _(s):
    c = s.client()
    for text in ('0', '-0', '+1', '1', '-1', '007', '9223372036854775807', '-9223372036854775808', '9223372036854775808',
                 '18446744073709551616', '1e3', '0x10', ' 1', '1 '):
        c.call('SET', 'n', text)
        eq(c.call('GET', 'n'), text.encode())
        eq(c.call('STRLEN', 'n'), len(text))


@test('APPEND builds a large value out of small pieces')
def _(s):
    c = s.client()
    pieces = [bytes([65 + i % 26]) * 1024 for i in range(size(1 << 20) >> 10)]
    lengths = c.pipeline([('APPEND', 'k', p) for p in pieces])
    eq(lengths[-1], size(1 << 20))
    ok(c.call('GET', 'k') == b''.join(pieces), 'the value differs')


@test('an overwritten key changes size in both directions')
def _(s):
    c = s.client()
    for n in (10, 100000, 3, 5000, 0, 70000, 44, 45):
        c.call('SET', 'k', b'x' * n)
        eq(len(c.call('GET', 'k')), n)


run(Server())
