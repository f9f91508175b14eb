#!/usr/bin/python3
"""Random calls of every command, kill -9, restart: every key is what it was while the server lived (I4, I5).

What the log says has to give what the commands gave: an effect that is not canonical, not deterministic or missing
shows as a difference. The calls are those of the differential test. Once with all in RAM, once with everything cold, and
with one shard and three; after a kill, after an orderly stop, after DEBUG LOADAOF, with and without checkpoints between.

KELVIN_REPLAY_CALLS (default 20000) calls per configuration; KELVIN_SEED repeats a run.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import diffgen_script
from diffgen import GENERATORS, Gen
from diffgen_hash import HASHES
from diffgen_set import SETS
from diffgen_stream import STREAMS
from difftest import shown
from kelvin import Failure, IS_KELVIN, Server, eq, note, ok, run, seed, show, skip_all, test

SEED = seed()
CALLS = int(os.environ.get('KELVIN_REPLAY_CALLS', 20000))
BATCH = 200
DATABASES = 16
if not IS_KELVIN:
    skip_all('a redis-server stands in, which has no such log')

RARE = {'FLUSHALL', 'FLUSHDB', 'SWAPDB', 'unknown commands', 'MULTI errors', 'PING', 'ECHO', 'KEYS', 'SCAN', 'DUMP', 'LCS',
        'RANDOMKEY', 'DBSIZE', 'MEMORY', 'OBJECT'}
LIMITS = (b'hash-max-listpack-entries', b'set-max-intset-entries', b'set-max-listpack-entries', b'zset-max-listpack-entries',
          b'list-max-listpack-size', b'hash-max-listpack-value', b'zset-max-listpack-value', b'stream-node-max-entries')


def _at_random(g):
    """What differs from one server to another, so that the differential test has none of it."""
    some = b'%d' % g.rng.randint(1, 20)
    return g.one([b'SPOP', g.of(SETS)], [b'SPOP', g.of(SETS), some], [b'HRANDFIELD', g.of(HASHES)],
                 [b'XADD', g.of(STREAMS), b'MAXLEN', b'~', some, b'*', b'name', some, b'n', some],
                 [b'XDELEX', g.of(STREAMS), g.one(b'DELREF', b'ACKED'), b'IDS', b'2', some, some + b'-1'],
                 [b'XTRIM', g.of(STREAMS), b'MINID', b'~', some + b'0', g.one(b'DELREF', b'ACKED')],
                 [b'PFADD', g.key()] + [b'%d' % g.rng.randrange(9999) for _ in range(g.rng.randint(1, 400))],
                 [b'CONFIG', b'SET', g.of(LIMITS), some], [b'CONFIG', b'SET', b'list-max-listpack-size', b'-2'])


# Scripts that do several things, some of them in vain, or end in the middle.
SCRIPTS = [b"for i = 1, 4 do redis.pcall('SPOP', KEYS[1]) redis.pcall('RPUSH', KEYS[2], math.random(1000)) end",
           b"local t = redis.call('TIME') redis.pcall('SET', KEYS[1], t[1] .. t[2]) redis.call('INCRBYFLOAT', KEYS[2], 0.1) error('late')",
           b"redis.pcall('SELECT', 1) redis.pcall('APPEND', KEYS[1], ARGV[1]) redis.pcall('SELECT', 2) redis.pcall('COPY', KEYS[1], KEYS[2])",
           b"redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], 'f', ARGV[1]) redis.call('RENAME', KEYS[1], KEYS[2])",
           b"if redis.pcall('STRLEN', KEYS[1]).err then redis.call('UNLINK', KEYS[1]) end redis.call('APPEND', KEYS[1], 'x') "
           b"redis.call('PEXPIRE', KEYS[1], 5000000) return redis.call('XADD', KEYS[2], '*', 'f', ARGV[1])",
           b"redis.pcall('EXPIRE', KEYS[1], 0) redis.pcall('LPUSH', KEYS[1], 'a', 'b') redis.pcall('SORT', KEYS[1], 'ALPHA', 'STORE', KEYS[2])"]


def _script(g):
    if g.chance(0.5):
        return [b'EVAL', diffgen_script.CALL, b'0'] + DATA[g.of(list(DATA))](g)
    return [b'EVAL', g.of(SCRIPTS), b'2', g.key(), g.key(), g.value()]


DATA = GENERATORS
GENERATORS = dict(GENERATORS, **{'at random': _at_random, 'scripts': _script})
NAMES = [name for name in GENERATORS for _ in range(1 if name in RARE else 1000 if name == 'scripts' else 200 if name == 'at random' else 40)]
# So little that values have to leave; writes wait until some have, so there are fewer of them.
COLD = [f'db {db} maxmemory 72kb' for db in range(DATABASES)]


def state(server):
    """Every key's digest, type and expiry."""
    c, found = server.client(), {}
    for db in range(DATABASES):
        c.call('SELECT', db)
        for key in c.call('KEYS', '*'):
            digest, kind, expiry = c.pipeline([('DEBUG', 'DIGEST-VALUE', key), ('TYPE', key), ('PEXPIRETIME', key)])
            found[db, key] = (show(digest), show(kind), expiry)
    c.close()
    return found


