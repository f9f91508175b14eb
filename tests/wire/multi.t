#!/usr/bin/python3
"""Transactions: MULTI EXEC DISCARD WATCH, alone and against each other."""
import itertools
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (COLD_OPTIONS, Late, Server, elapse, encode, eq, eventually, expect, in_time, need_kelvin, ok, run, seed, session, show,
                    test)

SEED = seed()

session('MULTI EXEC DISCARD', '''
    > MULTI
    +OK
    > SET a 1
    +QUEUED
    > INCR a
    +QUEUED
    > GET a
    +QUEUED
    > EXEC
    [+OK, 2, "2"]
    > MULTI
    +OK
    > EXEC
    []
    > MULTI
    +OK
    > SET a 9
    +QUEUED
    > DISCARD
    +OK
    > GET a
    "2"
    > EXEC
    -ERR EXEC without MULTI
    > DISCARD
    -ERR DISCARD without MULTI
    > MULTI
    +OK
    > MULTI
    -ERR MULTI calls can not be nested
    > WATCH a
    -ERR WATCH inside MULTI is not allowed
    > DISCARD
    +OK
''')

session('errors while queueing abort, errors while running do not', '''
    > MULTI
    +OK
    > SET a 1
    +QUEUED
    > SET a
    -ERR wrong number of arguments for 'set' command
    > SET b 1
    +QUEUED
    > EXEC
    -EXECABORT Transaction discarded because of previous errors.
    > EXISTS a b
    0
    > MULTI
    +OK
    > NOSUCH a
    /^-ERR unknown command 'NOSUCH'/
    > EXEC
    -EXECABORT Transaction discarded because of previous errors.
    > SET t text
    +OK
    > MULTI
    +OK
    > SET a 1
    +QUEUED
    > INCR t
    +QUEUED
    > SET b 1
    +QUEUED
    > EXEC
    [+OK, -ERR value is not an integer or out of range, +OK]
    > EXISTS a b
    2
''')

session('SELECT inside MULTI stays', '''
    > MULTI
    +OK
    > SELECT 1
    +QUEUED
    > SET k one
    +QUEUED
    > EXEC
    [+OK, +OK]
    > GET k
    "one"
    > SELECT 0
    +OK
    > GET k
    nil
''')

session('WATCH', '''
    a> SET k 1
    +OK
    a> WATCH k
    +OK
    b> SET k 2
    +OK
    a> MULTI
    +OK
    a> SET k 3
    +QUEUED
    a> EXEC
    nilarray
    a> GET k
    "2"
    a> WATCH k other
    +OK
    a> MULTI
    +OK
    a> SET k 3
    +QUEUED
    a> EXEC
    [+OK]
    a> WATCH k
    +OK
    b> SET k 4
    +OK
    a> UNWATCH
    +OK
    a> MULTI
    +OK
    a> GET k
    +QUEUED
    a> EXEC
    ["4"]
    a> WATCH k
    +OK
    b> SET k 5
    +OK
    a> MULTI
    +OK
    a> DISCARD
    +OK
    a> MULTI
    +OK
    a> PING
    +QUEUED
    a> EXEC
    [+PONG]
''')

CHANGES = {
    'SET k x': True, 'APPEND k x': True, 'INCR n': False, 'DEL k': True, 'UNLINK k': True, 'EXPIRE k 1000': True,
    'EXPIRE missing 100': False, 'PERSIST k': False, 'RENAME k z': True, 'RENAME n k': True, 'COPY n k REPLACE': True,
    'GET k': False, 'GETEX k EX 100': True, 'GETDEL k': True, 'SETRANGE k 0 x': True, 'SETNX k x': False,
    'SET k x NX': False, 'MSET n 1 k 2': True, 'FLUSHDB': True, 'FLUSHALL': True, 'SWAPDB 0 1': True, 'MOVE k 1': True,
    'TOUCH k': False, 'DEL missing': False, 'DEL absent': False, 'SET absent 1': True, 'RENAMENX n absent': True,
}


@test('what invalidates a WATCH')
def _(s):
    a, b = s.client(), s.client()
    for change, touches in CHANGES.items():
        b.call('FLUSHALL')
        b.call('MSET', 'k', 'v', 'n', '1')
        a.call('WATCH', 'k', 'absent')
        b.call(*change.split())
        a.call('MULTI')
        a.call('PING')
        eq(not isinstance(a.call('EXEC'), list), touches, change)


