#!/usr/bin/python3
"""Publish/subscribe: the exact bytes that clients get, compared with a redis-server; who is cut, who gets what when
subscriptions change under publishers."""
import os
import random
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from exact import compare, oracle
from kelvin import IS_KELVIN, Push, SANITIZED, Server, Skip, Status, encode, eq, eventually, expect, ok, run, seed, test

SEED = seed()


@test('what subscribers get is what they get from a redis-server')
def _(s):
    compare(s, '''
        a> SUBSCRIBE news
        a> SUBSCRIBE news sport news
        b> PSUBSCRIBE n*s
        c> SSUBSCRIBE news shard
        d> SUBSCRIBE ""
        p> PUBLISH news hello
        p> PUBLISH sport ""
        p> PUBLISH nobody x
        p> PUBLISH "" "to the empty one"
        p> PUBLISH news "\\x00\\xff\\r\\n"
        p> SPUBLISH news s
        p> SPUBLISH shard s2
        p> SPUBLISH sport s3
        p> PUBLISH news 1 ; PUBLISH sport 2 ; PUBLISH news 3 ; SET k v ; PUBLISH n.s 4
        b> PSUBSCRIBE n?ws x[ab]z
        b> PUNSUBSCRIBE n*s
        p> PUBLISH xaz y
        p> PUBLISH xcz y
        a> UNSUBSCRIBE news
        p> PUBLISH news again
        a> UNSUBSCRIBE nothing
        a> UNSUBSCRIBE
        a> UNSUBSCRIBE
        a> PUNSUBSCRIBE
        a> SUNSUBSCRIBE
        a> SUNSUBSCRIBE news
        c> SUNSUBSCRIBE news
        c> SUBSCRIBE plain
        c> SUNSUBSCRIBE
        c> PSUBSCRIBE p*
        c> UNSUBSCRIBE plain
        c> PUNSUBSCRIBE
        p> PUBLISH shard x
        p> SPUBLISH shard x
        p> PUBLISH a
        p> PUBLISH a b c
        p> SUBSCRIBE
        p> PSUBSCRIBE
        p> SPUBLISH a
        e> SUBSCRIBE __keyspace@0__:x __keyevent@9__:set
        p> PUBLISH __keyspace@0__:x user
        p> PUBLISH __keyevent@9__:set user
        e> UNSUBSCRIBE __keyevent@9__:set
    ''')


@test('a RESP2 subscriber may not call the rest')
def _(s):
    compare(s, '''
        a> GET k
        a> SUBSCRIBE ch
        a> GET k
        a> GET
        a> NOSUCH x
        a> CONFIG GET databases
        a> CONFIG NOSUCH
        a> PING
        a> PING x
        a> PING x y
        a> MULTI ; EXEC
        a> HELLO 3 4 5
        a> SUBSCRIBE ch2
        a> UNSUBSCRIBE ch ch2
        a> GET k
        a> PSUBSCRIBE p
        a> INCR k
        a> PUNSUBSCRIBE p
        a> INCR k
        a> SSUBSCRIBE s
        a> INCR k
        a> SUNSUBSCRIBE s
        a> INCR k
        a> DEL k
        b> SUBSCRIBE ch
        b> RESET
        b> GET k
        a> PUBLISH ch 1
    ''')


@test('in transactions')
def _(s):
    compare(s, '''
        a> SUBSCRIBE ch ev
        p> MULTI ; SET k v ; PUBLISH ch 1 ; GET k ; PUBLISH ev 2 ; SPUBLISH ch 3 ; EXEC
        p> MULTI ; PUBLISH ch x ; DISCARD
        b> MULTI ; SUBSCRIBE one two ; PSUBSCRIBE o* ; UNSUBSCRIBE one ; UNSUBSCRIBE ; SSUBSCRIBE s ; EXEC
        p> PUBLISH one 1
        p> SPUBLISH s 1
        b> PUNSUBSCRIBE ; SUNSUBSCRIBE
        b> MULTI ; UNSUBSCRIBE ; PUNSUBSCRIBE none ; EXEC
        p> MULTI ; PUBSUB NUMSUB ch ev ; PUBSUB NUMPAT ; EXEC
        p> MULTI ; SUBSCRIBE ; EXEC
        p> DEL k
    ''')


