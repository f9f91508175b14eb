"""Whole transactions for the differential test: WATCH, what others write meanwhile, MULTI, calls of all types, some of
them refused when they are queued, and EXEC or DISCARD.

A block is a list of (connection, arguments), as batch() in diffgen.py gives them.
"""
import diffgen_geo
import diffgen_script

# Calls that concern the connection, or that are compared in tests of their own.
APART = {'FLUSHALL', 'FLUSHDB', 'MULTI', 'MULTI errors', 'WATCH', 'SORT', 'SORT_RO', 'SCAN',
         'DBSIZE',  # which a WATCH of an expired key changes here, and not in Redis
         'PFDEBUG'}  # which makes sparse ones dense: a change here, and not in Redis
APART |= {name for name in diffgen_geo.GENERATORS if 'RADIUS' in name or 'SEARCH' in name}  # points at one place


def _refused(g):
    """What is not queued; all but a nested MULTI and a WATCH make EXEC fail."""
    return g.one([b'NOSUCH', g.key()], [b'GET'], [b'SET', g.key()], [b'MULTI'], [b'WATCH', g.key()], [b''],
                 [b'OBJECT', b'NOSUCH', g.key()], [b'XREADGROUP', g.key()], [b'HSET', g.key(), b'f'], [b'EXEC', b'now'],
                 [b'DISCARD', b'now'])


def _queued(g, generators, names):
    if g.chance(0.03):
        return g.one([b'SELECT', g.one(b'0', b'1', b'99')], [b'UNWATCH'], [b'PING'], [b'FLUSHDB'],
                     [b'SWAPDB', b'0', b'1'])
    if g.chance(0.05):
        return diffgen_script.script(g, generators, names)
    return generators[g.of(names)](g)


def _touch(g, key):
    """A call that changes a key, or only looks as if it did."""
    return g.one([b'SET', key, g.value()], [b'DEL', key], [b'APPEND', key, b''],
                 [b'EXPIREAT', key, g.one(b'5000000000', b'1')], [b'PERSIST', key],
                 [b'RENAME', g.key(), key], [b'RENAME', key, key], [b'COPY', g.key(), key], [b'MOVE', key, b'1'],
                 [b'GET', key], [b'SETNX', key, b'x'], [b'LPUSH', key, b'x'], [b'SREM', key, b'x'],
                 [b'SWAPDB', b'0', b'1'], [b'FLUSHDB'], [b'GETDEL', key], [b'XADD', key, b'9-9', b'f', b'v'])


def _watch(g):
    keys = g.keys(1, 3)
    calls = [(0, [b'WATCH'] + keys)]
    if g.chance(0.3):
        calls.append((g.one(0, 1, 1), _touch(g, g.of(keys))))
    return calls


def block(g, generators):
    """One transaction, and what surrounds it."""
    names = [name for name in generators if name not in APART]
    few = g.rng.sample(names, g.one(2, 4, 8, len(names)))  # so that calls meet values of their own type
    meddle = lambda p: [(1, generators[g.of(few)](g)) for _ in range(g.rng.randint(1, 3))] if g.chance(p) else []
    calls = [(0, generators[g.of(few)](g)) for _ in range(g.rng.randint(0, 4))]
    for _ in range(g.one(0, 0, 1, 1, 2)):
        calls += _watch(g)
        calls += [(0, generators[g.of(few)](g))] if g.chance(0.5) else []
        calls += meddle(0.2)
    calls += [(0, [b'UNWATCH'])] if g.chance(0.05) else []
    calls.append((0, [b'MULTI']))
    refused = g.chance(0.15)
    for _ in range(g.one(0, 1, 2, 5, 10, 30)):
        calls.append((0, _refused(g) if refused and g.chance(0.2) else _queued(g, generators, few)))
        calls += meddle(0.02)
    calls += meddle(0.1)
    calls.append((0, [b'EXEC'] if g.chance(0.9) else [b'DISCARD']))
    return calls + ([(0, [g.one(b'EXEC', b'DISCARD')])] if g.chance(0.03) else [])
