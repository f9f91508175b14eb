"""Random calls for the differential test: for every command a generator of valid and invalid calls.

A generator is a function of a Gen (seeded choices over small pools, so that calls meet each other's keys) that returns
the arguments of one call. GENERATORS maps a command to its function; batch() mixes calls of one command with calls
that prepare state for it. Nothing here depends on a server or on the time: expiry times are either long past or so far
off, and so far apart, that both servers see the same.
"""
import random

import diffgen_geo
import diffgen_hash
import diffgen_list
import diffgen_set
import diffgen_sort
import diffgen_stream
import diffgen_zset

KEYS = [b'k%d' % i for i in range(12)] + [b'', b'{tag}a', b'{tag}b', b'\x00\r\n bin', b'key with spaces']
INTEGERS = [b'0', b'1', b'-1', b'2', b'10', b'-10', b'100', b'9223372036854775807', b'-9223372036854775808',
            b'9223372036854775806', b'2147483647', b'-2147483648', b'4294967296']
NOT_INTEGERS = [b'', b' ', b'abc', b'1.5', b'1e3', b' 1', b'1 ', b'+1', b'01', b'-0', b'--1', b'0x10', b'1\x00',
                b'9223372036854775808', b'-9223372036854775809', b'99999999999999999999999', b'-']
FLOATS = [b'0', b'1.5', b'-1.5', b'0.1', b'0.2', b'3.0', b'1e3', b'-2.5e-3', b'1e17', b'1e-17', b'12345678901234567',
          b'0.30000000000000004', b'5.0e3', b'.5', b'5.', b'1e308', b'-1e308', b'9007199254740993', b'0x1p4']
NOT_FLOATS = [b'', b'abc', b' 1', b'1 ', b'1.5x', b'nan', b'1e', b'--1', b'1\x00', b'1,5']
OPTIONS = [b'NX', b'XX', b'GT', b'LT', b'EX', b'PX', b'EXAT', b'PXAT', b'KEEPTTL', b'GET', b'PERSIST', b'REPLACE', b'DB',
           b'ABSTTL', b'MATCH', b'COUNT', b'TYPE', b'LEN', b'IDX', b'ASYNC', b'SYNC', b'BOGUS', b'', b'nx', b'gEt']
# Absolute expiry times in seconds, years apart from each other and from relative ones.
FAR = [5000000000 + i * 100000000 for i in range(30)]
PAST = [1, 1000, 1500000000, -1, 0]


class Gen:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.payloads = []  # DUMP payloads of the oracle, for RESTORE

    def one(self, *choices):
        return self.rng.choice(choices)

    def of(self, pool):
        return self.rng.choice(pool)

    def chance(self, p):
        return self.rng.random() < p

    def key(self):
        return self.of(KEYS) if self.chance(0.97) else self.bytes(40)

    def keys(self, low=1, high=4):
        return [self.key() for _ in range(self.rng.randint(low, high))]

    def bytes(self, longest):
        return self.rng.randbytes(self.rng.randint(0, longest))

    def integer(self, bad=0.12):
        if self.chance(bad):
            return self.of(NOT_INTEGERS)
        if self.chance(0.4):
            return self.of(INTEGERS)
        return b'%d' % self.rng.randint(-200, 200)

    def number(self, bad=0.12):
        if self.chance(bad):
            return self.of(NOT_FLOATS)
        if self.chance(0.5):
            return self.of(FLOATS)
        return b'%.*f' % (self.rng.randint(0, 6), self.rng.uniform(-1000, 1000))

    def value(self):
        kind = self.rng.randrange(10)
        if kind < 3:
            return self.integer(0.2)
        if kind < 4:
            return self.number(0.2)
        if kind < 7:
            return bytes(self.rng.choice(b'abcd') for _ in range(self.rng.choice([0, 1, 5, 20, 43, 44, 45, 46, 60])))
        if kind < 9:
            return self.bytes(200)
        return self.bytes(100) * self.rng.choice([1, 10, 100])

    def case(self, word):
        return self.one(word.upper(), word.lower(), word.title()) if self.chance(0.3) else word

    def option(self):
        return self.of(OPTIONS)

    def relative(self, milliseconds=False):
        """A relative expiry: hours or years away (no two alike), over, or nonsense."""
        if self.chance(0.12):
            return self.of(NOT_INTEGERS)
        if self.chance(0.15):
            return self.one(b'0', b'-1', b'-100', b'9223372036854775807', b'-9223372036854775808', b'9223372036854776')
        return b'%d' % (self.rng.randint(5000, 3000000000) * (1000 if milliseconds else 1))

    def absolute(self, milliseconds=False):
        if self.chance(0.12):
            return self.of(NOT_INTEGERS)
        if self.chance(0.15):
            return self.one(b'9223372036854775807', b'-9223372036854775808', b'9223372036854775')
        return b'%d' % (self.of(PAST if self.chance(0.2) else FAR) * (1000 if milliseconds else 1))

    def expiry_option(self, extra=()):
        word = self.one(b'EX', b'PX', b'EXAT', b'PXAT', *extra)
        if word not in (b'EX', b'PX', b'EXAT', b'PXAT'):
            return [word]
        pick = self.absolute if word.endswith(b'AT') else self.relative
        return [self.case(word), pick(word.startswith(b'P'))]