@test('PUBSUB')
def _(s):
    compare(s, '''
        a> SUBSCRIBE one
        b> SUBSCRIBE one two
        b> PSUBSCRIBE o* t*
        c> PSUBSCRIBE o*
        c> SSUBSCRIBE three
        p> PUBSUB CHANNELS o*
        p> PUBSUB CHANNELS t*
        p> PUBSUB CHANNELS x*
        p> PUBSUB NUMSUB
        p> PUBSUB NUMSUB one two three one
        p> PUBSUB NUMPAT
        p> PUBSUB NUMPAT x
        p> PUBSUB SHARDCHANNELS
        p> PUBSUB SHARDCHANNELS x
        p> PUBSUB SHARDNUMSUB one three
        p> PUBSUB SHARDNUMSUB
        p> PUBSUB
        p> PUBSUB NOSUCH
        p> PUBSUB CHANNELS a b
        p> PUBSUB HELP
    ''')
    for name in ('a', 'b'):
        s.client().call('SUBSCRIBE', name, 'both', '__keyevent@0__:x')
    reply = s.client().call('PUBSUB', 'CHANNELS')
    eq(sorted(reply), [b'__keyevent@0__:x', b'a', b'b', b'both'])
    info = s.info('stats')
    eq((info['pubsub_channels'], info['pubsub_patterns'], info['pubsubshard_channels']), ('4', '0', '0'))


def random_step(r):
    """Patterns do not overlap, and nobody leaves several channels unnamed: Redis has no order for either."""
    channels = ['a1', 'a2', 'b1', 'c', 'd1', '__keyspace@0__:k', '__keyevent@0__:set', '']
    some = ' '.join(f'"{c}"' for c in r.sample(channels, r.randint(1, 3)))
    one, pattern, n = r.choice(channels), r.choice(['a*', 'b?', '[cd]*', '*__:*']), r.randint(0, 99)
    change = r.choice([f'SUBSCRIBE {some}', f'UNSUBSCRIBE {some}', f'PSUBSCRIBE {pattern}', f'PUNSUBSCRIBE {pattern}',
                       f'SSUBSCRIBE {some}', f'SUNSUBSCRIBE {some}', f'MULTI ; SUBSCRIBE {some} ; UNSUBSCRIBE "{one}" ; EXEC'])
    do = [r.choice([f'PUBLISH "{r.choice(channels)}" {n}', f'SPUBLISH a1 {n}', 'SET k 1', 'DEL k', 'GET none'])
          for _ in range(4)]
    more = do + [r.choice(['SET j 1', 'DEL j l k', 'RPUSH l 1', 'RENAME k l'])]  # several keys: they overlap in a pipeline
    return r.choice([f'{r.choice("stuv")}> {change}', f'{r.choice("pq")}> PUBLISH "{one}" {n}', 'p> ' + ' ; '.join(do),
                     'q> MULTI ; ' + ' ; '.join(more) + ' ; EXEC', 'p> PUBSUB NUMSUB a1 a2 b1 c ; PUBSUB NUMPAT ; PUBSUB SHARDNUMSUB a1'])


@test('random sessions')
def _(s):
    r = random.Random(SEED)
    compare(s, '\n'.join(random_step(r) for _ in range(150)), [('notify-keyspace-events', 'KEA')])
    for each in (s, oracle()):
        each.client().call('CONFIG', 'SET', 'notify-keyspace-events', '')


@test('a push comes behind the reply of the command that causes it, and never inside one')
def _(s):
    if not IS_KELVIN:
        raise Skip('a Redis before 7.2 sends it before')
    for i in range(20):
        a = s.client(3)
        channel = b'own-%d' % i
        a.send('SUBSCRIBE', channel)
        eq(a.read(), [b'subscribe', channel, 1])
        a.raw(encode(['PUBLISH', channel, 'm']) + encode(['PING']))
        got = [a.read() for _ in range(3)]
        eq(got[0], 1)
        eq(sorted(map(str, got[1:])), sorted(map(str, [Push([b'message', channel, b'm']), Status(b'PONG')])))
        a.raw(b''.join(map(encode, (['MULTI'], ['PUBLISH', channel, '1'], ['MSET', 'x', '1', 'y', '2'], ['EXEC']))))
        eq([a.read() for _ in range(4)], [b'OK', b'QUEUED', b'QUEUED', [1, b'OK']])
        eq(a.read(), [b'message', channel, b'1'])
        a.close()


@test('scripts publish on any channel')
def _(s):
    p, a = s.client(), s.client(3)
    channels = ['c%d' % i for i in range(12)]
    a.send('SUBSCRIBE', *channels)
    for _ in channels:
        a.read()
    calls = ''.join("n = n + redis.call('PUBLISH', '%s', ARGV[1]) " % c for c in channels)
    eq(p.call('EVAL', 'local n = 0 ' + calls + 'return n', '0', 'plain'), 12)
    eq([a.read()[1:] for _ in channels], [[c.encode(), b'plain'] for c in channels])
    # with declared keys it runs on one shard, which does not know who listens to the channels of others
    n = p.call('EVAL', '#!lua\nlocal n = 0 ' + calls + 'return n', '1', 'key', 'declared')
    ok(0 <= n <= 12 and (n == 12 or IS_KELVIN), n)
    eq(sorted(a.read()[1:] for _ in channels), sorted([c.encode(), b'declared'] for c in channels))


