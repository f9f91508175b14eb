#!/usr/bin/python3
"""MONITOR: every command that runs, on whatever shard, to whoever listens; and RESET, which ends that and all else."""
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, encode, eq, expect, need_kelvin, ok, run, show, split, test

LINE = re.compile(r'^(\d+)\.(\d{6}) \[(\d+) ([^\]]+)\] (.*)$')


def monitor(s):
    c = s.client()
    eq(show(c.call('MONITOR')), '+OK')
    return c


def until(m, word):
    """The lines up to the one of ECHO word, as (database, address, what was called)."""
    lines = []
    while True:
        match = LINE.match(bytes(m.reply()).decode())
        ok(match, 'a line of MONITOR')
        lines.append((int(match[3]), match[4], match[5]))
        if match[5] == f'"ECHO" "{word}"':
            return lines[:-1]


@test('lines: time, database, address, arguments quoted')
def _(s):
    m, c = monitor(s), s.client()
    address = '%s:%d' % c.sock.getsockname()
    now = int(c.call('TIME')[0])
    c.call('sEt', 'k', b'a"b\\c\r\n\t\x07\x08\x00\x7f\xffz')
    c.call('SELECT', '2')
    c.call('GET', '')
    c.call('SELECT', '0')
    for i in range(6):
        c.call('INCR', f'n{i}')
    c.call('ECHO', 'end')
    first = LINE.match(bytes(m.reply()).decode())
    ok(abs(int(first[1]) - now) < 60 and first[5] == '"TIME"', first[0])
    eq(until(m, 'end'), [
        (0, address, '"sEt" "k" "a\\"b\\\\c\\r\\n\\t\\a\\b\\x00\\x7f\\xffz"'),
        (2, address, '"SELECT" "2"'),
        (2, address, '"GET" ""'),
        (0, address, '"SELECT" "0"')] + [(0, address, f'"INCR" "n{i}"') for i in range(6)])


@test('what does not run is not shown: errors before it, what an administrator does, what is queued')
def _(s):
    m, c = monitor(s), s.client()
    c.pipeline([('NOSUCH',), ('GET',), ('CONFIG', 'GET', 'port'), ('SLOWLOG', 'LEN'), ('INCR', 'n'), ('LPUSH', 'n', 'x')])
    c.pipeline([('MULTI',), ('SET', 'n', '1'), ('SET', 'n'), ('EXEC',)])
    c.call('ECHO', 'end')
    eq([what for _, _, what in until(m, 'end')], ['"INCR" "n"', '"LPUSH" "n" "x"', '"MULTI"', '"EXEC"'])


@test('transactions are shown when they run, EXEC last')
def _(s):
    m, c = monitor(s), s.client()
    c.pipeline([('MULTI',), ('SET', 'a', '1'), ('SELECT', '1'), ('GET', 'b'), ('SELECT', '0'), ('EXEC',)])
    c.call('ECHO', 'end')
    eq([(db, what) for db, _, what in until(m, 'end')],
       [(0, '"MULTI"'), (0, '"SET" "a" "1"'), (1, '"SELECT" "1"'), (1, '"GET" "b"'), (0, '"SELECT" "0"'), (0, '"EXEC"')])


@test('secrets are not shown')
def _(s):
    m, c = monitor(s), s.client()
    c.call('AUTH', 'me', 'secret')
    c.call('HELLO', '2', 'AUTH', 'me', 'secret')
    c.call('ECHO', 'end')
    eq([what for _, _, what in until(m, 'end')],
       ['"AUTH" "(redacted)" "(redacted)"', '"HELLO" "2" "AUTH" "(redacted)" "(redacted)"'])


