"""Random calls on sorted sets for the differential test, and what may differ in their replies."""
import math

import diffgen_set

ZSETS = [b'z%d' % i for i in range(6)]
LEX = [b'l%d' % i for i in range(3)]  # all scores equal: what the commands by bytes are made for
SCORES = [b'0', b'1', b'-1', b'2', b'3', b'1.5', b'0.1', b'0.3', b'-2.5', b'1e5', b'1e17', b'123456789012345678', b'inf',
          b'-inf', b'+inf', b'Infinity', b'3.0', b'-0', b'1e-7', b'1e300', b'0x10', b'5e-324', b'17179869184',
          b'0.1234567890123456', b'9007199254740993', b'1e308']
NOT_SCORES = [b'', b'nan', b'-nan', b'abc', b' 1', b'1 ', b'1x', b'(1', b'1e400', b'--1', b'1\x00', b'1,5', b'++1', b'e5']


def _key(g):
    if g.chance(0.05):
        return g.of(diffgen_set.SETS)
    return g.of(ZSETS) if g.chance(0.85) else g.key()


def score(g, bad=0.03):
    if g.chance(bad):
        return g.of(NOT_SCORES)
    if g.chance(0.3):
        return g.of(SCORES)
    if g.chance(0.3):
        return b'%.*f' % (g.rng.randint(1, 17), g.rng.uniform(-100, 100))
    return b'%d' % g.rng.randint(-20, 20)


def member(g):
    kind = g.rng.randrange(20)
    if kind < 8:
        return b'm%d' % g.rng.randint(0, 30)
    if kind < 16:
        return b'%d' % g.rng.randint(0, 30)
    if kind < 18:
        return g.integer(0.2)
    return g.one(b'', b'\x00', b'\xff' * 3, g.bytes(80), b'x' * g.rng.randint(60, 68), b'long' * 100)


def _pairs(g, most=5, bad=0.02):
    pairs = []
    for _ in range(g.rng.randint(1, most)):
        pairs += [score(g, bad), member(g)]
    return pairs


def _many(g):
    start = g.rng.randint(0, 50)
    pairs = []
    for i in range(start, start + g.one(20, 100, 130, 200)):
        pairs += [b'%d' % g.rng.randint(-50, 50), b'%d' % i if g.chance(0.5) else b'm%d' % i]
    return pairs


def _lex_members(g):
    pairs = []
    for _ in range(g.one(1, 3, 10, 10, 140)):
        pairs += [b'0', g.one(bytes(g.rng.choice(b'abcd') for _ in range(g.rng.randint(0, 3))), b'%d' % g.rng.randint(0, 99))]
    return pairs


def state(g):
    make = g.rng.randrange(20)
    if make < 9:
        return [b'ZADD', _key(g)] + _pairs(g, 8, 0.005)
    if make < 10:
        return [b'ZADD', _key(g)] + _many(g)
    if make < 12:
        return [b'ZADD', g.of(LEX)] + _lex_members(g)
    if make < 13:
        return diffgen_set.state(g)
    if make < 15:
        return [b'DEL', _key(g) if g.chance(0.8) else g.of(LEX)]
    if make < 17:
        return [b'ZREM', _key(g)] + [member(g) for _ in range(g.rng.randint(1, 20))]
    return g.one([b'ZRANGE', _key(g), b'0', b'-1', b'WITHSCORES'], [b'ZCARD', _key(g)], [b'OBJECT', b'ENCODING', _key(g)],
                 [b'TYPE', _key(g)], [b'ZREMRANGEBYRANK', _key(g), b'0', b'3'])


def _among(make):
    return lambda g: state(g) if g.chance(0.4) else make(g)


def _zadd(g):
    call = [b'ZADD', _key(g)]
    for _ in range(g.one(0, 1, 1, 1, 2, 2, 3)):
        call.append(g.case(g.one(b'NX', b'XX', b'GT', b'LT', b'CH', b'INCR', b'CH')) if g.chance(0.97) else g.option())
    pairs = _pairs(g, g.one(1, 1, 4))
    return call + (pairs[:-1] if g.chance(0.04) else pairs)