@test('CLIENT REPLY OFF keeps back replies, not messages')
def _(s):
    a = s.client(3)
    a.raw(encode(['CLIENT', 'REPLY', 'OFF']) + encode(['SUBSCRIBE', 'ch']) + encode(['PING']))
    eq(a.read(), [b'subscribe', b'ch', 1])
    expect(s.client(), 'PUBLISH ch x', '1')
    eq(a.read(), [b'message', b'ch', b'x'])


@test('HELLO changes the form of messages')
def _(s):
    a, p = s.client(3), s.client()
    a.send('SUBSCRIBE', 'ch')
    a.read()
    expect(p, 'PUBLISH ch 3', '1')
    ok(type(a.read()) is Push, 'a push')
    a.send('HELLO', '2')
    a.read()
    expect(p, 'PUBLISH ch 2', '1')
    reply = a.read()
    ok(type(reply) is list and reply[2] == b'2', f'an array: {reply}')


@test('whoever goes away is not counted')
def _(s):
    p = s.client()
    gone = [s.client() for _ in range(6)]
    for i, client in enumerate(gone):
        client.send('SUBSCRIBE', 'ch', 'own-%d' % i)
        client.read(), client.read()
        client.send('PSUBSCRIBE', 'p*')
        client.send('SSUBSCRIBE', 'sh')
        client.read(), client.read()
    expect(p, 'PUBSUB NUMSUB ch own-3', '["ch", 6, "own-3", 1]')
    gone[0].close()
    gone[1].send('RESET')
    eq(gone[1].read(), b'RESET')
    gone[2].send('QUIT')
    ok(gone[2].at_eof(), 'QUIT')
    eventually(lambda: p.call('PUBSUB', 'NUMSUB', 'ch') == [b'ch', 3], 'three are left')
    expect(p, 'PUBSUB SHARDNUMSUB sh', '["sh", 3]')
    expect(p, 'PUBLISH ch x', '3')
    for client in gone[3:]:
        client.close()
    eventually(lambda: p.call('PUBSUB', 'CHANNELS') == [] and p.call('PUBSUB', 'NUMPAT') == 0, 'nobody is left')
    expect(p, 'PUBSUB SHARDCHANNELS', '[]')
    gone[1].send('GET', 'k')
    eq(type(gone[1].read()).__name__, 'Nil')


@test('CLIENT LIST and KILL know subscribers')
def _(s):
    a, p = s.client(), s.client()
    a.send('SUBSCRIBE', 'x', 'y')
    a.send('PSUBSCRIBE', 'p')
    a.send('SSUBSCRIBE', 's')
    for _ in range(4):
        a.read()
    line = p.call('CLIENT', 'LIST', 'TYPE', 'pubsub').decode()
    eq(line.count('\n'), 1)
    ok(' flags=P ' in line and ' sub=2 psub=1 ssub=1 ' in line, line)
    ok('flags=P' not in p.call('CLIENT', 'LIST', 'TYPE', 'normal').decode(), 'not a normal client')
    expect(p, 'CLIENT KILL TYPE pubsub', '1')
    ok(a.at_eof(), 'killed')


def fill(s, slow, size, most):
    """Publishes until the subscriber `slow`, which does not read, is cut; how many bytes it took."""
    p = s.client()
    sent = 0
    while p.call('PUBLISH', 'ch', b'x' * size) == 1:
        sent += size
        ok(sent < most, f'still there after {sent} bytes')
    return sent


@test('a slow subscriber is cut at its hard limit, when the message is queued')
def _(s):
    p = s.client()
    expect(p, ['CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 4mb 0 0'], '+OK')
    for size in (100, 40000, 3 << 20):
        slow, other = s.client(), s.client(3)
        slow.send('SUBSCRIBE', 'ch')
        slow.read()
        other.send('PSUBSCRIBE', 'other')
        other.read()
        sent = fill(s, slow, size, 64 << 20) if size > 100 else fill_in_pipelines(s, 64 << 20)
        ok(slow.at_eof(), 'closed')
        expect(p, 'PUBLISH other x', '1')
        eq(other.read()[3], b'x')
        other.close()
        eventually(lambda: p.call('PUBSUB', 'NUMSUB', 'ch') == [b'ch', 0], 'forgotten')
    # one that reads may get much more than that
    other = s.client()
    other.call('SUBSCRIBE', 'ch')
    for _ in range(64):
        p.pipeline([['PUBLISH', 'ch', b'x' * n] for n in [12000] * 8 + [100000]])
        for _ in range(9):
            other.read()
    other.close()
    # one message above the limit
    slow = s.client()
    slow.send('SUBSCRIBE', 'ch')
    slow.read()
    p.call('PUBLISH', 'ch', b'x' * (5 << 20))
    eventually(lambda: p.call('PUBSUB', 'NUMSUB', 'ch') == [b'ch', 0], 'cut by one message')
    expect(p, ['CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 0 64kb 1'], '+OK')
    slow = s.client()
    slow.send('SUBSCRIBE', 'ch')
    slow.read()
    p.call('PUBLISH', 'ch', b'x' * (16 << 20))
    eventually(lambda: p.call('PUBSUB', 'NUMSUB', 'ch') == [b'ch', 0], 'cut at the soft limit, after a second')
    expect(p, ['CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 32mb 8mb 60'], '+OK')