@test('scripts: their own line, then those of what they call, from "lua"')
def _(s):
    m, c = monitor(s), s.client()
    c.call('EVAL', "redis.call('SET',KEYS[1],'v') return redis.call('get',KEYS[1])", '1', 'a')
    c.call('EVAL', "redis.call('select',2) redis.call('set','z','1') redis.pcall('nosuch')", '0')
    c.pipeline([('MULTI',), ('EVAL', "return redis.pcall('incr','a')", '0'), ('EXEC',)])
    address = '%s:%d' % c.sock.getsockname()
    c.call('ECHO', 'end')
    eq(until(m, 'end'), [
        (0, address, '"EVAL" "redis.call(\'SET\',KEYS[1],\'v\') return redis.call(\'get\',KEYS[1])" "1" "a"'),
        (0, 'lua', '"SET" "a" "v"'),
        (0, 'lua', '"get" "a"'),
        (0, address, '"EVAL" "redis.call(\'select\',2) redis.call(\'set\',\'z\',\'1\') redis.pcall(\'nosuch\')" "0"'),
        (2, 'lua', '"select" "2"'),
        (2, 'lua', '"set" "z" "1"'),
        (0, address, '"MULTI"'),
        (0, address, '"EVAL" "return redis.pcall(\'incr\',\'a\')" "0"'),
        (0, 'lua', '"incr" "a"'),
        (0, address, '"EXEC"')])


@test('a script that is run again for cold values is shown once, in the slow log too')
def _(_s):
    need_kelvin('flash')
    server = Server({'maxmemory': '96mb', 'tier': 'on', 'tier-memory': '8mb', 'durability': 'none'},
                    lines=['db 0 maxmemory 1mb'])
    c = server.client()
    c.pipeline([('SET', f'k{i}', 'x' * 10000) for i in range(400)])
    m = monitor(server)

    def fetches():
        return int(server.info('tier')['tier_fetches'])

    def lines():
        c.call('ECHO', 'end')
        return [what for _, _, what in until(m, 'end') if 'INFO' not in what and 'HELLO' not in what]

    c.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '4096')
    c.call('SLOWLOG', 'RESET')
    before, n = fetches(), 0
    lines()
    while fetches() < before + 8 and n < 300:
        c.call('EVAL', "redis.call('get','x') return #redis.call('get','k'..ARGV[1]) + #redis.call('get','k'..ARGV[2])",
               '0', str(n), str(n + 1))
        have = lines()
        eq(have[1:], ['"get" "x"', f'"get" "k{n}"', f'"get" "k{n + 1}"'])
        n += 2
    ok(fetches() > before, 'cold values')
    logged = [bytes(e[3][1]) for e in c.call('SLOWLOG', 'GET', '-1') if e[3][0] == b'get' and e[3][1] != b'x']
    eq(logged, [b'k%d' % i for i in reversed(range(n))])
    server.stop()


