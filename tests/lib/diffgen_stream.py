"""Random calls on streams for the differential test, and what may differ in their replies.

Ids are given, never made from the clock; idle times that are asked for are zero or hours."""
STREAMS = [b'x%d' % i for i in range(4)]
GROUPS = [b'g1', b'g2', b'']
CONSUMERS = [b'alice', b'bob', b'c' * 30, b'']
MAX = b'18446744073709551615'
NOT_IDS = [b'', b'a', b'1-', b'-1', b'1-2-3', b'1-a', b'a-1', b'18446744073709551616', b'1-18446744073709551616', b'-', b'+',
           b'$', b'>', b'*', b'1-*', b'*-1', b'--', b'1--1', b'(1', b'1.5']
FAR_IDLE = [b'0', b'0', b'0', b'100000000', b'-5']


def _key(g):
    return g.of(STREAMS) if g.chance(0.96) else g.key()


def ident(g, bad=0.03):
    """Ids are few, so that calls meet the same entries."""
    if g.chance(bad):
        return g.of(NOT_IDS)
    if g.chance(0.03):
        return g.one(b'0', b'0-0', b'0-1', MAX, MAX + b'-' + MAX, b'0-' + MAX, b'007-01', b'9223372036854775808')
    ms = b'%d' % g.rng.randint(1, 400)
    return ms if g.chance(0.4) else ms + b'-%d' % g.rng.randint(0, 3)


def _bound(g):
    if g.chance(0.35):
        return g.one(b'-', b'+')
    return b'(' + ident(g) if g.chance(0.25) else ident(g)


def _fields(g):
    kind = g.rng.randrange(10)
    if kind < 6:
        return [b'name', g.one(b'v', b'12', b'-7', b'', g.bytes(20)), b'n', b'%d' % g.rng.randint(-9999, 99999)]
    count = g.one(1, 1, 2, 3, 5, 40) if kind < 9 else 1
    words = []
    for i in range(count):
        words += [g.one(b'f%d' % i, b'%d' % i, b''), g.one(b'v', g.integer(), g.bytes(60))]
    if kind == 9:
        words[-1] = b'x' * g.one(100, 3000, 4096, 5000)
    return words


def _trim(g):
    word = g.one(b'MAXLEN', b'MAXLEN', b'MINID')
    call = [g.case(word)]
    approx = g.chance(0.4)
    if approx or g.chance(0.3):
        call.append(b'~' if approx else b'=')
    if word == b'MINID':
        call.append(ident(g))
    else:
        call.append(b'%d' % g.one(0, 1, 5, 20, 100, 200) if g.chance(0.95) else g.integer(0.4))
    if approx and g.chance(0.4) or g.chance(0.03):
        call += [g.case(b'LIMIT'), b'%d' % g.one(0, 1, 50, 100, 101, 1000) if g.chance(0.9) else g.integer(0.4)]
    return call


class Clock:
    """The next id, so that most entries can be put."""
    at = 0


def _add_id(g):
    if g.chance(0.08):
        return ident(g, 0) if g.chance(0.8) else g.of([i for i in NOT_IDS if i != b'*'])
    clock = g.__dict__.setdefault('stream_clock', Clock())
    clock.at = clock.at % 400 + 1 if g.chance(0.5) else clock.at or 1
    return b'%d-%s' % (clock.at, g.one(b'*', b'*', b'*', b'%d' % g.rng.randint(0, 3)))


def _xadd(g):
    call = [b'XADD', _key(g)]
    if g.chance(0.05):
        call.append(g.case(b'NOMKSTREAM'))
    if g.chance(0.15):
        call += _trim(g)
    if g.chance(0.02):
        call.append(g.one(b'LIMIT', b'MAXLEN', b'MINID'))
    call.append(_add_id(g))
    fields = _fields(g)
    return call + (fields[:-1] if g.chance(0.02) else [] if g.chance(0.01) else fields)


def _group(g):
    return g.of(GROUPS) if g.chance(0.97) else b'nosuch'


def _consumer(g):
    return g.of(CONSUMERS)


