#!/usr/bin/python3
"""An RDB file is the state at one instant (I6), whatever is written while it is made.

Writers keep relations between keys that hold at every instant: sums, orders, pairs, generations of a database. A
genuine redis-server loads each file, and the relations must hold there; and what was acknowledged before BGSAVE was sent
must be in it, and nothing that was sent after its reply.
"""
import os
import random
import shutil
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, SANITIZED, Server, eq, eventually, note, ok, run, seed, skip_all, temp_dir, test

if not IS_KELVIN or not ORACLE:
    skip_all('compares Kelvin with a redis-server')
SEED = seed()
SNAPSHOTS = 2 if SANITIZED else 4
FILL = 3000 if SANITIZED else 30000
N = 100  # keys of each relation
FAR = 99999999990000

COLD = ({'maxmemory': '96mb', 'tier-memory': '8mb'}, [f'db {db} maxmemory {"4mb" if db == 0 else "1mb"}' for db in range(4)])
BUSY = {'checkpoint-log-size': '2mb', 'log-segment-size': '1mb', 'pipeline-order': 'strict'}


class Writer(threading.Thread):
    """A connection that repeats rounds of calls until it is stopped."""

    def __init__(self, server, db=0):
        super().__init__(daemon=True)
        self.client = server.client()
        self.random = random.Random(f'{SEED}/{type(self).__name__}')
        self.stopped = False
        self.failure = None
        self.rounds = 0
        if db:
            self.client.call('SELECT', db)
        self.prepare()

    def calls(self, calls):
        for call, reply in zip(calls, self.client.pipeline(calls)):
            if type(reply).__name__ == 'ErrorReply':
                raise AssertionError(f'{call}: {reply}')

    def atomically(self, calls):
        self.calls([('MULTI',)] + calls + [('EXEC',)])

    def run(self):
        try:
            while not self.stopped:
                self.round()
                self.rounds += 1
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure


class Chain(Writer):
    """Counters that are incremented one after the other: earlier ones are never behind, nor more than one ahead."""

    def prepare(self):
        self.sent = self.acknowledged = 0
        self.calls([('SET', f'chain:{i}', 0) for i in range(N)])

    def round(self):
        for start in range(0, N, 20):
            self.sent += 20
            self.calls([('INCR', f'chain:{i}') for i in range(start, start + 20)])
            self.acknowledged += 20

    def check(self, c):
        got = [int(v) for v in c.call('MGET', *[f'chain:{i}' for i in range(N)])]
        eq(got, sorted(got, reverse=True), 'the order of the counters')
        ok(got[0] - got[-1] <= 1, f'{got[0]} and {got[-1]}')
        return sum(got)


class Transfers(Writer):
    def prepare(self):
        self.calls([('SET', f'account:{i}', 1000) for i in range(N)])

    def round(self):
        a, b = self.random.sample(range(N), 2)
        x = self.random.randrange(100)
        self.atomically([('DECRBY', f'account:{a}', x), ('INCRBY', f'account:{b}', x)])

    def check(self, c):
        eq(sum(int(v) for v in c.call('MGET', *[f'account:{i}' for i in range(N)])), 1000 * N, 'the sum of accounts')


class Renames(Writer):
    """A key is here or there, with its value and its expiry."""

    def prepare(self):
        self.where = [0] * N
        self.calls([('SET', f'here:{i}', f'value {i} ' * 30, 'PXAT', FAR + i) for i in range(N)])

    def round(self):
        i = self.random.randrange(N)
        names = [f'here:{i}', f'there:{i}']
        self.calls([('RENAME', names[self.where[i]], names[1 - self.where[i]])])
        self.where[i] = 1 - self.where[i]

    def check(self, c):
        for i in range(N):
            values = c.call('MGET', f'here:{i}', f'there:{i}')
            times = c.pipeline([('PEXPIRETIME', f'here:{i}'), ('PEXPIRETIME', f'there:{i}')])
            eq(sorted(v for v in values if v), [f'value {i} '.encode() * 30], f'key {i}')
            eq(sorted(times), [-2, FAR + i], f'expiry of key {i}')


class Generations(Writer):
    """A database that is flushed and filled anew."""

    def prepare(self):
        self.generation = 0
        self.round()

    def round(self):
        self.generation += 1
        words = [w for i in range(N) for w in (f'g{i}', self.generation)]
        self.atomically([('FLUSHDB', *(['ASYNC'] if self.generation % 2 else [])), ('MSET', *words),
                         ('SET', f'only:{self.generation}', 'x' * 1000)])

    def check(self, c):
        c.call('SELECT', 1)
        values = set(c.call('MGET', *[f'g{i}' for i in range(N)]))
        eq(len(values), 1, f'generations {values}')
        eq((c.call('DBSIZE'), c.call('EXISTS', f'only:{int(values.pop())}')), (N + 1, 1), 'the keys of a generation')
        c.call('SELECT', 0)


