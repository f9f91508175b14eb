#!/usr/bin/python3
"""Keyspace notifications: for every write command the messages of a redis-server, byte for byte and in its order; what only
Kelvin tells; who asks for what."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from exact import compare
from kelvin import Failure, IS_KELVIN, Push, Server, eq, eventually, expect, need_kelvin, ok, run, split, test

LISTENER = 's> PSUBSCRIBE __key*__:*\n'
ALL = [('notify-keyspace-events', 'AKEmn')]


@test('the directive is checked and printed as Redis does')
def _(s):
    compare(s, '\n'.join(f'p> CONFIG SET notify-keyspace-events "{flags}" ; CONFIG GET notify-keyspace-events' for flags in (
        'KEA', 'AKE', 'KEg$lshzxetd', 'g$lshzxet', 'Kn', '', 'mK', 'nmEKlg', 'g', 'Knm$', 'A', 'AEm', 'Eq', 'KA ', 'dK', 'KdAm', '')))
    p = s.client()
    if IS_KELVIN:
        expect(p, 'CONFIG SET notify-keyspace-events RFKE', '+OK')
        expect(p, 'CONFIG GET notify-keyspace-events', '["notify-keyspace-events", "KEFR"]')
        expect(p, 'CONFIG SET notify-keyspace-events AKEn', '+OK')
        expect(p, 'CONFIG GET notify-keyspace-events', '["notify-keyspace-events", "AnKE"]')
    expect(p, ['CONFIG', 'SET', 'notify-keyspace-events', ''], '+OK')


STRINGS = '''
    p> SET a 1
    p> SET a 2 EX 100
    p> SET a 3 KEEPTTL
    p> SET a 4 NX
    p> SET n 4 NX PX 100000
    p> SET a 5 XX GET
    p> SETNX a 1
    p> SETNX a2 1
    p> SETEX a 100 v
    p> PSETEX a 100000 v
    p> GETSET a 7
    p> GETSET a3 7
    p> GET a
    p> GET missing
    p> MGET a missing
    p> GETDEL a3
    p> GETDEL missing
    p> GETEX a
    p> GETEX a EX 100
    p> GETEX a PERSIST
    p> GETEX a PERSIST
    p> GETEX missing EX 10
    p> GETEX a2 PXAT 1
    p> MSET x 1 y 2 x 3
    p> MSETNX x 1 z 2
    p> MSETNX z1 1 z2 2
    p> INCR x
    p> INCR counter
    p> INCRBY x 5
    p> DECR x
    p> DECRBY x 2
    p> INCRBYFLOAT x 1.5
    p> INCRBYFLOAT f 1.5
    p> INCR y2 ; DECRBY y2 3
    p> APPEND x tail
    p> APPEND app tail
    p> APPEND app ""
    p> SETRANGE x 3 abc
    p> SETRANGE sr 3 abc
    p> SETRANGE sr2 3 ""
    p> SETRANGE x 1 ""
    p> STRLEN missing
    p> GETRANGE missing 0 1
    p> SETBIT b 7 1
    p> SETBIT b 7 1
    p> SETBIT b2 3 0
    p> GETBIT missing 1
    p> BITCOUNT missing
    p> BITPOS missing 1
    p> BITFIELD bf SET u8 0 255 GET u8 0
    p> BITFIELD bf GET u8 0
    p> BITFIELD bf INCRBY u8 0 0
    p> BITFIELD_RO missing GET u8 0
    p> BITOP AND dest b b2
    p> BITOP NOT dest b
    p> BITOP AND dest none1 none2
    p> BITOP AND dest none1 none2
    p> PFADD hll a b c
    p> PFADD hll a b c
    p> PFADD hll2
    p> PFADD hll2
    p> PFCOUNT hll
    p> PFCOUNT hll hll2 missing
    p> PFMERGE hll3 hll hll2
    p> PFMERGE hll3 hll missing
    p> LCS x y
    p> SETEX bad 0 v
    p> INCR app
    p> LPUSH x 1
'''

GENERIC = '''
    p> MSET a 1 b 2 c 3 d 4
    p> DEL a missing b
    p> UNLINK c missing
    p> EXISTS missing d
    p> TOUCH missing d
    p> TYPE missing
    p> TTL missing
    p> PTTL missing
    p> EXPIRETIME missing
    p> OBJECT ENCODING missing
    p> OBJECT FREQ missing
    p> DUMP missing
    p> EXPIRE d 100
    p> EXPIRE d 100 NX
    p> PEXPIRE d 100000
    p> EXPIREAT d 99999999999
    p> PEXPIREAT d 99999999999999
    p> PERSIST d
    p> PERSIST d
    p> PERSIST missing
    p> EXPIRE missing 10
    p> EXPIRE d -1
    p> SET d 1
    p> PEXPIREAT d 1
    p> SET src 1
    p> RENAME src dst
    p> RENAME missing dst
    p> SET src 2
    p> RENAME src dst
    p> RENAME dst dst
    p> RENAMENX dst dst2
    p> SET other 1
    p> RENAMENX dst2 other
    p> COPY other copy
    p> COPY other copy
    p> COPY other copy REPLACE
    p> COPY other copy DB 3
    p> COPY missing copy9
    p> MOVE other 2
    p> SET other 1
    p> MOVE other 2
    p> MOVE missing 2
    p> SELECT 2
    p> SET in2 x
    p> DEL in2
    p> SELECT 0
    p> SET lst 1
    p> SORT missing
    p> RPUSH numbers 3 1 2
    p> SORT numbers STORE sorted
    p> SORT missing STORE sorted
    p> SORT missing STORE sorted
    p> SORT numbers BY missing_* GET other_*
    p> RESTORE r 0 "\\x00\\xc0\\x0a\\x09\\x00\\xbe\\x6d\\x06\\x89\\x5a\\x28\\x00\\x0a"
    p> RESTORE r 0 "\\x00\\xc0\\x0a\\x09\\x00\\xbe\\x6d\\x06\\x89\\x5a\\x28\\x00\\x0a"
    p> RESTORE r 0 "\\x00\\xc0\\x0a\\x09\\x00\\xbe\\x6d\\x06\\x89\\x5a\\x28\\x00\\x0a" REPLACE
    p> RESTORE r 1000000 "\\x00\\xc0\\x0a\\x09\\x00\\xbe\\x6d\\x06\\x89\\x5a\\x28\\x00\\x0a" REPLACE
    p> RESTORE r 1 "\\x00\\xc0\\x0a\\x09\\x00\\xbe\\x6d\\x06\\x89\\x5a\\x28\\x00\\x0a" REPLACE ABSTTL
    p> RESTORE r 1 "\\x00\\xc0\\x0a\\x09\\x00\\xbe\\x6d\\x06\\x89\\x5a\\x28\\x00\\x0a" ABSTTL
    p> SWAPDB 0 1
    p> SWAPDB 0 1
    p> FLUSHDB
    p> FLUSHALL
'''

LISTS = '''
    p> LPUSH l 1 2 3
    p> RPUSH l 4 5 6
    p> LPUSHX l 0
    p> RPUSHX l 7
    p> LPUSHX missing 0
    p> LINSERT l BEFORE 3 x
    p> LINSERT l AFTER 9 x
    p> LINSERT missing AFTER 9 x
    p> LSET l 0 y
    p> LSET l 99 y
    p> LREM l 1 x
    p> LREM l 1 x
    p> LINDEX l 0
    p> LINDEX missing 0
    p> LLEN missing
    p> LRANGE missing 0 1
    p> LPOS missing 0
    p> LPOP l
    p> RPOP l
    p> LPOP l 2
    p> RPOP l 0
    p> LPOP missing
    p> LPOP missing 2
    p> RPUSH l 8 9
    p> LTRIM l 1 -1
    p> LTRIM l 0 -1
    p> LTRIM missing 0 -1
    p> LMOVE l m LEFT RIGHT
    p> LMOVE l l LEFT RIGHT
    p> LMOVE l l RIGHT LEFT
    p> LMOVE l l LEFT LEFT
    p> LMOVE m m LEFT RIGHT
    p> LMOVE missing m LEFT RIGHT
    p> RPOPLPUSH l m
    p> RPOPLPUSH m new1
    p> RPUSH one 1
    p> RPOPLPUSH one two
    p> LMPOP 2 missing l LEFT
    p> LMPOP 2 missing l RIGHT COUNT 100
    p> LMPOP 1 l LEFT
    p> RPUSH l 1
    p> LREM l 0 1
    p> RPUSH l 1
    p> LTRIM l 5 9
    p> RPUSH l 1 2
    p> LPOP l 5
    p> DEL m
'''

SETS = '''
    p> SADD s a b c
    p> SADD s a
    p> SADD s d a
    p> SREM s d z
    p> SREM s z
    p> SREM missing z
    p> SISMEMBER missing z
    p> SMEMBERS missing
    p> SCARD missing
    p> SRANDMEMBER missing
    p> SMOVE s t a
    p> SMOVE s t a
    p> SADD s a
    p> SMOVE s t a
    p> SMOVE missing t a
    p> SMOVE s s b
    p> SADD one x
    p> SMOVE one two x
    p> SPOP two
    p> SPOP missing
    p> SADD p a b c d
    p> SPOP p 1
    p> SPOP p 0
    p> SPOP p 2
    p> SPOP p 9
    p> SPOP missing 2
    p> SADD u 1 2 3
    p> SADD v 2 3 4
    p> SINTERSTORE dest u v
    p> SUNIONSTORE dest u v
    p> SDIFFSTORE dest u v
    p> SINTERSTORE dest u missing
    p> SINTERSTORE dest u missing
    p> SUNIONSTORE dest missing missing
    p> SDIFFSTORE dest2 u u
    p> SDIFFSTORE u u v
    p> SINTER u missing
    p> SUNION missing u
    p> SDIFF missing u
    p> SINTERCARD 2 missing u
    p> SMISMEMBER missing a
    p> SREM u 1
'''

HASHES = '''
    p> HSET h a 1 b 2
    p> HSET h a 1
    p> HMSET h c 3
    p> HSETNX h a 2
    p> HSETNX h d 2
    p> HSETNX h2 d 2
    p> HINCRBY h a 2
    p> HINCRBY h new 2
    p> HINCRBYFLOAT h a 1.5
    p> HDEL h a zz
    p> HDEL h zz
    p> HDEL missing zz
    p> HGET missing a
    p> HMGET missing a
    p> HGETALL missing
    p> HLEN missing
    p> HEXISTS missing a
    p> HSTRLEN missing a
    p> HKEYS missing
    p> HRANDFIELD missing
    p> HSCAN missing 0
    p> HDEL h2 d
    p> HINCRBY h b x
'''

ZSETS = '''
    p> ZADD z 1 a 2 b 3 c
    p> ZADD z 1 a
    p> ZADD z 2 a 4 d
    p> ZADD z NX 9 a
    p> ZADD z XX 9 new
    p> ZADD z XX CH 9 a
    p> ZADD z INCR 1 a
    p> ZADD z NX INCR 1 a
    p> ZADD missing XX 1 a
    p> ZINCRBY z 2 a
    p> ZINCRBY z 0 a
    p> ZINCRBY z2 2 a
    p> ZREM z a zz
    p> ZREM z zz
    p> ZREM missing zz
    p> ZREM z2 a
    p> ZSCORE missing a
    p> ZRANGE missing 0 -1
    p> ZCARD missing
    p> ZCOUNT missing 0 1
    p> ZRANK missing a
    p> ZMSCORE missing a
    p> ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
    p> ZPOPMIN z
    p> ZPOPMAX z 2
    p> ZPOPMIN missing
    p> ZPOPMIN z 0
    p> ZMPOP 2 missing z MIN
    p> ZMPOP 2 missing z MAX COUNT 10
    p> ZMPOP 1 missing MAX
    p> ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
    p> ZREMRANGEBYRANK z 0 0
    p> ZREMRANGEBYSCORE z 2 2
    p> ZREMRANGEBYSCORE z 200 200
    p> ZREMRANGEBYLEX z [c [c
    p> ZREMRANGEBYRANK missing 0 0
    p> ZREMRANGEBYRANK z 0 -1
    p> ZADD u 1 a 2 b
    p> ZADD v 1 b 2 c
    p> ZUNIONSTORE dest 2 u v
    p> ZINTERSTORE dest 2 u v
    p> ZDIFFSTORE dest 2 u v
    p> ZINTERSTORE dest 2 u missing
    p> ZINTERSTORE dest 2 u missing
    p> ZUNIONSTORE dest 1 missing
    p> ZRANGESTORE dest u 0 -1
    p> ZRANGESTORE dest u 5 9
    p> ZRANGESTORE dest u 5 9
    p> ZRANGESTORE dest missing 5 9
    p> ZUNION 2 u missing
    p> ZINTER 2 u missing
    p> ZDIFF 2 u missing
    p> GEOADD g 13.361389 38.115556 P 15.087269 37.502669 C
    p> GEOADD g 13.361389 38.115556 P
    p> GEOSEARCHSTORE gs g FROMLONLAT 15 37 BYRADIUS 200 km
    p> GEOSEARCHSTORE gs g FROMLONLAT 15 37 BYRADIUS 1 km
    p> GEOSEARCHSTORE gs g FROMLONLAT 15 37 BYRADIUS 1 km
    p> GEORADIUS g 15 37 200 km STORE gs
    p> GEORADIUSBYMEMBER g P 200 km STOREDIST gs
    p> GEORADIUS g 15 37 1 km STORE gs
    p> GEOPOS missing a
    p> GEODIST missing a b
    p> GEOHASH missing a
'''

STREAMS = '''
    p> XADD x 1-1 a 1
    p> XADD x 1-2 a 1
    p> XADD x NOMKSTREAM 1-3 a 1
    p> XADD missing NOMKSTREAM 1-3 a 1
    p> XADD x MAXLEN 2 1-4 a 1
    p> XADD x MAXLEN 200 1-5 a 1
    p> XADD x 1-1 a 1
    p> XLEN missing
    p> XRANGE missing - +
    p> XDEL x 1-4 9-9
    p> XDEL x 9-9
    p> XDEL missing 9-9
    p> XTRIM x MAXLEN 1
    p> XTRIM x MAXLEN 100
    p> XTRIM missing MAXLEN 100
    p> XSETID x 9-9
    p> XGROUP CREATE x g 0
    p> XGROUP CREATE x g 0
    p> XGROUP CREATE made g $ MKSTREAM
    p> XGROUP SETID x g 0
    p> XGROUP CREATECONSUMER x g c
    p> XGROUP CREATECONSUMER x g c
    p> XADD x 10-1 a 1
    p> XADD x 10-2 a 1
    p> XREADGROUP GROUP g c STREAMS x >
    p> XADD x 10-3 a 1
    p> XREADGROUP GROUP g c2 COUNT 1 STREAMS x >
    p> XREADGROUP GROUP g c2 STREAMS x 0
    p> XADD x 10-4 a 1
    p> XREADGROUP GROUP g c3 STREAMS x >
    p> XREADGROUP GROUP g c3 NOACK STREAMS x >
    p> XCLAIM x g c4 0 10-1
    p> XCLAIM x g c4 0 10-1
    p> XAUTOCLAIM x g c5 0 0 COUNT 1
    p> XACK x g 10-1 10-2
    p> XPENDING x g
    p> XINFO STREAM x
    p> XREAD STREAMS x 0
    p> XGROUP DELCONSUMER x g c
    p> XGROUP DELCONSUMER x g none
    p> XGROUP DESTROY x g
    p> XGROUP DESTROY x g
'''

for name, script in (('strings', STRINGS), ('keys', GENERIC), ('lists', LISTS), ('sets', SETS), ('hashes', HASHES),
                     ('sorted sets', ZSETS), ('streams', STREAMS)):
    def play(s, script=script):
        compare(s, LISTENER + script, ALL, only=['s'])
    test(f'events of {name}')(play)


@test('events come where they are asked for')
def _(s):
    script = '''
        a> SUBSCRIBE __keyspace@0__:k
        b> SUBSCRIBE __keyevent@0__:set __keyevent@0__:lpush
        c> PSUBSCRIBE __keyevent@1__:*
        p> SET k 1 ; SET other 1 ; DEL k ; LPUSH k 1 ; LPOP k ; EXPIRE other 100 ; GET missing
        p> SELECT 1 ; SET k 1 ; DEL k
    '''
    for flags in ('', 'K$', 'E$l', 'KEl', 'KEg', 'Km', 'A', 'KEx', 'KA'):
        compare(s, script, [('notify-keyspace-events', flags)])


@test('events of a transaction come in order')
def _(s):
    compare(s, LISTENER + '''
        p> MULTI ; SET a 1 ; LPUSH l 1 ; RENAME a b ; LPOP l ; INCR l ; EXEC
        p> MULTI ; SET a 1 ; NOSUCH ; EXEC
        p> MULTI ; SET a 1 ; DISCARD
        p> MULTI ; DEL a b l ; MSET a 1 b 2 l 3 ; DEL a b l ; EXEC
    ''', ALL, only=['s'])


@test('a message comes before what its sender does next')
def _(s):
    p, listeners = s.client(), [s.client(3) for _ in range(4)]
    p.call('CONFIG', 'SET', 'notify-keyspace-events', 'KA')
    for listener in listeners:
        for what in ('__keyspace@0__:key*', 'news*'):
            listener.send('PSUBSCRIBE', what)
            listener.read()
    for i in range(40):
        p.pipeline([['PUBLISH', f'news{i}', 'x'], ['SET', f'key{i}', 'x'], ['PUBLISH', f'news{i}', 'y']])
        for listener in listeners:
            eq([listener.read()[3] for _ in range(3)], [b'x', b'set', b'y'])


@test('pipeline-order strict: events come in the order of the commands')
def _(s):
    need_kelvin('pipeline-order')
    server = Server({'pipeline-order': 'strict', 'notify-keyspace-events': 'EA'})
    p, listeners = server.client(), [server.client() for _ in range(3)]
    for listener in listeners:
        listener.call('SUBSCRIBE', '__keyevent@0__:set')
    names = [b'k%d' % i for i in range(300)]
    p.pipeline([['SET', name, 'x'] for name in names])
    for listener in listeners:
        eq([listener.read()[2] for _ in names], names)
    server.stop()


@test('what a long script does is told when it is over, to whoever listens')
def _(s):
    p, control = s.client(), s.client()
    listeners = [s.client(3) for _ in range(4)]
    control.call('CONFIG', 'SET', 'notify-keyspace-events', 'KA')
    control.call('CONFIG', 'SET', 'busy-reply-threshold', '50')
    for listener in listeners:
        listener.send('PSUBSCRIBE', '__key*', 'said')
        listener.read(), listener.read()
    sent = time.monotonic()
    p.send('EVAL', """
        redis.call('SET', KEYS[1], 'x') redis.call('PUBLISH', 'said', 'y')
        local t = os.clock() repeat until os.clock() - t > 1 return 1""", '1', 'k')
    least = 0.2  # os.clock counts the time of all threads, some of which run beside the script
    for listener in listeners:
        seen, replies = [], 0
        while len(seen) < 2:  # where the script runs PING gets BUSY, elsewhere it is answered
            listener.send('PING', 'x')
            replies += 1
            while replies > 0 and len(seen) < 2:
                reply = listener.read()
                if type(reply) is Push:
                    seen.append((reply[3], time.monotonic() - sent > least))
                else:
                    ok(reply == b'x' or reply.startswith(b'BUSY'), f'{reply} while the script runs')
                    replies -= 1
        eq(seen, [(b'set', True), (b'y', True)], 'events, and whether the script can have ended by then')
    eq(p.read(), 1)
    control.call('CONFIG', 'SET', 'busy-reply-threshold', '5000')


@test('expiry, on access and by itself')
def _(s):
    compare(s, LISTENER + '''
        p> DEBUG SET-ACTIVE-EXPIRE 0
        p> MSET a 1 b 2 c 3 d 4 ; PEXPIRE a 1 ; PEXPIRE b 1 ; PEXPIRE c 1 ; PEXPIRE d 1
        sleep 10
        p> GET a
        p> SET b 2
        p> DEL c
        p> INCR d
        p> DEBUG SET-ACTIVE-EXPIRE 1
    ''', ALL, only=['s'])
    compare(s, LISTENER + '''
        p~ SET a 1 PX 20
        s? __keyevent@0__:expired
    ''', ALL, only=['s'])


def listen(s, flags):
    """A subscriber to everything, and a function that returns (channel, message) until nothing more comes."""
    control, listener = s.client(), s.client(3)
    control.call('CONFIG', 'SET', 'notify-keyspace-events', flags)
    listener.send('PSUBSCRIBE', '__key*')
    listener.read()

    def heard(until=None):
        out, deadline = [], time.monotonic() + 60
        while time.monotonic() < deadline:
            listener.send('PING', 'token')
            while True:
                tree = listener.read()
                if tree == b'token':
                    break
                out.append((tree[2].decode(), tree[3].decode()))
            if until is None or until(out):
                return out
            time.sleep(0.01)
        raise Failure(f'not heard, but: {out[:10]}')
    return control, heard


@test('what a Redis 7.0 does not know')
def _(s):
    need_kelvin('commands of 7.4 and later')
    p, heard = listen(s, 'KA')
    for line, want in (
            ('HSET h a 1 b 2 c 3 d 4 e 5 f 6', 'hset'), ('HEXPIRE h 100 FIELDS 2 a b', 'hexpire'), ('HPERSIST h FIELDS 1 a', 'hpersist'),
            ('HPEXPIREAT h 1 FIELDS 1 a', 'hdel'), ('HEXPIRE h 100 FIELDS 1 zz', ''), ('HGETEX h EX 10 FIELDS 1 b', 'hexpire'),
            ('HGETEX h PERSIST FIELDS 1 b', 'hpersist'), ('HSETEX h FIELDS 1 b 3', 'hset'), ('HSETEX h EX 100 FIELDS 1 b 3', 'hset hexpire'),
            ('HGETDEL h FIELDS 1 b', 'hdel'), ('HGETDEL h FIELDS 4 c d e f', 'hdel del'),
            ('HSET h a 1', 'hset'), ('HSETEX h PXAT 1 FIELDS 1 b 2', 'hset hdel'), ('HSETEX h PXAT 1 FIELDS 2 a 1 b 2', 'hset hdel del'),
            ('HSETEX h PXAT 1 FIELDS 1 a 1', 'hset hdel del'), ('XADD x 1-1 a 1', 'xadd'),
            ('XDELEX x IDS 1 1-1', 'xdel'), ('DEL x', 'del')):
        p.call(*split(line))
        eq(' '.join(event for _, event in heard()), want, line)
    p.pipeline([['MULTI'], ['HSET', 'h', 'a', '1', 'b', '2'], ['HPEXPIRE', 'h', '5', 'FIELDS', '1', 'a'],
                ['HPEXPIRE', 'h', '15', 'FIELDS', '1', 'b'], ['EXEC']])
    events = [event for _, event in heard(lambda out: ('__keyspace@0__:h', 'del') in out)]
    eq(events[:3] + events[-2:], ['hset', 'hexpire', 'hexpire', 'hexpired', 'del'])


@test('fields that are due when they are asked for')
def _(s):
    need_kelvin('commands of 8.0')
    p, heard = listen(s, 'KA')
    p.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0)
    before = int(s.info('stats')['expired_subkeys'])
    try:
        for n, (call, want) in enumerate((
                ('HGETDEL h FIELDS 1 a', 'hexpired'), ('HGETDEL h FIELDS 2 a c', 'hexpired hdel'), ('HGETEX h EX 9 FIELDS 2 a c', 'hexpired hexpire'),
                ('HGETEX h PERSIST FIELDS 2 a b', 'hexpired'), ('HGETDEL h FIELDS 3 a b c', 'hexpired hdel del'))):
            p.call('DEL', 'h')
            p.call('HSET', 'h', 'a', 1, 'b', 2, 'c', 3)
            p.call('HPEXPIRE', 'h', 1, 'FIELDS', 1, 'a')
            eventually(lambda: p.call('HEXISTS', 'h', 'a') == 0, 'the field is to be due')
            heard()
            p.call(*split(call))
            eq(' '.join(event for _, event in heard()), want, call)
            eq(int(s.info('stats')['expired_subkeys']) - before, n + 1)
    finally:
        p.call('DEBUG', 'SET-ACTIVE-EXPIRE', 1)


@test('evicted keys')
def _(s):
    server = Server({'maxmemory': '16mb' if not IS_KELVIN else '64mb', 'maxmemory-policy': 'allkeys-lru', 'tier': 'off',
                     'durability': 'none'})
    if IS_KELVIN:
        server.client().call('CONFIG', 'SET', 'db.0.maxmemory', '2mb')
    try:
        p, heard = listen(server, 'Ee')
        for i in range(300 if IS_KELVIN else 3000):
            p.call('SET', 'key-%d' % i, 'x' * 20000)
        got = heard(lambda out: len(out) > 10)
        ok(all(channel == '__keyevent@0__:evicted' for channel, _ in got), got[:5])
        for _, key in got[:20]:
            eq(p.call('EXISTS', key), 0)
    finally:
        server.stop()


@test('values that go to flash and come back')
def _(s):
    need_kelvin('tier')
    server = Server({'maxmemory': '96mb', 'tier-memory': '8mb', 'shards': '2'})
    try:
        p, heard = listen(server, 'EFR')
        p.call('CONFIG', 'SET', 'db.0.maxmemory', '1mb')
        for i in range(400):
            p.call('SET', 'key-%d' % i, 'x' * 10000)
        demoted = [key for channel, key in heard(lambda out: len(out) > 100) if channel == '__keyevent@0__:demoted']
        key = next(k for k in demoted if p.call('OBJECT', 'TIER', k) == b'cold')
        heard()
        p.call('GET', key)
        ok(('__keyevent@0__:promoted', key) in heard(), 'promoted')
        p.call('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
        heard()
        p.call('DEBUG', 'LOADAOF')
        eq(heard(), [], 'nothing is told while effects are applied')
    finally:
        server.stop()


server = Server()
run(server)