def _bound(g):
    if g.chance(0.08):
        return g.of(NOT_SCORES + [b'(', b'((1', b'[1', b'(nan', b'(x'])
    bound = g.of([b'-inf', b'+inf', b'inf', b'0', b' 1']) if g.chance(0.3) else score(g, 0)
    return b'(' + bound if g.chance(0.3) else bound


def _lex(g):
    if g.chance(0.08):
        return g.one(b'', b'a', b'++', b'-x', b'+x', b'0', b'(', b'[', b'inf')
    if g.chance(0.3):
        return g.one(b'-', b'+')
    return g.one(b'[', b'(') + bytes(g.rng.choice(b'abcd') for _ in range(g.rng.randint(0, 3)))


def _index(g):
    return g.integer(0.05) if g.chance(0.2) else b'%d' % g.rng.randint(-25, 25)


def _limit(g):
    pick = lambda: b'%d' % g.one(0, 0, 1, 2, 5, 100, -1, -1, -2) if g.chance(0.9) else g.integer(0.3)
    return [g.case(b'LIMIT'), pick(), pick()]


def _range_tail(g, words, bad=0.04):
    tail = []
    for word in words:
        if g.chance(0.45):
            tail += _limit(g) if word == b'LIMIT' else [g.case(word)]
    if g.chance(bad):
        tail += g.one([b'LIMIT', b'1'], [b'LIMIT'], [g.option()], [b'BYLEX'], [b'REV', b'REV'], [b'WITHSCORE'], [b'BYSCORE'])
    g.rng.shuffle(tail) if g.chance(0.05) else None
    return tail


def _ranged(name, by, words):
    """By bytes only where all scores are equal: else no result is promised, and the oracle has two."""
    def make(g):
        key = g.of(LEX) if by == 'lex' and g.chance(0.97) else b'nosuch' if by == 'lex' else _key(g)
        bound = {'lex': _lex, 'score': _bound, 'rank': _index}[by]
        return [name, key, bound(g), bound(g)] + (_range_tail(g, words) if words else [])
    return make


def _zrange_args(g, options):
    """(key, bounds, options) of a ZRANGE."""
    by = g.one('rank', 'score', 'lex')
    bound = {'lex': _lex, 'score': _bound, 'rank': _index}[by]
    tail = {'rank': [], 'score': [g.case(b'BYSCORE')], 'lex': [g.case(b'BYLEX')]}[by]
    tail = tail + _range_tail(g, [w for w in options if w != b'LIMIT' or by != 'rank' or g.chance(0.1)])
    if g.chance(0.02):
        tail.append(g.one(b'BYLEX', b'BYSCORE', b'REV'))
    return [g.of(LEX) if by == 'lex' or b'BYLEX' in tail else _key(g), bound(g), bound(g)] + tail


def _zrange(g):
    return [b'ZRANGE'] + _zrange_args(g, [b'REV', b'LIMIT', b'WITHSCORES'])


def _zrangestore(g):
    args = _zrange_args(g, [b'REV', b'LIMIT'])
    return [b'ZRANGESTORE', args[0] if args[0] in LEX and g.chance(0.2) else _key(g)] + args + (
        [b'WITHSCORES'] if g.chance(0.03) else [])


def _counted(g, keys):
    return b'%d' % len(keys) if g.chance(0.9) else g.one(b'0', b'-1', b'1', b'2', b'100', b'9223372036854775807', g.integer(0.5))


def _sources(g):
    return [g.of(diffgen_set.SETS) if g.chance(0.25) else _key(g) for _ in range(g.one(1, 2, 2, 2, 3, 4))]


def _algebra(name, store, words):
    def make(g):
        keys = _sources(g)
        call = [name] + ([_key(g)] if store else []) + [_counted(g, keys)] + keys
        for word in words:
            if not g.chance(0.4):
                continue
            if word == b'WEIGHTS':
                call += [g.case(word)] + [score(g, 0.02) for _ in range(len(keys) + g.one(0, 0, 0, 0, 0, 0, -1, 1))]
            elif word == b'AGGREGATE':
                call += [g.case(word), g.case(g.one(b'SUM', b'MIN', b'MAX')) if g.chance(0.96) else g.option()]
            elif word == b'LIMIT':
                call += [g.case(word), b'%d' % g.rng.randint(0, 10) if g.chance(0.85) else g.integer(0.3)]
            else:
                call.append(g.case(word))
        return call + g.one([b'WEIGHTS'], [b'AGGREGATE'], [b'WITHSCORES'], [b'LIMIT'], [g.option()]) if g.chance(0.04) else call
    return _among(make)


