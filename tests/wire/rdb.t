#!/usr/bin/python3
"""RDB files: Kelvin's in a genuine redis-server and redis-check-rdb, and theirs here; SAVE, BGSAVE, save points, first
start, `durability snapshot`, DEBUG RELOAD. tests/wire/snapshot.t has the files that are made while others write."""
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (IS_KELVIN, ORACLE, SANITIZED, Server, StartError, eq, eventually, expect, note, ok, run, seed, session,
                    skip_all, temp_dir, test)

if not IS_KELVIN or not ORACLE:
    skip_all('compares Kelvin with a redis-server')
SEED = seed()
CHECK = shutil.which('redis-check-rdb')
FAR = 99999999990000
N = 500 if SANITIZED else 3000


def file_of(server, name='dump.rdb'):
    return os.path.join(server.dir, name)


def commands():
    """What a data set is made of: (database, command) pairs. Values of all sizes, compressible and not."""
    r = random.Random(SEED)
    for i in range(N):
        size = r.choice((0, 1, 5, 12, 20, 21, 44, 45, 63, 64, 100, 500, 16383, 16384, 20000))
        value = r.randbytes(size) if i % 2 else (b'%d,' % i * size)[:size]
        yield i % 3, ('SET', f'key:{i}', value, *(('PXAT', FAR + i) if i % 5 == 0 else ()))
    for i, value in enumerate((0, 1, -1, 127, 128, -128, -129, 32767, 32768, -32768, 2147483647, 2147483648, -2147483648,
                               -2147483649, 9223372036854775807, '-9223372036854775808', '007', '1e5', ' 1', '-0', '')):
        yield 0, ('SET', f'number:{i}', value)
    for name in (b'', b'\x00', b'\xff' * 300, b'12345', b'x' * 70000):
        yield 7, ('SET', b'name' + name, 'v')
    yield 15, ('SET', 'big', r.randbytes(1 << 20) + b'z' * (3 << 20))


def fill(server):
    c = server.client()
    db, batch = 0, []
    for want, command in commands():
        if want != db:
            batch.append(('SELECT', want))
            db = want
        batch.append(command)
    for reply in c.pipeline(batch):
        ok(reply == b'OK', f'{reply}')


def contents(server):
    """All databases: {(database, key): (DUMP's value on an oracle's terms, expiry)}."""
    c = server.client()
    found = {}
    for db in range(16):
        c.call('SELECT', db)
        cursor = b'0'
        while True:
            cursor, names = c.call('SCAN', cursor, 'COUNT', 1000)
            kinds = c.pipeline([('TYPE', k) for k in names])
            values = c.pipeline([READ[bytes(kind)](k) for kind, k in zip(kinds, names)])
            times = c.pipeline([('PEXPIRETIME', k) for k in names])
            for k, kind, v, t in zip(names, kinds, values, times):
                if kind in (b'set', b'hash'):
                    v = sorted(v) if kind == b'set' else sorted(zip(v[::2], v[1::2]))
                found[db, k] = (bytes(kind), v, t)
            if cursor == b'0':
                break
    return found


READ = {
    b'string': lambda k: ('GET', k),
    b'list': lambda k: ('LRANGE', k, 0, -1),
    b'set': lambda k: ('SMEMBERS', k),
    b'hash': lambda k: ('HGETALL', k),
    b'zset': lambda k: ('ZRANGE', k, 0, -1, 'WITHSCORES'),
    b'stream': lambda k: ('XINFO', 'STREAM', k, 'FULL', 'COUNT', 0),
    b'none': lambda k: ('GET', k),
}


def same(got, want, what):
    for key in want.keys() | got.keys():
        if got.get(key) != want.get(key):
            ok(False, f'{what}: {key!r:.100} is {got.get(key)!r:.300}, not {want.get(key)!r:.300}')


def on_copy(server, **options):
    """A server on a directory that holds a copy of the file alone."""
    directory = temp_dir()
    shutil.copy(file_of(server), directory)
    return Server(directory=directory, **options)


def checked(path):
    done = subprocess.run([CHECK, path], capture_output=True, text=True, timeout=300)
    ok(done.returncode == 0 and 'RDB looks OK' in done.stdout, done.stdout[-500:])


def refused(directory, text, options=None):
    server = Server(options, directory=directory, start=False)
    server.launch()
    ok(server.wait_exit() not in (0, None), 'the server should refuse to start')
    ok(text in server.log(), server.log_tail())


def saved(server, how='SAVE'):
    expect(server.client(), how, '/^\\+/')
    eventually(lambda: server.info('persistence')['rdb_bgsave_in_progress'] == '0', 'the save does not end')