@test('every command of every client reaches every monitor once, each client\'s in its order')
def _(s):
    monitors = [s.client(resp=resp) for resp in (2, 2, 2, 2, 3)]
    for m in monitors:
        m.call('MONITOR')
    writers = [s.client() for _ in range(4)]
    n = 300

    def write(c, me):
        for i in range(0, n, 10):
            c.pipeline([('SET', f'{{{me}}}k', f'{i + j}') for j in range(10)])

    threads = [threading.Thread(target=write, args=(c, i)) for i, c in enumerate(writers)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for m in monitors:
        seen = {i: [] for i in range(len(writers))}
        for _ in range(n * len(writers)):
            what = split(LINE.match(bytes(m.reply()).decode())[5])
            seen[int(what[1].decode()[1:2])].append(int(what[2]))
        eq(seen, {i: list(range(n)) for i in seen})


@test('commands on keys of several shards are shown once')
def _(s):
    m, c = monitor(s), s.client()
    c.call('MSET', *[w for i in range(10) for w in (f'k{i}', 'v')])
    c.call('DBSIZE')
    c.call('DEL', *[f'k{i}' for i in range(10)])
    c.call('ECHO', 'end')
    eq([what.split(' ')[0] for _, _, what in until(m, 'end')], ['"MSET"', '"DBSIZE"', '"DEL"'])


@test('a monitor: no keys, no second answer, flag O; refused inside a transaction')
def _(s):
    m, c = monitor(s), s.client()
    m.send('GET', 'k')
    eq(show(m.reply()), "-ERR Replica can't interact with the keyspace")
    m.send('MONITOR')
    m.send('PING')
    eq(show(m.reply()), '+PONG')
    ok(bytes(m.reply()).endswith(b'"PING"'), 'its own commands are shown behind their replies')
    ident = m.call('CLIENT', 'ID')
    ok(b' flags=O ' in c.call('CLIENT', 'LIST', 'ID', ident), 'flag O')
    c.pipeline([('MULTI',), ('MONITOR',)])
    expect(c, 'EXEC', "[-ERR MONITOR isn't allowed for DENY BLOCKING client]")
    eq(c.call('CLIENT', 'KILL', 'ID', ident), 1)
    c.pipeline([('SET', 'k', str(i)) for i in range(50)])
    expect(c, 'GET k', '"49"')


@test('monitors come and go while others write')
def _(s):
    stop = threading.Event()

    def write():
        c = s.client()
        while not stop.is_set():
            c.pipeline([('SET', f'k{i}', 'v') for i in range(20)])

    threads = [threading.Thread(target=write) for _ in range(2)]
    for t in threads:
        t.start()
    for i in range(30):
        m = monitor(s)
        for _ in range(5):
            m.reply()
        m.close()
    stop.set()
    for t in threads:
        t.join()
    expect(s.client(), 'PING', '+PONG')


@test('a client on a unix socket is shown by its path')
def _(_s):
    server = Server(options={'unixsocket': '/tmp/k%d.sock' % os.getpid()})
    m = monitor(server)
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(server.options['unixsocket'])
        c.sendall(encode(['PING']))
        c.recv(100)
    match = LINE.match(bytes(m.reply()).decode())
    eq((match[4], match[5]), ('unix:' + server.options['unixsocket'], '"PING"'))
    server.stop()


# --- RESET ---


@test('RESET ends the transaction, the watches, the protocol, the name, the database, and listening')
def _(s):
    c, other = s.client(), s.client()
    c.call('HELLO', '3', 'SETNAME', 'x')
    c.pipeline([('SELECT', '3'), ('WATCH', 'w'), ('MULTI',), ('SET', 'a', '1')])
    expect(c, 'RESET', '+RESET')
    ok(re.search(rb' name= .* flags=N db=0 .* multi=-1 .* resp=2', c.call('CLIENT', 'INFO')), 'as new')
    c.call('WATCH', 'k')
    c.call('RESET')
    other.call('SET', 'k', '1')
    c.pipeline([('MULTI',), ('GET', 'k')])
    expect(c, 'EXEC', '["1"]')
    expect(c, 'EXEC', '-ERR EXEC without MULTI')
    m = monitor(s)
    expect(m, 'RESET', '+RESET')
    other.call('PING')
    ok(m.quiet(0.2), 'it listens no more')
    expect(m, 'SET k 2', '+OK')
    c.raw(b''.join(map(encode, [('CLIENT', 'REPLY', 'OFF'), ('PING',), ('RESET',), ('ECHO', 'x')])))
    eq([show(c.reply()) for _ in range(2)], ['+RESET', '"x"'])
    c.call('SUBSCRIBE', 'ch')
    expect(c, 'RESET', '+RESET')
    eq(other.call('PUBLISH', 'ch', 'x'), 0)
    expect(c, 'GET k', '"2"')


@test('RESET: NO-TOUCH, NO-EVICT (7.2), lib-name stays')
def _(s):
    need_kelvin('CLIENT SETINFO')
    c = s.client()
    c.pipeline([('CLIENT', 'NO-TOUCH', 'on'), ('CLIENT', 'NO-EVICT', 'on'), ('CLIENT', 'SETINFO', 'LIB-NAME', 'lib')])
    c.call('RESET')
    ok(re.search(rb' flags=N .* lib-name=lib ', c.call('CLIENT', 'INFO')), 'flags=N')


@test('RESET: a password is asked for again')
def _(_s):
    server = Server({'requirepass': 'secret'})
    c = server.client()
    expect(c, 'AUTH secret', '+OK')
    expect(c, 'PING', '+PONG')
    expect(c, 'RESET', '+RESET')
    expect(c, 'PING', '-NOAUTH Authentication required.')
    server.stop()


run(Server())