def _pop(name):
    def make(g):
        call = [name, _key(g)]
        if g.chance(0.6):
            call.append(b'%d' % g.one(0, 1, 1, 2, 5, 100) if g.chance(0.85) else g.integer(0.3))
        return call + [b'1'] if g.chance(0.02) else call
    return _among(make)


def _zmpop(g):
    keys = [_key(g) for _ in range(g.one(1, 1, 2, 3))]
    call = [b'ZMPOP', _counted(g, keys)] + keys + [g.case(g.one(b'MIN', b'MAX')) if g.chance(0.95) else g.option()]
    for _ in range(g.one(0, 0, 1, 1, 1, 2) if g.chance(0.2) else g.one(0, 1)):
        call += [g.case(b'COUNT'), b'%d' % g.one(1, 2, 5, 100) if g.chance(0.85) else g.integer(0.3)]
    return call[:-1] if g.chance(0.03) else call


def _zrandmember(g):
    call = [b'ZRANDMEMBER', _key(g)]
    if g.chance(0.8):
        call.append(b'%d' % g.one(0, 1, 2, 5, 100, 1000, -1, -2, -7, -100) if g.chance(0.85) else
                    g.one(b'-9223372036854775808', b'9223372036854775807', b'9223372036854775808', b'', b'x'))
        if g.chance(0.4):
            call.append(g.case(b'WITHSCORES') if g.chance(0.9) else g.option())
    return call + [b'1'] if g.chance(0.03) else call


def _zscan(g):
    cursor = b'0' if g.chance(0.8) else g.one(b'x', b'', b'-', b'99999999999999999999999', b'1.5', b' 0')
    call = [b'ZSCAN', _key(g), cursor]
    for _ in range(g.one(0, 0, 1, 1, 2)):
        call += g.one([g.case(b'MATCH'), g.one(b'*', b'm*', b'1?', b'[0-9]', b'none', b'')],
                      [g.case(b'COUNT'), b'%d' % g.rng.randint(1, 1000)], [b'COUNT', g.integer(0.3)],
                      [b'TYPE', b'zset'], [g.option()], [b'MATCH'], [b'COUNT'])
    return call


def _on_member(name, most=1):
    return _among(lambda g: [name, _key(g)] + [member(g) for _ in range(g.rng.randint(1, most))])


def _rank(name):
    """WITHSCORE came with 7.2, so the oracle does not know it: tests/wire/zsets.t."""
    return _on_member(name)


def _blocking(g):
    """All that wait; where there is nothing, for no longer than a millisecond. Who comes first is in wire/blocking.t."""
    seconds = g.one(b'0.001', b'1e-3', b'.0005') if g.chance(0.94) else g.one(b'-1', b'x', b'', b'nan')
    if g.chance(0.5):
        return [g.one(b'BZPOPMIN', b'BZPOPMAX')] + [_key(g) for _ in range(g.one(1, 2, 3, 4))] + [seconds]
    return [b'BZMPOP', seconds] + _zmpop(g)[1:]