@test("Kelvin's file in redis-server and redis-check-rdb")
def _(_s):
    for options in ({'shards': '1'}, {'shards': '3', 'rdbcompression': 'no'}, {'rdbchecksum': 'no'},
                    {'maxmemory': '96mb', 'tier-memory': '8mb', 'shards': '2'}):
        lines = [f'db {db} maxmemory 2mb' for db in range(3)] if 'maxmemory' in options else []
        server = Server(options, lines)
        fill(server)
        want = contents(server)
        for how in ('SAVE', 'BGSAVE'):
            saved(server, how)
            checked(file_of(server))
            redis = on_copy(server, binary=ORACLE)
            same(contents(redis), want, f'{options} {how}')
            redis.stop()
        with open(file_of(server), 'rb') as f:
            eq(f.read(9), b'REDIS0010')
        ok(not [n for n in os.listdir(server.dir) if n.startswith('temp-')], 'a temporary file is left')
        server.stop()


def has(server, command):
    return type(server.client().call('COMMAND', 'INFO', command)[0]) is list


def collections(c, streams):
    """Every type in its small and its large form, on a redis-server."""
    r = random.Random(SEED)
    for size in (1, 3, 20, 300):
        words = [r.choice((str(i), f'member {i} ' + 'x' * r.randrange(90), str(r.randrange(-10**10, 10**10)),
                           r.randbytes(r.randrange(1, 40)))) for i in range(size)]
        c.call('RPUSH', f'list:{size}', *words)
        c.call('SADD', f'set:{size}', *words)
        c.call('SADD', f'intset:{size}', *range(-size, size))
        c.call('SADD', f'bigintset:{size}', *[i * 10**16 for i in range(size)])
        c.call('HSET', f'hash:{size}', *[w for i in range(size) for w in (f'f{i}', words[i])])
        c.call('ZADD', f'zset:{size}', *[w for i in range(size)
                                         for w in (r.choice((i, i / 3, 'inf', '-inf', 1e300, -2.5, 3e-9)), words[i])])
    c.call('RPUSH', 'list:plain', 'x' * 100000, *range(50), b'\x00' * 70000)
    c.call('HSET', 'hash:long', 'f' * 5000, 'v' * 50000)
    c.call('PEXPIREAT', 'hash:3', FAR)
    if streams:
        for i in range(1, 300):
            c.call('XADD', 'stream', f'{i}-{i % 3}', 'field', i, 'other', 'x' * (i % 50))
        c.call('XGROUP', 'CREATE', 'stream', 'group', '0')
        c.call('XREADGROUP', 'GROUP', 'group', 'alice', 'COUNT', 7, 'STREAMS', 'stream', '>')
        c.call('XACK', 'stream', 'group', '2-2')
        c.call('XDEL', 'stream', '5-2', '299-2')


SMALL = {'set-max-intset-entries': 2, 'list-max-listpack-size': 3, 'hash-max-listpack-entries': 2,
         'zset-max-listpack-entries': 2}


@test('all types and encodings, through Kelvin and back')
def _(_s):
    streams = has(Server(), 'XADD')
    for conf in ({}, SMALL, {'rdbcompression': 'no'}):
        redis = Server(conf, binary=ORACLE)
        collections(redis.client(), streams)
        want = contents(redis)
        digest = redis.client().call('DEBUG', 'DIGEST')
        saved(redis)
        redis.stop()
        for options in ({'shards': '1'}, {'shards': '3'}, {'maxmemory': '96mb', 'tier-memory': '8mb'}, SMALL):
            lines = ['db 0 maxmemory 1mb'] if 'maxmemory' in options else []
            server = on_copy(redis, options=options, lines=lines)
            os.unlink(file_of(server))
            server.restart(kill=True)
            if 'maxmemory' not in options:
                expect(server.client(), 'DEBUG RELOAD', '+OK')
            saved(server, 'BGSAVE')
            checked(file_of(server))
            back = on_copy(server, binary=ORACLE)
            same(contents(back), want, f'{conf} {options}')
            eq(back.client().call('DEBUG', 'DIGEST'), digest, f'{conf} {options}')
            back.stop()
            server.stop()


# --- encodings that no server of today writes ---

def plain(s):
    """A string without compression or integers."""
    n = len(s)
    return (bytes([n]) if n < 64 else bytes([0x40 | n >> 8, n & 255]) if n < 16384 else b'\x80' + n.to_bytes(4, 'big')) + s


def ziplist(items):
    body, before, tail = b'', 0, 10
    for item in items:
        data = (b'\xfe' + item.to_bytes(1, 'little', signed=True) if isinstance(item, int) else bytes([len(item)]) + item)
        tail = 10 + len(body)
        entry = bytes([before]) + data
        body += entry
        before = len(entry)
    return (11 + len(body)).to_bytes(4, 'little') + tail.to_bytes(4, 'little') + len(items).to_bytes(2, 'little') + body + b'\xff'


def zipmap(pairs):
    return bytes([len(pairs)]) + b''.join(bytes([len(f)]) + f + bytes([len(v), 0]) + v for f, v in pairs) + b'\xff'


