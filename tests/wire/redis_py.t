#!/usr/bin/python3
"""The Python client (redis-py): pipelines, transactions, pools, scan_iter, pub/sub, blocking calls, scripts, asyncio."""
import asyncio
import os
import queue
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, eventually, ok, run, skip_all, test

try:
    import redis
except ImportError:
    skip_all('no python3-redis here')


def connect(s, **options):
    return redis.Redis(port=s.port, **options)


@test('strings, numbers, expiry')
def _(s):
    r = connect(s, decode_responses=True)
    ok(r.set('k', 'välue', ex=1000), 'set')
    eq(r.get('k'), 'välue')
    ok(998 <= r.ttl('k') <= 1000, 'ttl')
    eq(r.set('k', 'x', nx=True), None)
    eq(r.set('k', 'y', get=True), 'välue')
    eq(r.incr('n', 5), 5)
    eq(r.incrbyfloat('f', 0.5), 0.5)
    eq(r.mset({'a': 1, 'b': 2}), True)
    eq(r.mget('a', 'b', 'c'), ['1', '2', None])
    eq(r.getex('a', px=100000), '1')
    eq(r.append('a', 'bc'), 3)
    eq(r.getrange('a', 1, 2), 'bc')
    eq(r.exists('a', 'b', 'c'), 2)
    eq(r.type('a'), 'string')
    eq(r.delete('a', 'b'), 2)
    eq(r.rename('k', 'k2'), True)
    eq(r.lcs('k2', 'k2') if hasattr(r, 'lcs') else 'y', 'y')


@test('pipelines with and without a transaction')
def _(s):
    r = connect(s)
    for transaction in (True, False):
        pipe = r.pipeline(transaction=transaction)
        for i in range(1000):
            pipe.set(f'k{i}', i).get(f'k{i}')
        replies = pipe.execute()
        eq(replies[1::2], [b'%d' % i for i in range(1000)])
    pipe = r.pipeline()
    pipe.set('text', 'x').incr('text').get('text')
    replies = pipe.execute(raise_on_error=False)
    ok(isinstance(replies[1], redis.ResponseError) and replies[2] == b'x', f'{replies}')


