#!/usr/bin/python3
"""The protocol itself: RESP2 and RESP3, inline commands, malformed input, pipelines, big arguments."""
import os
import random
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, encode, eq, expect, eventually, keys, ok, run, seed, session, size, test

SEED = seed()


def shuts_out(s, data, error):
    """`data` gets `error` as the last reply, then the end of the stream; others go on."""
    other = s.client()
    c = s.client()
    c.raw(data)
    eq(c.read().decode(), error, repr(data))
    ok(c.at_eof(), f'{data!r} should close the connection')
    expect(other, 'PING', '+PONG')


session('HELLO', '''
    > HELLO 2
    /^\\["server", "redis", "version", "[0-9.]+", "proto", 2, "id", [0-9]+, "mode", "standalone", "role", "master", "modules", \\[\\]\\]$/
    > HELLO 3
    /^{"server": "redis", "version": "[0-9.]+", "proto": 3, "id": [0-9]+, "mode": "standalone", "role": "master", "modules": \\[\\]}$/
    > HELLO
    /"proto": 3/
    > HELLO 4
    -NOPROTO unsupported protocol version
    > HELLO 1
    -NOPROTO unsupported protocol version
    > HELLO three
    -ERR Protocol version is not an integer or out of range
    > HELLO 3 SETNAME me
    /"proto": 3/
    > CLIENT GETNAME
    "me"
    > HELLO 3 BOGUS
    -ERR Syntax error in HELLO option 'BOGUS'
    > HELLO 2
    ...
    > GET missing
    nil
''')

session('RESET goes back to RESP2, database 0 and no transaction', '''
    > HELLO 3
    ...
    > SELECT 1
    +OK
    > CLIENT SETNAME me
    +OK
    > MULTI
    +OK
    > RESET
    +RESET
    > EXEC
    -ERR EXEC without MULTI
    > GET missing
    nil
    > CLIENT GETNAME
    nil
    > CLIENT INFO
    / db=0 .* resp=2/
''')

session('unknown commands name what came', r'''
    > nosuchcommand
    -ERR unknown command 'nosuchcommand', with args beginning with:
    > NoSuch a "b c" d
    -ERR unknown command 'NoSuch', with args beginning with: 'a' 'b c' 'd'
    > CONFIG nosuch
    -ERR unknown subcommand 'nosuch'. Try CONFIG HELP.
    > OBJECT nosuch k
    -ERR unknown subcommand 'nosuch'. Try OBJECT HELP.
    > "no\r\nsuch" a
    -ERR unknown command 'no  such', with args beginning with: 'a'
''')

session('PING ECHO TIME QUIT', '''
    > PING
    +PONG
    > PING hello
    "hello"
    > PING a b
    -ERR wrong number of arguments for 'ping' command
    > ECHO "a b"
    "a b"
    > ECHO
    -ERR wrong number of arguments for 'echo' command
    > TIME
    /^\\["[0-9]{10}", "[0-9]+"\\]$/
    > QUIT
    +OK
''')


@test('who sends no more is answered all the same')
def _(s):
    for n in (1, 1000):
        c = s.client()
        c.raw(b''.join(b'SET half:%d v\r\n' % i for i in range(n)) + b'ECHO end\r\nGET unfinis')
        c.sock.shutdown(socket.SHUT_WR)
        eq([c.reply() for _ in range(n + 1)], [b'OK'] * n + [b'end'])
        ok(c.at_eof(), 'the connection is not closed')
    eventually(lambda: int(s.info('clients')['connected_clients']) <= 1, 'clients are left')


@test('QUIT closes after its reply, and what follows is not run')
def _(s):
    c = s.client()
    c.raw(encode(['SET', 'a', '1']) + encode(['QUIT']) + encode(['SET', 'a', '2']))
    eq([bytes(c.read()), bytes(c.read())], [b'OK', b'OK'])
    ok(c.at_eof(), 'QUIT should close')
    expect(s.client(), 'GET a', '"1"')