def listpack(items):
    body = b''
    for item in items:
        data = bytes([item]) if isinstance(item, int) else bytes([0x80 | len(item)]) + item
        body += data + bytes([len(data)])
    return (7 + len(body)).to_bytes(4, 'little') + len(items).to_bytes(2, 'little') + body + b'\xff'


def old_file(version, *values):
    """(type, key, encoding) of each."""
    return b'REDIS%04d' % version + b'\xfe\x00' + b''.join(bytes([t]) + plain(k) + v for t, k, v in values) + b'\xff' + bytes(8)


@test('encodings of old files')
def _(_s):
    data = old_file(
        7,
        (3, b'zset, scores as text', b'\x04' + plain(b'a') + b'\x031.5' + plain(b'b') + b'\xfe' + plain(b'c') + b'\xff' + plain(b'd') + b'\x02-7'),
        (9, b'zipmap', plain(zipmap([(b'f', b'v'), (b'field', b'value')]))),
        (10, b'list, ziplist', plain(ziplist([b'a', 5, b'c' * 60, -3]))),
        (11, b'intset', plain(b'\x02\0\0\0\x03\0\0\0' + b''.join(x.to_bytes(2, 'little', signed=True) for x in (-5, 7, 300)))),
        (12, b'zset, ziplist', plain(ziplist([b'a', 1, b'b', b'2.25']))),
        (13, b'hash, ziplist', plain(ziplist([b'f', b'v', b'g', 9]))),
        (14, b'list, quicklist of ziplists', b'\x02' + plain(ziplist([b'a', b'b'])) + plain(ziplist([b'c']))),
        (1, b'list, plain', b'\x03' + plain(b'a') + b'\xc0\x05' + b'\xc3\x04\x0a\x01aa\xff'[:0] + plain(b'c')),
    )
    redis = Server(directory=file_with(data), binary=ORACLE)
    want = contents(redis)
    eq(len(want), 8)
    server = Server(directory=file_with(data))
    saved(server)
    back = on_copy(server, binary=ORACLE)
    same(contents(back), want, 'old encodings')
    for s in (redis, server, back):
        s.stop()


@test('encodings that are newer than the oracle')
def _(_s):
    server = Server()
    known = has(server, 'HPEXPIRETIME')
    server.stop()
    data = old_file(
        12,
        (20, b'set', plain(listpack([b'a', 5, b'c']))),
        *([(24, b'hash', (FAR).to_bytes(8, 'little') + b'\x02' + b'\x01' + plain(b'f') + plain(b'v') + b'\0' + plain(b'g') + plain(b'w')),
           (25, b'packed', (FAR).to_bytes(8, 'little') + plain(listpack([b'g', b'w', 0, b'f', b'v', 1])[:-1] + b'\xff'))][:1] if known else []))
    server = Server(directory=file_with(data))
    c = server.client()
    eq(sorted(c.call('SMEMBERS', 'set')), [b'5', b'a', b'c'])
    saved(server)
    with open(file_of(server), 'rb') as f:
        head = f.read(9)
    if known:
        eq(c.call('HPEXPIRETIME', 'hash', 'FIELDS', 2, 'f', 'g'), [FAR, -1])
        eq(head, b'REDIS0012')
        server.restart()
        eq(server.client().call('HPEXPIRETIME', 'hash', 'FIELDS', 2, 'f', 'g'), [FAR, -1])
        expect(server.client(), 'DEBUG RELOAD', '+OK')
        eq(server.client().call('HPEXPIRETIME', 'hash', 'FIELDS', 2, 'f', 'g'), [FAR, -1])
    else:
        eq(head, b'REDIS0010')
    server.stop()


@test('streams of Redis 8.6')
def _(_s):
    source = Server()
    c = source.client()
    for i in range(1, 4):
        c.call('XADD', 'x', f'{i}-1', 'f', i)
    c.call('XGROUP', 'CREATE', 'x', 'g', '2-1')
    body = c.call('DUMP', 'x')[1:-10]
    entries = c.call('XRANGE', 'x', '-', '+')
    source.stop()
    ids = b'\x40\x64\x40\x64' + b'\x02' + plain(b'p') + b'\x02' + plain(b'a') + b'\x01\x01' + plain(b'b') + b'\x02\x01'
    stream = body + ids + plain(b'q') + b'\x00' + b'\x02\x01'
    server = Server(directory=file_with(old_file(13, (26, b'x', stream), (0, b's', plain(b'behind it')))))
    c = server.client()
    for _ in range(2):
        eq(c.call('XRANGE', 'x', '-', '+'), entries)
        eq(c.call('XINFO', 'GROUPS', 'x')[0][7], b'2-1')
        expect(c, 'GET s', '"behind it"')
        expect(c, 'DEBUG RELOAD', '+OK')
    payload = bytes([26]) + stream + (13).to_bytes(2, 'little') + bytes(8)
    expect(c, ['RESTORE', 'y', 0, payload], '+OK')
    eq(c.call('XRANGE', 'y', '-', '+'), entries)
    expect(c, ['RESTORE', 'z', 0, payload[:-12] + payload[-10:]], '-ERR Bad data format')
    server.stop()


