#!/usr/bin/python3
"""Commands that wait: BLPOP and its like, XREAD and XREADGROUP BLOCK, CLIENT UNBLOCK.

Most scenarios are played to a redis-server too, and every reply compared. In their lines {A}, {B}, {C} are keys of three
different shards (of three), {A1} is on the same as {A}; connections whose name ends in 3 speak RESP3, and

    a< BLPOP {A} 0     connection a sends, and from here on it is blocked
    a! BLPOP {A} .01   connection a sends and gets its reply
    > LPUSH {A} 1      the main connection, the same
    a?                 what a gets now
    a-                 a is still blocked

Where Kelvin says something else on purpose (it does as 7.2, the oracle is a 7.0), `kelvin: text` follows the line.
"""
import binascii
import itertools
import os
import random
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (COLD, COLD_OPTIONS, ORACLE, SANITIZED, Closed, ErrorReply, Failure, Late, Server, Skip, encode, eq, eventually,
                    expect, in_time, keys, need_kelvin, ok, run, seed, session, show, split, test)

SEED = seed()


def key_on(shard, name='key'):
    return next(k for k in (f'{name}:{i}' for i in range(1000)) if binascii.crc_hqx(k.encode(), 0) % 16384 % 3 == shard)


NAMES = {'A': key_on(0), 'B': key_on(1), 'C': key_on(2), 'A1': key_on(0, 'other'), 'B1': key_on(1, 'other')}
A, B, C = (NAMES[n] for n in 'ABC')


def blocked(server):
    return int(server.info('clients')['blocked_clients'])


def wait_blocked(server, n):
    eventually(lambda: blocked(server) == n, f'{n} clients are to be blocked')


def block(server, client, *args):
    """Sends a call that blocks; returns when it does."""
    before = blocked(server)
    client.send(*args)
    wait_blocked(server, before + 1)


def block_for(server, ms, *args):
    """A new client that is blocked for so many milliseconds; for attempts of in_time()."""
    client, before = server.client(), blocked(server)
    client.send(*args, ms / 1000)
    while blocked(server) == before:
        if not client.quiet(0.001):
            raise Late('time is up')
    return client


_LINE = re.compile(r'^(\w*)([<>!?-])\s*(.*)$')


def play(server, text):
    """The replies in the order of the lines, as text."""
    clients, out = {}, []

    def client(name):
        if name not in clients:
            clients[name] = server.client(resp=3 if name.endswith('3') else 2)
        return clients[name]

    for line in (raw.strip() for raw in text.splitlines()):
        if not line or line.startswith(('#', 'kelvin:')):
            continue
        name, what, rest = _LINE.match(line).groups()
        args = split(re.sub(r'{(\w+)}', lambda m: NAMES[m.group(1)], rest))
        if what == '<':
            block(server, client(name), *args)
        elif what == '-':
            ok(client(name).quiet(0.02), f'{name} is not blocked any more: {text}')
        else:
            reply = client(name).reply() if what == '?' else client(name).call(*args)
            out.append((line, show(reply)))
    return out


def with_names(text):
    return re.sub(r'{(\w+)}', lambda m: NAMES[m.group(1)], text)


