#!/usr/bin/python3
"""Bitmap commands: what is newer than the oracle of the differential test, edges, effects."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, expect, need_kelvin, note, ok, run, seed, session, size, test

session('SETBIT, GETBIT', r'''
    > SETBIT k 7 1
    0
    > GET k
    "\x01"
    > SETBIT k 7 0
    1
    > SETBIT k 100 1
    0
    > STRLEN k
    13
    > GETBIT k 100
    1
    > GETBIT k 4294967295
    0
    > GETBIT missing 0
    0
    > SETBIT k 4294967296 1
    -ERR bit offset is not an integer or out of range
    > SETBIT k -1 1
    -ERR bit offset is not an integer or out of range
    > SETBIT k 0 2
    -ERR bit is not an integer or out of range
    > SET number 12
    +OK
    > SETBIT number 6 1
    0
    > GET number
    "32"
    > OBJECT ENCODING number
    "raw"
''')

session('BITCOUNT, BITPOS', r'''
    > SET k foobar
    +OK
    > BITCOUNT k
    26
    > BITCOUNT k 0 0
    4
    > BITCOUNT k 5 30 BIT
    17
    > BITCOUNT k -5 -1 bit
    2
    > BITCOUNT k -1 -5
    0
    > BITCOUNT k 0
    -ERR syntax error
    > BITCOUNT k 0 1 WORD
    -ERR syntax error
    > SET k "\xff\xf0\x00"
    +OK
    > BITPOS k 0
    12
    > BITPOS k 1 2
    -1
    > BITPOS k 0 0 0
    -1
    > BITPOS k 1 7 15 BIT
    7
    > BITPOS k 2
    -ERR The bit argument must be 1 or 0.
    > SET k "\xff\xff"
    +OK
    > BITPOS k 0
    16
    > BITPOS k 0 0 -1
    -1
    > BITPOS missing 0
    0
    > BITPOS missing 1
    -1
''')


@test('arguments of BITCOUNT and BITPOS are checked before the key, as of 7.2')
def _(s):
    need_kelvin('check of the arguments first, as of 7.2')
    c = s.client()
    expect(c, 'BITCOUNT missing 0', '-ERR syntax error')
    expect(c, 'BITCOUNT missing a b', '-ERR value is not an integer or out of range')
    expect(c, 'BITPOS missing 0 1 2 hello', '-ERR syntax error')


session('BITFIELD', '''
    > BITFIELD k SET u8 0 255 GET u8 0 INCRBY u8 0 10
    [0, 255, 9]
    > BITFIELD k OVERFLOW SAT INCRBY u8 0 250 OVERFLOW FAIL INCRBY u8 0 1 INCRBY i8 #1 -128
    [255, nil, -128]
    > BITFIELD k GET i8 #1 GET u4 8
    [-128, 8]
    > BITFIELD_RO k GET u8 0
    [255]
    > BITFIELD_RO k SET u8 0 1
    -ERR BITFIELD_RO only supports the GET subcommand
    > BITFIELD k GET u64 0
    -ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
    > BITFIELD k OVERFLOW BOGUS
    -ERR Invalid OVERFLOW type specified
    > BITFIELD k
    []
    > BITFIELD missing GET u8 0
    [0]
    > EXISTS missing
    0
''')



@test('BITFIELD saturates the smallest numbers at the lower end')
def _(s):
    need_kelvin('right end for the smallest numbers')
    c = s.client()
    expect(c, 'BITFIELD k OVERFLOW SAT SET i31 0 -9223372036854775808', '[0]')
    expect(c, 'BITFIELD k GET i31 0', '[-1073741824]')


session('BITOP of strings of different length', r'''
    > MSET a "\x0f\xff" b "\x3c"
    OK
    > BITOP AND d a b
    2
    > GET d
    "\x0c\x00"
    > BITOP XOR d a b
    2
    > GET d
    "3\xff"
    > BITOP NOT d a
    2
    > GET d
    "\xf0\x00"
    > BITOP NOT d a b
    -ERR BITOP NOT must be called with a single source key.
    > BITOP OR d missing
    0
    > EXISTS d
    0
    > EXPIRE a 100
    1
    > BITOP OR a a b
    2
    > TTL a
    -1
'''.replace('    OK', '    +OK'))

OPS = {
    'AND': lambda first, *rest: all([first, *rest]),
    'OR': lambda first, *rest: any([first, *rest]),
    'XOR': lambda first, *rest: sum([first, *rest]) % 2 == 1,
    'DIFF': lambda first, *rest: first and not any(rest),
    'DIFF1': lambda first, *rest: not first and any(rest),
    'ANDOR': lambda first, *rest: first and any(rest),
    'ONE': lambda first, *rest: sum([first, *rest]) == 1,
}


@test('BITOP DIFF, DIFF1, ANDOR, ONE want their sources')
def _(s):
    need_kelvin('operations of Redis 8.2')
    c = s.client()
    for op in ('DIFF', 'DIFF1', 'ANDOR'):
        expect(c, f'BITOP {op.lower()} d a', f'-ERR BITOP {op} must be called with at least two source keys.')
    c.call('SET', 'a', b'\xf0')
    expect(c, 'BITOP ONE d a', '1')
    expect(c, 'GET d', r'"\xf0"')
    expect(c, 'BITOP NAND d a b', '-ERR syntax error')


def bits(data, length):
    return [byte >> 7 - i & 1 for byte in data.ljust(length, b'\0') for i in range(8)]


def pack(values):
    return bytes(sum(bool(v) << 7 - i for i, v in enumerate(values[at:at + 8])) for at in range(0, len(values), 8))


@test('BITOP of random strings, bit by bit')
def _(s):
    need_kelvin('operations of Redis 8.2')
    start = seed()
    note(f'seed {start}')
    rng = random.Random(start)
    c = s.client()
    for _ in range(size(150)):
        longest = rng.choice([8, 70, 4096, 4097, 9000])
        sources = [rng.randbytes(rng.randint(0, longest)) for _ in range(rng.randint(2, 4))]
        c.pipeline([('SET', f's{i}', data) for i, data in enumerate(sources)])
        length = max(map(len, sources))
        columns = list(zip(*(bits(data, length) for data in sources)))
        for op, rule in OPS.items():
            eq(c.call('BITOP', op, 'd', *(f's{i}' for i in range(len(sources)))), length, op)
            ok((c.call('GET', 'd') or b'') == pack([rule(*column) for column in columns]), f'{op} of {sources}')


@test('what the commands did survives a restart')
def _(s):
    need_kelvin('log of effects')
    c = s.client()
    c.pipeline([('SETBIT', 'bits', 70000, 1), ('SETBIT', 'bits', 3, 1), ('SETBIT', 'bits', 3, 0), ('SET', 'n', 12),
                ('BITFIELD', 'n', 'SET', 'u8', '#9', 200, 'INCRBY', 'i5', 3, 7), ('PEXPIRE', 'n', 10000000),
                ('BITFIELD', 'failed', 'OVERFLOW', 'FAIL', 'SET', 'u8', 0, 256), ('BITOP', 'NOT', 'not', 'bits'),
                ('SET', 'gone', 1), ('BITOP', 'AND', 'gone', 'none', 'nil'), ('BITOP', 'OR', 'or', 'n', 'not')])
    keys = sorted(c.call('KEYS', '*'))
    before = c.pipeline([('GET', k) for k in keys])
    s.restart(kill=True)
    c = s.client()
    eq(sorted(c.call('KEYS', '*')), keys)
    ok(c.pipeline([('GET', k) for k in keys]) == before, 'values differ')
    ok(c.call('TTL', 'n') > 0, 'the expiry is kept')


run(Server())
