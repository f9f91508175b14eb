"""Random calls on sets for the differential test, and what may differ in their replies."""
SETS = [b's%d' % i for i in range(6)]


def _key(g):
    return g.of(SETS) if g.chance(0.75) else g.key()


def _keys(g, low=1, high=4):
    return [_key(g) for _ in range(g.rng.randint(low, high))]


def member(g):
    kind = g.rng.randrange(10)
    if kind < 4:
        return b'%d' % g.rng.randint(0, 30)
    if kind < 8:
        return b'm%d' % g.rng.randint(0, 40)
    if kind < 9:
        return g.integer(0.2)
    return g.one(b'', b'\x00', g.bytes(80), b'x' * g.rng.randint(60, 68), b'long' * 1000)


def _members(g, most=6):
    return [member(g) for _ in range(g.rng.randint(1, most))]


def _many(g):
    """Enough members for a change of form."""
    start, count = g.rng.randint(0, 50), g.one(5, 100, 130, 200, 520)
    return [g.one(b'%d', b'%d', b'm%d') % i if g.chance(0.02) else b'%d' % i for i in range(start, start + count)]


def state(g):
    make = g.rng.randrange(20)
    if make < 10:
        return [b'SADD', _key(g)] + _members(g, 12)
    if make < 12:
        return [b'SADD', _key(g)] + [b'%d' % g.rng.randint(0, 40) for _ in range(g.rng.randint(1, 30))]
    if make < 13:
        return [b'SADD', _key(g)] + _many(g)
    if make < 14:
        return [b'SADD', _key(g)] + [b'm' + i for i in _many(g)]
    if make < 16:
        return [b'DEL', _key(g)]
    if make < 17:
        return [b'SREM', _key(g)] + _members(g, 30)
    return g.one([b'SMEMBERS', _key(g)], [b'SCARD', _key(g)], [b'OBJECT', b'ENCODING', _key(g)], [b'TYPE', _key(g)])


def _among(make):
    return lambda g: state(g) if g.chance(0.45) else make(g)


def _spop(g):
    """What is taken at random would make the servers differ: all of it, nothing, or the only member."""
    if g.chance(0.4):
        return g.one([b'SADD', b'one', b'the only one'], [b'SPOP', b'one'], [b'SPOP', b'one', b'1'], [b'SCARD', b'one'])
    count = g.one(b'0', b'100000', b'9223372036854775807', b'9223372036854775808', b'-1', b'', b'x', b'-9223372036854775808')
    return [b'SPOP', _key(g), count] + ([count] if g.chance(0.05) else [])


def _srandmember(g):
    call = [b'SRANDMEMBER', _key(g)]
    if g.chance(0.8):
        call.append(b'%d' % g.one(0, 1, 2, 5, 100, 1000, -1, -2, -7, -100) if g.chance(0.8) else
                    g.one(b'-9223372036854775808', b'9223372036854775807', b'9223372036854775808', b'', b'x'))
    return call + ([b'1'] if g.chance(0.05) else [])


def _sintercard(g):
    keys = _keys(g)
    count = b'%d' % len(keys) if g.chance(0.85) else g.integer(0.3)
    call = [b'SINTERCARD', count] + keys
    for _ in range(g.one(0, 0, 1, 1, 1, 2)):
        call += [g.case(b'LIMIT'), b'%d' % g.rng.randint(0, 20) if g.chance(0.85) else g.integer(0.3)]
    return call[:-1] if g.chance(0.05) else call + [g.option()] if g.chance(0.05) else call


def _sscan(g):
    cursor = b'0' if g.chance(0.8) else g.one(b'x', b'', b'-', b'99999999999999999999999', b'1.5', b' 0')
    call = [b'SSCAN', _key(g), cursor]
    for _ in range(g.one(0, 0, 1, 1, 2)):
        call += g.one([g.case(b'MATCH'), g.one(b'*', b'm*', b'1?', b'[0-9]', b'none', b'')],
                      [g.case(b'COUNT'), b'%d' % g.rng.randint(1, 1000)], [b'COUNT', g.integer(0.3)],
                      [b'TYPE', b'set'], [g.option()], [b'MATCH'], [b'COUNT'])
    return call


def _store(name):
    return _among(lambda g: [name, _key(g)] + _keys(g))


def _combine(name):
    return _among(lambda g: [name] + _keys(g))


GENERATORS = {
    'SADD': _among(lambda g: [b'SADD', _key(g)] + _members(g)),
    'SREM': _among(lambda g: [b'SREM', _key(g)] + _members(g)),
    'SISMEMBER': _among(lambda g: [b'SISMEMBER', _key(g), member(g)]),
    'SMISMEMBER': _among(lambda g: [b'SMISMEMBER', _key(g)] + _members(g, g.one(5, 100))),
    'SCARD': _among(lambda g: [b'SCARD', _key(g)]),
    'SMEMBERS': _among(lambda g: [b'SMEMBERS', _key(g)]),
    'SMOVE': _among(lambda g: [b'SMOVE', _key(g), _key(g), member(g)]),
    'SPOP': _among(_spop),
    'SRANDMEMBER': _among(_srandmember),
    'SSCAN': _among(_sscan),
    'SINTER': _combine(b'SINTER'),
    'SUNION': _combine(b'SUNION'),
    'SDIFF': _combine(b'SDIFF'),
    'SINTERSTORE': _store(b'SINTERSTORE'),
    'SUNIONSTORE': _store(b'SUNIONSTORE'),
    'SDIFFSTORE': _store(b'SDIFFSTORE'),
    'SINTERCARD': _among(_sintercard),
}


def _same_members(args, ours, theirs):
    return isinstance(ours, list) and type(ours) is type(theirs) and sorted(ours) == sorted(theirs)


def _as_many(args, ours, theirs):
    if type(ours) is not type(theirs):
        return False
    return len(ours) == len(theirs) if isinstance(ours, list) else type(ours) is bytes


def _a_page(args, ours, theirs):
    return all(type(x) is list and len(x) == 2 and type(x[1]) is list for x in (ours, theirs))


def _listpack(args, ours, theirs):
    return args[1:2] and args[1].upper() == b'ENCODING' and (ours, theirs) == (b'listpack', b'hashtable')


_ORDER = 'no order is promised'
DIFFERENCES = [(_name, _same_members, _ORDER) for _name in ('SMEMBERS', 'SINTER', 'SUNION', 'SDIFF', 'SPOP')]
DIFFERENCES += [
    ('SRANDMEMBER', _as_many, 'random; that they are members is checked apart'),
    ('SSCAN', _a_page, 'cursors and pages are the server\'s own; that an iteration is complete is checked apart'),
    ('OBJECT', _listpack, 'small sets of strings are a listpack, as since 7.2'),
]
