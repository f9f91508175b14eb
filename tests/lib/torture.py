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

from resp import Closed, NIL, ProtocolError, encode, same, show

OK = 'OK'
FAR_MS = 9000000000000


class Model:
    """Databases as dicts of key -> (value, absolute expiry in ms or None)."""

    def __init__(self, databases, db):
        self.databases = databases
        self.db = db

    def copy(self):
        return Model({n: dict(keys) for n, keys in self.databases.items()}, self.db)

    @property
    def keys(self):
        return self.databases[self.db]

    def run(self, command):
        """Applies one command; returns the reply that the server has to give (OK, int, bytes or None for nil)."""
        return getattr(self, command[0].lower())(*command[1:])

    def set(self, key, value, *options):
        expiry = None
        if options:
            expiry = self.keys.get(key, (b'', None))[1] if options[0] == 'KEEPTTL' else options[1]
        self.keys[key] = (value, expiry)
        return OK

    def get(self, key):
        return self.keys[key][0] if key in self.keys else None

    def append(self, key, tail):
        value, expiry = self.keys.get(key, (b'', None))
        self.keys[key] = (value + tail, expiry)
        return len(value) + len(tail)

    def setrange(self, key, offset, piece):
        value, expiry = self.keys.get(key, (b'', None))
        value = value.ljust(offset, b'\0')
        self.keys[key] = (value[:offset] + piece + value[offset + len(piece):], expiry)
        return len(self.keys[key][0])

    def incrby(self, key, n):
        value, expiry = self.keys.get(key, (b'0', None))
        self.keys[key] = (b'%d' % (int(value) + n), expiry)
        return int(value) + n

    def delete(self, *keys):
        return sum(self.keys.pop(key, None) is not None for key in keys)

    def pexpireat(self, key, when):
        if key not in self.keys:
            return 0
        self.keys[key] = (self.keys[key][0], when)
        return 1

    def persist(self, key):
        value, expiry = self.keys.get(key, (b'', None))
        if expiry is None:
            return 0
        self.keys[key] = (value, None)
        return 1

    def rename(self, source, target):
        self.keys[target] = self.keys.pop(source)
        return OK

    def copy_key(self, source, target, db):
        self.databases[db][target] = self.keys[source]
        return 1

    def move(self, key, db):
        if key not in self.keys or key in self.databases[db]:
            return 0
        self.databases[db][key] = self.keys.pop(key)
        return 1

    def mset(self, *pairs):
        self.keys.update({key: (value, None) for key, value in zip(pairs[0::2], pairs[1::2])})
        return OK

    def select(self, db):
        self.db = db
        return OK

    def flushdb(self):
        self.keys.clear()
        return OK

    def swapdb(self, a, b):
        self.databases[a], self.databases[b] = self.databases[b], self.databases[a]
        return OK


def wire(command):
    """The model's names for commands as the server's."""
    if command[0] == 'DELETE':
        return ('DEL',) + command[1:]
    if command[0] == 'COPY_KEY':
        return ('COPY', command[1], command[2], 'DB', command[3], 'REPLACE')
    if command[0] == 'SET' and len(command) > 3 and command[3] != 'KEEPTTL':
        return command[:3] + ('PXAT', command[4])
    return command


def reply_is(reply, want):
    if want is None:
        return reply is NIL
    if want == OK:
        return reply == b'OK'
    return same(reply, want)


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

    def _command(self, model):
        key, other = self.rng.sample(self.names, 2)
        dbs = list(model.databases)
        choices = [('SET', key, self._value())] * 6 + [('SET', key, self._value(), 'KEEPTTL')]
        choices += [('GET', key)] * 3
        if len(model.keys.get(key, (b'',))[0]) < 30000:
            choices += [('APPEND', key, self._value()), ('SETRANGE', key, self.rng.randint(0, 300), b'<here>')] * 2
        choices += [('INCRBY', self.rng.choice(self.counters), self.rng.randint(-5, 50))] * 3
        choices += [('DELETE', key), ('DELETE', key, other), ('PERSIST', key)]
        choices += [('PEXPIREAT', key, FAR_MS + self.rng.randrange(10 ** 9))] * 2
        choices += [('MSET', key, self._value(), other, self._value())] * 2
        choices.append(self._short_lived())
        if key in model.keys:
            choices += [('RENAME', key, other), ('COPY_KEY', key, other, model.db)]
            if len(dbs) > 1:
                choices.append(('COPY_KEY', key, key, dbs[1 if model.db == dbs[0] else 0]))
        if len(dbs) > 1:
            choices += [('SELECT', self.rng.choice(dbs)), ('MOVE', key, dbs[1 if model.db == dbs[0] else 0])]
        if self.whole and self.rng.random() < 0.1:
            choices += [('FLUSHDB',), ('SWAPDB', dbs[0], dbs[1])] * 2
        return self.rng.choice(choices)

    def _short_lived(self):
        self.serial += 1
        name = f'{self.prefix}short{self.serial % 1000}'.encode()
        return ('SET', name, b'short-lived', 'PXAT', int(time.time() * 1000) + self.rng.randint(1, 4000))

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
            values = connection.pipeline([('GET', k) for k in keys])
            expiries = connection.pipeline([('PEXPIRETIME', k) for k in keys])
            found[db] = {k: (v, None if e == -1 else e) for k, v, e in zip(keys, values, expiries) if v is not NIL and e != -2}
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
