"""Scripts for the differential test: random commands called from Lua, values converted both ways, the libraries.

A script's reply is judged by the command that it calls, where it returns what that replied (inner() tells).
"""
CALL = b'return redis.call(unpack(ARGV))'
PCALL = b'return redis.pcall(unpack(ARGV))'
_LUA_NUMBERS = ['0', '1', '-1', '2.5', '-2.5', '3.99', '1e3', '1e15', '123456789012', '-0.5', '100000000000000', '0.1',
                '1/3', '2^31', '2^53', '-2^53', '1e100', '0x10']
_LUA_STRINGS = ['""', '"x"', '"12"', '" 7 "', '"0x1F"', '"1e3"', '"a\\0b"', '"%d"', '"\\255\\254"',
                'string.rep("ab", 40)', '"ünï"']
_ERRORS = ['error("mine")', 'error({err="MY code"})', 'error()', 'return redis.error_reply("MY code")',
           'return redis.error_reply("-MY code")', 'return redis.error_reply("lower")', 'return {err="E text"}',
           'return {ok="FINE"}', 'return redis.status_reply("YES")', 'return {ok="a\\r\\nb"}',
           'return redis.error_reply()', 'return redis.status_reply(1, 2)', 'return redis.call()',
           'return redis.pcall()', 'return redis.call("NOSUCH")', 'return redis.pcall("NOSUCH")',
           'return redis.call("GET")', 'return redis.call("GET", {})', 'return redis.pcall("GET", nil)',
           'return redis.call("GET", true)', 'x = 1', 'return x', 'return nosuch.field', 'return KEYS[9]',
           'return ARGV[9]', 'return ("x")()', 'return 1 + {}', 'return 1 .. {}', 'return #5', 'return {} < {}',
           'return print', 'return load', 'return dofile', 'return redis.nosuch', 'redis.call = nil', 'KEYS = nil',
           'string.format = nil', 'return setfenv(1, {})', 'return loadstring("return 7")()',
           'return pcall(error, "x")', 'return {pcall(redis.call, "NOSUCH")}', 'return select("#", unpack(ARGV))',
           'local t = {} t.t = t return cjson.encode(t)', 'return redis.sha1hex("x")', 'return redis.sha1hex()',
           'return redis.log(9, "x")', 'return redis.log("x")', 'return {redis.LOG_DEBUG, redis.LOG_WARNING}',
           'return redis.setresp(4)', 'return redis.setresp()', 'return redis.set_repl(redis.REPL_ALL)',
           'return redis.set_repl(77)', 'return redis.replicate_commands()', 'return redis.breakpoint()',
           'return redis.call("MULTI")', 'return redis.call("EXEC")', 'return redis.call("WATCH", "k")',
           'return redis.call("SUBSCRIBE", "c")', 'return redis.call("EVAL", "return 1", 0)',
           'return redis.call("SELECT", "99")', 'return redis.call("CLIENT", "ID")']
_PATTERNS = ['a', '%d+', '(%w)(%w)', '^x', '[abc]*', '%s', '(.-)b', '%f[%w]%w+', '()', '.', '%bxy', '[^%d]+$']


def _literal(g, depth=0):
    kind = g.rng.randrange(12)
    if kind < 3:
        return g.of(_LUA_NUMBERS)
    if kind < 6:
        return g.of(_LUA_STRINGS)
    if kind < 8:
        return g.one('true', 'false', 'nil')
    if depth > 3:
        return '{}'
    if kind < 10:
        return '{' + ', '.join(_literal(g, depth + 1) for _ in range(g.one(0, 1, 2, 3, 6))) + '}'
    return g.one('{ok="FINE"}', '{err="ERR own"}', '{double=1.5}', '{1, nil, 3}', '{x="y"}',
                 '{set={a=true}}', '{map={a=1}}', '{big_number="123456789012345678901"}')


def _json(g, depth=0):
    kind = g.rng.randrange(9)
    if kind < 2 or depth > 4:
        return g.one('0', '1', '-1', '2.5', '1e3', '1e400', '12345678901234567890', '0.1', '01', '-', '1.', '+1',
                     'Infinity', 'NaN')
    if kind < 4:
        return g.one('""', '"x"', '"\\n\\u00fc"', '"\\ud83d\\ude00"', '"\\ud83d"', '"a/b"', '"\\x"', '"\t"', '"unended')
    if kind < 5:
        return g.one('true', 'false', 'null', 'nul', '')
    if kind < 7:
        return '[' + g.one(',', ', ').join(_json(g, depth + 1) for _ in range(g.rng.randint(0, 4))) + ']'
    return '{' + ','.join(f'"{name}":{_json(g, depth + 1)}' for name in g.rng.sample('abcd', g.rng.randint(0, 1))) + '}'


