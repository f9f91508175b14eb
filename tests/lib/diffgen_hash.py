"""Random calls on hashes for the differential test, and what may differ in their replies."""
HASHES = [b'h%d' % i for i in range(6)]


def _key(g):
    return g.of(HASHES) if g.chance(0.8) else g.key()


def field(g):
    kind = g.rng.randrange(20)
    if kind < 9:
        return b'f%d' % g.rng.randint(0, 12)
    if kind < 17:
        return b'%d' % g.rng.randint(-3, 12)
    if kind < 19:
        return g.one(b'', b'\x00', b'+1', b'01', b'-0', b'field with\r\n')
    return g.one(g.bytes(70), b'x' * g.rng.randint(62, 67), b'long' * 300)


def value(g):
    kind = g.rng.randrange(20)
    if kind < 8:
        return g.integer(0.1)
    if kind < 12:
        return g.number(0.1)
    if kind < 18:
        return b'v%d' % g.rng.randint(0, 1000)
    return g.value()


def _fields(g, most=5):
    return [field(g) for _ in range(g.rng.randint(1, most))]


def _pairs(g, most=5):
    made = [make(g) for _ in range(g.rng.randint(1, most)) for make in (field, value)]
    return made[:-1] if g.chance(0.03) else made


def _many(g):
    """Enough fields for a table, or nearly."""
    return [x for i in range(g.one(500, 511, 512, 513, 600)) for x in (b'f%d' % i, b'%d' % i)]


def state(g):
    make = g.rng.randrange(24)
    if make < 12:
        return [b'HSET', _key(g)] + _pairs(g, 8)
    if make < 13:
        return [b'HSET', _key(g)] + _many(g)
    if make < 17:
        return [b'HDEL', _key(g)] + _fields(g, 12)
    if make < 19:
        return [b'DEL', _key(g)]
    return g.one([b'HGETALL', _key(g)], [b'HLEN', _key(g)], [b'OBJECT', b'ENCODING', _key(g)], [b'TYPE', _key(g)],
                 [b'COPY', _key(g), _key(g), b'REPLACE'])


def _among(make):
    return lambda g: state(g) if g.chance(0.45) else make(g)


def _on_key(name, *makers):
    return _among(lambda g: [name, _key(g)] + [make(g) for make in makers])


def _hrandfield(g):
    call = [b'HRANDFIELD', _key(g)]
    if g.chance(0.8):
        call.append(b'%d' % g.one(0, 1, 2, 5, 100, 1000, -1, -2, -7, -100) if g.chance(0.8) else
                    g.one(b'-9223372036854775808', b'9223372036854775807', b'9223372036854775808', b'', b'x'))
        if g.chance(0.6):
            call.append(g.case(b'WITHVALUES') if g.chance(0.9) else g.option())
    return call + ([b'1'] if g.chance(0.05) else [])


def _hscan(g):
    cursor = b'0' if g.chance(0.8) else g.one(b'x', b'', b'-', b'99999999999999999999999', b'1.5', b' 0')
    call = [b'HSCAN', _key(g), cursor]
    for _ in range(g.one(0, 0, 1, 1, 2)):
        call += g.one([g.case(b'MATCH'), g.one(b'*', b'f*', b'1?', b'[0-9]', b'none', b'')],
                      [g.case(b'COUNT'), b'%d' % g.rng.randint(1, 1000)], [b'COUNT', g.integer(0.3)],
                      [b'TYPE', b'hash'], [g.option()], [b'MATCH'], [b'COUNT'])
    return call


GENERATORS = {
    'HSET': _among(lambda g: [b'HSET', _key(g)] + _pairs(g)),
    'HSETNX': _on_key(b'HSETNX', field, value),
    'HMSET': _among(lambda g: [b'HMSET', _key(g)] + _pairs(g)),
    'HGET': _on_key(b'HGET', field),
    'HMGET': _among(lambda g: [b'HMGET', _key(g)] + _fields(g)),
    'HGETALL': _on_key(b'HGETALL'),
    'HKEYS': _on_key(b'HKEYS'),
    'HVALS': _on_key(b'HVALS'),
    'HLEN': _on_key(b'HLEN'),
    'HEXISTS': _on_key(b'HEXISTS', field),
    'HSTRLEN': _on_key(b'HSTRLEN', field),
    'HDEL': _among(lambda g: [b'HDEL', _key(g)] + _fields(g)),
    'HINCRBY': _on_key(b'HINCRBY', field, lambda g: g.integer()),
    'HINCRBYFLOAT': _on_key(b'HINCRBYFLOAT', field, lambda g: g.number() if g.chance(0.95) else g.one(b'inf', b'-inf')),
    'HRANDFIELD': _among(_hrandfield),
    'HSCAN': _among(_hscan),
}


def _pairs_of(reply):
    return sorted(zip(reply[::2], reply[1::2])) if isinstance(reply, list) else sorted(reply.items())


def _same_pairs(args, ours, theirs):
    return type(ours) is type(theirs) and isinstance(ours, (list, dict)) and _pairs_of(ours) == _pairs_of(theirs)


def _same_items(args, ours, theirs):
    return isinstance(ours, list) and type(ours) is type(theirs) and sorted(ours) == sorted(theirs)


def _as_many(args, ours, theirs):
    if type(ours) is not type(theirs):
        return False
    if not isinstance(ours, list):
        return type(ours) is bytes
    return len(ours) == len(theirs) and all(type(a) is type(b) for a, b in zip(ours, theirs))


def _a_page(args, ours, theirs):
    return all(type(x) is list and len(x) == 2 and type(x[1]) is list for x in (ours, theirs))


_ORDER = 'no order is promised'
DIFFERENCES = [
    ('HGETALL', _same_pairs, _ORDER),
    ('HKEYS', _same_items, _ORDER),
    ('HVALS', _same_items, _ORDER),
    ('HRANDFIELD', _as_many, 'random; that they are fields is checked apart'),
    ('HSCAN', _a_page, 'cursors and pages are the server\'s own; that an iteration is complete is checked apart'),
]
