"""Random calls on geo indexes for the differential test, and what may differ in their replies."""
import diffgen_zset

GEOS = [b'g%d' % i for i in range(4)]
CITIES = [b'm%d' % i for i in range(25)]
UNITS = [b'm', b'km', b'ft', b'mi', b'M', b'Km', b'MI']
BAD_POINTS = [b'180.1', b'-181', b'85.06', b'-90', b'inf', b'nan', b'x', b'', b'1e400', b' 1']


def _key(g):
    return g.of(GEOS) if g.chance(0.94) else g.key()


def _any_key(g):
    """Sorted sets too: many of their scores are the same place, so no search among them has one order."""
    return g.of(diffgen_zset.ZSETS) if g.chance(0.03) else _key(g)


def _member(g):
    return g.of(CITIES) if g.chance(0.95) else diffgen_zset.member(g)


def _point(g, bad=0.02):
    """Mostly in one region, so that searches find something; also near the edges of the map. No two are alike: in which
    order points at the same distance come is not promised."""
    if g.chance(bad):
        return [g.of(BAD_POINTS), g.of(BAD_POINTS + [b'1'])]
    kind = g.rng.randrange(12)
    if kind < 7:
        lon, lat = g.rng.uniform(12, 16), g.rng.uniform(36, 39)
    elif kind < 10:
        lon, lat = g.rng.uniform(-180, 180), g.rng.uniform(-85.05112878, 85.05112878)
    else:
        lon = g.one(-179.99, 179.99, 0, g.rng.uniform(-180, 180)) + g.rng.uniform(-0.01, 0.01)
        lat = g.one(-85.05, 85.05, 0, -66, 80, g.rng.uniform(-85, 85)) + g.rng.uniform(-0.001, 0.001)
    return [b'%.8f' % lon, b'%.8f' % lat]


def _exact_point(g):
    """At the edges and where steps change."""
    return [g.one(b'-180', b'180', b'0', b'-0', b'179.999999', b'1e1', b'%d' % g.rng.randint(-180, 180)),
            g.one(b'-85.05112878', b'85.05112878', b'0', b'-0', b'66', b'80', b'%d' % g.rng.randint(-85, 85))]


def _geoadd(g, plain=False):
    call = [b'GEOADD', _any_key(g)]
    if not plain:
        for _ in range(g.one(0, 0, 1, 1, 2)):
            call.append(g.case(g.one(b'NX', b'XX', b'CH')) if g.chance(0.95) else g.option())
    for _ in range(g.rng.randint(1, 8 if plain else 3)):
        call += _point(g, 0 if plain else 0.03) + [_member(g)]
    return call[:-1] if not plain and g.chance(0.04) else call


def state(g):
    make = g.rng.randrange(20)
    if make < 14:
        return _geoadd(g, True)
    if make < 15:
        call = [b'GEOADD', g.of(GEOS)]
        for i in range(g.one(50, 150)):
            call += _point(g, 0) + [b'many%d' % i]
        return call
    if make < 17:
        return [b'DEL', _key(g)]
    if make < 18:
        return [b'ZREM', _key(g), _member(g), _member(g)]
    return g.one([b'ZRANGE', g.one(_key(g), b'distances'), b'0', b'-1'], [b'ZCARD', _key(g)])


def _among(make):
    return lambda g: state(g) if g.chance(0.35) else make(g)


def _unit(g):
    return g.of(UNITS) if g.chance(0.97) else g.one(b'', b'x', b'meters', b'KMS')


def _length(g):
    if g.chance(0.04):
        return g.one(b'-1', b'x', b'', b'nan', b'1e400', b'-0')
    return b'%.*f' % (g.one(0, 2), g.one(g.rng.uniform(0, 100), g.rng.uniform(0, 1000), g.rng.uniform(0, 1e6),
                                         g.rng.uniform(0, 4e7), 0))


def _count(g):
    return [g.case(b'COUNT'), b'%d' % g.rng.randint(1, 10) if g.chance(0.93) else g.integer(0.3)] + (
        [g.case(b'ANY')] if g.chance(0.3) else [])


