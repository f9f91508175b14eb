#!/usr/bin/python3
"""SORT where the differential test cannot reach: values that are cold, keys on other shards, transactions, many elements."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, eventually, expect, keys, need_kelvin, ok, run, seed, session, test

SEED = seed()

session('options and their errors', '''
    > RPUSH l 3 1 2
    3
    > SORT l LIMIT 0
    -ERR syntax error
    > SORT l LIMIT a 1
    -ERR value is not an integer or out of range
    > SORT l BY
    -ERR syntax error
    > SORT l STORE
    -ERR syntax error
    > SORT_RO l STORE x
    -ERR syntax error
    > SORT l BOGUS
    -ERR syntax error
    > SORT nokey STORE l
    0
    > EXISTS l
    0
    > RPUSH l a
    1
    > SORT l
    -ERR One or more scores can't be converted into double
    > SET string x
    +OK
    > SORT string
    -WRONGTYPE Operation against a key holding the wrong kind of value
    > COMMAND GETKEYS SORT k STORE d BY store
    ["k", "d"]
    > COMMAND GETKEYS SORT k BY store GET store LIMIT store store
    ["k"]
''')


@test('many elements: by themselves, by weights, parts of them, stored')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    n = keys(3000)
    values = rng.sample(range(10 * n), n)
    weights = {v: rng.randrange(n) for v in values}
    c.call('RPUSH', 'l', *values)
    c.call('SADD', 's', *values)
    c.call('ZADD', 'z', *[word for v in values for word in (rng.randrange(n), v)])
    c.pipeline([('SET', f'w:{v}', w) for v, w in weights.items()])
    c.pipeline([('HSET', f'h:{v}', 'weight', w, 'name', f'name {v}') for v, w in weights.items()])
    for key in 'lsz':
        for pattern, rank in ((None, lambda v: v), ('w:*', lambda v: (weights[v], str(v))),
                              ('h:*->weight', lambda v: (weights[v], str(v)))):
            want = sorted(values, key=rank)
            by = ['BY', pattern] if pattern else []
            eq(c.call('SORT', key, *by), [b'%d' % v for v in want], f'{key} {by}')
            eq(c.call('SORT', key, *by, 'DESC'), [b'%d' % v for v in reversed(want)])
            start, count = rng.randrange(n), rng.choice([1, 10, n // 3])
            page = want[start:start + count]
            eq(c.call('SORT', key, *by, 'LIMIT', start, count), [b'%d' % v for v in page])
            got = c.call('SORT', key, *by, 'LIMIT', start, count, 'GET', 'h:*->name', 'GET', '#')
            eq(got, [word for v in page for word in (b'name %d' % v, b'%d' % v)])
            eq(c.call('SORT', key, *by, 'STORE', 'to', 'ALPHA', 'GET', 'w:*'), n)
            eq(c.call('LLEN', 'to'), n)


def cold_server(shards):
    """Weights and names that go cold: what is written after them needs several times the memory there is."""
    server = Server({'maxmemory': '96mb', 'tier': 'on', 'tier-memory': '8mb', 'durability': 'everysec', 'shards': shards},
                    ['db 0 maxmemory 3mb'])
    c = server.client()
    n = 1000
    for i in range(n):
        c.call('RPUSH', 'list', i)
        c.call('SET', f'weight:{i}', f'{(i * 7919) % n:0300}')
        c.call('HSET', f'hash:{i}', 'weight', (i * 104729) % n, 'name', f'{i} ' + 'n' * 300, 'rest', 'r' * 900)
    for i in range(400):
        c.call('SET', f'filler:{i}', 'x' * 20000)
    return server, c, n


def fetches(server):
    return int(server.info('tier')['tier_fetches'])


@test('what BY and GET name is fetched when it is cold, whatever the shard')
def _(_s):
    need_kelvin('tiers')
    for shards in (1, 3):
        server, c, n = cold_server(shards)
        eventually(lambda: b'cold' in c.pipeline([('OBJECT', 'TIER', f'weight:{i}') for i in range(0, n, 10)]), 'nothing is cold')
        want = sorted(range(n), key=lambda i: (i * 7919) % n)
        before = fetches(server)
        eq(c.call('SORT', 'list', 'BY', 'weight:*'), [b'%d' % i for i in want])
        ok(fetches(server) > before, 'cold values were not fetched, but read on the spot')
        for i in range(300):
            c.call('SET', f'filler:{i}', 'y' * 20000)
        want = sorted(range(n), key=lambda i: (i * 104729) % n)
        got = c.call('SORT_RO', 'list', 'BY', 'hash:*->weight', 'LIMIT', 100, 50, 'GET', 'hash:*->name', 'GET', 'weight:*')
        eq([word[:8] for word in got[::2]], [(f'{i} ' + 'n' * 8)[:8].encode() for i in want[100:150]])
        eq([int(word) for word in got[1::2]], [(i * 7919) % n for i in want[100:150]])
        eq(c.call('SORT', 'list', 'BY', 'weight:*', 'LIMIT', 0, 100, 'GET', 'hash:*->name', 'STORE', 'stored'), 100)
        eq(c.call('LLEN', 'stored'), 100)
        server.stop()


@test('a transaction sorts what it has just made, by cold values')
def _(_s):
    need_kelvin('tiers')
    for shards in (1, 3):
        server, c, n = cold_server(shards)
        want = sorted(range(0, n, 7), key=lambda i: (i * 7919) % n)
        c.call('MULTI')
        c.call('RPUSH', 'other', *range(0, n, 7))
        c.call('SORT', 'other', 'BY', 'weight:*')
        c.call('SORT', 'other', 'BY', 'nosort', 'GET', 'hash:*->name', 'LIMIT', 0, 20)
        reply = c.call('EXEC')
        eq(reply[1], [b'%d' % i for i in want])
        eq([word[:4] for word in reply[2]], [(f'{i} ' + 'nnnn')[:4].encode() for i in range(0, 140, 7)])
        server.stop()


@test('a stored result survives a restart')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    c.call('SADD', 's', *range(500))
    c.call('SORT', 's', 'DESC', 'STORE', 'd')
    c.call('SET', 'e', 'x')
    c.call('SORT', 'nokey', 'STORE', 'e')
    server.restart(kill=True)
    c = server.client()
    eq(c.call('LRANGE', 'd', 0, -1), [b'%d' % i for i in range(499, -1, -1)])
    expect(c, 'EXISTS e', '0')
    server.stop()


run(Server())