@test("Redis's file on a first start, and again from flash and log")
def _(_s):
    for conf in ([], ['rdbcompression no', 'rdbchecksum no'], ['maxmemory-policy allkeys-lru'], ['maxmemory-policy allkeys-lfu']):
        redis = Server(binary=ORACLE, lines=conf)
        fill(redis)
        want = contents(redis)
        saved(redis)
        redis.stop()
        for options in ({'shards': '1'}, {'shards': '3'}, {'maxmemory': '96mb', 'tier-memory': '8mb'}):
            lines = [f'db {db} maxmemory 2mb' for db in range(3)] if 'maxmemory' in options else []
            server = on_copy(redis, options=options, lines=lines)
            same(contents(server), want, f'{conf} {options}')
            eq(int(server.info('persistence')['rdb_last_load_keys_loaded']), len(want))
            eq(server.info('persistence')['rdb_changes_since_last_save'], '0')
            server.client().call('SET', 'key:0', 'later')
            os.unlink(file_of(server))  # it is read once only
            server.restart(kill=True)
            want_now = {**want, (0, b'key:0'): (b'string', b'later', -1)}
            same(contents(server), want_now, f'{conf} {options} after a restart')
            server.stop()


@test('what Redis keeps of use is taken over')
def _(_s):
    redis = Server({'maxmemory-policy': 'allkeys-lru'}, binary=ORACLE)
    redis.client().call('SET', 'old', 1)
    redis.client().call('RESTORE', 'older', 0, redis.client().call('DUMP', 'old'), 'IDLETIME', 5000)
    saved(redis)
    server = on_copy(redis, options={'maxmemory-policy': 'allkeys-lru'})
    ok(5000 <= server.client().call('OBJECT', 'IDLETIME', 'older') < 5100, 'idle time')
    saved(server)
    again = on_copy(server, binary=ORACLE, options={'maxmemory-policy': 'allkeys-lru'})
    ok(5000 <= again.client().call('OBJECT', 'IDLETIME', 'older') < 5100, 'and back')
    for s in (redis, server, again):
        s.stop()


@test('keys that have expired are left out')
def _(_s):
    redis = Server(binary=ORACLE)
    c = redis.client()
    c.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0)
    c.pipeline([('SET', f'k{i}', i, 'PX', 1) for i in range(10)] + [('SET', 'stays', 1, 'EX', 1000), ('SET', 'too', 1)])
    time.sleep(0.05)
    saved(redis)
    redis.kill9()
    server = on_copy(redis)
    expect(server.client(), 'KEYS *', 'sorted ["stays", "too"]')
    eq(server.info('persistence')['rdb_last_load_keys_expired'], '10')
    server.stop()


def file_with(data, name='dump.rdb'):
    directory = temp_dir()
    with open(os.path.join(directory, name), 'wb') as f:
        f.write(data)
    return directory


@test('a damaged or unknown file refuses the start, and changes nothing')
def _(_s):
    redis = Server(binary=ORACLE)
    redis.client().pipeline([('SET', f'k{i}', f'value {i}') for i in range(100)])
    saved(redis)
    redis.stop()
    with open(file_of(redis), 'rb') as f:
        whole = f.read()
    at = len(whole) // 2
    refused(file_with(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]), 'dump.rdb')
    refused(file_with(whole[:-3]), 'damaged or cut short')
    refused(file_with(whole[:-1] + bytes([whole[-1] ^ 1])), 'Wrong RDB checksum')
    refused(file_with(b'REDIS0099' + whole[9:]), "Can't handle RDB format version 0099")
    refused(file_with(b'hello'), 'Wrong signature')
    refused(file_with(b''), 'Wrong signature')
    refused(file_with(b'REDIS0010\x07\x01k\x01\xff' + bytes(8)), "of a module's")
    refused(file_with(b'REDIS0010\xfe\x05\x00\x01k\x01v\xff' + bytes(8)), 'more than 4 databases', {'databases': '4'})
    refused(file_with(b'REDIS0010\x00\x01k\x01v\x00\x01k\x01v\xff' + bytes(8)), "the key 'k'")
    directory = file_with(whole[:-3])
    refused(directory, 'dump.rdb')
    with open(os.path.join(directory, 'dump.rdb'), 'rb') as f:
        eq(f.read(), whole[:-3])
    shutil.copy(file_of(redis), directory)
    server = Server(directory=directory)  # put right, it is loaded
    expect(server.client(), 'DBSIZE', '100')
    server.stop()