@test('inline commands: quotes, spaces, bare newlines, empty lines')
def _(s):
    c = s.client()
    c.raw(b'PING\r\n')
    eq(bytes(c.read()), b'PONG')
    c.raw(b'\r\n   \r\n\nSET  "a\\x41 b"   \'c d\'  \nGET "aA b"\r\n')
    eq([bytes(c.read()), c.read()], [b'OK', b'c d'])
    c.raw(b'SET esc "\\n\\r\\t\\a\\b\\\\\\""\r\nGET esc\r\n')
    eq([bytes(c.read()), c.read()], [b'OK', b'\n\r\t\a\b\\"'])
    lines = [f'SET "key \\x3a{i}" "value {i}"' for i in range(300)]
    c.raw('\r\n'.join(lines + ['']).encode())
    eq({bytes(c.read()) for _ in lines}, {b'OK'})
    eq(c.call('MGET', *[f'key :{i}' for i in range(300)]), [b'value %d' % i for i in range(300)])


@test('malformed input closes that client only')
def _(s):
    shuts_out(s, b'*1\r\n+PING\r\n', "ERR Protocol error: expected '$', got '+'")
    shuts_out(s, b'*abc\r\n', 'ERR Protocol error: invalid multibulk length')
    shuts_out(s, b'*2147483648\r\n', 'ERR Protocol error: invalid multibulk length')
    shuts_out(s, b'*1\r\n$abc\r\n', 'ERR Protocol error: invalid bulk length')
    shuts_out(s, b'*1\r\n$-5\r\n', 'ERR Protocol error: invalid bulk length')
    shuts_out(s, b'*1\r\n$2147483648\r\n', 'ERR Protocol error: invalid bulk length')
    shuts_out(s, b'SET "unbalanced\r\n', 'ERR Protocol error: unbalanced quotes in request')
    shuts_out(s, b'SET "a"b c\r\n', 'ERR Protocol error: unbalanced quotes in request')
    shuts_out(s, b'x' * 70000, 'ERR Protocol error: too big inline request')
    shuts_out(s, b'*' + b'1' * 70000, 'ERR Protocol error: too big mbulk count string')
    shuts_out(s, b'*1\r\n$' + b'1' * 70000, 'ERR Protocol error: too big bulk count string')


@test('commands before the malformed one are answered')
def _(s):
    c = s.client()
    c.raw(encode(['SET', 'k', 'v']) + encode(['GET', 'k']) + b'*1\r\n!bad\r\n')
    eq([bytes(c.read()), c.read(), c.read().decode()],
       [b'OK', b'v', "ERR Protocol error: expected '$', got '!'"])
    ok(c.at_eof(), 'the connection should be closed')


@test('empty and negative multibulks are passed over')
def _(s):
    c = s.client()
    c.raw(b'*0\r\n*-1\r\n' + encode(['PING']))
    eq(bytes(c.read()), b'PONG')


@test('random bytes never harm anybody else')
def _(s):
    rng = random.Random(SEED)
    other = s.client()
    for _ in range(150):
        c = s.client()
        junk = bytearray(rng.randbytes(rng.randint(1, 300)))
        if rng.random() < 0.7:
            junk[:0] = rng.choice([b'*3\r\n$3\r\nSET\r\n$', b'*1\r\n', b'*', b'$', b'*2\r\n$4\r\nECHO\r\n$5\r\n'])
        c.raw(bytes(junk))
        c.close()
        expect(other, 'PING', '+PONG')


@test('a request arriving byte by byte')
def _(s):
    c = s.client()
    for byte in encode(['SET', 'slow', 'a\r\nb']) + b'GET slow\r\n' + encode(['ECHO', '']):
        c.raw(bytes([byte]))
    eq([bytes(c.read()), c.read(), c.read()], [b'OK', b'a\r\nb', b''])