class Pairs(Writer):
    """Two strings that grow, shrink and are changed in place together; two expiries; one of two keys."""

    def prepare(self):
        for i in range(N):
            self.calls([('MSET', f'left:{i}', '-', f'right:{i}', '-', f'dead:{i}', 1, f'time:{i}', FAR),
                        ('SET', f'due:{i}', 'x' * 500, 'PXAT', FAR)])
        self.alive = [0] * N

    def round(self):
        i = self.random.randrange(N)
        kind = self.random.randrange(5)
        both = (f'left:{i}', f'right:{i}')
        if kind == 0:
            more = 'x' * self.random.randrange(2000)
            self.atomically([('APPEND', key, more) for key in both])
        elif kind == 1:
            at, what = self.random.randrange(3000), str(self.rounds)
            self.atomically([('SETRANGE', key, at, what) for key in both])
        elif kind == 2:
            self.atomically([('SET', key, f'short {self.rounds}') for key in both])
        elif kind == 3:
            when = FAR + self.rounds
            self.atomically([('PEXPIREAT', f'due:{i}', when), ('SET', f'time:{i}', when)])
        else:
            names = [f'dead:{i}', f'alive:{i}']
            self.atomically([('DEL', names[self.alive[i]]), ('SET', names[1 - self.alive[i]], i)])
            self.alive[i] = 1 - self.alive[i]

    def check(self, c):
        for i in range(N):
            left, right, time_, dead, alive = c.call('MGET', f'left:{i}', f'right:{i}', f'time:{i}', f'dead:{i}', f'alive:{i}')
            eq(left, right, f'the strings of pair {i}')
            eq(c.call('PEXPIRETIME', f'due:{i}'), int(time_), f'the expiry of due:{i}')
            ok(bool(dead) != bool(alive), f'both or none: {dead!r}, {alive!r}')


class Collections(Writer):
    """Sets, hashes, sorted sets and lists, small and large, that are changed in place: sums and memberships hold."""

    def prepare(self):
        self.big = 3000
        for start in range(0, self.big, 500):
            span = range(start, start + 500)
            self.calls([('HSET', 'hash:big', *[w for i in span for w in (f'f{i}', 10)]),
                        ('ZADD', 'zset:big', *[w for i in span for w in (10, f'm{i}')]),
                        ('SADD', 'set:big', *[f'm{i}' for i in span])])
            self.lists = has_lists(self.client)
            if self.lists:
                self.calls([('RPUSH', 'list:big', *span)])
        for i in range(N):
            self.calls([('HSET', f'hash:{i}', 'a', 10, 'b', 10), ('ZADD', f'zset:{i}', 10, 'a', 10, 'b'),
                        ('SADD', f'set:{i}', 'a', 'b')])
            if self.lists:
                self.calls([('RPUSH', f'list:{i}', 'a', 'b')])

    def round(self):
        large = self.random.randrange(2)
        i = 'big' if large else self.random.randrange(N)
        a, b = (f'f{self.random.randrange(self.big)}', f'f{self.random.randrange(self.big)}') if large else ('a', 'b')
        m, n = a.replace('f', 'm'), b.replace('f', 'm')
        x = self.random.randrange(20)
        kind = self.random.randrange(4)
        if kind == 0:
            self.atomically([('HINCRBY', f'hash:{i}', a, x), ('HINCRBY', f'hash:{i}', b, -x)])
        elif kind == 1:
            self.atomically([('ZINCRBY', f'zset:{i}', x, m), ('ZINCRBY', f'zset:{i}', -x, n)])
        elif kind == 2:  # what is taken out of one set is in the other
            self.atomically([('SMOVE', f'set:{i}', f'moved:{i}', m), ('SMOVE', f'moved:{i}', f'set:{i}', n)])
        elif self.lists:
            self.calls([('LMOVE', f'list:{i}', f'list:{i}', 'LEFT', 'RIGHT')])

    def check(self, c):
        for i in ['big', *range(N)]:
            size = self.big if i == 'big' else 2
            eq(sum(map(int, c.call('HVALS', f'hash:{i}'))), 10 * size, f'the sum of hash:{i}')
            eq(sum(map(float, c.call('ZRANGE', f'zset:{i}', 0, -1, 'WITHSCORES')[1::2])), 10 * size, f'the sum of zset:{i}')
            eq(len(c.call('SUNION', f'set:{i}', f'moved:{i}')), size, f'the union of set:{i}')
            eq(c.call('SINTERCARD', 2, f'set:{i}', f'moved:{i}'), 0, f'the intersection of set:{i}')
            if self.lists:
                items = c.call('LRANGE', f'list:{i}', 0, -1)
                at = items.index(b'0' if i == 'big' else b'a')
                want = [b'%d' % n for n in range(size)] if i == 'big' else [b'a', b'b']
                eq(items[at:] + items[:at], want, f'list:{i}')