@test("a log of Redis is not passed over in silence")
def _(_s):
    redis = Server({'appendonly': 'yes'}, binary=ORACLE)
    redis.client().call('SET', 'k', 'v')
    redis.stop()
    refused(redis.dir, 'append-only file of Redis')


@test('functions come with the file')
def _(_s):
    redis = Server(binary=ORACLE)
    c = redis.client()
    c.call('FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('f', function() return 1 end)")
    c.call('SET', 'k', 'v')
    saved(redis)
    server = on_copy(redis)
    expect(server.client(), 'GET k', '"v"')
    expect(server.client(), 'FCALL f 0', '1')
    redis.stop()
    server.stop()


@test('a kill -9 while a file is imported: the next start begins anew')
def _(_s):
    redis = Server(binary=ORACLE)
    c = redis.client()
    for start in range(0, 60000, 2000):
        c.pipeline([('SET', f'k{i}', f'{i} ' * 30) for i in range(start, start + 2000)])
    saved(redis)
    redis.stop()
    directory = temp_dir()
    shutil.copy(file_of(redis), directory)
    options = {'maxmemory': '96mb', 'tier-memory': '8mb', 'tier': 'on'}
    server = Server(options, ['db 0 maxmemory 2mb'], directory=directory, start=False)
    for i in range(8):
        server.launch()
        time.sleep(0.05 + 0.05 * i)
        server.kill9()
        if 'Ready to accept' in server.log():
            break
    server.start()
    c = server.client()
    eq(c.call('DBSIZE'), 60000)
    for start in range(0, 60000, 5000):
        eq(c.call('GET', f'k{start}'), f'{start} '.encode() * 30)
    server.stop()


@test('kill -9 during BGSAVE leaves the old file')
def _(_s):
    server = Server()
    c = server.client()
    c.call('SET', 'first', 1)
    saved(server)
    with open(file_of(server), 'rb') as f:
        first = f.read()
    for start in range(0, 100000, 2000):
        c.pipeline([('SET', f'k{i}', 'x' * 500) for i in range(start, start + 2000)])
    for i in range(4):
        c.send('BGSAVE')
        time.sleep(0.005 * (i + 1))
        server.kill9()
        with open(file_of(server), 'rb') as f:
            now = f.read()
        if now != first:
            note('the save was done before the kill')
            checked(file_of(server))
            first = now
        left = [n for n in os.listdir(server.dir) if n.startswith('temp-')]
        server.start()
        note(f'left behind: {left}')
        ok(not [n for n in os.listdir(server.dir) if n.startswith('temp-')], 'a start clears away what was left')
        c = server.client()
    eq(c.call('DBSIZE'), 100001)
    server.stop()


@test('FLUSHALL and SWAPDB during BGSAVE: the file has what was there before')
def _(_s):
    for shards in ('1', '3'):
        server = Server({'shards': shards})
        c = server.client()
        for start in range(0, 60000, 2000):
            c.pipeline([('SET', f'k{i}', f'{i}' * 50) for i in range(start, start + 2000)])
        replies = c.pipeline([('BGSAVE',), ('SWAPDB', 0, 1), ('SET', 'new', 1), ('FLUSHALL',), ('DBSIZE',)])
        eq([bytes(r) if isinstance(r, bytes) else r for r in replies], [b'Background saving started', b'OK', b'OK', b'OK', 0])
        eventually(lambda: server.info('persistence')['rdb_bgsave_in_progress'] == '0', 'the save does not end')
        redis = on_copy(server, binary=ORACLE)
        eq(redis.client().call('DBSIZE'), 60000)
        eq(redis.client().call('GET', 'k777'), b'777' * 50)
        eventually(lambda: server.info('memory')['pending_free_bytes'] == '0', 'what was flushed is not freed')
        redis.stop()
        server.stop()


@test('a save that waits for its disk holds up only who would change what it has not read')
def _(_s):
    server = Server({'maxmemory': '96mb', 'shards': '1'})
    c = server.client()
    for start in range(0, 400, 20):
        c.pipeline([('SET', f'k{i}', os.urandom(65000)) for i in range(start, start + 20)])
    c.call('BGSAVE')
    sent = c.pipeline([('SET', f'k{i}', 'short') for i in range(400)])
    ok(all(r == b'OK' for r in sent), 'writes')
    eventually(lambda: server.info('persistence')['rdb_bgsave_in_progress'] == '0', 'the save does not end')
    redis = on_copy(server, binary=ORACLE)
    eq(set(redis.client().pipeline([('STRLEN', f'k{i}') for i in range(400)])), {65000})
    redis.stop()
    server.stop()


@test('rdb-key-save-delay: a save takes so long for each key, unless it is set back')
def _(_s):
    server = Server({'shards': '3'})
    c = server.client()
    c.pipeline([('SET', f'k{i}', 'v') for i in range(9)])
    expect(c, 'CONFIG SET rdb-key-save-delay 100000000', '+OK')
    expect(c, 'BGSAVE', '+Background saving started')
    expect(c, 'BGSAVE', '/^-ERR .*already in progress/')
    eq(server.info('persistence')['rdb_bgsave_in_progress'], '1')
    expect(c, 'CONFIG SET rdb-key-save-delay 0', '+OK')
    eventually(lambda: server.info('persistence')['rdb_bgsave_in_progress'] == '0', 'the save does not end')
    eq(server.info('persistence')['rdb_last_bgsave_status'], 'ok')
    expect(c, 'CONFIG SET rdb-key-save-delay -2', '+OK')
    expect(c, 'SAVE', '+OK')
    expect(c, 'CONFIG SET rdb-key-save-delay 100000000', '+OK')
    expect(c, 'BGSAVE', '+Background saving started')
    server.stop()  # which does not wait for it


@test('SAVE and BGSAVE: replies and errors')
def _(_s):
    server = Server()
    c = server.client()
    for start in range(0, 50000, 5000):
        c.pipeline([('SET', f'k{i}', 'x' * 100) for i in range(start, start + 5000)])
    expect(c, 'BGSAVE nonsense', '-ERR syntax error')
    expect(c, 'BGSAVE SCHEDULE NOW', '-ERR syntax error')
    expect(c, 'SAVE now', "-ERR wrong number of arguments for 'save' command")
    eq([bytes(r) for r in c.pipeline([('BGSAVE',), ('BGSAVE', 'SCHEDULE'), ('SAVE',)])],
       [b'Background saving started', b'ERR Background save already in progress', b'ERR Background save already in progress'])
    eventually(lambda: server.info('persistence')['rdb_bgsave_in_progress'] == '0', 'the save does not end')
    expect(c, 'MULTI', '+OK')
    expect(c, 'SAVE', '-ERR Command not allowed inside a transaction')
    expect(c, 'DISCARD', '+OK')
    saves = int(server.info('persistence')['rdb_saves'])
    for line, want in (('MULTI', '+OK'), ('SET in 1', '+QUEUED'), ('BGSAVE', '+QUEUED'), ('SET after 2', '+QUEUED'),
                       ('EXEC', '[+OK, +Background saving scheduled, +OK]')):
        expect(c, line, want)
    eventually(lambda: int(server.info('persistence')['rdb_saves']) > saves, 'the scheduled save does not come')
    redis = on_copy(server, binary=ORACLE)
    expect(redis.client(), 'MGET in after', '["1", "2"]')
    redis.stop()
    server.stop()


@test('LASTSAVE and INFO')
def _(_s):
    server = Server()
    c = server.client()
    start = c.call('LASTSAVE')
    ok(abs(start - time.time()) < 60, 'at first the time of the start')
    c.pipeline([('SET', 'a', 1), ('SET', 'a', 2), ('GET', 'a'), ('DEL', 'a'), ('DEL', 'a')])
    eq(server.info('persistence')['rdb_changes_since_last_save'], '3')
    c.pipeline([('MULTI',), ('SET', 'a', 1), ('INCR', 'a'), ('EXEC',)])
    eq(server.info('persistence')['rdb_changes_since_last_save'], '5')
    eq(server.info('persistence')['rdb_last_bgsave_time_sec'], '-1')
    time.sleep(1.1)
    saved(server, 'BGSAVE')
    info = server.info('persistence')
    ok(c.call('LASTSAVE') > start and int(info['rdb_last_save_time']) == c.call('LASTSAVE'), 'the time of the last save')
    eq((info['rdb_changes_since_last_save'], info['rdb_last_bgsave_status'], info['rdb_saves']), ('0', 'ok', '1'))
    eq(info['rdb_current_bgsave_time_sec'], '-1')
    server.stop()


@test('save points')
def _(_s):
    server = Server(lines=['save 1 3'])
    c = server.client()
    c.pipeline([('SET', 'a', 1), ('SET', 'b', 2)])
    time.sleep(1.5)
    ok(not os.path.exists(file_of(server)), 'two changes are too few')
    c.call('SET', 'c', 3)
    eventually(lambda: server.info('persistence')['rdb_saves'] == '1', 'no save at the save point')
    redis = on_copy(server, binary=ORACLE)
    expect(redis.client(), 'DBSIZE', '3')
    expect(c, 'CONFIG SET save ""', '+OK')
    c.pipeline([('SET', f'k{i}', 1) for i in range(100)])
    saves = server.info('persistence')['rdb_saves']
    time.sleep(1.5)
    eq(server.info('persistence')['rdb_saves'], saves)
    expect(c, 'CONFIG SET save "1 1"', '+OK')
    eventually(lambda: server.info('persistence')['rdb_saves'] != saves, 'CONFIG SET save has no effect')
    redis.stop()
    server.stop()


@test('a save that fails: writes stop, and go on when one has succeeded')
def _(_s):
    server = Server(lines=['save 3600 1'])
    c = server.client()
    c.call('SET', 'a', 1)
    os.mkdir(file_of(server, f'temp-{server.pid}.rdb'))
    expect(c, 'BGSAVE', '+Background saving started')
    eventually(lambda: server.info('persistence')['rdb_last_bgsave_status'] == 'err', 'the failure is not reported')
    expect(c, 'SET a 2', '/^-MISCONF Redis is configured to save RDB snapshots, but/')
    expect(c, 'GET a', '"1"')
    expect(c, 'CONFIG SET stop-writes-on-bgsave-error no', '+OK')
    expect(c, 'SET a 2', '+OK')
    expect(c, 'CONFIG SET stop-writes-on-bgsave-error yes', '+OK')
    expect(c, 'SET a 3', '/^-MISCONF/')
    expect(c, 'SAVE', '/^-ERR/')
    expect(c, 'SHUTDOWN', '-ERR Errors trying to SHUTDOWN. Check logs.')
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: "can't exit" in server.log(), 'a stop without its file')
    expect(c, 'PING', '+PONG')
    os.rmdir(file_of(server, f'temp-{server.pid}.rdb'))
    saved(server, 'BGSAVE')
    expect(c, 'SET a 3', '+OK')
    server.stop()


