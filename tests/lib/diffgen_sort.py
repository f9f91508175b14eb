"""Random calls of SORT and SORT_RO for the differential test, and what may differ in their replies.

The names of keys tell their types: sl a list, ss a set, sz a sorted set. Elements are alphanumeric where they are
compared as text: the oracle compares them in the order of its locale, up to a NUL. No number is out of range: a Redis 7.0 fails with
the errno that another command has left behind, which is also why SORT is not mixed with the commands that leave one.
"""

LISTS, SETS, ZSETS = ([b's%c%d' % (kind, i) for i in range(3)] for kind in b'lsz')
_BY = [b'w_*', b'w_*', b'v_*', b'h_*->n', b'h_*->t', b'nosort', b'', b'#', b'*y', b'w_*x', b'h_*->', b'h_*->nothing', b'*->n',
       b'sl*', b'w_*->n']
_GET = _BY + [b'#', b'#', b'#', b'w_*->t', b'constant']


def _key(g):
    return g.of(g.one(LISTS, SETS, ZSETS)) if g.chance(0.93) else g.key()


def _element(g):
    if g.chance(0.04):
        return g.one(b'', b'1.5', b'-3', b'x', b'inf', b'nan', b' 7', b'0x1F', b'7 ')
    return b'%d' % g.rng.randint(0, 12)


def _number(g):
    return g.number(0.02).replace(b'\x00', b'') if g.chance(0.4) else b'%d' % g.rng.randint(-5, 5)


def state(g):
    make, some = g.rng.randrange(12), [_element(g) for _ in range(g.rng.randint(1, 6))]
    if make < 3:
        return [g.one(b'RPUSH', b'LPUSH'), g.of(LISTS)] + some
    if make < 5:
        return [b'SADD', g.of(SETS)] + some
    if make < 7:
        return [b'ZADD', g.of(ZSETS)] + [word for m in some for word in (b'%d' % g.rng.randint(-9, 9), m)]
    if make < 9:
        return [b'SET', g.one(b'w_', b'w_', b'v_') + _element(g), _number(g)]
    if make < 10:
        return [b'HSET', b'h_' + _element(g), g.one(b'n', b't'), _number(g)]
    if make < 11:
        return [b'DEL', g.one(_key(g), b'w_' + _element(g), b'h_' + _element(g))]
    return g.one([b'LRANGE', g.of(LISTS), b'0', b'-1'], [b'TYPE', _key(g)])


def _limit(g):
    if g.chance(0.9):
        return [b'%d' % g.rng.randint(-1, 5), b'%d' % g.rng.randint(-1, 8)]
    return [g.integer(), g.integer()]


def _options(g, may_store):
    words = []
    alpha, by = g.chance(0.4), g.of(_BY) if g.chance(0.5) else None
    # Redis selects the part inside LIMIT by a sort that does not keep what is alike in its order.
    limited = g.chance(0.4) and not (alpha and by is not None and b'*' in by)
    if by is not None:
        words.append([g.case(b'BY'), by])
    if limited:
        words.append([g.case(b'LIMIT')] + _limit(g))
    for _ in range(g.one(0, 0, 1, 2, 3)):
        words.append([g.case(b'GET'), g.of(_GET)])
    if alpha:
        words.append([g.case(b'ALPHA')])
    if g.chance(0.5):
        words.append([g.case(g.one(b'ASC', b'DESC'))])
    if may_store and not (alpha and by is not None):
        words.append([g.case(b'STORE'), _key(g)])
    g.rng.shuffle(words)
    return [word for option in words for word in option]


def _sort(name, stores):
    def make(g):
        if g.chance(0.55):
            return state(g)
        call = [name, _key(g)] + _options(g, g.chance(stores))
        if g.chance(0.04):
            return call[:-1]
        return call + [g.option()] if g.chance(0.04) else call
    return make


GENERATORS = {'SORT': _sort(b'SORT', 0.3), 'SORT_RO': _sort(b'SORT_RO', 0.03)}


def _free_order(args, ours, theirs):
    """Sets have no order, so neither has what is alike in them, nor what BY leaves as it is."""
    words = [bytes(a).upper() for a in args]
    if not (isinstance(ours, list) and type(ours) is type(theirs) and len(ours) == len(theirs)) or b'BY' not in words:
        return False
    if args[1] in LISTS or (args[1] in ZSETS and b'ALPHA' not in words):
        return False
    return b'LIMIT' in words or sorted(map(repr, ours)) == sorted(map(repr, theirs))


_WHY = 'elements of sets that are not sorted, or weigh the same, come in any order'
DIFFERENCES = [(_name, _free_order, _WHY) for _name in GENERATORS]