def fill_in_pipelines(s, most):
    p = s.client()
    sent = 0
    while 0 not in p.pipeline([['PUBLISH', 'ch', b'x' * 100]] * 500):
        sent += 50000
        ok(sent < most, f'still there after {sent} bytes')
    return sent


@test('many subscribers get everything, in order; large messages too')
def _(s):
    count, channels = 120, ['c%d' % i for i in range(4)]
    clients = [s.client(2 + i % 2) for i in range(count)]
    for client in clients:
        client.send('SUBSCRIBE', *channels)
        for _ in channels:
            client.read()
    p = s.client()
    big = os.urandom(300000)
    sent = [(channels[i % 4], b'%d' % i) for i in range(200)] + [('c1', big), ('c2', b'end')]
    eq(p.pipeline([['PUBLISH', *message] for message in sent]), [count] * len(sent))
    for client in clients:
        for channel, message in sent:
            eq(client.read()[1:], [channel.encode(), message])


@test('who subscribes while others publish gets all messages in between, once')
def _(s):
    publishers, subscribers, rounds = 3, 4, 10 if SANITIZED else 40
    replied, received = [0] * publishers, [0] * subscribers
    stop, failures = threading.Event(), []
    plain = [s.client() for _ in range(publishers)]
    listening = [s.client(2 + i % 2) for i in range(subscribers)]

    def publish(i):
        client, n = plain[i], 0
        while not stop.is_set():
            calls = [['PUBLISH', 'churn-%d' % i, b'%d' % (n + j)] for j in range(10)]
            replied[i] += sum(client.pipeline(calls))
            n += 10

    def messages(client, i, last):
        """Reads up to the confirmation of an UNSUBSCRIBE; the messages of each publisher must be consecutive."""
        while True:
            reply = client.read()
            if reply[0] == b'unsubscribe':
                return
            if reply[0] == b'subscribe':
                continue
            received[i] += 1
            n = int(reply[2])
            if last.setdefault(reply[1], n - 1) != n - 1:
                failures.append(f'{reply[1]}: {n} after {last[reply[1]]}')
            last[reply[1]] = n

    def subscribe(i):
        client = listening[i]
        for r in range(rounds):
            for p in range(publishers):
                client.send('SUBSCRIBE', 'churn-%d' % ((r + p) % publishers))
            last = {}
            for p in range(publishers):
                client.send('UNSUBSCRIBE', 'churn-%d' % p)
                messages(client, i, last)
                last.pop(b'churn-%d' % p, None)

    def guarded(function, i):
        try:
            function(i)
        except Exception as error:  # shown below
            failures.append(repr(error))

    threads = [threading.Thread(target=guarded, args=(subscribe, i)) for i in range(subscribers)]
    talkers = [threading.Thread(target=guarded, args=(publish, i)) for i in range(publishers)]
    for thread in threads + talkers:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    for thread in talkers:
        thread.join()
    eq(failures, [])
    eq(sum(received), sum(replied))


@test('connections come and go while others publish')
def _(s):
    stop, failures = threading.Event(), []

    def publish():
        client = s.client()
        while not stop.is_set():
            client.pipeline([['PUBLISH', 'x%d' % (i % 7), 'm'] for i in range(50)])

    talkers = [threading.Thread(target=publish) for _ in range(2)]
    for thread in talkers:
        thread.start()
    for i in range(40 if SANITIZED else 150):
        client = s.client(2 + i % 2)
        client.send('SUBSCRIBE', *['x%d' % j for j in range(i % 7 + 1)])
        client.send('PSUBSCRIBE', 'x?', '*')
        client.read()
        client.close()
    stop.set()
    for thread in talkers:
        thread.join()
    eq(failures, [])
    p = s.client()
    eventually(lambda: p.call('PUBSUB', 'CHANNELS') == [] and p.call('PUBSUB', 'NUMPAT') == 0, 'all gone')


server = Server()
run(server)