def _set(g):
    call = [b'SET', g.key(), g.value()]
    options = [lambda: [g.case(g.one(b'NX', b'XX'))], lambda: [g.case(b'GET')],
               lambda: g.expiry_option([b'KEEPTTL'] * 2), lambda: [g.option()]]
    for make in g.rng.sample(options[:3], g.rng.choice([0, 0, 1, 1, 2, 3])):
        call += make()
    return call + options[3]() if g.chance(0.08) else call


def _getex(g):
    call = [b'GETEX', g.key()]
    for _ in range(g.one(0, 1, 1, 1, 2)):
        call += g.expiry_option([b'PERSIST'] * 2 + ([g.option()] if g.chance(0.2) else []))
    return call


def _expire(name, milliseconds, absolute):
    def make(g):
        when = (g.absolute if absolute else g.relative)(milliseconds)
        count = g.one(0, 0, 1, 1, 1, 2, 3)
        flags = [g.option() if g.chance(0.05) else g.case(g.one(b'NX', b'XX', b'GT', b'LT')) for _ in range(count)]
        return [name, g.key(), when] + flags
    return make


def _on_key(name, *makers):
    return lambda g: [name, g.key()] + [make(g) for make in makers]


def _on_keys(name):
    return lambda g: [name] + g.keys()


def _pairs(name):
    def make(g):
        call = [name]
        for key in g.keys():
            call += [key, g.value()]
        return call[:-1] if g.chance(0.1) else call
    return make


def _lcs(g):
    call = [b'LCS', g.key(), g.key()]
    for _ in range(g.one(0, 0, 1, 1, 2, 3)):
        call += g.one([b'LEN'], [b'IDX'], [b'WITHMATCHLEN'], [b'MINMATCHLEN', g.integer()], [g.option()])
    return call


def _offset(g):
    return g.one(g.integer(), b'%d' % g.rng.randint(0, 300), b'536870911', b'536870912', b'4294967296')


def _setrange(g):
    offset = b'%d' % g.rng.randint(0, 300) if g.chance(0.7) else g.one(
        b'-1', b'536870912', b'9223372036854775807', g.of(NOT_INTEGERS))
    return [b'SETRANGE', g.key(), offset, g.value() if g.chance(0.85) else b'']


def _copy(g):
    call = [b'COPY', g.key(), g.key()]
    if g.chance(0.4):
        call += [b'DB', g.one(b'0', b'1', b'2', b'15', b'16', b'-1', b'x')]
    if g.chance(0.5):
        call.append(g.case(b'REPLACE'))
    return call + [g.option()] if g.chance(0.1) else call


def _object(g):
    if g.chance(0.05):
        return [b'OBJECT', g.one(b'NOSUCH', b'', b'ENCODING', b'HELPME')]
    return [b'OBJECT', g.case(g.one(b'ENCODING', b'ENCODING', b'REFCOUNT', b'IDLETIME', b'FREQ')), g.key()]