@test('optimistic transactions with WATCH')
def _(s):
    r = connect(s)
    r.set('n', 0)

    def add():
        mine = connect(s)
        for _ in range(50):
            mine.transaction(lambda pipe: (lambda n: (pipe.multi(), pipe.set('n', n + 1)))(int(pipe.get('n'))), 'n')

    threads = [threading.Thread(target=add) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    eq(r.get('n'), b'200')


@test('a connection pool shared by threads')
def _(s):
    r = redis.Redis(connection_pool=redis.BlockingConnectionPool(port=s.port, max_connections=5, timeout=30))
    wrong = []

    def work(i):
        for j in range(100):
            r.set(f't{i}', j)
            if r.get(f't{i}') != b'%d' % j:
                wrong.append((i, j))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    eq(wrong, [])


@test('scan_iter and keys')
def _(s):
    r = connect(s)
    r.mset({f'user:{i}': i for i in range(1000)})
    r.mset({f'item:{i}': i for i in range(1000)})
    eq(len(set(r.scan_iter('user:*'))), 1000)
    eq(len(set(r.scan_iter(count=500))), 2000)
    eq(len(r.keys('item:99?')), 10)


@test('databases and administration')
def _(s):
    a, b = connect(s, db=0), connect(s, db=1, client_name='bee')
    a.set('k', 'zero')
    eq(b.get('k'), None)
    eq(a.move('k', 1), True)
    eq(b.get('k'), b'zero')
    eq(a.dbsize(), 0)
    ok(a.ping() and 'redis_version' in a.info(), 'info')
    eq(a.info('keyspace')['db1']['keys'], 1)
    ok(any(c['name'] == 'bee' for c in a.client_list()), 'client list')
    eq(a.config_get('maxmemory-policy'), {'maxmemory-policy': 'noeviction'})
    ok(a.command_count() > 50 and len(a.time()) == 2, 'command count')
    ok('get' in a.command(), 'COMMAND can be parsed')
    eq(a.command()['mset']['step_count'], 2)
    eq(set(a.command_list(category='transaction')), {b'multi', b'exec', b'discard', b'watch', b'unwatch'})
    eq(a.command_getkeys('MSET', 'x', 1, 'y', 2), ['x', 'y'])
    eq(a.command_getkeysandflags('GET', 'k'), [[b'k', [b'RO', b'access']]])
    deep = redis.ConnectionPool(port=s.port, parser_class=redis.connection.PythonParser)  # hiredis 0.14: depth 7
    docs = redis.Redis(connection_pool=deep).execute_command('COMMAND DOCS')
    eq(len(docs), 2 * a.command_count())
    ok(b'arguments' in docs[docs.index(b'set') + 1], 'COMMAND DOCS')
    eq(a.flushall(), True)


@test('dump and restore')
def _(s):
    r = connect(s)
    r.set('k', b'\x00\x01value' * 100)
    payload = r.dump('k')
    r.restore('copy', 0, payload)
    eq(r.get('copy'), r.get('k'))


@test('errors are the exceptions that programs catch')
def _(s):
    r = connect(s)
    for call, error in ((lambda: r.execute_command('NOSUCH'), redis.ResponseError),
                        (lambda: r.set('k', 'v') and r.incr('k'), redis.ResponseError),
                        (lambda: r.execute_command('GET'), redis.ResponseError)):
        try:
            call()
        except error:
            continue
        ok(False, f'no {error.__name__}')


@test('a killed connection comes back')
def _(s):
    r = connect(s, client_name='phoenix')
    r.ping()
    other = connect(s)
    for c in other.client_list():
        if c['name'] == 'phoenix':
            other.client_kill_filter(_id=c['id'])
    eq(redis.Redis(port=s.port, retry_on_timeout=True).ping(), True)
    try:
        r.ping()
    except redis.ConnectionError:
        pass
    eq(r.ping(), True)


def next_of(p, kinds, timeout=60):
    """The next message of one of these kinds."""
    while True:
        message = p.get_message(timeout=timeout)
        ok(message is not None, 'no message came')
        if message['type'] in kinds:
            return message


@test('pub/sub: channels, patterns, handlers in a thread')
def _(s):
    r, p = connect(s, decode_responses=True), connect(s, decode_responses=True).pubsub()
    p.subscribe('a', 'b')
    p.psubscribe('a*')
    eq([(m['type'], m['channel'], m['data']) for m in (next_of(p, ['subscribe', 'psubscribe']) for _ in range(3))],
       [('subscribe', 'a', 1), ('subscribe', 'b', 2), ('psubscribe', 'a*', 3)])
    eq((r.publish('a', 'one'), r.publish('b', 'two'), r.publish('c', 'none')), (2, 1, 0))
    eq([(m['type'], m['pattern'], m['channel'], m['data']) for m in (next_of(p, ['message', 'pmessage']) for _ in range(3))],
       [('message', None, 'a', 'one'), ('pmessage', 'a*', 'a', 'one'), ('message', None, 'b', 'two')])
    eq(sorted(r.pubsub_channels()), ['a', 'b'])
    eq((r.pubsub_numsub('a', 'x'), r.pubsub_numpat()), ([('a', 1), ('x', 0)], 1))
    p.ping('alive')
    eq(next_of(p, ['pong'])['data'], 'alive')
    p.unsubscribe()
    p.punsubscribe()
    eq([next_of(p, ['unsubscribe', 'punsubscribe'])['data'] for _ in range(3)], [2, 1, 0])
    got = queue.Queue()
    handled = connect(s, decode_responses=True).pubsub(ignore_subscribe_messages=True)
    handled.subscribe(**{'news': lambda m: got.put(m['data'])})
    thread = handled.run_in_thread(sleep_time=0.01)
    eventually(lambda: r.publish('news', 'x') == 1, 'it does not listen')
    for n in range(100):
        r.publish('news', n)
    eq([got.get(timeout=60) for _ in range(101)], ['x'] + [str(n) for n in range(100)])
    thread.stop()
    thread.join()


@test('a killed subscriber subscribes again')
def _(s):
    r, p = connect(s), connect(s, client_name='listener').pubsub()
    p.subscribe('a')
    p.psubscribe('b*')
    next_of(p, ['psubscribe'])
    r.client_kill_filter(_id=next(c['id'] for c in r.client_list() if c['name'] == 'listener'))
    try:
        p.get_message(timeout=5)
    except redis.ConnectionError:
        pass
    eventually(lambda: p.get_message(timeout=0.01) and r.pubsub_numsub('a')[0][1] == 1 and r.pubsub_numpat() == 1, 'it is not back')
    r.publish('a', 'again')
    eq(next_of(p, ['message'])['data'], b'again')


@test('blocking calls in threads')
def _(s):
    r = connect(s)
    calls = [lambda c: c.blpop(['l', 'm'], 90), lambda c: c.brpop('n', 90), lambda c: c.blmove('o', 'p', 90),
             lambda c: c.bzpopmax('z', 90), lambda c: c.xread({'x': '$'}, block=90000)]
    replies = [None] * len(calls)

    def call(i):
        replies[i] = calls[i](connect(s))

    threads = [threading.Thread(target=call, args=(i,), daemon=True) for i in range(len(calls))]
    for t in threads:
        t.start()
    eventually(lambda: r.info('clients')['blocked_clients'] == len(calls), 'they do not block')
    r.rpush('m', 1)
    r.rpush('n', 2)
    r.rpush('o', 3)
    r.zadd('z', {'four': 4})
    r.xadd('x', {'f': 5}, id='5-5')
    for t in threads:
        t.join(90)
    eq(replies, [(b'm', b'1'), (b'n', b'2'), b'3', (b'z', b'four', 4.0), [[b'x', [(b'5-5', {b'f': b'5'})]]]])
    eq((r.blpop('l', 0.01), r.brpoplpush('l', 'm', 0.01), r.xread({'x': '$'}, block=10)), (None, None, []))


@test('scripts: registered, in pipelines, after a flush')
def _(s):
    r = connect(s)
    double = r.register_script("return redis.call('INCRBY', KEYS[1], 2 * ARGV[1])")
    eq(double(keys=['n'], args=[4]), 8)
    r.script_flush()
    eq(double(keys=['n'], args=[1]), 10)
    r.script_flush()
    pipe = r.pipeline()
    double(keys=['n'], args=[1], client=pipe)
    pipe.get('n')
    eq(pipe.execute(), [12, b'12'])
    eq(r.script_exists(double.sha, 'f' * 40), [True, False])
    for script, error in (("return redis.call('LPOP', 'n')", 'WRONGTYPE'), ("return redis.error_reply('MINE own')", 'own'),
                          ('return nosuch', 'nonexistent global'), ('return (', 'compiling script')):
        try:
            r.eval(script, 0)
        except redis.ResponseError as raised:
            ok(error in str(raised), f'{script}: {raised}')
        else:
            ok(False, f'no error: {script}')
    eq(r.eval('return {1, 2.9, "x", false, true, {ok="fine"}}', 0), [1, 2, b'x', None, 1, b'fine'])


@test('monitor')
def _(s):
    r = connect(s)
    with r.monitor() as m:
        r.set('watched', 'a value')
        eq(m.next_command()['command'], 'SET watched a value')


@test('functions')
def _(s):
    r = connect(s)
    eq(r.function_load("#!lua name=lib\nredis.register_function('twice', function(k, a) return 2 * a[1] end)"), b'lib')
    eq(r.fcall('twice', 0, 21), 42)
    eq(r.function_list()[0][1], b'lib')
    r.function_flush()


@test('asyncio: pipelines, blocking calls, pub/sub, locks')
def _(s):
    from redis import asyncio as aioredis

    async def main():
        r = aioredis.Redis(port=s.port, decode_responses=True)
        await r.set('n', 0)
        await asyncio.gather(*(r.incr('n') for _ in range(100)))
        eq(await r.get('n'), '100')
        async with r.pipeline(transaction=True) as pipe:
            eq(await pipe.set('a', 1).incr('a').get('a').execute(), [True, 2, '2'])
        waiting = asyncio.gather(*(r.blpop(f'l{i}', 60) for i in range(10)))
        await asyncio.sleep(0)
        for i in range(10):
            await r.rpush(f'l{i}', i)
        eq(await waiting, [(f'l{i}', str(i)) for i in range(10)])
        p = r.pubsub(ignore_subscribe_messages=True)
        await p.subscribe('news')
        await p.get_message(timeout=60)
        await r.publish('news', 'hello')
        eq((await p.get_message(timeout=60))['data'], 'hello')
        async with r.lock('lock', timeout=60):
            eq(await r.lock('lock').acquire(blocking=False), False)
        eq([key async for key in r.scan_iter('l*')], [])
        await p.close()
        await r.close()

    asyncio.run(main())


run(Server())