GENERATORS = {
    'ZADD': _among(_zadd),
    'ZINCRBY': _among(lambda g: [b'ZINCRBY', _key(g), score(g), member(g)]),
    'ZREM': _on_member(b'ZREM', 6),
    'ZCARD': _among(lambda g: [b'ZCARD', _key(g)]),
    'ZSCORE': _on_member(b'ZSCORE'),
    'ZMSCORE': _on_member(b'ZMSCORE', 8),
    'ZRANK': _rank(b'ZRANK'),
    'ZREVRANK': _rank(b'ZREVRANK'),
    'ZCOUNT': _among(_ranged(b'ZCOUNT', 'score', [])),
    'ZLEXCOUNT': _among(_ranged(b'ZLEXCOUNT', 'lex', [])),
    'ZRANGE': _among(_zrange),
    'ZRANGESTORE': _among(_zrangestore),
    'ZREVRANGE': _among(_ranged(b'ZREVRANGE', 'rank', [b'WITHSCORES'])),
    'ZRANGEBYSCORE': _among(_ranged(b'ZRANGEBYSCORE', 'score', [b'WITHSCORES', b'LIMIT'])),
    'ZREVRANGEBYSCORE': _among(_ranged(b'ZREVRANGEBYSCORE', 'score', [b'WITHSCORES', b'LIMIT'])),
    'ZRANGEBYLEX': _among(_ranged(b'ZRANGEBYLEX', 'lex', [b'LIMIT'])),
    'ZREVRANGEBYLEX': _among(_ranged(b'ZREVRANGEBYLEX', 'lex', [b'LIMIT'])),
    'ZREMRANGEBYRANK': _among(_ranged(b'ZREMRANGEBYRANK', 'rank', [])),
    'ZREMRANGEBYSCORE': _among(_ranged(b'ZREMRANGEBYSCORE', 'score', [])),
    'ZREMRANGEBYLEX': _among(_ranged(b'ZREMRANGEBYLEX', 'lex', [])),
    'ZPOPMIN': _pop(b'ZPOPMIN'),
    'ZPOPMAX': _pop(b'ZPOPMAX'),
    'ZMPOP': _among(_zmpop),
    'BZPOPMIN': _among(_blocking),
    'ZRANDMEMBER': _among(_zrandmember),
    'ZSCAN': _among(_zscan),
    'ZUNION': _algebra(b'ZUNION', False, [b'WEIGHTS', b'AGGREGATE', b'WITHSCORES']),
    'ZINTER': _algebra(b'ZINTER', False, [b'WEIGHTS', b'AGGREGATE', b'WITHSCORES']),
    'ZDIFF': _algebra(b'ZDIFF', False, [b'WITHSCORES']),
    'ZUNIONSTORE': _algebra(b'ZUNIONSTORE', True, [b'WEIGHTS', b'AGGREGATE']),
    'ZINTERSTORE': _algebra(b'ZINTERSTORE', True, [b'WEIGHTS', b'AGGREGATE']),
    'ZDIFFSTORE': _algebra(b'ZDIFFSTORE', True, []),
    'ZINTERCARD': _algebra(b'ZINTERCARD', False, [b'LIMIT']),
}


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def same_doubles(args, ours, theirs):
    """The same reply, but for doubles, which may be written in another way; the numbers are the same."""
    if type(ours) is not type(theirs):
        return False
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(same_doubles(args, a, b) for a, b in zip(ours, theirs))
    return ours == theirs or (isinstance(ours, (bytes, float)) and _number(ours) == _number(theirs))


def _as_many(args, ours, theirs):
    if type(ours) is not type(theirs):
        return False
    return len(ours) == len(theirs) if isinstance(ours, list) else type(ours) is bytes


def _page(args, ours, theirs):
    """The whole of a small one, in one page and in order; of a big one a page."""
    if not all(type(x) is list and len(x) == 2 and type(x[1]) is list for x in (ours, theirs)):
        return False
    return theirs[0] != b'0' or ours[0] != b'0' or len(theirs[1]) > 200 or len(ours[1]) % 2 == 0


def _withscore(args, ours, theirs):
    return len(args) == 4 and ours == b'ERR syntax error' and b'wrong number' in theirs


_SCORED = ('ZADD ZINCRBY ZSCORE ZMSCORE ZRANGE ZREVRANGE ZRANGEBYSCORE ZREVRANGEBYSCORE ZPOPMIN ZPOPMAX ZMPOP ZUNION '
           'BZPOPMIN BZPOPMAX BZMPOP '
           'ZINTER ZDIFF').split()
_SHORTEST = 'scores are the shortest decimals that read back, as since 7.2; 7.0 writes 17 digits'
DIFFERENCES = [(_name, same_doubles, _SHORTEST) for _name in _SCORED]
DIFFERENCES += [
    ('ZRANK', _withscore, '7.2 takes WITHSCORE'),
    ('ZREVRANK', _withscore, '7.2 takes WITHSCORE'),
    ('ZRANDMEMBER', _as_many, 'random; that they are members is checked apart'),
    ('ZSCAN', _page, 'cursors and pages are the server\'s own; that an iteration is complete is checked apart'),
]