@test('SHUTDOWN and SIGTERM save if there are save points, or as they are told')
def _(_s):
    for lines, stop, want in ((['save 3600 1'], ['SHUTDOWN'], True), (['save 3600 1'], ['SHUTDOWN', 'NOSAVE'], False),
                              ([], ['SHUTDOWN'], False), ([], ['SHUTDOWN', 'SAVE'], True), (['save 3600 1'], None, True),
                              ([], None, False)):
        for shards in ('1', '3'):
            server = Server({'shards': shards}, lines)
            c = server.client()
            c.call('SET', 'k', 'v')
            if stop:
                c.send(*stop)
                eq(server.wait_exit(), 0)
            else:
                server.stop()
            eq(os.path.exists(file_of(server)), want, f'{lines} {stop}')


@test('a running BGSAVE does not hold up a stop')
def _(_s):
    for stop in (['SHUTDOWN', 'NOSAVE'], ['SHUTDOWN', 'SAVE'], None):
        for shards in ('1', '3'):
            server = Server({'shards': shards})
            c = server.client()
            for start in range(0, 50000, 5000):
                c.pipeline([('SET', f'k{i}', 'x' * 100) for i in range(start, start + 5000)])
            c.call('BGSAVE')
            c.call('FLUSHALL')
            if stop:
                c.send(*stop)
                eq(server.wait_exit(), 0)
            else:
                server.stop()
            server.start()
            expect(server.client(), 'DBSIZE', '0')
            server.stop()