@test('WATCH is per database')
def _(s):
    a, b = s.client(), s.client()
    a.call('WATCH', 'k')
    b.call('SELECT', '1')
    b.call('SET', 'k', '1')
    a.call('MULTI')
    a.call('PING')
    expect(a, 'EXEC', '[+PONG]')
    a.call('WATCH', 'k')  # the same name in two of them
    a.call('SELECT', '1')
    a.call('WATCH', 'k')
    b.call('SET', 'k', '2')
    a.call('MULTI')
    expect(a, 'EXEC', 'nilarray')


@test('a watched key that expires')
def _(s):
    a = s.client()

    def watch(ms):
        a.call('UNWATCH')
        a.call('SET', 'k', 'v', 'PX', ms)
        a.call('WATCH', 'k')
        if not a.call('EXISTS', 'k'):
            raise Late('it may have been due before it was watched')
        elapse(ms)

    for active in (1, 0):  # deleted by itself, and hidden
        a.call('DEBUG', 'SET-ACTIVE-EXPIRE', active)
        try:
            in_time(watch)
            a.call('MULTI')
            a.call('PING')
            expect(a, 'EXEC', 'nilarray')
        finally:
            a.call('DEBUG', 'SET-ACTIVE-EXPIRE', 1)


@test('a key that had expired when it was watched, and is deleted later, is no change')
def _(s):
    a, b = s.client(), s.client()
    b.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0)
    try:
        a.call('SET', 'k', 'v', 'PX', '1')
        elapse(1)
        a.call('WATCH', 'k')
        b.call('DEBUG', 'SET-ACTIVE-EXPIRE', 1)
        eventually(lambda: b.call('DBSIZE') == 0, 'it is to be deleted')
        a.call('MULTI')
        a.call('PING')
        expect(a, 'EXEC', '[+PONG]')
        expect(a, 'EXEC', '-ERR EXEC without MULTI')
    finally:
        b.call('DEBUG', 'SET-ACTIVE-EXPIRE', 1)


@test('SWAPDB that brings a key that is due is no change, where there was none')
def _(s):
    a = s.client()
    a.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0)
    try:
        for before, runs in (([], True), ([['SET', 'k', 'v']], False), ([['SET', 'k', 'v', 'PX', 1]], True)):
            a.call('FLUSHALL')
            for db in 1, 0:
                a.call('SELECT', db)
                for call in [['SET', 'k', 'v', 'PX', 1]] if db else before:
                    a.call(*call)
            elapse(1)
            a.call('WATCH', 'k')
            a.call('SWAPDB', 0, 1)
            a.call('MULTI')
            a.call('PING')
            eq(show(a.call('EXEC')), '[+PONG]' if runs else 'nilarray', before)
    finally:
        a.call('DEBUG', 'SET-ACTIVE-EXPIRE', 1)


def exec_after(a, b, watch, change):
    """Whether EXEC runs when b does `change` after a's WATCH."""
    a.call('WATCH', *watch)
    b.call(*change)
    a.call('MULTI')
    a.call('PING')
    return isinstance(a.call('EXEC'), list)


@test('watched keys on several shards')
def _(s):
    a, b = s.client(), s.client()
    names = [f'w{i}' for i in range(12)]
    for name in names:
        eq(exec_after(a, b, names, ['SET', name, 1]), False, f'{name} was changed')
        eq(exec_after(a, b, names, ['GET', name]), True, f'{name} was only read')
        eq(exec_after(a, b, [name], ['SET', names[names.index(name) - 1], 1]), True, 'another was changed')
    a.call('WATCH', *names)
    a.call('MULTI')
    for name in names:
        a.call('INCR', name)
    eq(a.call('EXEC'), [2] * len(names))
    eq(exec_after(a, b, names, ['FLUSHALL']), False)
    eq(exec_after(a, b, names, ['FLUSHALL']), True, 'nothing was there')
    b.call('SELECT', 1)
    b.call('SET', names[0], 'x')
    eq(exec_after(a, b, names, ['SWAPDB', 0, 1]), False, 'it has come')
    eq(exec_after(a, b, names, ['SWAPDB', 0, 1]), False, 'it has gone')
    eq(exec_after(a, b, names[1:], ['SWAPDB', 0, 1]), True, 'these were nowhere')