def _xreadgroup(g):
    call = [b'XREADGROUP', g.case(b'GROUP'), _group(g), _consumer(g)]
    if g.chance(0.6):
        call += [g.case(b'COUNT'), b'%d' % g.one(1, 2, 5, 0, 100, -1) if g.chance(0.97) else g.integer(0.4)]
    if g.chance(0.1):
        call.append(g.case(b'NOACK'))
    if g.chance(0.03):
        call += g.one([b'NOACK'], [g.option()], [b'BLOCK', b'-1'], [b'BLOCK', b'x'], [b'GROUP', b'g1'], [b'GROUP', b'g1', b'c'])
    keys = [_key(g) for _ in range(g.one(1, 1, 1, 2))]
    ids = [b'>' if g.chance(0.7) else g.one(b'0', b'0-0', ident(g, 0.1)) for _ in keys]
    ids = [b'>' if i == MAX + b'-' + MAX else i for i in ids]  # Redis takes the one for the other
    return call + [g.case(b'STREAMS')] + keys + (ids[:-1] if g.chance(0.02) else ids)


def _xread(g):
    call = [b'XREAD']
    if g.chance(0.6):
        call += [g.case(b'COUNT'), b'%d' % g.one(1, 2, 5, 0, 100, -1) if g.chance(0.97) else g.integer(0.4)]
    if g.chance(0.1):
        call += [g.case(b'BLOCK'), g.one(b'1', b'1', b'2', b'1.5')]
    if g.chance(0.04):
        call += g.one([b'NOACK'], [g.option()], [b'BLOCK', b'-1'], [b'BLOCK', b'x'], [b'GROUP', b'g1', b'c'], [b'COUNT'])
    keys = [_key(g) for _ in range(g.one(1, 1, 2, 3))]
    ids = [g.one(b'0', b'$', ident(g, 0.05), ident(g)) for _ in keys]
    ids = [b'0' if i == b'+' else i for i in ids]  # 7.4 has it, the oracle not
    return call + [g.case(b'STREAMS')] + keys + (ids[:-1] if g.chance(0.02) else ids)


def _xgroup(g):
    what = g.rng.randrange(20)
    if what < 8:
        call = [b'XGROUP', g.case(b'CREATE'), _key(g), g.of(GROUPS), g.one(b'0', b'$', ident(g))]
        if g.chance(0.6):
            call.append(g.case(b'MKSTREAM'))
        if g.chance(0.2):
            call += [g.case(b'ENTRIESREAD'), g.one(b'0', b'3', b'-1', b'-2', g.integer(0.3))]
        return call + [g.option()] if g.chance(0.03) else call
    if what < 11:
        call = [b'XGROUP', g.case(b'SETID'), _key(g), _group(g), g.one(b'0', b'$', ident(g))]
        if g.chance(0.3):
            call += [g.case(b'ENTRIESREAD'), g.one(b'0', b'3', b'-1', b'-2', g.integer(0.3))]
        return call + [g.one(b'MKSTREAM', b'ENTRIESREAD')] if g.chance(0.05) else call
    if what < 14:
        return [b'XGROUP', g.case(b'CREATECONSUMER'), _key(g), _group(g), _consumer(g)]
    if what < 16:
        return [b'XGROUP', g.case(b'DELCONSUMER'), _key(g), _group(g), _consumer(g)]
    if what < 18:
        return [b'XGROUP', g.case(b'DESTROY'), _key(g), _group(g)]
    return g.one([b'XGROUP', b'HELP'], [b'XGROUP', b'NOSUCH'], [b'XGROUP'], [b'XGROUP', b'CREATE', b'x1'], [b'XGROUP', b'HELP', b'x'])


def _ids(g, most=5):
    return [ident(g, 0.01) for _ in range(g.rng.randint(1, most))]


def _xpending(g):
    call = [b'XPENDING', _key(g), _group(g)]
    if g.chance(0.3):
        return call
    if g.chance(0.3):
        call += [g.case(b'IDLE'), g.of(FAR_IDLE)]
    call += [_bound(g), _bound(g), b'%d' % g.one(1, 3, 10, 100, 0, -1) if g.chance(0.97) else g.integer(0.4)]
    if g.chance(0.4):
        call.append(_consumer(g) if g.chance(0.9) else b'nobody')
    return call[:-1] if g.chance(0.03) else call + [b'x'] if g.chance(0.03) else call


def _claim_option(g):
    return g.one([b'FORCE'], [b'FORCE'], [b'JUSTID'], [b'IDLE', g.one(b'0', b'10000000', b'-1', g.integer(0.5))],
                 [b'TIME', g.one(b'1600000000000', b'99999999999999', b'-1', b'x')],
                 [b'RETRYCOUNT', g.one(b'0', b'1', b'7', b'-1', b'x')], [b'LASTID', ident(g)], [g.option()] if g.chance(0.2) else [])