@test('requests cut at random places')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    values = [rng.randbytes(rng.choice([0, 1, 10, 100, 5000, 40000])) for _ in range(200)]
    data = b''.join(encode(['ECHO', v]) for v in values)
    at = 0
    while at < len(data):
        n = rng.choice([1, 2, 3, 17, 1000, 16384, 70000])
        c.raw(data[at:at + n])
        at += n
    for i, value in enumerate(values):
        ok(c.read() == value, f'echo {i} of {len(value)} bytes differs')


@test('a pipeline of 100,000 commands, replies in order')
def _(s):
    c = s.client()
    n = 100000
    replies = c.pipeline([('ECHO', i) if i % 3 else ('SET', f'k{i % 1000}', i) for i in range(n)])
    for i, reply in enumerate(replies):
        ok(reply == (b'%d' % i if i % 3 else b'OK'), f'reply {i} is {reply!r}')


@test('a pipeline over many keys sees its own writes')
def _(s):
    c = s.client()
    calls, want = [], []
    for i in range(5000):
        calls += [('SET', f'k{i}', i), ('INCR', f'k{i}'), ('GET', f'k{i}')]
        want += [b'OK', i + 1, b'%d' % (i + 1)]
    eq(c.pipeline(calls) == want, True)


@test('the two bytes behind an argument are not looked at, however it arrives')
def _(s):
    for length in (5, 100_000, 1_000_000):
        for cut in (0, length // 2, length + 20):
            c = s.client()
            data = encode(['ECHO', b'x' * length])[:-2] + b'zz' + encode(['PING'])
            c.raw(data[:cut])
            s.client().call('PING')
            c.raw(data[cut:])
            ok(c.read() == b'x' * length, f'{length} bytes, cut at {cut}')
            eq(c.read().decode(), 'PONG')


@test('arguments and replies of 64 MiB')
def _(s):
    c = s.client()
    big = random.Random(SEED).randbytes(1 << 16) * (size(64 << 20) >> 16)
    eq(bytes(c.call('SET', 'big', big)), b'OK')
    eq(c.call('STRLEN', 'big'), len(big))
    ok(c.call('GET', 'big') == big, 'the value differs')
    eq(c.call('APPEND', 'big', b'x'), len(big) + 1)
    ok(c.call('GETRANGE', 'big', len(big) - 10, -1) == big[-10:] + b'x', 'the tail differs')
    eq(c.call('DEL', 'big'), 1)


@test('many arguments in one command')
def _(s):
    c = s.client()
    n = keys(50000)
    pairs = [x for i in range(n) for x in (f'key:{i}', i)]
    eq(bytes(c.call('MSET', *pairs)), b'OK')
    values = c.call('MGET', *pairs[::2])
    ok(values == [b'%d' % i for i in range(n)], 'MGET differs')
    eq(c.call('DEL', *pairs[::2]), n)


@test('200 clients at once, each with its own pipeline')
def _(s):
    clients = [s.client() for _ in range(200)]
    for i, c in enumerate(clients):
        c.raw(b''.join(encode(['INCRBY', f'c{i}', j]) for j in range(50)))
    for i, c in enumerate(clients):
        eq([c.read() for _ in range(50)], [j * (j + 1) // 2 for j in range(50)])


@test('a client that sends half a request and leaves')
def _(s):
    before = int(s.info('clients')['connected_clients'])
    for cut in (1, 5, 14, 22):
        c = s.client()
        c.raw(encode(['SET', 'half', 'value'])[:cut])
        c.close()
    eventually(lambda: int(s.info('clients')['connected_clients']) <= before, 'clients should be gone')
    expect(s.client(), 'GET half', 'nil')


@test('a browser that is made to speak to us is shut out: what follows is no command')
def _(s):
    for head in (b'POST / HTTP/1.1\r\n', b'Host: here\r\n', b'SET a 1\r\nhost: here\r\n'):
        c = s.client()
        c.raw(head + b'SET attacked 1\r\n')
        ok(c.at_eof(), f'{head!r} should close the connection')
    expect(s.client(), 'EXISTS attacked', '0')


run(Server({'proto-max-bulk-len': '512mb'}))