def _restore(g):
    payload = g.of(g.payloads) if g.payloads and g.chance(0.8) else g.bytes(40)
    if g.chance(0.1) and payload:
        at = g.rng.randrange(len(payload))
        payload = payload[:at] + bytes([payload[at] ^ 1]) + payload[at + 1:]
    absolute = g.chance(0.5)
    ttl = g.one(b'0', b'0', g.absolute(True) if absolute else g.relative(True), b'-1')
    call = [b'RESTORE', g.key(), ttl, payload] + ([b'ABSTTL'] if absolute else [])
    if g.chance(0.6):
        call.append(g.case(b'REPLACE'))
    if g.chance(0.2):
        call += g.one([b'IDLETIME', g.integer()], [b'FREQ', g.integer()], [g.option()])
    return call


def _index(g):
    return g.one(b'0', b'0', b'1', b'2', b'15', b'16', b'-1', b'x', b'', b'99999999999')


def _pattern(g):
    return g.one(b'*', b'k*', b'k?', b'k[1-3]', b'k1*', b'[^k]*', b'{tag}*', b'*\x00*', b'nomatch', b'', b'k\\1', b'k[12',
                 b'**', b'k[3-1]', b'?', b'\\', b'[', b'k[^1-3]', b'*[', b'k*1?*')


def _flush(name):
    def make(g):
        return [name] if g.chance(0.6) else [name, g.case(g.one(b'ASYNC', b'SYNC', b'BOGUS'))]
    return make


def _scan_error(g):
    call = [b'SCAN', g.one(b'x', b'', b'-', b'1.5', b'99999999999999999999999', b'0')]
    bad = [[b'COUNT', b'0'], [b'COUNT', b'-1'], [b'COUNT', b'x'], [b'MATCH'], [b'BOGUS', b'1'], [b'TYPE'], [b'COUNT']]
    return call + g.of(bad)


def _bit_offset(g, width=0):
    """Mostly a bit of the strings there are; what is far behind them is only ever asked for by reading commands."""
    if g.chance(0.12):
        return g.one(b'-1', b'4294967296', b'9223372036854775807', b'-9223372036854775808', b'#', b'#0', b'#-1', b'# 1',
                     b'#99999999999999999999', g.of(NOT_INTEGERS))
    if width and g.chance(0.3):
        return b'#%d' % g.rng.randint(0, 40)
    return b'%d' % g.one(g.rng.randint(0, 70), g.rng.randint(0, 2000), g.rng.randint(0, 8000))


def _far_offset(g):
    return g.one(b'4294967295', b'4294967294', b'1000000') if g.chance(0.1) else _bit_offset(g)


def _bit(g):
    return g.one(b'0', b'1') if g.chance(0.9) else g.one(b'2', b'-1', b'', b'01', g.integer())


def _bit_range(g, most):
    """start, end and unit of BITCOUNT and BITPOS, as many of them as the command may have or one more."""
    words = [g.one(g.integer(), b'%d' % g.rng.randint(-40, 40)), g.one(g.integer(), b'%d' % g.rng.randint(-40, 400)),
             g.case(g.one(b'BIT', b'BIT', b'BYTE')) if g.chance(0.9) else g.option(), b'x']
    return words[:g.one(0, 1, 2, 2, 3, 3, 3, 4) if g.chance(0.8) else most]


def _bitop(g):
    op = g.case(g.one(b'AND', b'OR', b'XOR', b'NOT')) if g.chance(0.95) else g.option()
    keys = g.keys(1, 1 if op.upper() == b'NOT' and g.chance(0.8) else 5)
    return [b'BITOP', op, g.key()] + keys


def _field(g, verb, far=False):
    width = g.one(1, 2, 7, 8, 9, 16, 31, 32, 33, 62, 63, 64, g.rng.randint(1, 64))
    kind = b'%s%d' % (g.one(b'i', b'u') if width < 64 else b'i', width)
    if g.chance(0.03):
        kind = g.one(b'', b'i', b'u0', b'u64', b'i65', b'I8', b'8', b'i-1', b'i08', b'u 8', g.bytes(4))
    words = [g.case(verb), kind, b'4294967280' if far and g.chance(0.05) else _bit_offset(g, width)]
    if verb in (b'SET', b'INCRBY'):
        near = (1 << g.rng.randint(0, width)) + g.rng.randint(-2, 2)
        value = g.one(b'%d' % min(near, (1 << 63) - 1), b'-%d' % min(near, 1 << 63), g.integer(0.03))
        # Redis saturates SET of the very smallest numbers in narrower types at the wrong end.
        words.append(b'-1' if width < 64 and value == b'-9223372036854775808' else value)
    return words