def _library(g):
    number, other, text = g.of(_LUA_NUMBERS), g.of(_LUA_NUMBERS[1:]), g.of(_LUA_STRINGS)
    whole, near = g.one('0', '1', '7', '-1', '255', '65536', '4294967295', '-2147483648', '1.5', '4294967296'), g.one('0',
                                                                                                                      '1',
                                                                                                                      '3',
                                                                                                                      '-2',
                                                                                                                      '100')
    kind = g.rng.randrange(9)
    if kind == 0:
        return f'return cjson.encode({_literal(g)})'
    if kind == 1:
        return 'return cjson.encode(cjson.decode(ARGV[1]))'
    if kind == 2:
        return f'return cmsgpack.pack({_literal(g)})'
    if kind == 3:
        return f'return cmsgpack.unpack(cmsgpack.pack({_literal(g)}, {number}))'
    if kind == 4:
        form = ''.join(g.one('>', '<', '!', 'b', 'B', 'h', 'H', 'i', 'I4', 'l', 'L', 'd', 'f', 's', 'c3', 'c0', 'x', ' ',
                             'i8', 'z') for _ in range(g.rng.randint(0, 4)))
        return g.one(f'return struct.pack("{form}", {whole}, {whole}, "abc")', f'return struct.size("{form}")',
                     f'return {{struct.unpack("{form}", string.rep("\\1\\2\\3", 9))}}')
    if kind == 5:
        name = g.one('band', 'bor', 'bxor', 'lshift', 'rshift', 'arshift', 'rol', 'ror', 'bnot', 'tobit', 'bswap')
        return f'return tostring(bit.{name}({whole}, {whole}))'
    if kind == 6:
        return g.one(f'return tostring({number})', f'return tonumber({text})', f'return tostring(tonumber({text}))',
                     f'return {number} .. ""',
                     f'return string.format("%s %5.2f %d %x %q", "a b", {number}, 12, 255, "a\\nb")',
                     f'return tostring({number} % {other})',
                     f'return tostring(math.floor({number}))', f'return tostring({number} == {other})',
                     f'return {text} < {g.of(_LUA_STRINGS)}',
                     f'return tostring(math.max({number}, {other}))', f'return tostring(math.fmod({number}, {other}))')
    if kind == 7:
        pattern = g.of(_PATTERNS)
        return g.one(f'return {{string.find({text}, "{pattern}")}}', f'return {{string.gsub({text}, "{pattern}", "<%0>")}}',
                     f'return {{string.match({text}, "{pattern}")}}', f'return {{string.byte({text}, 1, 5)}}',
                     f'return string.reverse({text})',
                     f'local t = {{}} for m in string.gmatch({text}, "{pattern}") do t[#t + 1] = m end return t',
                     f'return string.sub({text}, {near})', f'return string.upper({text})', f'return #{text}')
    return g.one(f'local t = {{{number}, {other}, 3}} table.sort(t) return tostring(t[1])',
                 f'return table.concat({{{text}, {number}}}, ",")',
                 f'return {{unpack({{{text}, {number}, {other}}}, 2)}}', f'return type({_literal(g)})',
                 f'local n = 0 for k, v in pairs({_literal(g)}) do n = n + 1 end return n')


def _keys_and_values(g, n):
    return [b'%d' % n] + [g.key() for _ in range(n)] + [g.value() for _ in range(g.rng.randint(0, 2))]


# What blocks is refused in scripts by a 7.0; since 7.2 it does not block there.
_BLOCKING = {'BLPOP', 'BRPOP', 'BLMOVE', 'BRPOPLPUSH', 'BLMPOP', 'BZPOPMIN', 'BZPOPMAX', 'BZMPOP'}


def _command(g, generators, names):
    while True:
        name = g.of(names)
        call = generators[name](g)
        if name not in _BLOCKING and b'BLOCK' not in [bytes(word).upper() for word in call]:
            return call


def script(g, generators, names):
    """One EVAL (or its kin)."""
    verb = g.one(b'EVAL', b'EVAL', b'EVAL', b'EVAL', b'EVAL_RO')
    kind = g.rng.randrange(10)
    if kind < 5:
        return [verb, g.one(CALL, PCALL), b'0'] + _command(g, generators, names)
    if kind < 6:
        return [verb, f'return {_literal(g)}'.encode(), b'0']
    if kind < 7:
        return [verb, g.of(_ERRORS).encode()] + _keys_and_values(g, g.one(0, 1))
    if kind < 9:
        return [verb, _library(g).encode(), b'0', _json(g).encode()]
    return g.one([verb, b'return {KEYS, ARGV}'] + _keys_and_values(g, g.rng.randint(0, 3)), [verb, b'return 1',
                                                                                             g.integer()],
                 [verb, b'return 1'], [b'EVALSHA', b'f' * 40, b'0'], [b'EVALSHA', g.bytes(40), b'0'], [verb, b'return (',
                                                                                                       b'0'],
                 [verb, b'#!lua flags=allow-cross-slot-keys' + g.one(b'', b',no-writes', b',allow-oom',
                                                                     b',bogus') + b'\n' + CALL, b'0'] + _command(g,
                                                                                                                 generators,
                                                                                                                 names),
                 [b'SCRIPT', b'LOAD', _library(g).encode()], [b'SCRIPT', b'EXISTS', b'f' * 40], [b'SCRIPT', b'FLUSH',
                                                                                                 g.option()])


def inner(args):
    """The command whose reply this script returns, or None."""
    name = bytes(args[0]).upper() if args else b''
    return args[3:] if name in (b'EVAL', b'EVAL_RO') and len(args) > 3 and args[1].endswith((CALL, PCALL)) else None
