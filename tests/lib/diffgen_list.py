"""Random calls on lists for the differential test, and what may differ in their replies."""
LISTS = [b'l:%d' % i for i in range(5)]


def _key(g):
    return g.of(LISTS) if g.chance(0.85) else g.key()


def item(g):
    kind = g.rng.randrange(20)
    if kind < 8:
        return b'%d' % g.rng.randint(0, 12)
    if kind < 15:
        return b'i%d' % g.rng.randint(0, 12)
    if kind < 17:
        return g.integer(0.2)
    if kind < 18:
        return g.one(b'', b'\x00', g.bytes(80), b'x' * g.rng.randint(60, 66))
    return g.one(b'long' * 1000, b'larger' * 1500, b'x' * g.rng.randint(8170, 8200), b'i1')


def _items(g, most=6):
    return [item(g) for _ in range(g.rng.randint(1, most))]


def _many(g):
    """Enough for several nodes."""
    width = g.one(1, 60, 200)
    return [(b'%d' % g.rng.randint(0, 30)) * width for _ in range(g.one(5, 100, 300))]


def index(g):
    if g.chance(0.75):
        return b'%d' % g.rng.randint(-25, 25)
    return b'%d' % g.rng.randint(-700, 700) if g.chance(0.6) else g.integer()


def _end(g):
    if g.chance(0.04):
        return g.one(b'', b'MIDDLE', b'LEFT ', b'BEFORE')
    return g.case(g.one(b'LEFT', b'RIGHT'))


def _count(g):
    if g.chance(0.25):
        return g.one(b'0', b'-1', b'9223372036854775807', b'9223372036854775808', b'-9223372036854775808', b'', b'x')
    return b'%d' % g.rng.randint(0, 30)


def state(g):
    make = g.rng.randrange(20)
    push = g.one(b'RPUSH', b'LPUSH')
    if make < 9:
        return [push, _key(g)] + _items(g, 12)
    if make < 11:
        return [push, _key(g)] + _many(g)
    if make < 12:
        return [b'DEL', _key(g)]
    if make < 13:
        return [b'LTRIM', _key(g), index(g), index(g)]
    if make < 14:
        return [b'LPOP', _key(g), b'%d' % g.rng.randint(0, 100)]
    if make < 15:
        return [b'LSET', _key(g), index(g), item(g)]
    if make < 16:
        return [b'LREM', _key(g), b'%d' % g.rng.randint(-3, 3), item(g)]
    return g.one([b'LRANGE', _key(g), b'0', b'-1'], [b'LLEN', _key(g)], [b'OBJECT', b'ENCODING', _key(g)],
                 [b'TYPE', _key(g)])


def _among(make):
    return lambda g: state(g) if g.chance(0.45) else make(g)


def _push(name):
    return _among(lambda g: [name, _key(g)] + _items(g))


def _pop(name):
    def make(g):
        call = [name, _key(g)] + ([_count(g)] if g.chance(0.5) else [])
        return call + [g.value()] if g.chance(0.02) else call
    return _among(make)


def _range(name):
    return _among(lambda g: [name, _key(g), index(g), index(g)])


def _linsert(g):
    where = g.case(g.one(b'BEFORE', b'AFTER')) if g.chance(0.96) else g.one(b'', b'LEFT', b'BEFOR')
    return [b'LINSERT', _key(g), where, item(g), item(g)]


def _lrem(g):
    count = b'%d' % g.rng.randint(-5, 5) if g.chance(0.7) else g.integer()
    if count == b'-9223372036854775808':
        count = b'-9223372036854775807'  # the other one is refused since 7.2
    return [b'LREM', _key(g), count, item(g)]


def _lpos(g):
    call = [b'LPOS', _key(g), item(g)]
    for _ in range(g.one(0, 1, 1, 2, 2, 3)):
        word = g.case(g.one(b'RANK', b'COUNT', b'MAXLEN')) if g.chance(0.95) else g.option()
        number = b'%d' % g.rng.randint(-4, 4) if word.upper() == b'RANK' else b'%d' % g.rng.randint(0, 12)
        call += [word, number if g.chance(0.85) else g.integer()]
    return call[:-1] if g.chance(0.03) else call


def _lmpop(g):
    keys = [_key(g) for _ in range(g.rng.randint(1, 3))]
    number = b'%d' % len(keys) if g.chance(0.9) else g.one(b'0', b'-1', b'9', b'x', b'9223372036854775807')
    call = [b'LMPOP', number] + keys + [_end(g)]
    if g.chance(0.5):
        call += [g.case(b'COUNT'), _count(g)]
    return call + [g.option()] if g.chance(0.05) else call


def _seconds(g):
    return g.one(b'0.001', b'1e-3', b'.0005', b'0.0001') if g.chance(0.94) else g.one(b'-1', b'x', b'', b'nan', b'-0.5', b'0.1.2')


def _blocking(g):
    """All that wait; where there is nothing, for no longer than a millisecond. Who comes first is in wire/blocking.t."""
    keys = [_key(g) for _ in range(g.one(1, 2, 3, 4))]
    kind = g.rng.randrange(6)
    if kind < 2:
        return [g.one(b'BLPOP', b'BRPOP')] + keys + [_seconds(g)]
    if kind < 3:
        return [b'BRPOPLPUSH', _key(g), _key(g), _seconds(g)]
    if kind < 4:
        return [b'BLMOVE', _key(g), _key(g), _end(g), _end(g), _seconds(g)]
    return [b'BLMPOP', _seconds(g)] + _lmpop(g)[1:]


GENERATORS = {
    'LPUSH': _push(b'LPUSH'),
    'RPUSH': _push(b'RPUSH'),
    'LPUSHX': _push(b'LPUSHX'),
    'RPUSHX': _push(b'RPUSHX'),
    'LPOP': _pop(b'LPOP'),
    'RPOP': _pop(b'RPOP'),
    'LLEN': _among(lambda g: [b'LLEN', _key(g)]),
    'LRANGE': _range(b'LRANGE'),
    'LTRIM': _range(b'LTRIM'),
    'LINDEX': _among(lambda g: [b'LINDEX', _key(g), index(g)]),
    'LSET': _among(lambda g: [b'LSET', _key(g), index(g), item(g)]),
    'LINSERT': _among(_linsert),
    'LREM': _among(_lrem),
    'LPOS': _among(_lpos),
    'LMOVE': _among(lambda g: [b'LMOVE', _key(g), _key(g), _end(g), _end(g)]),
    'RPOPLPUSH': _among(lambda g: [b'RPOPLPUSH', _key(g), _key(g)]),
    'LMPOP': _among(_lmpop),
    'BLPOP': _among(_blocking),
}


def _encoding(args, ours, theirs):
    return len(args) == 3 and args[1].upper() == b'ENCODING' and theirs == b'quicklist' and ours == b'listpack'


def _no_opposite(args, ours, theirs):
    out_of_range = ours == b'ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807'
    return out_of_range and b'-9223372036854775808' in args


DIFFERENCES = [
    ('OBJECT', _encoding, 'small lists are listpacks, as in Redis 7.2 and later'),
    ('LREM', _no_opposite, 'refused by Redis 7.2 and later; the generator avoids it, as a 7.0 carries it out'),
    ('LPOS', _no_opposite, 'refused by Redis 7.2 and later: no rank from the head is its opposite'),
]