def _bitfield(g):
    call = [b'BITFIELD', g.key()]
    for _ in range(g.one(0, 1, 1, 2, 3, 5, 20)):
        if g.chance(0.4):
            call += [g.case(b'OVERFLOW'), g.case(g.one(b'WRAP', b'SAT', b'FAIL')) if g.chance(0.97) else g.option()]
        call += _field(g, g.one(b'GET', b'SET', b'INCRBY'))
    return call[:-1] if g.chance(0.03) else call + [g.option()] if g.chance(0.03) else call


def _bitfield_ro(g):
    call = [b'BITFIELD_RO', g.key()]
    for _ in range(g.one(0, 1, 1, 2, 3)):
        call += _field(g, b'GET' if g.chance(0.95) else b'SET', far=True)
    return call


def _hll_key(g):
    """One of few keys: what is done to them meets."""
    return g.of(KEYS[:3]) if g.chance(0.9) else g.key()


def _hll_keys(name):
    return lambda g: [name] + [_hll_key(g) for _ in range(g.rng.randint(1, 4))]


def _elements(g):
    """Elements that other calls add too, and sometimes so many that a HyperLogLog becomes dense."""
    count = g.one(0, 1, 1, 2, 5, 20) if g.chance(0.9) else g.rng.randint(100, 900)
    return [b'%d' % g.rng.randint(0, 20000) if g.chance(0.9) else g.bytes(30) for _ in range(count)]


def _runs(g):
    """The runs of a sparse HyperLogLog: sound, too short, or anything."""
    out, left = b'', 16384
    crowded = g.chance(0.3)  # runs that could be joined, everywhere
    while left > 0:
        if crowded:
            length = min(left, g.rng.randint(1, 4))
            out += bytes([g.one(0x80, 0x84, 0x84, 0) | length - 1])
            left -= length
            continue
        kind, length = g.rng.randrange(4), left
        if kind == 0:
            length = min(left, g.rng.randint(1, 64))
            out += bytes([length - 1])
        elif kind == 1:
            length = min(left, g.one(16384, 3000, 100))
            out += bytes([0x40 | length - 1 >> 8, length - 1 & 255])
        else:
            length = min(left, g.rng.randint(1, 4))
            out += bytes([0x80 | g.one(g.rng.randint(0, 2), g.rng.randint(0, 31)) << 2 | length - 1])
        left -= length
    if g.chance(0.2):
        cut = g.rng.randint(0, len(out) - 1)
        out = out[:cut] + (g.bytes(3) if g.chance(0.5) else b'') + out[cut + 1:] + bytes([0x80])
    return out


def _hyperloglog(g):
    """SET of what may be a HyperLogLog."""
    body = _runs(g) if g.chance(0.6) else g.rng.randbytes(12288 - g.one(0, 0, 0, 0, 1, -1))
    head = g.one(b'HYLL', b'HYLL', b'HYLL', b'HYLL', b'HYLL', b'HYLX')
    kind = b'\x01' if len(body) < 12000 else b'\x00'
    if g.chance(0.05):
        kind = g.one(b'\x00', b'\x01', b'\x02')
    cached = g.one(b'\x00' * 7 + b'\x80', g.rng.randbytes(7) + b'\x80', b'\x07' + b'\x00' * 7)
    return [b'SET', _hll_key(g), (head + kind + g.one(b'\x00' * 3, b'abc') + cached + body)[:g.one(10, 16) if g.chance(0.05) else None]]


def _hll_state(g):
    """Calls that make HyperLogLogs for the tests of the others, and GETs that compare their bytes."""
    return g.one(_hyperloglog, _pfadd, _pfadd, lambda g: [b'GET', _hll_key(g)], lambda g: [b'GET', _hll_key(g)],
                 lambda g: [b'DEL', _hll_key(g)], lambda g: [b'PFCOUNT', _hll_key(g)], _sparse_limit)(g)


def _sparse_limit(g):
    return [b'CONFIG', b'SET', b'hll-sparse-max-bytes', g.one(b'0', b'20', b'60', b'300', b'3000', b'3000', b'16000')]


