"""Writers that know what the server must hold after it was killed.

A writer owns keys that nobody else touches and runs random operations on them, one at a time or pipelined. It records
what it sent and how much of that was acknowledged. An operation is one command or a MULTI group; a Model replays it, and
says what its replies have to be. After a crash the writer's keys must be exactly what the acknowledged operations leave,
or those and the first few of the operations sent after them: nothing acknowledged lost, nothing half done, no holes.

Keys with a short expiry are written once per name and never read, so that their end cannot change a reply.
"""
import random
import threading
import time

from resp import Closed, NIL, NIL_ARRAY, ProtocolError, encode, same, show
from torture_model import Hash, Model, OK, Zset, wire

FAR_MS = 9000000000000


def reply_is(reply, want):
    if want is None:
        return reply is NIL or reply is NIL_ARRAY
    if isinstance(want, str):
        return reply == want.encode()
    if isinstance(want, float):
        return isinstance(reply, bytes) and float(reply) == want
    if isinstance(want, list):
        return isinstance(reply, list) and len(reply) == len(want) and all(map(reply_is, reply, want))
    if isinstance(want, frozenset):
        return isinstance(reply, list) and len(reply) == len(want) and want == set(reply)
    return same(reply, want)


def pairs_of(reply):
    return list(zip(reply[0::2], reply[1::2]))


def hash_of(connection, key, reply):
    fields = pairs_of(reply)
    if not fields:
        return None
    times = connection.call('HPEXPIRETIME', key, 'FIELDS', len(fields), *[field for field, _ in fields])
    return Hash({field: (value, None if when == -1 else when) for (field, value), when in zip(fields, times)})


# How a value of each type is read, and made what the model has; None: the key has just expired.
READS = {
    b'string': (('GET',), lambda c, k, v: v if v is not NIL else None),
    b'set': (('SMEMBERS',), lambda c, k, v: frozenset(v) or None),
    b'hash': (('HGETALL',), hash_of),
    b'zset': (('ZRANGE', 0, -1, 'WITHSCORES'), lambda c, k, v: Zset({m: float(s) for m, s in pairs_of(v)}) or None),
    b'list': (('LRANGE', 0, -1), lambda c, k, v: tuple(v) or None),
    b'none': (('GET',), lambda c, k, v: None),
}


def read_values(connection, keys):
    kinds = connection.pipeline([('TYPE', k) for k in keys])
    calls = [(READS[kind][0][0], key, *READS[kind][0][1:]) for key, kind in zip(keys, kinds)]
    return [READS[kind][1](connection, key, reply) for key, kind, reply in zip(keys, kinds, connection.pipeline(calls))]


class Wrong(Exception):
    """The server's word against the model's."""


