#!/usr/bin/python3
"""The Python client (redis-py): pipelines, transactions, pools, scan_iter, locks."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, ok, run, skip_all, test

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


run(Server())