def _pfadd(g):
    return [b'PFADD', _hll_key(g)] + _elements(g)


def _among_hlls(make):
    return lambda g: _hll_state(g) if g.chance(0.4) else make(g)


def _pfdebug(g):
    word = g.one(b'DECODE', b'DECODE', b'ENCODING', b'ENCODING', b'TODENSE', b'GETREG') if g.chance(0.95) else g.option()
    return [b'PFDEBUG', g.case(word), _hll_key(g)]


def _memory(g):
    call = [b'MEMORY', g.case(b'USAGE'), g.key()]
    for _ in range(g.one(0, 0, 1, 2)):
        call += g.one([g.case(b'SAMPLES'), g.integer()], [b'SAMPLES', b'0'], [g.option()])
    return call if g.chance(0.9) else [b'MEMORY', g.one(b'NOSUCH', b'', b'USAGE', b'PURGE')]


def _ping(g):
    return [b'PING'] + [g.value() for _ in range(g.one(0, 1, 1, 2))]


def _unknown(g):
    name = g.one(b'NOSUCH', b'nosuch', b'GETX', b'', b' GET', b'SET\x00', b'no\r\nsuch', b'x' * 200, b'a' * 127, b'a' * 128)
    if g.chance(0.3):
        name = g.one(b'CONFIG', b'CLIENT', b'OBJECT', b'COMMAND')
        return [name, g.one(b'NOSUCH', b'', b'x' * 200, b'no\r\nsuch')] + [g.value() for _ in range(g.one(0, 1))]
    return [name] + [g.value() for _ in range(g.rng.randint(0, 25))]


def _transaction(g):
    return [g.one(b'MULTI', b'EXEC', b'EXEC', b'DISCARD', b'UNWATCH')]


def _multi_error(g):
    return [g.one(b'MULTI', b'EXEC', b'DISCARD', b'UNWATCH', b'WATCH'), g.key()]


