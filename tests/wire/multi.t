#!/usr/bin/python3
"""Transactions: MULTI EXEC DISCARD WATCH, alone and against each other."""
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, encode, eq, expect, ok, run, seed, session, test

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


@test('a watched key that expires')
def _(s):
    a, b = s.client(), s.client()
    a.call('SET', 'k', 'v', 'PX', '30')
    a.call('WATCH', 'k')
    while b.call('EXISTS', 'k'):
        pass
    a.call('MULTI')
    a.call('PING')
    expect(a, 'EXEC', 'nilarray')


@test('increments guarded by WATCH never get lost')
def _(s):
    clients = [s.client() for _ in range(8)]
    each, aborted = 60, [0] * 8

    def add(i):
        c, done = clients[i], 0
        while done < each:
            c.call('WATCH', 'counter')
            value = c.call('GET', 'counter')
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
    ok(sum(aborted) > 0, 'the clients never met')


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
