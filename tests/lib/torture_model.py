"""What a server must hold and answer: commands on all types, as far as the torture test uses them.

Values are never changed in place, so that copying a Model is copying its dictionaries of keys: bytes, frozenset, tuple
(a list), Hash (field -> (value, absolute expiry in ms or None)) and Zset (member -> score).
"""
OK = 'OK'


class Hash(dict):
    pass


class Zset(dict):
    def ranked(self):
        return sorted(self.items(), key=lambda item: (item[1], item[0]))


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
        """Applies one command; returns the reply that the server has to give: OK, int, bytes, float, None for nil, a
        list, or a frozenset for a list in any order."""
        return getattr(self, command[0].lower())(*command[1:])

    def kind(self, key):
        return type(self.keys[key][0]) if key in self.keys else None

    def value(self, key, kind):
        return self.keys[key][0] if key in self.keys else kind()

    def change(self, key, value):
        """A new value that keeps the expiry; an empty collection is no key."""
        if value or isinstance(value, bytes):
            self.keys[key] = (value, self.keys.get(key, (None, None))[1])
        else:
            self.keys.pop(key, None)

    def store(self, key, value):
        """The result of a *STORE command."""
        self.keys.pop(key, None)
        self.change(key, value)
        return len(value)

    # --- strings

    def set(self, key, value, *options):
        expiry = None
        if options:
            expiry = self.keys.get(key, (b'', None))[1] if options[0] == 'KEEPTTL' else options[1]
        self.keys[key] = (value, expiry)
        return OK

    def get(self, key):
        return self.keys[key][0] if key in self.keys else None

    def append(self, key, tail):
        self.change(key, self.value(key, bytes) + tail)
        return len(self.value(key, bytes))

    def setrange(self, key, offset, piece):
        value = self.value(key, bytes).ljust(offset, b'\0')
        self.change(key, value[:offset] + piece + value[offset + len(piece):])
        return len(self.value(key, bytes))

    def incrby(self, key, n):
        value = int(self.keys.get(key, (b'0', None))[0]) + n
        self.change(key, b'%d' % value)
        return value

    def mset(self, *pairs):
        self.keys.update({key: (value, None) for key, value in zip(pairs[0::2], pairs[1::2])})
        return OK

    def setbit(self, key, offset, bit):
        value = bytearray(self.value(key, bytes).ljust(offset // 8 + 1, b'\0'))
        mask = 128 >> offset % 8
        old = value[offset // 8] & mask != 0
        value[offset // 8] = value[offset // 8] & ~mask | (mask if bit else 0)
        self.change(key, bytes(value))
        return int(old)

    def bitop_xor(self, target, a, b):
        x, y = self.value(a, bytes), self.value(b, bytes)
        n = max(len(x), len(y))
        result = bytes(p ^ q for p, q in zip(x.ljust(n, b'\0'), y.ljust(n, b'\0')))
        self.keys.pop(target, None)
        if n:
            self.change(target, result)
        return n

    # --- sets

    def sadd(self, key, *members):
        old = self.value(key, frozenset)
        self.change(key, old | set(members))
        return len(set(members) - old)

    def srem(self, key, *members):
        old = self.value(key, frozenset)
        self.change(key, old - set(members))
        return len(old & set(members))

    def smove(self, source, target, member):
        if not self.srem(source, member):
            return 0
        self.sadd(target, member)
        return 1

    def spop_all(self, key):
        return self.keys.pop(key, (frozenset(), None))[0]

    def smembers(self, key):
        return self.value(key, frozenset)

    def sunionstore(self, target, a, b):
        return self.store(target, self.value(a, frozenset) | self.value(b, frozenset))

    def sinterstore(self, target, a, b):
        return self.store(target, self.value(a, frozenset) & self.value(b, frozenset))

    def sdiffstore(self, target, a, b):
        return self.store(target, self.value(a, frozenset) - self.value(b, frozenset))

    # --- hashes

    def hset(self, key, *pairs):
        old = self.value(key, Hash)
        new = Hash(old)
        new.update({field: (value, None) for field, value in zip(pairs[0::2], pairs[1::2])})
        self.change(key, new)
        return len(new) - len(old)

    def hdel(self, key, *fields):
        old = self.value(key, Hash)
        self.change(key, Hash({f: v for f, v in old.items() if f not in fields}))
        return len(set(fields) & set(old))

    def hget(self, key, field):
        return self.value(key, Hash).get(field, (None, None))[0]

    def hincrby(self, key, field, n):
        value, expiry = self.value(key, Hash).get(field, (b'0', None))
        new = Hash(self.value(key, Hash))
        new[field] = (b'%d' % (int(value) + n), expiry)
        self.change(key, new)
        return int(value) + n

    def hpexpireat(self, key, field, when):
        hash_ = self.value(key, Hash)
        if field not in hash_:
            return [-2]
        self.change(key, Hash({**hash_, field: (hash_[field][0], when)}))
        return [1]

    def hpersist(self, key, field):
        hash_ = self.value(key, Hash)
        if field not in hash_:
            return [-2]
        if hash_[field][1] is None:
            return [-1]
        self.change(key, Hash({**hash_, field: (hash_[field][0], None)}))
        return [1]

    # --- sorted sets

    def zadd(self, key, *pairs):
        old = self.value(key, Zset)
        new = Zset(old)
        new.update({member: float(score) for score, member in zip(pairs[0::2], pairs[1::2])})
        self.change(key, new)
        return len(new) - len(old)

    def zincrby(self, key, by, member):
        new = Zset(self.value(key, Zset))
        new[member] = new.get(member, 0.0) + by
        self.change(key, new)
        return new[member]

    def zrem(self, key, *members):
        old = self.value(key, Zset)
        self.change(key, Zset({m: s for m, s in old.items() if m not in members}))
        return len(set(members) & set(old))

    def zscore(self, key, member):
        return self.value(key, Zset).get(member)

    def zpopmin(self, key, count):
        ranked = self.value(key, Zset).ranked()
        self.change(key, Zset(ranked[count:]))
        return [x for item in ranked[:count] for x in item]

    def zremrangebyrank(self, key, start, stop):
        ranked = self.value(key, Zset).ranked()
        gone = ranked[start:stop + 1]
        self.change(key, Zset(ranked[:start] + ranked[stop + 1:]))
        return len(gone)

    def zrangestore(self, target, source, start, stop):
        return self.store(target, Zset(self.value(source, Zset).ranked()[start:stop + 1]))

    def zunionstore(self, target, _count, a, b):
        result = Zset(self.value(a, Zset))
        for member, score in self.value(b, Zset).items():
            result[member] = result.get(member, 0.0) + score
        return self.store(target, result)

    # --- lists

    def rpush(self, key, *items):
        self.change(key, self.value(key, tuple) + items)
        return len(self.value(key, tuple))

    def lpush(self, key, *items):
        self.change(key, items[::-1] + self.value(key, tuple))
        return len(self.value(key, tuple))

    def lpop(self, key, count):
        old = self.value(key, tuple)
        self.change(key, old[count:])
        return list(old[:count]) if old else None

    def rpop(self, key, count):
        old = self.value(key, tuple)
        self.change(key, old[:max(0, len(old) - count)])
        return list(old[::-1][:count]) if old else None

    def lset(self, key, at, item):
        old = self.value(key, tuple)
        self.change(key, old[:at] + (item,) + old[at + 1:])
        return OK

    def ltrim(self, key, start, stop):
        self.change(key, self.value(key, tuple)[start:stop + 1])
        return OK

    def lrem(self, key, count, item):
        kept, removed = [], 0
        for x in self.value(key, tuple):
            if x == item and removed < count:
                removed += 1
            else:
                kept.append(x)
        self.change(key, tuple(kept))
        return removed

    def linsert(self, key, where, pivot, item):
        old = self.value(key, tuple)
        if pivot not in old:
            return -1 if old else 0
        at = old.index(pivot) + (where == 'AFTER')
        self.change(key, old[:at] + (item,) + old[at:])
        return len(old) + 1

    def rpoplpush(self, source, target):
        popped = self.rpop(source, 1)
        if popped is None:
            return None
        self.lpush(target, popped[0])
        return popped[0]

    # --- keys and databases

    def delete(self, *keys):
        return sum(self.keys.pop(key, None) is not None for key in keys)

    def unlink(self, *keys):
        return self.delete(*keys)

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
    name, *args = command
    if name == 'DELETE':
        return ('DEL', *args)
    if name == 'COPY_KEY':
        return ('COPY', args[0], args[1], 'DB', args[2], 'REPLACE')
    if name == 'SET' and len(args) > 2 and args[2] != 'KEEPTTL':
        return ('SET', args[0], args[1], 'PXAT', args[3])
    if name == 'BITOP_XOR':
        return ('BITOP', 'XOR', *args)
    if name == 'SPOP_ALL':
        return ('SPOP', args[0], 1000000)
    if name == 'HPEXPIREAT':
        return ('HPEXPIREAT', args[0], args[2], 'FIELDS', 1, args[1])
    if name == 'HPERSIST':
        return ('HPERSIST', args[0], 'FIELDS', 1, args[1])
    return command