@test('durability snapshot: what the last file holds is there after a restart')
def _(_s):
    for shards in ('1', '3'):
        server = Server({'shards': shards, 'durability': 'everysec'}, ['db 1 durability snapshot', 'db 2 durability none'])
        c = server.client()

        def put(value):
            for db in range(3):
                c.pipeline([('SELECT', db)] + [('SET', f'k{i}', f'{value} {i}') for i in range(300)])

        def check(*want):
            reader = server.client()
            for db, value in enumerate(want):
                reader.call('SELECT', db)
                got = [v or None for v in reader.call('MGET', *[f'k{i}' for i in range(300)])]
                eq(got, [None if value is None else f'{value} {i}'.encode() for i in range(300)], f'db {db}')

        put('first')
        saved(server, 'BGSAVE')
        put('second')
        server.restart(kill=True)
        check('second', 'first', None)
        c = server.client()
        put('third')
        saved(server)
        c.call('SELECT', 1)
        c.call('FLUSHDB')
        server.restart(kill=True)
        check('third', 'third', None)
        c = server.client()
        put('fourth')
        server.restart()  # an orderly stop saves
        check('fourth', 'fourth', None)
        os.unlink(file_of(server))
        server.restart(kill=True)
        check('fourth', None, None)
        server.stop()


@test('appendonly no with save points: everything lives by the file')
def _(_s):
    server = Server(lines=['appendonly no', 'save 3600 1'])
    fill(server)
    want = contents(server)
    expect(server.client(), 'CONFIG GET durability', '["durability", "snapshot"]')
    server.restart()
    same(contents(server), want, 'after a restart')
    server.client().call('SET', 'lost', 1)
    server.restart(kill=True)
    same(contents(server), want, 'after a kill')
    with open(file_of(server), 'r+b') as f:
        f.seek(-1, 2)
        last = f.read(1)
        f.seek(-1, 2)
        f.write(bytes([last[0] ^ 1]))
    server.kill9()
    refused(server.dir, 'Wrong RDB checksum', {})
    server.stop()