def _tail(g, more=()):
    tail = []
    if g.chance(0.5):
        tail += _count(g)
    for word in (b'ASC', b'DESC', b'WITHDIST', b'WITHCOORD', b'WITHHASH'):
        if g.chance(0.25):
            tail.append(g.case(word))
    for words in more:
        if g.chance(0.4):
            tail += words(g)
    if g.chance(0.03):
        tail += g.one([b'ANY'], [b'COUNT'], [b'STORE'], [b'STOREDIST'], [b'STORE', b'd'], [g.option()], [b'BYRADIUS', b'1', b'm'],
                      [b'FROMMEMBER', b'm1'], [b'FROMLONLAT', b'1', b'2'], [b'BYBOX', b'1', b'1', b'km'])
    return tail


def _area(g):
    start = [g.case(b'FROMMEMBER'), _member(g)] if g.chance(0.4) else [g.case(b'FROMLONLAT')] + _point(g)
    shape = [g.case(b'BYRADIUS'), _length(g), _unit(g)] if g.chance(0.5) else [
        g.case(b'BYBOX'), _length(g), _length(g), _unit(g)]
    parts = [p for p in (start, shape) if g.chance(0.985)]
    g.rng.shuffle(parts)
    return sum(parts, [])


def _geosearch(g):
    return [b'GEOSEARCH', _key(g)] + _area(g) + _tail(g)


def _geosearchstore(g):
    distances = g.chance(0.4)
    call = [b'GEOSEARCHSTORE', b'distances' if distances else _key(g), _key(g)] + _area(g)
    if g.chance(0.05):
        return call + _tail(g)
    return call + (_count(g) if g.chance(0.5) else []) + ([g.case(b'STOREDIST')] if distances else []) + (
        [g.case(g.one(b'ASC', b'DESC'))] if g.chance(0.4) else [])


def _store(g):
    """Distances are no geohashes: all would be the same place, so they are stored elsewhere."""
    return [g.case(b'STORE'), _key(g)] if g.chance(0.5) else [g.case(b'STOREDIST'), b'distances']


def _radius(name, by_member, store):
    def make(g):
        start = [_member(g)] if by_member else _point(g)
        call = [name, _key(g)] + start + [_length(g), _unit(g)]
        if store and g.chance(0.4):
            return call + (_count(g) if g.chance(0.5) else []) + _store(g) + (_store(g) if g.chance(0.1) else []) + (
                [g.case(g.one(b'ASC', b'DESC', b'WITHDIST'))] if g.chance(0.4) else [])
        return call + _tail(g, [_store] if g.chance(0.1) else ())
    return _among(make)


def _members(name):
    return _among(lambda g: [name, _any_key(g)] + [_member(g) for _ in range(g.rng.randint(0, 5))])


def _geodist(g):
    call = [b'GEODIST', _any_key(g), _member(g), _member(g)] + ([_unit(g)] if g.chance(0.6) else [])
    return call + [b'm'] if g.chance(0.03) else call


def _exactly(make):
    """With points at edges, for commands that do not sort."""
    def mixed(g):
        if g.chance(0.25):
            return [b'GEOADD', _key(g)] + _exact_point(g) + [_member(g)]
        return make(g)
    return mixed


GENERATORS = {
    'GEOADD': _exactly(_among(_geoadd)),
    'GEOPOS': _exactly(_members(b'GEOPOS')),
    'GEOHASH': _exactly(_members(b'GEOHASH')),
    'GEODIST': _exactly(_among(_geodist)),
    'GEOSEARCH': _among(_geosearch),
    'GEOSEARCHSTORE': _among(_geosearchstore),
    'GEORADIUS': _radius(b'GEORADIUS', False, True),
    'GEORADIUS_RO': _radius(b'GEORADIUS_RO', False, False),
    'GEORADIUSBYMEMBER': _radius(b'GEORADIUSBYMEMBER', True, True),
    'GEORADIUSBYMEMBER_RO': _radius(b'GEORADIUSBYMEMBER_RO', True, False),
}
DIFFERENCES = []
