#!/usr/bin/python3
"""CONFIG GET, SET, REWRITE and RESETSTAT, and the file."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, expect, need_kelvin, ok, run, session, test

session('GET', '''
    > CONFIG GET maxmemory-policy
    ["maxmemory-policy", "noeviction"]
    > CONFIG GET MAXMEMORY-POLICY
    /^\\["(maxmemory-policy|MAXMEMORY-POLICY)", "noeviction"\\]$/
    > CONFIG GET nosuch
    []
    > CONFIG GET tcp-keepalive timeout
    ...
    > CONFIG GET "maxmemory-p*"
    ["maxmemory-policy", "noeviction"]
    > CONFIG GET
    -ERR wrong number of arguments for 'config|get' command
''')

session('SET', '''
    > CONFIG SET timeout 100
    +OK
    > CONFIG GET timeout
    ["timeout", "100"]
    > CONFIG SET timeout 0 tcp-keepalive 200
    +OK
    > CONFIG GET tcp-keepalive
    ["tcp-keepalive", "200"]
    > CONFIG SET timeout
    -ERR wrong number of arguments for 'config|set' command
    > CONFIG SET nosuch 1
    /^-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'/
    > CONFIG SET timeout abc
    /^-ERR CONFIG SET failed \\(possibly related to argument 'timeout'\\)/
    > CONFIG SET timeout -1
    /^-ERR CONFIG SET failed \\(possibly related to argument 'timeout'\\)/
    > CONFIG SET maxmemory-policy bogus
    /^-ERR CONFIG SET failed \\(possibly related to argument 'maxmemory-policy'\\)/
    > CONFIG SET timeout 5 nosuch 1
    /^-ERR /
    > CONFIG GET timeout
    ["timeout", "0"]
    > CONFIG SET db.3.tier no
    +OK
    > CONFIG GET db.3.tier
    ["db.3.tier", "off"]
    > CONFIG SET db.3.tier on
    +OK
    > CONFIG SET port abc
    /^-ERR CONFIG SET failed/
    > CONFIG SET databases 5
    /^-ERR CONFIG SET failed .* immutable/
    > CONFIG SET proto-max-bulk-len 100mb
    +OK
    > CONFIG GET proto-max-bulk-len
    ["proto-max-bulk-len", "104857600"]
    > CONFIG SET proto-max-bulk-len 512mb
    +OK
''')


@test('GET * gives pairs, and every name answers alone too')
def _(s):
    c = s.client()
    every = c.call('CONFIG', 'GET', '*')
    eq(len(every) % 2, 0)
    names = every[0::2]
    for name in (b'port', b'bind', b'dir', b'maxmemory', b'maxmemory-policy', b'databases', b'timeout', b'maxclients',
                 b'appendonly', b'appendfsync', b'save', b'unixsocket', b'tcp-keepalive', b'tcp-backlog',
                 b'proto-max-bulk-len', b'client-query-buffer-limit', b'client-output-buffer-limit'):
        ok(name in names, f'no {name!r}')
    for name, value in list(zip(names, every[1::2])):
        ok(value in c.call('CONFIG', 'GET', name), f'{name!r}')


@test('all that GET * gives can be set to what it is')
def _(s):
    c = s.client()
    before = c.call('CONFIG', 'GET', '*')
    for name, value in zip(before[::2], before[1::2]):
        if s.is_kelvin:  # a redis-server refuses what cannot change
            expect(c, ['CONFIG', 'SET', name, value], '+OK')
    eq(c.call('CONFIG', 'GET', '*'), before)


session('what several patterns find comes once; hz is bounded; hidden names', '''
    > CONFIG GET timeout timeo* timeou?
    ["timeout", "0"]
    > CONFIG SET hz 0
    +OK
    > CONFIG GET hz
    ["hz", "1"]
    > CONFIG SET hz 1000
    +OK
    > CONFIG GET hz
    ["hz", "500"]
    > CONFIG SET hz 10
    +OK
    > CONFIG GET *key*delay
    []
    > CONFIG SET key-load-delay 1000
    +OK
    > SET k v
    +OK
    > DEBUG RELOAD
    +OK
    > CONFIG SET key-load-delay -1
    +OK
    > DEBUG RELOAD
    +OK
    > GET k
    "v"
    > CONFIG SET key-load-delay 0
    +OK
    > CONFIG GET key-load-delay
    ["key-load-delay", "0"]
    > CONFIG GET rdb-key-save-delay
    ["rdb-key-save-delay", "0"]
''')


@test('GET is a map in RESP3')
def _(s):
    expect(s.client(resp=3), 'CONFIG GET timeout', '{"timeout": "0"}')


@test('units of memory')
def _(s):
    c = s.client()
    for text, value in (('1k', 1000), ('1kb', 1024), ('1m', 1000000), ('1mb', 1 << 20), ('1GB', 1 << 30), ('123', 123)):
        expect(c, ['CONFIG', 'SET', 'client-query-buffer-limit', text if value >= 1 << 20 else '2mb'], '+OK')
        if value >= 1 << 20:
            expect(c, 'CONFIG GET client-query-buffer-limit', f'["client-query-buffer-limit", "{value}"]')
    c.call('CONFIG', 'SET', 'client-query-buffer-limit', '1gb')


@test('RESETSTAT')
def _(s):
    c = s.client()
    c.call('GET', 'missing')
    ok(int(s.info('stats')['keyspace_misses']) > 0, 'a miss should be counted')
    expect(c, 'CONFIG RESETSTAT', '+OK')
    eq(s.info('stats')['keyspace_misses'], '0')
    ok(int(s.info('stats')['total_commands_processed']) < 10, 'commands start again')


@test('REWRITE without a file')
def _(s):
    expect(s.client(), 'CONFIG REWRITE', '-ERR The server is running without a config file')


@test('REWRITE keeps comments and order, and the file works')
def _(_s):
    server = Server(lines=['# my own words', 'timeout 77', 'maxclients 500', '', '# the end'])
    c = server.client()
    expect(c, 'CONFIG GET timeout', '["timeout", "77"]')
    expect(c, 'CONFIG SET timeout 88 tcp-keepalive 123', '+OK')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        lines = conf.read().splitlines()
    eq(lines[:3], ['# my own words', 'timeout 88', 'maxclients 500'])
    ok('tcp-keepalive 123' in lines, 'a changed directive should be added')
    ok('# the end' in lines, 'comments should stay')
    server.lines = lines
    server.restart()
    expect(server.client(), 'CONFIG GET timeout', '["timeout", "88"]')
    expect(server.client(), 'CONFIG GET tcp-keepalive', '["tcp-keepalive", "123"]')
    server.stop()


@test('names of old are names of the same directives, and REWRITE does not add them')
def _(_s):
    server = Server(lines=['timeout 1000', 'list-max-ziplist-size 7'])
    c = server.client()
    expect(c, 'CONFIG GET list-max-listpack-size', '["list-max-listpack-size", "7"]')
    for new, old in (('list-max-listpack-size', 'list-max-ziplist-size'),
                     ('hash-max-listpack-entries', 'hash-max-ziplist-entries'),
                     ('hash-max-listpack-value', 'hash-max-ziplist-value'),
                     ('zset-max-listpack-entries', 'zset-max-ziplist-entries'),
                     ('zset-max-listpack-value', 'zset-max-ziplist-value'),
                     ('busy-reply-threshold', 'lua-time-limit')):
        expect(c, f'CONFIG SET {old} 33', '+OK')
        expect(c, f'CONFIG GET {new}', f'["{new}", "33"]')
        expect(c, f'CONFIG GET {old}', f'["{old}", "33"]')
    expect(c, 'CONFIG SET zset-max-ziplist-entries 1', '+OK')
    expect(c, 'ZADD z 1 a 2 b', '2')
    expect(c, 'OBJECT ENCODING z', '"skiplist"')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        lines = conf.read().splitlines()
    ok('zset-max-listpack-entries 1' in lines, lines)
    ok('list-max-ziplist-size 33' in lines or 'list-max-listpack-size 33' in lines, lines)
    ok('zset-max-ziplist-entries 1' not in lines and 'lua-time-limit 33' not in lines, lines)
    server.stop()


@test('REWRITE quotes what a line cannot hold')
def _(_s):
    server = Server(lines=['timeout 1000'])
    c = server.client()
    expect(c, 'CONFIG SET requirepass "a\\"b\\\\c\\ntimeout 5\\x01"', '+OK')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        lines = conf.read().splitlines()
    ok('requirepass "a\\"b\\\\c\\ntimeout 5\\x01"' in lines and 'timeout 1000' in lines, lines)
    expect(c, 'CONFIG SET requirepass ""', '+OK')
    server.stop()


@test('REWRITE leaves auto alone until it is replaced')
def _(_s):
    need_kelvin('values that the machine decides')
    server = Server(lines=['maxmemory  auto', 'tier-memory auto', 'shards auto', 'timeout 1000'])
    c = server.client()
    expect(c, 'CONFIG SET timeout 5000', '+OK')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        eq(conf.read().splitlines()[:4], ['maxmemory  auto', 'tier-memory auto', 'shards auto', 'timeout 5000'])
    expect(c, 'CONFIG SET maxmemory 1gb', '+OK')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        eq(conf.read().splitlines()[0], 'maxmemory 1073741824')
    server.stop()
    server = Server(lines=['timeout 1000'])
    c = server.client()
    expect(c, 'CONFIG SET timeout 5000', '+OK')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        ok('maxmemory' not in conf.read(), 'what nobody has set should not be written')
    server.stop()


@test('a text with a NUL is refused')
def _(s):
    need_kelvin('Redis takes a NUL in requirepass')
    expect(s.client(), 'CONFIG SET requirepass "a\\x00bcdefghijklmnopqrstuvwxyz"', '/^-ERR CONFIG SET failed .*NUL/')


@test('a file, an include, quotes; the command line wins')
def _(s):
    extra = os.path.join(s.home, 'extra.conf')
    with open(extra, 'w') as out:
        out.write('timeout 1100\n"maxclients" "321"\n')
    server = Server({'tcp-keepalive': '99'}, lines=['tcp-keepalive 10', f'include "{extra}"', '  # indented comment'])
    c = server.client()
    expect(c, 'CONFIG GET tcp-keepalive', '["tcp-keepalive", "99"]')
    expect(c, 'CONFIG GET timeout', '["timeout", "1100"]')
    expect(c, 'CONFIG GET maxclients', '["maxclients", "321"]')
    server.stop()


@test('a bad file is refused with its line')
def _(_s):
    for lines in (['timeout 1', 'no-such-directive 1'], ['timeout abc'], ['timeout'], ['maxmemory-policy bogus']):
        server = Server(lines=lines, start=False)
        server.launch()
        code = server.wait_exit()
        ok(code not in (0, None), f'{lines}: exit code {code}')
        ok(lines[-1] in server.log(), server.log())
        ok(f'line {len(lines)}' in server.log(), server.log())


@test('settings per database')
def _(_s):
    need_kelvin('settings per database')
    server = Server(lines=['maxmemory-policy noeviction', 'db 1 maxmemory-policy allkeys-lru', 'db 2 durability none'])
    c = server.client()
    expect(c, 'CONFIG GET db.1.maxmemory-policy', '["db.1.maxmemory-policy", "allkeys-lru"]')
    expect(c, 'CONFIG GET db.2.durability', '["db.2.durability", "none"]')
    expect(c, 'CONFIG SET db.1.maxmemory-policy volatile-lru', '+OK')
    expect(c, 'CONFIG GET db.1.maxmemory-policy', '["db.1.maxmemory-policy", "volatile-lru"]')
    expect(c, 'CONFIG GET maxmemory-policy', '["maxmemory-policy", "noeviction"]')
    expect(c, 'CONFIG SET db.99.maxmemory-policy volatile-lru', '/^-ERR/')
    expect(c, 'CONFIG REWRITE', '+OK')
    with open(server.conf) as conf:
        ok('db 1 maxmemory-policy volatile-lru' in conf.read().splitlines(), 'REWRITE writes db lines')
    server.stop()


def durability(*lines):
    """What these lines of a file come to for a database."""
    server = Server(lines=list(lines))
    value = server.client().call('CONFIG', 'GET', 'durability')[1].decode()
    server.stop()
    return value


@test('durability follows appendonly, appendfsync and save, unless it is named')
def _(_s):
    need_kelvin('durability')
    eq(durability('appendonly no'), 'none')
    eq(durability('appendonly no', 'save 900 1'), 'snapshot')
    eq(durability('save 900 1', 'appendonly no'), 'snapshot')
    eq(durability('save 900 1'), 'everysec')
    eq(durability('appendfsync always', 'save 900 1'), 'always')
    eq(durability('durability none', 'save 900 1'), 'none')
    eq(durability('durability snapshot'), 'snapshot')


@test('save points')
def _(_s):
    server = Server(lines=['save 3600 1', 'save 300 100 60 10000'])
    c = server.client()
    expect(c, 'CONFIG GET save', '["save", "3600 1 300 100 60 10000"]')
    expect(c, 'CONFIG SET save "100 5"', '+OK')
    expect(c, 'CONFIG GET save', '["save", "100 5"]')
    for bad in ('100', '0 1', '100 -1', 'a b', '1 2 3'):
        expect(c, f'CONFIG SET save "{bad}"',
               "-ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters")
    for points in ('100 5', ''):
        expect(c, f'CONFIG SET save "{points}"', '+OK')
        expect(c, 'CONFIG REWRITE', '+OK')
        with open(server.conf) as conf:
            lines = [line for line in conf.read().splitlines() if line.startswith('save')]
        eq(lines, ['save ' + (points or '""')])
        again = Server(lines=lines)
        expect(again.client(), 'CONFIG GET save', f'["save", "{points}"]')
        again.stop()
    server.stop()
    lines = Server(lines=['save 3600 1', 'save ""', 'save 5 6'])
    expect(lines.client(), 'CONFIG GET save', '["save", "5 6"]')
    lines.stop()


@test('dbfilename is a name')
def _(s):
    c = s.client()
    expect(c, 'CONFIG SET dbfilename a/b',
           "-ERR CONFIG SET failed (possibly related to argument 'dbfilename') - dbfilename can't be a path, just a filename")
    expect(c, 'CONFIG SET dbfilename other.rdb', '+OK')
    expect(c, 'CONFIG GET dbfilename', '["dbfilename", "other.rdb"]')
    expect(c, 'CONFIG SET dbfilename dump.rdb', '+OK')


@test('kelvin.conf names every directive with its default')
def _(_s):
    need_kelvin('a file of Kelvin')
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'kelvin.conf')
    plain = Server()
    defaults = plain.client().call('CONFIG', 'GET', '*')
    defaults = dict(zip(defaults[::2], defaults[1::2]))
    named = [line[2:].strip() for line in open(path) if line[:2] == '# ' and line[2:].split(' ')[0].encode() in defaults
             and (len(line.split()) <= 3 or not line.rstrip().endswith('.'))]
    eq(set(defaults) - {line.split()[0].encode() for line in named}, set(), 'directives that kelvin.conf does not name')
    set_by_tests = {'port', 'dir', 'bind'}
    spelled_out = Server(lines=[line for line in named if line.split()[0] not in set_by_tests])
    for name in set(defaults) - {name.encode() for name in set_by_tests}:
        eq(spelled_out.client().call('CONFIG', 'GET', name)[1], defaults[name], name)
    for server in (plain, spelled_out):
        server.stop()


run(Server())