def _xclaim(g):
    call = [b'XCLAIM', _key(g), _group(g), _consumer(g), g.of(FAR_IDLE) if g.chance(0.97) else g.of(NOT_IDS)] + _ids(g)
    for _ in range(g.one(0, 0, 1, 2, 3)):
        call += _claim_option(g)
    return call


def _xautoclaim(g):
    call = [b'XAUTOCLAIM', _key(g), _group(g), _consumer(g), g.of(FAR_IDLE) if g.chance(0.97) else b'x', _bound(g)]
    if g.chance(0.5):
        call += [g.case(b'COUNT'), b'%d' % g.one(1, 2, 5, 100) if g.chance(0.9) else g.integer(0.3)]
    if g.chance(0.3):
        call.append(g.case(b'JUSTID'))
    return call + [g.option()] if g.chance(0.03) else call


def _xsetid(g):
    # Above all others: Redis 7.0 lets the last id go below that of the greatest deleted entry, since 7.2 it does not.
    call = [b'XSETID', _key(g), b'%d-%d' % (g.rng.randint(401, 409), g.rng.randint(0, 3)) if g.chance(0.95) else g.of(NOT_IDS)]
    if g.chance(0.3):
        call += [g.case(b'ENTRIESADDED'), b'%d' % g.rng.randint(0, 500) if g.chance(0.8) else g.integer(0.3)]
    if g.chance(0.3):
        call += [g.case(b'MAXDELETEDID'), ident(g)]
    return call + [g.option()] if g.chance(0.04) else call


def _xinfo(g):
    what = g.rng.randrange(20)
    if what < 6:
        return [b'XINFO', g.case(b'STREAM'), _key(g)]
    if what < 11:
        call = [b'XINFO', b'STREAM', _key(g), g.case(b'FULL')]
        if g.chance(0.6):
            call += [b'COUNT', b'%d' % g.one(0, 1, 3, 100, -1) if g.chance(0.9) else g.integer(0.4)]
        return call + [g.option()] if g.chance(0.05) else call
    if what < 15:
        return [b'XINFO', g.case(b'GROUPS'), _key(g)]
    if what < 18:
        return [b'XINFO', g.case(b'CONSUMERS'), _key(g), _group(g)]
    return g.one([b'XINFO', b'HELP'], [b'XINFO', b'NOSUCH', b'x1'], [b'XINFO'], [b'XINFO', b'STREAM'],
                 [b'XINFO', b'STREAM', b'x1', b'FULL', b'COUNT'], [b'XINFO', b'STREAM', b'x1', b'BOGUS'])


def _range(name):
    def make(g):
        call = [name, _key(g), _bound(g), _bound(g)]
        if g.chance(0.4):
            call += [g.case(b'COUNT'), b'%d' % g.one(0, 1, 2, 10, -1) if g.chance(0.95) else g.integer(0.4)]
        return call + [g.option()] if g.chance(0.03) else call
    return make


def state(g):
    what = g.rng.randrange(30)
    if what < 14:
        return _xadd(g)
    if what < 17:
        return _xreadgroup(g)
    if what < 19:
        return _xgroup(g)
    if what < 21:
        return [b'XACK', _key(g), _group(g)] + _ids(g)
    if what < 23:
        return [b'XDEL', _key(g)] + _ids(g, 3)
    if what < 24:
        return [b'XTRIM', _key(g)] + _trim(g)
    if what < 25:
        return _xclaim(g)
    if what < 26:
        return g.one([b'DEL', _key(g)], [b'XLEN', _key(g)], [b'OBJECT', b'ENCODING', _key(g)], [b'TYPE', _key(g)],
                     [b'COPY', _key(g), _key(g), b'REPLACE'], [b'RENAME', _key(g), _key(g)], [b'XLEN', _key(g)])
    return g.one([b'XRANGE', _key(g), b'-', b'+'], [b'XINFO', b'STREAM', _key(g), b'FULL', b'COUNT', b'0'])


def _among(make):
    return lambda g: state(g) if g.chance(0.6) else make(g)