def wanted(server, text, oracle):
    """What the oracle said, but for what `kelvin:` lines put in the place of the line before."""
    want = play(oracle, text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    at = -1
    for before, line in zip(lines, lines[1:] + ['']):
        at += _LINE.match(before) is not None and not before.startswith(('kelvin:', '#')) and _LINE.match(before).group(2) in '>!?'
        if line.startswith('kelvin:') and server.is_kelvin:
            want[at] = (want[at][0], with_names(line[len('kelvin:'):].strip()))
    return want


_oracle = []


def scenarios(name, *texts):
    def compare(server):
        if not ORACLE:
            raise Skip('there is no redis-server')
        if not _oracle:
            _oracle.append(Server({'hz': 500}, binary=ORACLE))  # for its timeouts
        for text in texts:
            server.fresh()
            _oracle[0].fresh()
            eq(play(server, text), wanted(server, text, _oracle[0]), with_names(text))

    test(name)(compare)


scenarios('each command gets what comes', *[f'''
    a< {call}
    > {push}
    a?
    > {look}
''' for call, push, look in [
    ('BLPOP {A} 0', 'RPUSH {A} 1 2 3', 'LRANGE {A} 0 -1'),
    ('BRPOP {B} 0', 'RPUSH {B} 1 2 3', 'LRANGE {B} 0 -1'),
    ('BLPOP {C} {A} {B} 0', 'RPUSH {B} 1', 'EXISTS {B}'),
    ('BLPOP {A} {A} {A1} {A} 0', 'RPUSH {A} 1', 'EXISTS {A}'),
    ('BLPOP {A} 0', 'LPUSH {A} 1 2 3', 'LRANGE {A} 0 -1'),
    ('BLMPOP 0 1 {A} LEFT', 'RPUSH {A} 1 2 3', 'LRANGE {A} 0 -1'),
    ('BLMPOP 0 3 {A} {B} {C} RIGHT COUNT 2', 'RPUSH {C} 1 2 3', 'LRANGE {C} 0 -1'),
    ('BLMOVE {A} {A1} LEFT RIGHT 0', 'RPUSH {A} 1 2', 'LRANGE {A1} 0 -1'),
    ('BLMOVE {A} {B} LEFT RIGHT 0', 'RPUSH {A} 1 2', 'LRANGE {B} 0 -1'),
    ('BLMOVE {C} {B} RIGHT LEFT 0', 'RPUSH {C} 1', 'EXISTS {C}'),
    ('BLMOVE {A} {A} LEFT RIGHT 0', 'RPUSH {A} 1 2', 'LRANGE {A} 0 -1'),
    ('BRPOPLPUSH {B} {A} 0', 'RPUSH {B} 1 2', 'LRANGE {A} 0 -1'),
    ('BZPOPMIN {A} {B} 0', 'ZADD {B} 1.5 x 2 y', 'ZRANGE {B} 0 -1'),
    ('BZPOPMAX {A} 0', 'ZADD {A} 1.5 x 2 y', 'ZRANGE {A} 0 -1'),
    ('BZMPOP 0 2 {A} {B} MIN COUNT 5', 'ZADD {B} 1.5 x 2 y', 'EXISTS {B}'),
    ('BZMPOP 0 1 {A} MAX', 'ZADD {A} 1.5 x 2 y', 'ZRANGE {A} 0 -1'),
    ('XREAD BLOCK 0 STREAMS {A} $', 'XADD {A} 1-1 f v', 'XLEN {A}'),
    ('XREAD BLOCK 0 STREAMS {A} {B} {C} $ $ $', 'XADD {B} 1-1 f v', 'XLEN {B}'),
    ('XREAD COUNT 1 BLOCK 0 STREAMS {A} 5-5', 'XADD {A} 5-6 f v', 'XLEN {A}'),
]])

scenarios('in RESP3', *[f'''
    a3! ECHO x
    a3< {call}
    > {push}
    a3?
    a3! {timeout}
''' for call, push, timeout in [
    ('BZPOPMIN {A} 0', 'ZADD {A} 1.5 x', 'BZPOPMIN {A} 0.001'),
    ('BZMPOP 0 2 {A} {B} MIN', 'ZADD {A} 1.5 x', 'BZMPOP 0.001 1 {A} MIN'),
    ('XREAD BLOCK 0 STREAMS {A} {B} $ $', 'XADD {A} 1-1 f v', 'XREAD BLOCK 1 STREAMS {A} $'),
]])

scenarios('errors, and what need not wait', '''
    a! BLPOP {A} x
    a! BLPOP {A} -1
    a! BLPOP {A} ""
    a! BLPOP {A} 1e400
    kelvin: -ERR timeout is out of range
    a! BLPOP {A} 1e17
    kelvin: -ERR timeout is out of range
    a! BLPOP {A} nan
    a! BLPOP {A}
    a! BLMPOP x 1 {A} LEFT
    a! BLMPOP x 1 {A} FRONT
    a! BLMPOP 0.01 0 {A} LEFT
    a! BLMPOP -1 0 {A} LEFT
    a! BLMPOP 0.01 2 {A} LEFT
    a! BLMPOP 0.01 1 {A} LEFT COUNT 0
    a! BLMPOP 0.01 1 {A} LEFT COUNT
    a! BZMPOP 0.01 1 {A} LEFT
    a! BZMPOP -1 1 {A} MIN
    a! BLMOVE {A} {B} LEFT x 0.01
    a! BLMOVE {A} {B} x LEFT abc
    a! BLMOVE {A} {B} LEFT LEFT -1
    a! BRPOPLPUSH {A} {B} -1
    a! XREAD BLOCK -1 STREAMS {A} $
    a! XREAD BLOCK 1.5 STREAMS {A} $
    a! XREADGROUP GROUP g c BLOCK 0 STREAMS {A} >
    > RPUSH {A} 1 2 3
    a! BLPOP {B} {A} 0
    a! BRPOP {A} 0
    a! BLMPOP 0 2 {B} {A} LEFT
    > ZADD {B} 1 x 2 y
    a! BLPOP {A} {B} 0
    a! BZPOPMAX {A} {B} 0
    a! BZPOPMIN {B} 0
    > SET {A} text
    a! BLPOP {B} {A} 0
    a! BLMOVE {A} {B} LEFT LEFT 0
    a! BZPOPMIN {B} {A} 0
    a! BZMPOP 0 2 {B} {A} MIN
    a! BLMPOP 0 2 {B} {A} LEFT
    a! XREAD BLOCK 0 STREAMS {B} {A} $ $
    > RPUSH {B} 1
    a! BLMOVE {B} {A} LEFT LEFT 0
    > LRANGE {B} 0 -1
''')

scenarios('time is up', *[f'''
    a! {call}
    a! PING
''' for call in ['BLPOP {A} 0.001', 'BRPOP {B} {A} .002', 'BLMOVE {A} {B} LEFT LEFT 0.001', 'BRPOPLPUSH {B} {B} 1e-3',
                 'BLMPOP 0.001 2 {A} {C} LEFT', 'BZPOPMIN {A} {B} 0.0001', 'BZPOPMAX {C} 0.001', 'BZMPOP 0.001 1 {B} MIN',
                 'XREAD BLOCK 1 STREAMS {A} {B} $ $', 'XREAD BLOCK 1 STREAMS {B} 0']])


@test('timeouts end in their order, whatever else happens, and not before')
def _(s):
    waits = [(0.05, [A]), (0.1, [B, C]), (0.15, [C]), (0.2, [A, B])]
    for seconds, names in waits:
        client = s.client()
        begin = time.monotonic()
        eq(show(client.call('BLPOP', *names, seconds)), 'nilarray')
        ok(time.monotonic() - begin >= seconds, 'too early')

    def with_deadline():
        return int(s.info('clients')['clients_in_timeout_table'])

    def disturbed(ms):
        waiting = block_for(s, ms, 'BLPOP', A, B)
        if with_deadline() == 0:
            raise Late('time is up')
        for _ in range(20):
            s.client().call('SET', A, 'x')
        eq(show(waiting.reply()), 'nilarray')

    in_time(disturbed, 400)
    eventually(lambda: with_deadline() == 0, 'its time is up')


scenarios('first come, first served', '''
    a< BLPOP {A} 0
    b< BRPOP {A} 0
    c< BLMPOP 0 1 {A} LEFT COUNT 2
    d< BLPOP {A} 0
    > RPUSH {A} 1 2 3 4
    a?
    b?
    c?
    d-
    > EXISTS {A}
    e< BLPOP {A} 0
    > LPUSH {A} 5
    d?
    e-
    > LPUSH {A} 6
    e?
''', '''
    a< BLPOP {A} {B} 0
    b< BLPOP {B} 0
    c< BLPOP {A} 0
    > RPUSH {B} 1
    a?
    > RPUSH {B} 2
    b?
    > RPUSH {A} 3
    c?
''', '''
    a< BZPOPMIN {A} 0
    b< BZPOPMAX {A} {B} 0
    > ZADD {A} 1 x 2 y 3 z
    a?
    b?
    > ZRANGE {A} 0 -1
''', '''
    # who cannot use what has come is passed over, and tried once
    a< XREAD BLOCK 0 STREAMS {A} {B} 5-5 5-5
    b< XREAD BLOCK 0 STREAMS {A} {B} 0 0
    c< XREAD BLOCK 0 STREAMS {A} 0
    > XADD {A} 1-1 f v
    b?
    c?
    a-
    > XADD {B} 6-1 f v
    a?
''', '''
    # a client that waits keeps its place when a key comes that it cannot use
    a< BLPOP {A} {B} 0
    b< BLPOP {A} 0
    > SET {A} x
    > DEL {A}
    > ZADD {A} 1 m
    > DEL {A}
    > RPUSH {A} 1
    a?
    b-
    > RPUSH {A} 2
    b?
''')

scenarios('several keys at once: the one that was pushed to first', '''
    a< BLPOP {A} {A1} 0
    > MULTI
    > RPUSH {A1} 1
    > RPUSH {A} 2
    > EXEC
    a?
    > LRANGE {A} 0 -1
''', '''
    a< BZPOPMIN {A} {A1} 0
    > MULTI
    > ZADD {A1} 1 x
    > ZADD {A} 1 y
    > EXEC
    a?
''', '''
    a< BLPOP {A} {B} {C} 0
    > MULTI
    > RPUSH {C} 1
    > RPUSH {A} 2
    > RPUSH {C} 3
    > EXEC
    a?
    > LRANGE {A} 0 -1
''', '''
    # what comes and goes within one transaction is nothing
    a< BLPOP {A} {B} 0
    > MULTI
    > RPUSH {A} 1
    > DEL {A}
    > RPUSH {B} 1
    > LPOP {B}
    > EXEC
    a-
    > RPUSH {B} 2
    a?
''')

scenarios('chains', '''
    # a list that a waiter moves to has waiters itself
    a< BLMOVE {A} {B} LEFT LEFT 0
    b< BLMOVE {B} {C} LEFT LEFT 0
    c< BLPOP {C} 0
    > RPUSH {A} 1
    c?
    a?
    b?
    > EXISTS {A} {B} {C}
''', '''
    a< BLMOVE {A} {A1} LEFT LEFT 0
    b< BLMOVE {A1} {A} LEFT LEFT 0
    > RPUSH {A} 1
    a?
    b?
    > LRANGE {A} 0 -1
    > LRANGE {A1} 0 -1
''', '''
    a< BRPOPLPUSH {A} {A} 0
    b< BLPOP {A} 0
    > RPUSH {A} 1
    a?
    b?
''', '''
    # the destination is no list: an error, and the element stays for the next
    > SET {B} text
    a< BLMOVE {A} {B} LEFT LEFT 0
    > RPUSH {A} 1
    a?
    > LRANGE {A} 0 -1
''')

scenarios('what wakes', *[f'''
    {prepare}
    a< {call}
    {act}
    a?
''' for prepare, call, act in [
    ('> RPUSH {B} 1', 'BLPOP {A} 0', '> RENAME {B} {A}'),
    ('> RPUSH {B} 1', 'BLPOP {A} 0', '> RENAMENX {B} {A}'),
    ('> RPUSH {B} 1', 'BLPOP {A} 0', '> COPY {B} {A}'),
    ('> RPUSH {B} 1', 'BLPOP {A} 0', '> LMOVE {B} {A} LEFT LEFT'),
    ('> RPUSH {B} 2 1', 'BLPOP {A} 0', '> SORT {B} STORE {A}'),
    ('> SELECT 1\n> RPUSH {A} 1', 'BLPOP {A} 0', '> MOVE {A} 0'),
    ('> SELECT 1\n> RPUSH {A} 1', 'BLPOP {A} {B} 0', '> SWAPDB 0 1'),
    ('> SELECT 1\n> XADD {A} 1-1 f v', 'XREAD BLOCK 0 STREAMS {A} {B} 0 0', '> SWAPDB 1 0'),
    ('> ZADD {B} 1 x', 'BZPOPMIN {A} 0', '> ZUNIONSTORE {A} 1 {B}'),
    ('> ZADD {B} 1 x', 'BZPOPMIN {A} 0', '> ZRANGESTORE {A} {B} 0 -1'),
    ('> ZADD {A1} 1 x', 'BZPOPMIN {A} {B} 0', '> ZINTERSTORE {B} 2 {A1} {A1}'),
    ('> GEOADD {B} 13 38 x', 'BZPOPMIN {A} 0', '> GEOSEARCHSTORE {A} {B} FROMLONLAT 13 38 BYRADIUS 1 km ASC'),
    ('', 'BZPOPMAX {A} 0', '> ZINCRBY {A} 3 x'),
    ('', 'BZPOPMIN {A} 0', '> GEOADD {A} 13 38 x'),
    ('', 'BLPOP {A} 0', '> MULTI\n> RPUSH {A} 1\n> EXEC'),
    ('', 'BLPOP {A} 0', '> MULTI\n> DEL {A}\n> RPUSH {A} 1\n> RPUSH {B} 1\n> EXEC'),
    ('> XGROUP CREATE {A} g $ MKSTREAM', 'XREADGROUP GROUP g c BLOCK 0 STREAMS {A} >', '> XADD {A} 1-1 f v'),
    ('> XGROUP CREATE {A} g $ MKSTREAM\n> XGROUP CREATE {B} g $ MKSTREAM', 'XREADGROUP GROUP g c BLOCK 0 STREAMS {A} {B} > >',
     '> XADD {B} 1-1 f v'),
]])


@test('RESTORE wakes')
def _(s):
    a, b = s.client(), s.client()
    b.call('RPUSH', B, 'x', 'y')
    dump = b.call('DUMP', B)
    block(s, a, 'BLPOP', A, 0)
    eq(show(b.call('RESTORE', A, 0, dump)), '+OK')
    eq(a.reply(), [A.encode(), b'x'])
    eq(b.call('LRANGE', A, 0, -1), [b'y'])


NO_GROUP = "kelvin: -NOGROUP No such key '{A}' or consumer group 'g' in XREADGROUP with GROUP option"
scenarios('a key that goes, or becomes something else', *[f'''
    > XGROUP CREATE {{A}} g $ MKSTREAM
    > XGROUP CREATE {{B}} g $ MKSTREAM
    a< XREADGROUP GROUP g c BLOCK 0 STREAMS {keys_}
    {act}
    a?
    {want}
''' for keys_, act, want in [
    (keys_, act, want) for keys_ in ('{A} >', '{B} {A} > >') for act, want in [
        ('> DEL {A}', NO_GROUP),
        ('> UNLINK {A}', NO_GROUP),
        ('> FLUSHALL', NO_GROUP if keys_ == '{A} >' else NO_GROUP.replace('{A}', '{B}')),
        ('> SET {A} x', 'kelvin: -WRONGTYPE Operation against a key holding the wrong kind of value'),
        ('> XGROUP DESTROY {A} g', NO_GROUP),
        ('> RENAME {A} {C}', NO_GROUP),
        ('> PEXPIRE {A} 1', NO_GROUP),
        ('> EXPIRE {A} -1', NO_GROUP),
    ]]], '''
    # the group is there again when the transaction ends
    > XGROUP CREATE {A} g $ MKSTREAM
    a< XREADGROUP GROUP g c BLOCK 0 STREAMS {A} >
    > XADD {A} 1-1 f v
    a?
    > XINFO GROUPS {A}
''', '''
    # XREAD does not mind, and "$" is what it was
    > XADD {A} 5-1 f v
    a< XREAD BLOCK 0 STREAMS {A} {B} $ $
    > DEL {A}
    > XADD {A} 3-1 f v
    a-
    > DEL {A}
    > SET {A} x
    > DEL {A}
    > LPUSH {A} x
    > DEL {A}
    a-
    > XADD {A} 5-2 f w
    a?
''', '''
    # other types are not for it
    a< BLPOP {A} {B} 0
    b< BZPOPMIN {A} 0
    > SET {A} x
    > DEL {A}
    > SADD {A} x
    > RENAME {A} {B}
    > DEL {B}
    > XADD {A} 1-1 f v
    > DEL {A}
    > ZADD {A} 1 x
    b?
    a-
    > LPUSH {B} x
    a?
''')

scenarios('one entry for many readers, one for each group', '''
    > XGROUP CREATE {A} g $ MKSTREAM
    > XGROUP CREATE {A} h $
    a< XREAD BLOCK 0 STREAMS {A} $
    b< XREAD BLOCK 0 STREAMS {B} {A} 0 0
    c< XREADGROUP GROUP g c BLOCK 0 STREAMS {A} >
    d< XREADGROUP GROUP g d BLOCK 0 STREAMS {A} >
    e< XREADGROUP GROUP h e NOACK BLOCK 0 STREAMS {A} >
    > XADD {A} 1-1 f v
    a?
    b?
    c?
    e?
    d-
    > XADD {A} 1-2 f v
    d?
    > XPENDING {A} g
    > XPENDING {A} h
''')

scenarios('inside MULTI nothing blocks', '''
    a! MULTI
    a! BLPOP {A} 0
    a! BLMOVE {A} {B} LEFT LEFT 0
    a! BRPOPLPUSH {A} {B} 0
    a! BLMPOP 0 1 {A} LEFT
    a! BZPOPMIN {A} 0
    a! BZMPOP 0 1 {A} MIN
    a! XREAD BLOCK 0 STREAMS {A} $
    a! RPUSH {A} 1 2
    a! BRPOP {A} {B} 0
    a! BLMOVE {A} {B} LEFT LEFT 0
    a! EXEC
    a! MULTI
    a! BLPOP {A} x
    a! BLPOP {A}
    a! EXEC
''', '''
    # a waiter is served after the whole transaction, and the transaction sees its own list
    a< BLPOP {A} 0
    > MULTI
    > RPUSH {A} 1
    > LPUSH {A} 2
    > LLEN {A}
    > EXEC
    a?
    > LRANGE {A} 0 -1
''', '''
    # what has expired when the transaction is over does not wake
    a< BLPOP {A} 0
    b< BZPOPMIN {B} {C} 0
    > MULTI
    > RPUSH {A} old
    > ZADD {B} 1 old
    > PEXPIRE {A} 1
    > PEXPIRE {B} 1
    > DEBUG SLEEP 0.02
    > EXEC
    a-
    b-
    > EXISTS {A} {B}
    > RPUSH {A} new
    > ZADD {B} 1 new
    a?
    b?
''', '''
    # and it counts as a change for who watches
    b! WATCH {A}
    a< BLPOP {A} 0
    > RPUSH {A} 1
    a?
    b! MULTI
    b! PING
    b! EXEC
''')


scenarios('inside scripts nothing blocks, and a script wakes when it has ended', """
    a< BLPOP {A} 0
    b< BLMPOP 0 2 {B} {A} RIGHT
    > EVAL "redis.call('RPUSH', KEYS[1], 1, 2) redis.call('LPOP', KEYS[1]) return redis.call('LLEN', KEYS[1])" 1 {A}
    a?
    b-
    > EVAL "redis.call('RPUSH', KEYS[1], 1) redis.call('DEL', KEYS[1])" 1 {A}
    b-
    > EVAL "redis.call('RPUSH', KEYS[1], 3) redis.call('RPUSH', KEYS[2], 4)" 2 {A} {B}
    b?
    > EXISTS {A} {B}
    > DEL {A} {B}
    > EVAL "return redis.call('BLMPOP', 0, 1, KEYS[1], 'LEFT')" 1 {B}
    > EVAL "return redis.call('BZMPOP', 0, 1, KEYS[1], 'MIN')" 1 {C}
    > EVAL "return redis.call('XREAD', 'BLOCK', 0, 'STREAMS', KEYS[1], '$')" 1 {B}
    kelvin: nil
""")


def client_of(server):
    client = server.client()
    return client, client.call('CLIENT', 'ID')


@test('CLIENT UNBLOCK')
def _(s):
    main = s.client()
    calls = [['BLPOP', A, 0], ['BLPOP', B, 0], ['BLPOP', A, B, C, 0], ['BLMOVE', A, B, 'LEFT', 'LEFT', 0], ['BZPOPMIN', C, 5],
             ['XREAD', 'BLOCK', 0, 'STREAMS', A, B, '$', '$']]
    for call in calls:
        a, a_id = client_of(s)
        eq(main.call('CLIENT', 'UNBLOCK', a_id), 0)
        for reason, want in [([], 'nilarray'), (['TIMEOUT'], 'nilarray'),
                             (['ERROR'], '-UNBLOCKED client unblocked via CLIENT UNBLOCK')]:
            block(s, a, *call)
            eq(main.call('CLIENT', 'UNBLOCK', a_id, *reason), 1)
            eq(show(a.reply()), want)
            eq(main.call('CLIENT', 'UNBLOCK', a_id), 0)
        eq(show(a.call('PING')), '+PONG')
    for names in ([A], [B], [C, A]):
        a, a_id = client_of(s)
        block(s, a, 'BLPOP', *names, 0)
        eq(main.pipeline([['MULTI'], ['CLIENT', 'UNBLOCK', a_id], ['CLIENT', 'UNBLOCK', a_id, 'ERROR'], ['EXEC']])[-1], [1, 0])
        eq(show(a.reply()), 'nilarray')
    eq(main.call('RPUSH', A, 1), 1)
    expect(main, 'CLIENT UNBLOCK x', '-ERR value is not an integer or out of range')
    expect(main, 'CLIENT UNBLOCK 12345678', '0')
    expect(main, 'CLIENT UNBLOCK 1 FOO', '-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR')


@test('CLIENT LIST and INFO tell who waits')
def _(s):
    main = s.client()
    for call in (['BLPOP', A, 0], ['BLPOP', B, 0], ['BLPOP', A, B, C, 0]):
        a, a_id = client_of(s)
        block(s, a, *call)
        line = next(line for line in main.call('CLIENT', 'LIST').decode().splitlines() if f'id={a_id} ' in line)
        ok(' flags=b ' in line and ' cmd=blpop ' in line, line)
    eq(blocked(s), 3)

    def figure(name):
        return int(s.info('clients')['total_blocking_keys' + name])

    if s.is_kelvin:
        eventually(lambda: figure('') == 3, 'A, B and C')
        main.call('XGROUP', 'CREATE', NAMES['A1'], 'g', '$', 'MKSTREAM')
        block(s, s.client(), 'XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', NAMES['A1'], '>')
        eventually(lambda: figure('_on_nokey') == 1, 'the stream')
    main.call('CONFIG', 'RESETSTAT')
    ok(blocked(s) >= 3, 'RESETSTAT does not unblock')
    s.close_clients()
    wait_blocked(s, 0)
    if s.is_kelvin:
        eventually(lambda: figure('') == figure('_on_nokey') == 0, 'nobody waits any more')


@test('what a served call counts as a change')
def _(s):
    need_kelvin('counts of 7.2')
    main, a = s.client(), s.client()
    changes = lambda: int(s.info('persistence')['rdb_changes_since_last_save'])
    for call in (['BLPOP', A, 0], ['BLMOVE', A, NAMES['A1'], 'LEFT', 'LEFT', 0], ['BLMOVE', A, B, 'LEFT', 'LEFT', 0]):
        block(s, a, *call)
        before = changes()
        main.call('RPUSH', A, 1)
        a.reply()
        eq(changes() - before, 2, call)
    main.call('XGROUP', 'CREATE', C, 'g', '$', 'MKSTREAM')
    main.call('XGROUP', 'CREATECONSUMER', C, 'g', 'c')
    main.call('XADD', C, '1-1', 'f', 'v')
    for want, from_id in (1, '>'), (0, '0'):
        before = changes()
        eq(len(a.call('XREADGROUP', 'GROUP', 'g', 'c', 'STREAMS', C, from_id)), 1)
        eq(changes() - before, want, from_id)


@test('who has gone gets nothing')
def _(s):
    main = s.client()
    ways = {'closes': lambda c, i: c.close(), 'says that it sends no more': lambda c, i: c.sock.shutdown(socket.SHUT_WR),
            'is killed': lambda c, i: main.call('CLIENT', 'KILL', 'ID', i)}
    for names in ([A], [B], [C, A, B]):
        for way, go in ways.items():
            gone, gone_id = client_of(s)
            other = s.client()
            block(s, gone, 'BLPOP', *names, 0)
            go(gone, gone_id)
            wait_blocked(s, 0)
            block(s, other, 'BLPOP', names[-1], 0)
            main.call('RPUSH', names[-1], way)
            eq(other.reply(), [names[-1].encode(), way.encode()])
            eq(main.call('RPUSH', names[0], 'stays'), 1)
            eq(main.call('LPOP', names[0]), b'stays')


@test('a client that sends no more still gets what need not wait')
def _(s):
    main = s.client()
    for name in (A, B, C):
        main.call('RPUSH', name, 'x')
        a = s.client()
        a.raw(encode(['PING']) + encode(['BLPOP', name, 0]) + encode(['ECHO', 'end']))
        a.sock.shutdown(socket.SHUT_WR)
        eq([show(a.reply()) for _ in range(3)], ['+PONG', f'["{name}", "x"]', '"end"'])
        ok(a.at_eof(), 'it is closed then')
        main.call('RPUSH', name, 'y')
        a = s.client()
        a.raw(encode(['BLPOP', name, 0]))
        a.sock.shutdown(socket.SHUT_WR)
        eq(show(a.reply()), f'["{name}", "y"]')
        ok(a.at_eof(), 'so it is behind the last one')
        a = s.client()
        a.raw(encode(['SET', 'k', 'v' * 1000]) * 2000 + encode(['BLPOP', name, 0]))
        a.sock.shutdown(socket.SHUT_WR)
        eq([show(a.reply()) for _ in range(2000)], ['+OK'] * 2000)
        ok(a.at_eof(), 'nobody waits for one who is gone')
        a = s.client()
        a.raw(encode(['BLPOP', name, 0]) + encode(['INCR', 'n']))
        a.sock.shutdown(socket.SHUT_WR)
        ok(a.at_eof(), 'and nothing behind it runs')
        eq(main.call('EXISTS', 'n'), 0)
    wait_blocked(s, 0)


@test('a pipeline waits behind a command that blocks, in order')
def _(s):
    main = s.client()
    for names in ([A], [B], [C, A, B]):
        a = s.client()
        before = blocked(s)
        a.raw(b''.join(encode(c) for c in (['SET', 'k', 1], ['INCR', 'k'], ['BLPOP', *names, 0], ['INCR', 'k'], ['GET', 'k'],
                                           ['BLPOP', *names, 0], ['GET', 'k'])) + b'ECHO "in\\x20line"\r\n')
        wait_blocked(s, before + 1)
        eq(main.call('GET', 'k'), b'2')
        main.call('RPUSH', names[-1], 'x')
        eq([show(a.reply()) for _ in range(5)], ['+OK', '2', f'["{names[-1]}", "x"]', '3', '"3"'])
        wait_blocked(s, before + 1)
        main.call('RPUSH', names[0], 'y')
        eq([show(a.reply()) for _ in range(3)], [f'["{names[0]}", "y"]', '"3"', '"in line"'])


@test('what is sent behind a command that blocks is bounded, and not lost')
def _(s):
    main, a = s.client(), s.client()
    block(s, a, 'BLPOP', A, B, 0)
    value = 'v' * 100_000
    sender = threading.Thread(target=lambda: a.raw(b''.join(encode(['SET', f'k{i}', value]) for i in range(40))), daemon=True)
    sender.start()
    time.sleep(0.05)
    main.call('RPUSH', B, 'x')
    eq(show(a.reply()), f'["{B}", "x"]')
    eq([show(a.reply()) for _ in range(40)], ['+OK'] * 40)
    sender.join()


@test('CLIENT REPLY SKIP and OFF are about blocking commands too')
def _(s):
    main = s.client()
    for names in ([A], [B], [C, A]):
        a = s.client()
        before = blocked(s)
        a.raw(encode(['CLIENT', 'REPLY', 'SKIP']) + encode(['BLPOP', *names, 0]) + encode(['ECHO', 'after']))
        wait_blocked(s, before + 1)
        main.call('RPUSH', names[0], 'x')
        eq(a.reply(), b'after')


@test('messages and invalidations reach a client that is blocked')
def _(s):
    main = s.client()
    for names in ([A], [B], [C], [A, B, C]):
        a = s.client(resp=3)
        a.call('CLIENT', 'TRACKING', 'ON')
        a.call('GET', 'cached')
        a.send('SUBSCRIBE', 'news')
        eq(show(a.read()), '>["subscribe", "news", 1]')
        block(s, a, 'BLPOP', *names, 0)
        main.call('PUBLISH', 'news', 'hello')
        eq(show(a.read()), '>["message", "news", "hello"]')
        main.call('SET', 'cached', 1)
        eq(show(a.read()), '>["invalidate", ["cached"]]')
        main.call('RPUSH', names[0], 'x')
        eq(show(a.read()), f'["{names[0]}", "x"]')


@test('CLIENT PAUSE WRITE: nobody is served meanwhile, and time runs out')
def _(s):
    main, a = s.client(), s.client()
    block(s, a, 'BLPOP', A, B, 0)

    def pause(ms):
        main.call('CLIENT', 'UNPAUSE')
        b = block_for(s, ms, 'BLPOP', C)
        main.call('CLIENT', 'PAUSE', 600000, 'WRITE')
        if not b.quiet(0.001):
            raise Late('time is up')
        return b

    b = in_time(pause, 100)
    pushing = s.client()
    pushing.send('RPUSH', A, 'x')
    eq(show(b.reply()), 'nilarray')
    ok(a.quiet(0.02), 'served while writes are paused')
    main.call('CLIENT', 'UNPAUSE')
    eq(show(a.reply()), f'["{A}", "x"]')
    eq(pushing.reply(), 1)


@test('CLIENT PAUSE WRITE in the transaction that pushes, then CLIENT UNBLOCK of who was about to be served')
def _(s):
    need_kelvin('order of a pause and those who wait')
    main, last = s.client(), s.client()
    for name in (A, B):
        waiting = [client_of(s) for _ in range(4)]
        for client, _ in waiting:
            block(s, client, 'BLPOP', name, 0)
        block(s, last, 'BLPOP', name, 0)
        main.pipeline([['MULTI'], ['RPUSH', name, 'x', 'y'], ['CLIENT', 'PAUSE', 100000, 'WRITE'], ['EXEC']])
        eq([main.call('CLIENT', 'UNBLOCK', number) for _, number in waiting], [1] * 4)
        eq([show(client.reply()) for client, _ in waiting], ['nilarray'] * 4)
        main.call('CLIENT', 'UNPAUSE')
        eq(show(last.reply()), f'["{name}", "x"]')
        eq([client.call('LLEN', name) for client, _ in waiting], [1] * 4)


def switch_off(s):
    try:
        s.client().call('CONFIG', 'SET', 'timeout', 0)
    except Closed:
        raise Late('closed before it was asked')


@test('idle clients are closed, blocked ones are not')
def _(s):
    a, b, idle = s.client(), s.client(), s.client()
    block(s, a, 'BLPOP', A, 0)
    block(s, b, 'BLPOP', B, C, 0)
    idle.call('CONFIG', 'SET', 'timeout', 1)
    ok(idle.at_eof(), 'an idle client is closed')
    in_time(lambda _: switch_off(s))
    main = s.client()
    main.call('RPUSH', A, 1)
    main.call('RPUSH', C, 1)
    eq([a.reply(), b.reply()], [[A.encode(), b'1'], [C.encode(), b'1']])


@test('a key that is cold, or cold when it becomes ready')
def _(s):
    need_kelvin('tiers')
    server = Server(COLD_OPTIONS, lines=['db 0 maxmemory 1mb', 'db 1 maxmemory 1mb'])
    main, item = server.client(), b'item' * 100
    main.call('SELECT', 1)
    names = [A, B, C] + [f'l{i}' for i in range(400)]
    for name in names:
        main.call('RPUSH', name, *[item] * 20)
        main.call('ZADD', 'z' + name, 1, 'x')

    def pushed_out():
        main.call('RPUSH', f'more{next(more)}', *[item] * 20)
        return [main.call('OBJECT', 'TIER', k) for k in (A, B, C)] == [b'cold'] * 3

    more = itertools.count()
    eventually(pushed_out, 'they are to be cold', pause=0)
    waiting = [server.client() for _ in range(9)]
    calls = [[A], [A], [A, B, C], [B], [B], [C, A, B], [C], [C], [B, C]]
    for client, where in zip(waiting, calls):
        block(server, client, 'BLPOP', *where, 0)
    expect(main, 'SWAPDB 0 1', '+OK')
    for client, where in zip(waiting, calls):
        key, got = client.reply()
        eq((key.decode() in where, got), (True, item))
    main.call('SELECT', 0)
    eq(sum(main.call('LLEN', k) for k in (A, B, C)), 3 * 20 - 9)
    for name in names[-200::10]:
        eq(main.call('BLPOP', 'none', name, 0), [name.encode(), item])
        eq(main.call('BLMOVE', name, 'to' + name, 'LEFT', 'RIGHT', 0), item)
    server.stop()


@test('many clients, in their order')
def _(s):
    main = s.client()
    for names in ([A], [B], [A, B, C]):
        clients = [s.client() for _ in range(keys(120) if COLD else 60)]
        for i, client in enumerate(clients):
            client.send('BLPOP', *names, 0)
            if len(names) > 1 or i % 20 == 0:
                wait_blocked(s, i + 1)
        wait_blocked(s, len(clients))
        main.call('RPUSH', names[0], *range(len(clients)))
        got = [int(client.reply()[1]) for client in clients]
        eq(sorted(got), list(range(len(clients))))
        if len(names) > 1:
            eq(got, list(range(len(clients))))
        eq(main.call('EXISTS', names[0]), 0)


@test('a push is answered before, or after, but served before anything else')
def _(s):
    main, a = s.client(), s.client()
    for name in (A, B, C):
        for _ in range(20):
            block(s, a, 'BLPOP', name, 0)
            eq(main.pipeline([['RPUSH', name, 1], ['LPOP', name], ['LLEN', name]])[1:], [main.call('GET', 'no'), 0])
            eq(a.reply(), [name.encode(), b'1'])


@test('transactions over several shards that come together do not overtake who waits')
def _(s):
    main, waiting, others = s.client(), s.client(), [s.client() for _ in range(9)]
    take = [['MULTI'], ['LPOP', A], ['INCR', B], ['EXEC']]
    for _ in range(25):
        block(s, waiting, 'BLPOP', A, 0)
        for client in [*others[:4], main, *others[4:]]:
            client.raw(b''.join(map(encode, [['MULTI'], ['RPUSH', A, 'x'], ['INCR', B], ['EXEC']] if client is main else take)))
        eq(show(waiting.reply()), f'["{A}", "x"]')
        eq([show([client.reply() for _ in take][-1][0]) for client in others], ['nil'] * len(others))
        eq([main.reply() for _ in take][-1][0], 1)


@test('what was served is in the log: kill -9 and restart')
def _(s):
    need_kelvin('durability by database')
    if s.cold:
        raise Skip('its own server')
    server = Server({'durability': 'os'})
    moved = 60
    main, waiting = server.client(), [server.client() for _ in range(3)]
    routes = [(A, NAMES['A1']), (B, C), (C, A)]
    for i in range(moved):
        client, (src, dst) = waiting[i % 3], routes[i % 3]
        client.send('BLMOVE', src, dst + ':moved', 'LEFT', 'RIGHT', 0)
        main.call('RPUSH', src, i)
        eq(client.reply(), b'%d' % i)
    main.call('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM')
    block(server, waiting[0], 'XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>')
    main.call('XADD', 's', '1-1', 'f', 'v')
    eq(waiting[0].reply(), [[b's', [[b'1-1', [b'f', b'v']]]]])
    block(server, waiting[1], 'BLMPOP', 0, 2, A, B, 'LEFT', 'COUNT', 2)
    main.call('RPUSH', B, 1, 2, 3)
    waiting[1].reply()
    block(server, waiting[2], 'BZPOPMAX', 'z', 0)
    main.call('ZADD', 'z', 1, 'x', 2, 'y')
    waiting[2].reply()
    server.restart(kill=True)
    main = server.client()
    for i, (src, dst) in enumerate(routes):
        eq(main.call('LRANGE', dst + ':moved', 0, -1), [b'%d' % n for n in range(i, moved, 3)])
    eq(main.call('XPENDING', 's', 'g'), [1, b'1-1', b'1-1', [[b'c', b'1']]])
    eq([main.call('LRANGE', k, 0, -1) for k in (A, B, C)], [[], [b'3'], []])
    eq(main.call('ZRANGE', 'z', 0, -1), [b'x'])
    server.stop()


@test('a server stops with clients that wait')
def _(s):
    server = Server()
    clients = [server.client() for _ in range(6)]
    for client, call in zip(clients, (['BLPOP', A, 0], ['BLPOP', B, 500], ['BLPOP', A, B, C, 0], ['BLMOVE', A, B, 'LEFT', 'LEFT', 300],
                                      ['XREAD', 'BLOCK', 0, 'STREAMS', C, '$'], ['BZPOPMIN', C, A, 0])):
        block(server, client, *call)
    server.process.terminate()
    eq(server.wait_exit(), 0)
    ok(all(client.at_eof() for client in clients), 'their connections end')


class Stress:
    """Producers and consumers of a few lists, with every way to take; what is taken is noted by who got it."""

    KEYS = [f'q{i}' for i in range(6)]
    DONE = [f'done{i}' for i in range(6)]

    def __init__(self, server, elements):
        self.server, self.elements = server, elements
        self.got, self.made, self.ids, self.problems = [], 0, [], []
        self.lock = threading.Lock()
        self.ending = False

    def guarded(self, work, number):
        try:
            work(random.Random(SEED * 1000 + number), self.server.client(), number)
        except Exception as error:
            self.problems.append(repr(error))

    def call(self, rnd):
        names = rnd.sample(self.KEYS, rnd.choice([1, 1, 2, 3]))
        seconds = rnd.choice(['0.01', '0.001', '0.1', '0' if not self.ending else '0.01'])
        return rnd.choice([
            ['BLPOP', *names, seconds], ['BRPOP', *names, seconds],
            ['BLMPOP', seconds, len(names), *names, 'LEFT', 'COUNT', 2],
            ['BLMOVE', names[0], rnd.choice(self.DONE), 'LEFT', 'RIGHT', seconds],
            ['BLMOVE', names[0], rnd.choice(self.KEYS), 'LEFT', 'RIGHT', seconds]])

    def consume(self, rnd, client, number):
        mine = []
        self.ids.append(client.call('CLIENT', 'ID'))
        while True:
            call = self.call(rnd)
            reply = client.call(*call)
            if type(reply) is list:
                mine += reply[1] if call[0] == 'BLMPOP' else reply[1:]
            elif type(reply) is ErrorReply and not reply.startswith(b'UNBLOCKED'):
                raise Failure(show(reply))
            if self.ending and not reply:
                break
        with self.lock:
            self.got += mine

    def produce(self, rnd, client, number):
        made = 0
        while made < self.elements:
            some = [f'{number}:{made + i}' for i in range(rnd.choice([1, 1, 1, 3]))]
            made += len(some)
            way = rnd.random()
            if way < 0.6:
                client.call(rnd.choice(['LPUSH', 'RPUSH']), rnd.choice(self.KEYS), *some)
            elif way < 0.8:
                client.pipeline([['MULTI']] + [['RPUSH', rnd.choice(self.KEYS), e] for e in some] + [['EXEC']])
            else:
                client.call('RPUSH', f'own{number}', *some)
                for _ in some:
                    client.call('LMOVE', f'own{number}', rnd.choice(self.KEYS), 'LEFT', 'LEFT')
        with self.lock:
            self.made += made

    def unblock(self, rnd, client, number):
        while not self.ending:
            time.sleep(0.005)
            if self.ids:
                client.call('CLIENT', 'UNBLOCK', rnd.choice(self.ids), rnd.choice(['ERROR', 'TIMEOUT']))

    def run(self):
        start = lambda work, n: [threading.Thread(target=self.guarded, args=(work, n * 100 + i), daemon=True) for i in range(n)]
        producers, consumers, others = start(self.produce, 3), start(self.consume, 9), start(self.unblock, 1)
        for thread in producers + consumers + others:
            thread.start()
        for thread in producers:
            thread.join()
        self.ending = True
        main = self.server.client()

        def ended():
            for number in self.ids:
                main.call('CLIENT', 'UNBLOCK', number)
            return not any(thread.is_alive() for thread in consumers)

        eventually(ended, f'consumers hang: {main.call("CLIENT", "LIST").decode()}', 60)
        for name in self.KEYS + self.DONE:
            self.got += main.call('LRANGE', name, 0, -1)
        eq(self.problems, [])
        eq(len(self.got), len(set(self.got)), 'something was delivered twice')
        eq(len(self.got), self.made, 'delivered, of what was made')
        eq(blocked(self.server), 0)


@test('everything that is pushed is delivered exactly once')
def _(s):
    Stress(s, keys(300 if SANITIZED else 600)).run()


server = Server()
run(server)
if _oracle:
    _oracle[0].stop()