class Run:
    """A server, random calls on it, and what was called, to tell what may have gone wrong."""

    def __init__(self, name, options, lines):
        options = dict({'maxmemory': '192mb', 'durability': 'everysec', 'log-segment-size': '1mb'}, **options)
        self.name = name
        self.server = Server(options, lines)
        self.gen = Gen(f'{SEED}/{name}')
        self.history = []
        self.live = {}
        self.drops = 0

    def calls(self, n):
        c = self.server.client()
        while n > 0:
            calls = [GENERATORS[self.gen.of(NAMES)](self.gen) for _ in range(BATCH)]
            replies = c.pipeline(calls)
            self.history += [f'{shown(args)}  -> {show(reply):.60}' for args, reply in zip(calls, replies)]
            self._keep_payloads(c)
            n -= BATCH
        c.close()  # a transaction that was begun ends here
        self.drops += int(self.server.info('tier')['tier_drops'])
        self.live = state(self.server)

    def _keep_payloads(self, c):
        c.call('DISCARD')
        keys = c.pipeline([('RANDOMKEY',)] * 3)
        dumps = c.pipeline([('DUMP', key) for key in keys if isinstance(key, bytes)])
        self.gen.payloads += [d for d in dumps if isinstance(d, bytes) and len(d) < 20000]
        del self.gen.payloads[:-50]

    def compare(self, when):
        now = state(self.server)
        wrong = sorted(k for k in set(now) | set(self.live) if now.get(k) != self.live.get(k))
        if not wrong:
            return
        lines = [f'{self.name}, {when}: {len(wrong)} keys differ of {len(self.live)}']
        for db, key in wrong[:5]:
            lines.append(f'db {db} {show(key)}: {now.get((db, key))}, was {self.live.get((db, key))}')
        lines += self.about(wrong[0][1])
        raise Failure('\n'.join(lines))

    def about(self, key):
        """The last calls that name the key, or all keys."""
        word = show(key)
        return [f'  {i}: {line}' for i, line in enumerate(self.history)
                if word in line or line.startswith(('"FLUSH', '"SWAPDB', '"SELECT', '"MULTI', '"EXEC', '"DISCARD'))][-25:]


def killed(r):
    r.server.restart(kill=True)


def stopped(r):
    r.server.restart()


def reloaded(r):
    eq(show(r.server.client().call('DEBUG', 'LOADAOF')), '+OK')


def checkpoint_and_killed(r):
    c = r.server.client()
    c.call('BGREWRITEAOF')
    for _ in range(3):
        calls = [GENERATORS[r.gen.of(NAMES)](r.gen) for _ in range(BATCH)]
        replies = c.pipeline(calls)
        r.history += [f'{shown(args)}  -> {show(reply):.60}' for args, reply in zip(calls, replies)]
    c.close()
    r.live = state(r.server)
    r.server.restart(kill=True)


def killed_twice(r):
    r.server.kill9()
    r.server.launch()
    r.server.kill9()
    r.server.start()


def replayed(name, options, lines):
    r = Run(name, options, lines)
    ways = [killed, reloaded, checkpoint_and_killed, killed_twice, stopped, killed]
    for way in ways:
        r.calls(CALLS // len(ways) // (4 if lines else 1))
        way(r)
        r.compare(way.__name__)
    kinds = len(set(kind for _, kind, _ in r.live.values()))
    note(f"{len(r.history)} calls, {len(r.live)} keys of {kinds} types, {r.drops} values dropped from RAM")
    ok(r.drops > 0 or not lines, 'nothing was ever cold')
    r.server.stop()


for _name, _options, _lines in [
        ('one shard', {'shards': '1'}, []),
        ('three shards', {'shards': '3', 'durability': 'always'}, []),
        ('one shard, everything cold', {'shards': '1'}, COLD),
        ('three shards, everything cold', {'shards': '3'}, COLD)]:
    test(f'what was replayed is what was there: {_name}')(lambda s, a=(_name, _options, _lines): replayed(*a))

run()