GENERATORS = {
    'XADD': _among(_xadd),
    'XLEN': _among(lambda g: [b'XLEN', _key(g)]),
    'XRANGE': _among(_range(b'XRANGE')),
    'XREVRANGE': _among(_range(b'XREVRANGE')),
    'XDEL': _among(lambda g: [b'XDEL', _key(g)] + _ids(g, 30)),
    'XTRIM': _among(lambda g: [b'XTRIM', _key(g)] + (_trim(g) if g.chance(0.95) else [g.option(), b'1'])),
    'XREAD': _among(_xread),
    'XGROUP': _among(_xgroup),
    'XREADGROUP': _among(_xreadgroup),
    'XACK': _among(lambda g: [b'XACK', _key(g), _group(g)] + _ids(g, 30)),
    'XPENDING': _among(_xpending),
    'XCLAIM': _among(_xclaim),
    'XAUTOCLAIM': _among(_xautoclaim),
    'XINFO': _among(_xinfo),
    'XSETID': _among(_xsetid),
}

SLACK = 20000
_TIMES = (b'idle', b'seen-time')
_COUNTED = (b'entries-read', b'lag')
_OURS = (b'inactive', b'active-time', b'radix-tree-nodes')


def _close(ours, theirs):
    return type(ours) is int and type(theirs) is int and abs(ours - theirs) <= SLACK


def _alike(ours, theirs, times=()):
    """The same, but for what may differ in the fields of a stream, a group, a consumer, which are pairs in RESP2 and RESP3
    alike. `times` are the places in a list that hold times."""
    if not isinstance(ours, list) or not isinstance(theirs, list):
        return type(ours) is type(theirs) and (ours is theirs or ours == theirs)
    if _is_fields(ours) and _is_fields(theirs):
        return _same_fields(ours, theirs)
    if any(_is_fields(x) and x[0] == b'name' for x in ours + theirs):
        ours = [x for x in ours if not _idle_only(x) or x[1] in [y[1] for y in theirs]]
    if len(ours) != len(theirs):
        return False
    return all(_close(a, b) if i in times and type(a) is int else _alike(a, b) for i, (a, b) in enumerate(zip(ours, theirs)))


def _is_fields(reply):
    return isinstance(reply, list) and len(reply) > 4 and reply[0] in (b'name', b'length')


def _fields_of(reply):
    pairs = [(reply[i], reply[i + 1]) for i in range(0, len(reply), 2)]
    return [(k, v) for k, v in pairs if k not in _OURS]


def _idle_only(reply):
    """A consumer without pending entries."""
    fields = dict(_fields_of(reply))
    return b'last-delivered-id' not in fields and fields.get(b'pel-count', fields.get(b'pending')) == 0


def _same_fields(ours, theirs):
    a, b = _fields_of(ours), _fields_of(theirs)
    if [k for k, _ in a] != [k for k, _ in b]:
        return False
    is_group = b'last-delivered-id' in dict(a)
    return all(_same_field(k, x, y, is_group) for (k, x), (_, y) in zip(a, b))


def _same_field(name, ours, theirs, is_group):
    if name in _TIMES:
        return _close(ours, theirs)
    if name in _COUNTED:
        return True
    if name == b'radix-tree-keys':  # Redis may keep nodes without live entries
        return type(ours) is int and type(theirs) is int and 0 <= theirs - ours <= 2
    if name == b'consumers' and type(ours) is int and is_group:
        return type(theirs) is int and ours >= theirs
    if name in (b'pending', b'pel') and isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(_alike(a, b, (len(a) - 2,)) for a, b in zip(ours, theirs))
    return _alike(ours, theirs)


def _xinfo_same(args, ours, theirs):
    return _alike(ours, theirs)


def _xpending_same(args, ours, theirs):
    if not isinstance(ours, list) or not isinstance(theirs, list) or len(ours) != len(theirs):
        return False
    return all(type(a) is list and type(b) is list and len(a) == len(b) == 4 and _alike(a, b, (2,)) for a, b in zip(ours, theirs))


def _there_already(args, ours, theirs):
    return len(args) == 5 and args[1].upper() == b'CREATECONSUMER' and ours == 0 and theirs == 1


def _lenient_id(args, ours, theirs):
    return ours == b'ERR Invalid stream ID specified as stream command argument' and any(a[:1] in b' +(' or b'\x00' in a for a in args if a)


_IDLE = 'times are the server\'s own; active-time and inactive came with 7.2; the number of inner nodes is our own; how ' \
        'much a group has read is told by the rules of 7.4; a consumer exists once it has asked, as since 7.2'
DIFFERENCES = [
    ('XINFO', _xinfo_same, _IDLE),
    ('XPENDING', _xpending_same, _IDLE),
    ('XGROUP', _there_already, 'since 7.2 a consumer exists once it has asked, even if it got nothing'),
] + [(_name, _lenient_id, 'Redis takes ids with a blank or a plus sign in front, or a NUL') for _name in GENERATORS]