@test('a logged database changes to snapshot: nothing is lost on the way')
def _(_s):
    for by in ('CONFIG', 'file', 'file that is lost'):
        for shards in ('1', '3'):
            server = Server({'durability': 'everysec', 'shards': shards})
            c = server.client()
            c.call('SELECT', 1)
            c.pipeline([('SET', f'k{i}', i) for i in range(1000)])
            if by == 'CONFIG':
                expect(c, 'CONFIG SET db.1.durability snapshot', '+OK')
                expect(c, 'SET new 1', '+OK')  # since the last file
            server.lines = ['db 1 durability snapshot']
            for _ in range(3):
                server.restart(kill=True)
                c = server.client()
                c.call('SELECT', 1)
                eq(c.call('DBSIZE'), 1000, by)
                if by == 'file that is lost':
                    break
            if by == 'file that is lost':
                expect(c, 'SET new 1', '+OK')
                server.lines = []  # back: the file is what counts, and then the log
                server.restart(kill=True)
                os.unlink(file_of(server))
                server.restart(kill=True)
                c = server.client()
                c.call('SELECT', 1)
                eq(c.call('DBSIZE'), 1000, by)
            server.stop()


@test('a change to snapshot is refused when the file cannot be written')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    c.call('SET', 'k', 'v')
    os.mkdir(file_of(server, f'temp-{server.pid}.rdb'))
    expect(c, 'CONFIG SET maxclients 100 db.0.durability snapshot hz 20', '/^-ERR CONFIG SET failed - the RDB file/')
    expect(c, 'CONFIG GET maxclients', '["maxclients", "10000"]')
    expect(c, 'CONFIG GET hz', '["hz", "10"]')
    expect(c, 'CONFIG GET db.0.durability', '["db.0.durability", "everysec"]')
    os.rmdir(file_of(server, f'temp-{server.pid}.rdb'))
    expect(c, 'CONFIG SET maxclients 100 db.0.durability snapshot hz 20', '+OK')
    server.stop()


@test('a change of mode to and from snapshot')
def _(_s):
    server = Server({'durability': 'everysec'}, ['db 1 durability snapshot'])
    c = server.client()
    c.call('SELECT', 1)
    c.call('SET', 'k', 'one')
    saved(server)
    server.lines = ['db 1 durability everysec']  # its content is in the file, and then in the log
    server.restart(kill=True)
    os.unlink(file_of(server))
    server.restart(kill=True)
    c = server.client()
    c.call('SELECT', 1)
    expect(c, 'GET k', '"one"')
    expect(c, 'CONFIG SET db.1.durability snapshot', '+OK')
    expect(c, 'SET k two', '+OK')
    saved(server)
    server.lines = ['db 1 durability snapshot']
    server.restart(kill=True)
    c = server.client()
    c.call('SELECT', 1)
    expect(c, 'GET k', '"two"')
    server.stop()


@test('FLUSHALL with save points empties the file too')
def _(_s):
    server = Server(lines=['appendonly no', 'save 3600 1'])
    c = server.client()
    c.call('SET', 'k', 'v')
    saved(server)
    saves = int(server.info('persistence')['rdb_saves'])
    c.call('FLUSHALL')
    eventually(lambda: int(server.info('persistence')['rdb_saves']) > saves, 'no save')
    server.restart(kill=True)
    expect(server.client(), 'DBSIZE', '0')
    server.stop()


@test('DEBUG RELOAD')
def _(_s):
    for options in ({'shards': '1'}, {'shards': '3'}, {'maxmemory': '96mb', 'tier-memory': '8mb'}):
        server = Server(options)
        c = server.client()
        fill(server)
        want = contents(server)
        digest = c.call('DEBUG', 'DIGEST')
        expect(c, 'DEBUG RELOAD', '+OK')
        eq(server.info('persistence')['rdb_changes_since_last_save'], '0')
        same(contents(server), want, f'{options}')
        eq(c.call('DEBUG', 'DIGEST'), digest)
        server.restart(kill=True)
        same(contents(server), want, f'{options} after a restart')
        server.stop()


session('DEBUG RELOAD: options', '''
    > SET a 1
    +OK
    > DEBUG RELOAD
    +OK
    > MSET a 2 b 3
    +OK
    > DEBUG RELOAD NOSAVE NOFLUSH
    -ERR Error trying to load the RDB dump, check server logs
    > GET a
    "2"
    > DEBUG RELOAD NOSAVE NOFLUSH MERGE
    +OK
    > MGET a b
    ["1", "3"]
    > DEBUG RELOAD NOSAVE
    +OK
    > MGET a b
    ["1", nil]
    > DEBUG RELOAD WHATEVER
    -ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.
''')

run(Server())