def has_lists(c):
    return type(c.call('COMMAND', 'INFO', 'LMOVE')[0]) is list


class Swaps(Writer):
    def prepare(self):
        self.calls([('SET', 'swaps', 0), ('SELECT', 2), ('SET', 'side', 'even'), ('SELECT', 3), ('SET', 'side', 'odd'),
                    ('SELECT', 0)])

    def round(self):
        self.atomically([('SWAPDB', 2, 3), ('INCR', 'swaps')])
        time.sleep(0.002)

    def check(self, c):
        even = int(c.call('GET', 'swaps')) % 2 == 0
        c.call('SELECT', 2)
        eq(c.call('GET', 'side'), b'even' if even else b'odd', 'the swapped databases')
        c.call('SELECT', 0)


class Dead(Writer):
    """What is written and deleted all the time must not upset the others."""

    def prepare(self):
        pass

    def round(self):
        i = self.random.randrange(FILL)
        self.calls([('GET', f'fill:{i}'), ('SET', f'new:{self.rounds}', 'x' * 200), ('DEL', f'new:{self.rounds - 50}'),
                    ('SET', f'brief:{i % 50}', 'x', 'PX', 1 + i % 20)])


def fill(server):
    c = server.client()
    for start in range(0, FILL, 1000):
        c.pipeline([('SET', f'fill:{i}', f'{i}:' * (1 + i % 80)) for i in range(start, start + 1000)])


def load(server):
    """A redis-server on a copy of the file."""
    directory = temp_dir()
    shutil.copy(os.path.join(server.dir, 'dump.rdb'), directory)
    return Server(directory=directory, binary=ORACLE)


def check_fill(c):
    for start in range(0, FILL, 1000):
        got = c.call('MGET', *[f'fill:{i}' for i in range(start, start + 1000)])
        for i, value in enumerate(got, start):
            eq(value, f'{i}:'.encode() * (1 + i % 80), f'fill:{i}')


def check_file(server, writers):
    redis = load(server)
    c = redis.client()
    check_fill(c)
    sums = [w.check(c) for w in writers if hasattr(w, 'check')]
    redis.stop()
    shutil.rmtree(redis.dir)
    return sums[0]


def torture(options, lines=None):
    server = Server({**options, **BUSY, 'durability': 'everysec'}, lines)
    fill(server)
    c = server.client()
    writers = [Chain(server), Transfers(server), Renames(server), Generations(server, 1), Pairs(server), Collections(server), Swaps(server),
               Dead(server)]
    for w in writers:
        w.start()
    chain = writers[0]
    for n in range(SNAPSHOTS):
        time.sleep(0.1)
        before = chain.acknowledged
        reply = c.call('BGSAVE')
        after = chain.sent
        eq(bytes(reply), b'Background saving started')
        rounds = sum(w.rounds for w in writers)
        eventually(lambda: server.info('persistence')['rdb_bgsave_in_progress'] == '0', 'BGSAVE does not end', 120)
        rounds = sum(w.rounds for w in writers) - rounds
        eq(server.info('persistence')['rdb_last_bgsave_status'], 'ok')
        total = check_file(server, writers)
        ok(before <= total <= after, f'{total} increments in the file, {before} acknowledged before, {after} sent after')
        note(f'snapshot {n}: {rounds} rounds of writers meanwhile')
    for w in writers:
        w.stopped = True
        w.join()
        if w.failure:
            raise w.failure
    c.call('DEBUG', 'DIGEST')
    server.stop()


@test('one shard, in memory')
def _(_s):
    torture({'shards': '1'})


@test('three shards, in memory')
def _(_s):
    torture({'shards': '3', 'io-backend': 'epoll'})


@test('one shard, everything cold')
def _(_s):
    torture({'shards': '1', **COLD[0]}, COLD[1])


@test('three shards, everything cold')
def _(_s):
    torture({'shards': '3', **COLD[0]}, COLD[1])


@test('databases that are not logged, with and without a tier')
def _(_s):
    torture({'shards': '2', **COLD[0]}, COLD[1][1:] + ['durability none', 'db 0 tier off', 'db 1 durability none'])


run()