GENERATORS = {
    'SET': _set,
    'GET': _on_key(b'GET'),
    'GETSET': _on_key(b'GETSET', Gen.value),
    'GETEX': _getex,
    'GETDEL': _on_key(b'GETDEL'),
    'SETNX': _on_key(b'SETNX', Gen.value),
    'SETEX': _on_key(b'SETEX', Gen.relative, Gen.value),
    'PSETEX': _on_key(b'PSETEX', lambda g: g.relative(True), Gen.value),
    'MGET': _on_keys(b'MGET'),
    'MSET': _pairs(b'MSET'),
    'MSETNX': _pairs(b'MSETNX'),
    'INCR': _on_key(b'INCR'),
    'DECR': _on_key(b'DECR'),
    'INCRBY': _on_key(b'INCRBY', Gen.integer),
    'DECRBY': _on_key(b'DECRBY', Gen.integer),
    'INCRBYFLOAT': _on_key(b'INCRBYFLOAT', Gen.number),
    'APPEND': _on_key(b'APPEND', Gen.value),
    'STRLEN': _on_key(b'STRLEN'),
    'SETRANGE': _setrange,
    'GETRANGE': _on_key(b'GETRANGE', _offset, _offset),
    'SUBSTR': _on_key(b'SUBSTR', _offset, _offset),
    'LCS': _lcs,
    'SETBIT': _on_key(b'SETBIT', _bit_offset, _bit),
    'GETBIT': _on_key(b'GETBIT', _far_offset),
    'BITCOUNT': lambda g: [b'BITCOUNT', g.key()] + _bit_range(g, 3),
    'BITPOS': lambda g: [b'BITPOS', g.key(), _bit(g)] + _bit_range(g, 3),
    'BITOP': _bitop,
    'BITFIELD': _bitfield,
    'BITFIELD_RO': _bitfield_ro,
    'PFADD': _among_hlls(_pfadd),
    'PFCOUNT': _among_hlls(_hll_keys(b'PFCOUNT')),
    'PFMERGE': _among_hlls(_hll_keys(b'PFMERGE')),
    'PFDEBUG': _among_hlls(_pfdebug),
    'MEMORY': _memory,
    'DEL': _on_keys(b'DEL'),
    'UNLINK': _on_keys(b'UNLINK'),
    'EXISTS': _on_keys(b'EXISTS'),
    'TOUCH': _on_keys(b'TOUCH'),
    'TYPE': _on_key(b'TYPE'),
    'EXPIRE': _expire(b'EXPIRE', False, False),
    'PEXPIRE': _expire(b'PEXPIRE', True, False),
    'EXPIREAT': _expire(b'EXPIREAT', False, True),
    'PEXPIREAT': _expire(b'PEXPIREAT', True, True),
    'TTL': _on_key(b'TTL'),
    'PTTL': _on_key(b'PTTL'),
    'EXPIRETIME': _on_key(b'EXPIRETIME'),
    'PEXPIRETIME': _on_key(b'PEXPIRETIME'),
    'PERSIST': _on_key(b'PERSIST'),
    'KEYS': lambda g: [b'KEYS', _pattern(g)],
    'SCAN': _scan_error,
    'RANDOMKEY': lambda g: [b'RANDOMKEY'],
    'RENAME': lambda g: [b'RENAME', g.key(), g.key()],
    'RENAMENX': lambda g: [b'RENAMENX', g.key(), g.key()],
    'COPY': _copy,
    'MOVE': _on_key(b'MOVE', _index),
    'DBSIZE': lambda g: [b'DBSIZE'],
    'FLUSHDB': _flush(b'FLUSHDB'),
    'FLUSHALL': _flush(b'FLUSHALL'),
    'SWAPDB': lambda g: [b'SWAPDB', _index(g), _index(g)],
    'SELECT': lambda g: [b'SELECT', _index(g)],
    'OBJECT': _object,
    'DUMP': lambda g: [b'DUMP', b'no such key'],
    'RESTORE': _restore,
    'MULTI': _transaction,
    'WATCH': _on_keys(b'WATCH'),
    'MULTI errors': _multi_error,
    'ECHO': _on_key(b'ECHO'),
    'PING': _ping,
    'unknown commands': _unknown,
}
GENERATORS.update(diffgen_set.GENERATORS)
GENERATORS.update(diffgen_sort.GENERATORS)
GENERATORS.update(diffgen_hash.GENERATORS)
GENERATORS.update(diffgen_list.GENERATORS)
GENERATORS.update(diffgen_zset.GENERATORS)
GENERATORS.update(diffgen_geo.GENERATORS)
GENERATORS.update(diffgen_stream.GENERATORS)

# Commands that prepare state for others: strings of all kinds, with and without expiry, in some databases.
_SETUP = ['SET'] * 6 + ['SETBIT', 'APPEND', 'INCRBY', 'MSET', 'PEXPIREAT', 'EXPIRE', 'DEL', 'RENAME', 'SETRANGE', 'INCRBYFLOAT']
_TRANSACTIONAL = {'MULTI', 'WATCH', 'MULTI errors'}
_ARITY_LIMIT = 7


def _wrong_arity(g, name):
    word = name.split(' ')[0].encode()
    return [word] + [g.value() for _ in range(g.rng.randint(0, _ARITY_LIMIT))]


def call(g, name):
    """One call for the test of command `name`: mostly it, sometimes with any arguments, else one that prepares state."""
    if name == 'MULTI' and g.chance(0.6):
        return GENERATORS[g.of(_SETUP + ['GET', 'INCR', 'unknown commands', 'WATCH'])](g)
    if g.chance(0.04) and name not in ('unknown commands', 'SCAN', 'DUMP', 'RANDOMKEY', 'BLPOP', 'BZPOPMIN'):  # any argument could be a timeout
        return _wrong_arity(g, name)
    if g.chance(0.02):
        return [b'SELECT', g.one(b'0', b'0', b'1')]
    if g.chance(0.62):
        return GENERATORS[name](g)
    return GENERATORS[g.of(_SETUP)](g)


def batch(g, name, size):
    """`size` calls as (connection, arguments); connection 1 interferes in the tests of transactions."""
    calls = []
    while len(calls) < size:
        connection = 1 if name in _TRANSACTIONAL and g.chance(0.25) else 0
        run = g.rng.randint(1, 6) if name in _TRANSACTIONAL else 1
        for _ in range(run):
            made = GENERATORS[g.of(_SETUP)](g) if connection else call(g, name)
            calls.append((connection, made))
    return calls