def cold_server(n, prefix='k'):
    """A server of which most keys k0 ... are cold, each a kilobyte."""
    server = Server(COLD_OPTIONS, lines=['db 0 maxmemory 1mb'])
    c = server.client()
    c.pipeline([('SET', f'{prefix}{i}', b'%d' % i + b'x' * 1000) for i in range(n)])
    eventually(lambda: len(cold_keys(c, n, prefix)) > n // 3, 'keys are to become cold')
    return server, c


def cold_keys(c, n, prefix='k'):
    tiers = c.pipeline([('OBJECT', 'TIER', f'{prefix}{i}') for i in range(n)])
    return [i for i in range(n) if tiers[i] == b'cold']


@test('a watched key that is cold: being read, dropped or cleaned is no change')
def _(s):
    need_kelvin('tier')
    n = 2000
    server, a = cold_server(n)
    b = server.client()
    cold = [f'k{i}' for i in cold_keys(a, n)[:40]]
    for name in cold[:5]:
        eq(exec_after(a, b, [name], ['GET', name]), True, 'promotion')
    for name, change in zip(cold[5:], (['APPEND', cold[5], 'x'], ['EXPIRE', cold[6], 100], ['DEL', cold[7]], ['SET', cold[8], 1],
                                       ['RENAME', cold[9], 'other'], ['SETRANGE', cold[10], 2, 'y'])):
        eq(exec_after(a, b, [name], change), False, change[0])
    b.call('SET', 'hot', b'h' * 1000)
    a.call('WATCH', 'hot')

    more = itertools.count()

    def pushed_out():
        b.pipeline([('SET', f'more{next(more)}', b'y' * 1000) for _ in range(500)])
        return b.call('OBJECT', 'TIER', 'hot') == b'cold'

    eventually(pushed_out, 'the watched key is to become cold')
    a.call('MULTI')
    a.call('STRLEN', 'hot')
    eq(a.call('EXEC'), [1000])
    server.stop()


@test('EXEC waits for its cold keys before it begins')
def _(s):
    need_kelvin('tier')
    n = 2000
    server, a = cold_server(n)
    b = server.client()
    for round_ in range(10):
        cold = cold_keys(a, n)[:20]
        ok(len(cold) == 20, 'most are cold')
        calls = [('MULTI',), ('INCR', 'begun')] + [('GET', f'k{i}') for i in cold] + [('INCR', 'done'), ('EXEC',)]
        a.raw(b''.join(map(encode, calls)))
        while True:
            begun, done = b.call('MGET', 'begun', 'done')
            eq(begun, done, 'a part of it was seen')
            if done == b'%d' % (round_ + 1):
                break
        eq([a.reply() for _ in calls][-1], [round_ + 1] + [b'%d' % i + b'x' * 1000 for i in cold] + [round_ + 1])
    cold = cold_keys(b, n)[0]
    calls = [('MULTI',), ('SWAPDB', 0, 1), ('SELECT', 1), ('GET', f'k{cold}'), ('SWAPDB', 0, 1), ('SELECT', 0), ('EXEC',)]
    eq(a.pipeline(calls)[-1][2], b'%d' % cold + b'x' * 1000, 'found where it is by then')
    server.stop()


@test('what waits for flash is not overtaken by what its client sends next')
def _(s):
    need_kelvin('tier')
    n, prefix = 2000, '{on one shard}'
    server, a = cold_server(n, prefix)
    for _ in range(4):  # on all shards, and so elsewhere
        c = server.client()
        for write in (['SET', 'KEY', 'new'], ['MSET', 'KEY', 'new', 'other', 'new']):
            cold = cold_keys(a, n, prefix)[:60]
            names = [f'{prefix}{i}' for i in cold]
            c.send('MGET', *names)
            c.send(*[names[-1] if word == 'KEY' else word for word in write])
            eq(c.reply(), [b'%d' % i + b'x' * 1000 for i in cold])
            eq(c.reply(), b'OK')
    server.stop()


@test('a watched key that is evicted')
def _(s):
    server = Server({'maxmemory': '96mb', 'tier': 'off', 'durability': 'none', 'maxmemory-policy': 'allkeys-lru'},
                    ['db 0 maxmemory 4mb'])
    a, b = server.client(), server.client()
    if not server.is_kelvin:
        a.call('CONFIG', 'SET', 'maxmemory', 4 << 20)
    names = [f'watched{i}' for i in range(100)]
    a.call('MSET', *[x for name in names for x in (name, 'v')])
    a.call('WATCH', *names)
    for at in range(0, 20000, 500):
        b.pipeline([('SET', f'k{i}', b'x' * 1000) for i in range(at, at + 500)])
    ok(b.call('EXISTS', *names) < 100, 'some are evicted')
    a.call('MULTI')
    a.call('PING')
    expect(a, 'EXEC', 'nilarray')
    server.stop()


@test('EXEC that there is no memory for says so, and does nothing')
def _(s):
    server = Server({'maxmemory': '96mb', 'tier': 'off', 'durability': 'none', 'maxmemory-policy': 'noeviction'},
                    ['db 0 maxmemory 1mb'])
    a = server.client()
    a.call('MULTI')
    a.call('SET', 'big', b'x' * 1000)
    a.call('SET', 'other', 'x')
    b = server.client()
    if not server.is_kelvin:
        b.call('CONFIG', 'SET', 'maxmemory', 1 << 20)
    while not any(r.startswith(b'OOM') for r in b.pipeline([('RPUSH', 'l', b'x' * 1000)] * 100) if isinstance(r, bytes)):
        pass
    if not server.is_kelvin:
        b.call('CONFIG', 'SET', 'maxmemory', 1)
    expect(a, 'EXEC', "-EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.")
    expect(a, 'EXEC', '-ERR EXEC without MULTI')
    expect(a, 'EXISTS big other', '0')
    if not server.is_kelvin:
        b.call('CONFIG', 'SET', 'maxmemory', 0)  # it refuses to queue anything
    expect(a, 'MULTI', '+OK')
    expect(a, 'LLEN l', '+QUEUED')
    expect(a, 'DEL l', '+QUEUED')
    eq(len(a.call('EXEC')), 2)
    server.stop()


@test('increments guarded by WATCH never get lost')
def _(s):
    clients = [s.client() for _ in range(8)]
    each, aborted = 60, [0] * 8
    met = threading.Barrier(8)

    def add(i):
        c, done = clients[i], 0
        while done < each:
            c.call('WATCH', 'counter')
            value = c.call('GET', 'counter')
            if done + aborted[i] == 0:
                met.wait()  # all have watched
            replies = c.pipeline([('MULTI',), ('SET', 'counter', int(value or 0) + 1), ('EXEC',)])
            if isinstance(replies[-1], list):
                done += 1
            else:
                aborted[i] += 1

    threads = [threading.Thread(target=add, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    expect(s.client(), 'GET counter', f'"{8 * each}"')
    ok(sum(aborted) >= 7, f'{sum(aborted)} were aborted, and the first time all but one must be')


@test('money moved between accounts: no reader ever sees a part of a transfer')
def _(s):
    accounts, total = 20, 20 * 1000
    names = [f'account:{i}' for i in range(accounts)]
    s.client().call('MSET', *[x for n in names for x in (n, 1000)])
    stop, wrong = threading.Event(), []
    clients = [s.client() for _ in range(7)]

    def move(i):
        rng, c = random.Random(SEED + i), clients[i]
        while not stop.is_set():
            a, b, n = rng.choice(names), rng.choice(names), rng.randint(1, 50)
            c.pipeline([('MULTI',), ('DECRBY', a, n), ('INCRBY', b, n), ('EXEC',)])

    def audit(i):
        c = clients[i]
        for k in range(400):
            if k % 2:
                values = c.call('MGET', *names)
            else:
                values = c.pipeline([('MULTI',)] + [('GET', n) for n in names] + [('EXEC',)])[-1]
            if sum(map(int, values)) != total:
                wrong.append(values)

    movers = [threading.Thread(target=move, args=(i,)) for i in range(4)]
    auditors = [threading.Thread(target=audit, args=(i,)) for i in range(4, 7)]
    for t in movers + auditors:
        t.start()
    for t in auditors:
        t.join()
    stop.set()
    for t in movers:
        t.join()
    eq(wrong, [])


@test('MSET over many keys is never seen in part')
def _(s):
    names = [f'm{i}' for i in range(30)]
    writer, reader = s.client(), s.client()
    writer.call('MSET', *[x for n in names for x in (n, 0)])
    stop, torn = threading.Event(), []

    def write():
        i = 0
        while not stop.is_set():
            i += 1
            writer.pipeline([('MSET', *[x for n in names for x in (n, i + j)]) for j in range(10)])

    t = threading.Thread(target=write)
    t.start()
    for _ in range(500):
        values = set(reader.call('MGET', *names))
        if len(values) != 1:
            torn.append(values)
    stop.set()
    t.join()
    eq(torn, [])


@test('a transaction of 10,000 commands')
def _(s):
    c = s.client()
    replies = c.pipeline([('MULTI',)] + [('INCR', f'k{i % 100}') for i in range(10000)] + [('EXEC',)])
    eq(len(replies[-1]), 10000)
    eq(replies[-1][-1], 100)


@test('pipelined transactions from many clients at once')
def _(s):
    clients = [s.client() for _ in range(50)]
    for c in clients:
        one = b''.join(map(encode, [('MULTI',), ('INCR', 'x'), ('INCR', 'y'), ('EXEC',)]))
        c.raw(one * 20)
    for c in clients:
        for _ in range(20):
            x, y = [c.read() for _ in range(4)][-1]
            eq(x, y)
    expect(s.client(), 'MGET x y', '["1000", "1000"]')


run(Server())