class Writer:
    """`pipeline` is the largest number of operations under way; all keys carry `prefix`. `whole` owns its databases."""

    def __init__(self, name, seed, databases, pipeline=1, keys=120, whole=False, logged=True):
        self.name = name
        self.rng = random.Random(f'{seed}/{name}')
        self.pipeline = pipeline
        self.whole = whole
        self.logged = logged
        # With a hash tag all keys are on one shard: only there a pipeline has one order.
        self.prefix = f'{{{name}}}:' if pipeline > 1 else f'{name}:'
        self.names = [f'{self.prefix}{i}'.encode() for i in range(keys)]
        self.counters = [f'{self.prefix}n{i}'.encode() for i in range(5)]
        self.known = Model({db: {} for db in databases}, databases[0])  # the state after all that was acknowledged
        self.unacknowledged = []
        self.serial = 0
        self.operations = 0
        self.wrong = None

    # --- making operations

    def _value(self):
        self.serial += 1
        kind = self.rng.random()
        size = self.rng.randint(0, 200) if kind < 0.7 else self.rng.randint(1, 8000) if kind < 0.97 else 60000
        return b'%s#%d#' % (self.name.encode(), self.serial) + self.rng.randbytes(1) * size

    def _member(self):
        """Of few, so that calls meet each other's; seldom too long for a small form."""
        kind = self.rng.random()
        if kind < 0.5:
            return b'%d' % self.rng.randrange(60)
        return b'm%d' % self.rng.randrange(60) if kind < 0.97 else b'long' * self.rng.randint(10, 60)

    def _members(self):
        """Sometimes enough for a big form."""
        kind = self.rng.random()
        if kind < 0.9:
            return list({self._member() for _ in range(self.rng.randint(1, 8))})
        start = self.rng.randrange(1000)
        return [b'%d' % i if kind < 0.95 else b'm%d' % i for i in range(start, start + self.rng.choice([100, 200, 600]))]

    def _far(self):
        return FAR_MS + self.rng.randrange(10 ** 9)

    def _on_string(self, model, key, other):
        choices = [('GET', key), ('SET', key, self._value(), 'KEEPTTL')]
        if len(model.value(key, bytes)) < 30000:
            choices += [('APPEND', key, self._value()), ('SETRANGE', key, self.rng.randint(0, 300), b'<here>'),
                        ('SETBIT', key, self.rng.randint(0, 4000), self.rng.randint(0, 1))] * 2
        if model.kind(other) in (bytes, None):
            choices.append(('BITOP_XOR', self.rng.choice(self.names), key, other))
        return choices

    def _on_set(self, model, key, other):
        choices = [('SADD', key, *self._members())] * 3 + [('SREM', key, *self._members())] * 3
        choices += [('SMEMBERS', key), ('SPOP_ALL', key)]
        if model.kind(other) in (frozenset, None):
            choices += [('SMOVE', key, other, self._member())] * 3
            store = self.rng.choice(('SUNIONSTORE', 'SINTERSTORE', 'SDIFFSTORE'))
            choices += [(store, self.rng.choice(self.names), key, other)] * 2
        return choices

    def _on_hash(self, model, key, _other):
        pairs = [x for member in self._members() for x in (member, self._value()[:self.rng.choice([12, 40, 90])])]
        choices = [('HSET', key, *pairs)] * 4 + [('HDEL', key, *self._members())] * 3
        choices += [('HGET', key, self._member()), ('HINCRBY', key, b'count', self.rng.randint(-5, 50))]
        choices += [('HPEXPIREAT', key, self._member(), self._far())] * 2 + [('HPERSIST', key, self._member())]
        return choices

    def _on_zset(self, model, key, other):
        pairs = [x for member in self._members() for x in (self.rng.randint(-40, 40) / 4, member)]
        choices = [('ZADD', key, *pairs)] * 4 + [('ZREM', key, *self._members())] * 3
        choices += [('ZINCRBY', key, self.rng.randint(-9, 9) / 2, self._member()), ('ZSCORE', key, self._member()),
                    ('ZPOPMIN', key, self.rng.randint(1, 5)), ('ZREMRANGEBYRANK', key, self.rng.randint(0, 3), self.rng.randint(3, 20)),
                    ('ZRANGESTORE', other, key, self.rng.randint(0, 5), self.rng.randint(5, 300))]
        if model.kind(other) in (Zset, None):
            choices.append(('ZUNIONSTORE', self.rng.choice(self.names), 2, key, other))
        return choices

    def _on_list(self, model, key, other):
        items = model.value(key, tuple)
        some = self.rng.choice(items) if items else b'none'
        choices = [('RPUSH', key, *self._members())] * 3 + [('LPUSH', key, *self._members(), self._value())] * 3
        choices += [('LPOP', key, self.rng.randint(1, 4)), ('RPOP', key, self.rng.randint(1, 9))] * 2
        choices += [('LREM', key, self.rng.randint(1, 3), some), ('LINSERT', key, 'BEFORE', some, b'before'),
                    ('LINSERT', key, 'AFTER', b'1', self._value()), ('LTRIM', key, self.rng.randint(0, 2), self.rng.randint(0, 600))]
        if items:
            choices.append(('LSET', key, self.rng.randrange(len(items)), self._value()))
        if model.kind(other) in (tuple, None):
            choices += [('RPOPLPUSH', key, other)] * 2
        return choices

    def _on_any(self, model, key, other):
        choices = [('DELETE', key), ('UNLINK', key, other), ('PERSIST', key), self._short_lived()]
        choices += [('SET', key, self._value()), ('MSET', key, self._value(), other, self._value())]
        choices += [('INCRBY', self.rng.choice(self.counters), self.rng.randint(-5, 50))] * 2
        choices += [('PEXPIREAT', key, self._far())] * 2
        if key in model.keys:
            choices += [('RENAME', key, other), ('COPY_KEY', key, other, model.db)]
        return choices

    def _on_databases(self, model, key):
        dbs = list(model.databases)
        if len(dbs) == 1:
            return []
        away = dbs[1 if model.db == dbs[0] else 0]
        choices = [('SELECT', self.rng.choice(dbs)), ('MOVE', key, away)]
        if key in model.keys:
            choices.append(('COPY_KEY', key, key, away))
        if self.whole and self.rng.random() < 0.1:
            choices += [('FLUSHDB',), ('SWAPDB', dbs[0], dbs[1])] * 2
        return choices

    def _command(self, model):
        key, other = self.rng.sample(self.names, 2)
        by_kind = {bytes: self._on_string, frozenset: self._on_set, Hash: self._on_hash, Zset: self._on_zset, tuple: self._on_list}
        make = by_kind.get(model.kind(key)) or self.rng.choice(list(by_kind.values()))
        choices = make(model, key, other)
        if self.rng.random() < 0.3:
            choices = self._on_any(model, key, other) + self._on_databases(model, key)
        return self.rng.choice(choices)

    def _short_lived(self):
        self.serial += 1
        name = f'{self.prefix}short{self.serial % 1000}'.encode()
        return ('SET', name, b'short-lived', 'PXAT', int(time.time() * 1000) + self.rng.randint(1, 4000))

    def forget_short_lived(self):
        for keys in self.known.databases.values():
            for key in [key for key in keys if b':short' in key]:
                del keys[key]

    def _operation(self, model):
        """One command, or a group of them, applied to `model`; returns (commands, replies wanted)."""
        commands, replies = [], []
        for _ in range(self.rng.randint(2, 6) if self.rng.random() < 0.2 else 1):
            command = self._command(model)
            commands.append(command)
            replies.append(model.run(command))
        return commands, replies

    @staticmethod
    def _encode(commands):
        calls = [wire(c) for c in commands]
        if len(calls) > 1:
            calls = [('MULTI',), *calls, ('EXEC',)]
        return b''.join(map(encode, calls))

    # --- running them

    def _check(self, connection, commands, wanted):
        before = []
        if len(commands) == 1:
            replies = [connection.reply()]
        else:
            before = [connection.reply() for _ in range(len(commands) + 1)]
            replies = connection.reply()
        if not isinstance(replies, list) or len(replies) != len(wanted):
            raise Wrong(f'{self.name}: {commands!r:.300} got {[show(r)[:60] for r in before]} then {show(replies):.300}')
        for command, reply, want in zip(commands, replies, wanted):
            if not reply_is(reply, want):
                raise Wrong(f'{self.name}: {command!r:.300} got {show(reply):.300}, not {want!r:.300}')

    def _turn(self, connection):
        model = self.known.copy()
        batch = [self._operation(model) for _ in range(self.rng.randint(1, self.pipeline))]
        self.unacknowledged = [commands for commands, _ in batch]
        connection.raw(b''.join(self._encode(commands) for commands, _ in batch))
        for commands, wanted in batch:
            self._check(connection, commands, wanted)
            for command in commands:
                self.known.run(command)
            self.unacknowledged.pop(0)
            self.operations += 1

    def run(self, connection):
        """Until the connection breaks."""
        try:
            connection.call('SELECT', self.known.db)
            while True:
                self._turn(connection)
        except (Closed, OSError, ProtocolError):
            pass
        except Wrong as wrong:
            self.wrong = str(wrong)
        finally:
            connection.close()

    def start(self, connection):
        self.thread = threading.Thread(target=self.run, args=(connection,), daemon=True)
        self.thread.start()

    # --- the verdict

    def _read(self, connection):
        """What the server holds of this writer's keys, and the times in ms before and after."""
        begin, found = int(time.time() * 1000), {}
        pattern = '*' if self.whole else self.prefix + '*'
        for db in self.known.databases:
            connection.call('SELECT', db)
            keys = connection.call('KEYS', pattern)
            values = read_values(connection, keys)
            expiries = connection.pipeline([('PEXPIRETIME', k) for k in keys])
            found[db] = {k: (v, None if e == -1 else e) for k, v, e in zip(keys, values, expiries) if v is not None and e != -2}
        return begin, found, int(time.time() * 1000)

    def verify(self, connection):
        """Compares with the server and takes over what it holds. Raises Wrong."""
        begin, found, end = self._read(connection)
        if not self.logged:
            if any(found.values()):
                raise Wrong(f'{self.name}: a database of durability none is not empty after a restart')
            self.known = Model({db: {} for db in found}, self.known.db)
            return
        overdue = [k for keys in found.values() for k, (_, e) in keys.items() if e is not None and e < begin - 5]
        if overdue:
            raise Wrong(f'{self.name}: expired keys are still visible: {overdue[:3]}')
        candidate = self.known
        tries = [difference(candidate.databases, found, end)]
        while tries[-1] and self.unacknowledged:
            for command in self.unacknowledged.pop(0):
                candidate.run(command)
            tries.append(difference(candidate.databases, found, end))
        if tries[-1]:
            raise Wrong(f'{self.name}: not the acknowledged state:\n{tries[0]}\n'
                        f'nor any of the {len(tries) - 1} states after it; the last of them:\n{tries[-1]}')
        self.unacknowledged = []


def difference(wanted, found, end):
    """What is not as wanted, leaving aside keys that expire before `end`; empty if nothing."""
    lines = []
    for db, keys in wanted.items():
        want, have = ({k: v for k, v in side.items() if v[1] is None or v[1] > end} for side in (keys, found[db]))
        if want == have:
            continue
        for key in sorted(set(want) | set(have)):
            if want.get(key) != have.get(key):
                lines.append(f'  db {db} {key!r}: has {have.get(key)!r:.160}, should have {want.get(key)!r:.160}')
    return '\n'.join(lines[:8])
