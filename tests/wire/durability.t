#!/usr/bin/python3
"""What each durability mode keeps over a restart and over kill -9, per database."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, Server, encode, eq, eventually, expect, keys, need_kelvin, ok, run, test

LINES = ['db 1 durability always', 'db 2 durability none', 'db 3 durability os']


def fill(server):
    c = server.client()
    for db in range(4):
        c.call('SELECT', db)
        c.pipeline([('SET', f'k{i}', f'{db}:{i}') for i in range(keys(2000))])
        c.pipeline([('DEL', f'k{i}') for i in range(0, keys(2000), 7)])
        c.pipeline([('APPEND', f'k{i}', '+') for i in range(1, keys(2000), 7)])


def check(server, db):
    c = server.client()
    c.call('SELECT', db)
    for i, value in enumerate(c.pipeline([('GET', f'k{i}') for i in range(keys(2000))])):
        want = None if i % 7 == 0 else f'{db}:{i}{"+" * (i % 7 == 1)}'.encode()
        ok(value == want if want else not value, f'db {db} k{i}: {value!r}, not {want!r}')


@test('everysec, always and os survive; none is empty')
def _(_s):
    server = Server({'durability': 'everysec'}, LINES)
    for kill in (True, False, True):
        fill(server)
        server.restart(kill)
        for db in (0, 1, 3):
            check(server, db)
        if IS_KELVIN:
            c = server.client()
            c.call('SELECT', 2)
            expect(c, 'DBSIZE', '0')
        server.client().call('FLUSHALL')
    server.stop()


@test('always: what was acknowledged is there, one command at a time')
def _(_s):
    server = Server({'durability': 'always'})
    c = server.client()
    for i in range(100):
        c.call('SET', f'k{i}', i)
    server.restart(kill=True)
    eq(server.client().call('MGET', *[f'k{i}' for i in range(100)]), [b'%d' % i for i in range(100)])
    server.stop()


VALUE = b'x' * 100000


class Told:
    """What leaves an `always` server may tell of nothing that is not on disk. Of those who listen there are several, so
    that some live on the shard where it happens and some elsewhere."""

    def __init__(self):
        self.server = Server({'durability': 'always', 'notify-keyspace-events': 'KEA'})
        self.writer, self.look, self.n = self.server.client(), self.server.client(), 0

    def listeners(self, *call):
        clients = [self.server.client() for _ in range(4)]
        for client in clients:
            client.call(*call)
        return clients

    def rounds(self):
        for _ in range(24):
            self.n += 1
            yield self.n, f'k{self.n}'

    def check(self, what):
        info = dict(line.split(':') for line in self.look.call('INFO', 'persistence').decode().split() if ':' in line)
        eq(info['log_durable_lsn'], info['log_appended_lsn'], f'durable and appended, when {what} has come')

    def hear(self, what, clients, *calls, read=lambda client: client.read()):
        """Each of `calls`, in which K is a key, is replied; together they send one thing to each of the clients."""
        for n, key in self.rounds():
            self.writer.raw(b''.join(encode([key if arg == 'K' else arg for arg in call]) for call in calls))
            read(clients[n % len(clients)])
            self.check(what)
            for client in clients[:n % len(clients)] + clients[n % len(clients) + 1:]:
                read(client)
            for _ in calls:
                self.writer.reply()


def line_of_set(monitor):
    while b'"SET"' not in monitor.read():
        pass


@test('always: nothing that tells of a change leaves before it is on disk')
def _(_s):
    need_kelvin('figures of its log')
    t = Told()
    others = t.listeners('PING')
    for n, key in t.rounds():
        t.writer.call('SET', key, VALUE)
        t.check('a reply')
        t.writer.send('APPEND', key, VALUE)
        while others[n % 4].call('STRLEN', key) == len(VALUE):
            pass
        t.check('what another client reads')
        t.writer.reply()
        t.writer.send('MSET', key, VALUE, 'other' + key, VALUE)
        while not others[n % 4].call('STRLEN', 'other' + key):
            pass
        t.check('what another client reads of several shards')
        t.writer.reply()
        others[n % 4].send('BLPOP', 'l' + key, 0)
        t.writer.send('RPUSH', 'l' + key, VALUE)
        others[n % 4].read()
        t.check('what a client waited for')
        t.writer.reply()
    news = t.listeners('SUBSCRIBE', 'news')
    t.hear('a message of a transaction', news, ['MULTI'], ['SET', 'K', VALUE], ['PUBLISH', 'news', 'x'], ['EXEC'])
    t.hear('a message of a script', news, ['EVAL', "redis.call('SET', KEYS[1], ARGV[1]) redis.call('PUBLISH', 'news', 'x')", 1, 'K', VALUE])
    t.hear('an event', t.listeners('SUBSCRIBE', '__keyevent@0__:setrange'), ['SETRANGE', 'K', 0, VALUE])
    t.hear('an event of several keys', t.listeners('PSUBSCRIBE', '__keyspace*:other'), ['MSET', 'K', VALUE, 'other', 1])
    t.hear('an event of what expires', t.listeners('SUBSCRIBE', '__keyevent@0__:expired'), ['SET', 'K', 'v', 'PX', 1])
    monitors = t.listeners('MONITOR')
    t.hear('a line of MONITOR', monitors, ['SET', 'K', VALUE], read=line_of_set)
    t.server.stop()


@test('deletions, expiries, RENAME, FLUSHDB, SWAPDB, MOVE and COPY survive')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    for line in ('MSET a 1 b 2 c 3 d 4', 'PEXPIREAT a 99999999999999', 'DEL b', 'RENAME c e', 'COPY d f', 'MOVE d 1', 'SELECT 2',
                 'SET gone 1', 'FLUSHDB', 'SET new 1', 'SELECT 3', 'SET three 3', 'SWAPDB 3 4', 'SELECT 0', 'INCRBYFLOAT x 1.5',
                 'SETRANGE y 3 z', 'SET p 1 PXAT 99999999999999', 'PERSIST p'):
        c.call(*line.split())
    for kill in (True, False):
        server.restart(kill)
        c = server.client()
        expect(c, 'KEYS *', 'sorted ["a", "e", "f", "p", "x", "y"]')
        expect(c, 'MGET a e f p x y', '["1", "3", "4", "1", "1.5", "\\x00\\x00\\x00z"]')
        expect(c, 'PEXPIRETIME a', '99999999999999')
        expect(c, 'TTL p', '-1')
        for db, want in ((1, '["d"]'), (2, '["new"]'), (3, '[]'), (4, '["three"]')):
            c.call('SELECT', db)
            expect(c, 'KEYS *', want)
    server.stop()


@test('BGREWRITEAOF, then a restart')
def _(_s):
    server = Server({'durability': 'everysec'}, LINES)
    fill(server)
    expect(server.client(), 'BGREWRITEAOF', '/^\\+Background append only file rewriting (started|scheduled)/')
    fill(server)
    server.restart(kill=True)
    for db in (0, 1, 3):
        check(server, db)
    server.stop()


@test('a FLUSHALL in the first frame')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    c.pipeline([('SET', 'x', 1), ('FLUSHALL',)])  # in the first frame of all: at LSN 0
    c.pipeline([('SET', f'k{i}', i) for i in range(100)])
    for _ in range(2):
        if IS_KELVIN:
            completed = int(server.info('persistence')['checkpoints_completed'])
            c.call('BGREWRITEAOF')
            eventually(lambda: int(server.info('persistence')['checkpoints_completed']) > completed, 'no checkpoint')
        server.restart()
        c = server.client()
        eq(c.call('DBSIZE'), 100)
        eq(c.call('GET', 'k7'), b'7')
    server.stop()


@test('several FLUSHDBs of one transaction make different spaces')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    c.pipeline([('SET', f'k{i}', 'first') for i in range(100)])
    c.call('MULTI')
    for command in ('FLUSHDB', 'SET a 1', 'SWAPDB 0 1', 'FLUSHDB', 'SET b 2', 'FLUSHDB', 'SET c 3'):
        c.call(*command.split())
    c.call('EXEC')
    for _ in range(3):  # a checkpoint removes the spaces that are gone
        if IS_KELVIN:
            completed = int(server.info('persistence')['checkpoints_completed'])
            c.call('BGREWRITEAOF')
            eventually(lambda: int(server.info('persistence')['checkpoints_completed']) > completed, 'no checkpoint')
        server.restart(kill=True)
        c = server.client()
        eq(c.pipeline([('KEYS', '*'), ('GET', 'c'), ('SELECT', 1), ('KEYS', '*'), ('GET', 'a')])[0:2], [[b'c'], b'3'])
        eq(c.pipeline([('KEYS', '*'), ('GET', 'a')]), [[b'a'], b'1'])
    server.stop()


@test('many restarts in a row change nothing')
def _(_s):
    server = Server({'durability': 'everysec'})
    fill(server)
    for i in range(6):
        server.restart(kill=i % 3 != 0)
    for db in range(4):
        check(server, db)
    server.stop()


@test('the number of shards may change between runs')
def _(_s):
    need_kelvin('shards')
    server = Server({'durability': 'everysec', 'shards': '1'})
    fill(server)
    for shards in ('3', '2', '1'):
        server.options['shards'] = shards
        server.restart(kill=True)
        check(server, 0)
        check(server, 3)
    server.stop()


@test('changing a mode at run time')
def _(_s):
    need_kelvin('durability modes')
    server = Server({'durability': 'everysec'}, ['db 2 durability none'])
    c = server.client()
    c.call('SELECT', 2)
    c.pipeline([('SET', f'k{i}', i) for i in range(100)])
    expect(c, 'CONFIG SET db.2.durability everysec', '+OK')
    c.call('SET', 'later', '1')
    server.lines = ['db 2 durability everysec']
    c.call('SELECT', 0)
    server.restart()
    c = server.client()
    c.call('SELECT', 2)
    expect(c, 'DBSIZE', '101')
    server.stop()


@test('SWAPDB between a logged and an unlogged database is refused')
def _(_s):
    need_kelvin('durability modes')
    server = Server({'durability': 'everysec'}, ['db 2 durability none'])
    expect(server.client(), 'SWAPDB 0 2', '/^-ERR/')
    expect(server.client(), 'SWAPDB 0 1', '+OK')
    server.stop()


@test('MOVE and COPY out of an unlogged database are kept')
def _(_s):
    server = Server({'durability': 'everysec'}, ['db 2 durability none'])
    c = server.client()
    for line in ('SELECT 2', 'MSET a 1 b 2', 'MOVE a 0', 'COPY b b DB 0'):
        c.call(*line.split())
    server.restart(kill=True)
    expect(server.client(), 'MGET a b', '["1", "2"]')
    server.stop()


@test('a data directory in use is refused')
def _(_s):
    need_kelvin('lock on its directory')
    server = Server()
    second = Server(directory=server.dir, start=False)
    second.launch()
    code = second.wait_exit()
    ok(code not in (0, None), f'the second server ended with {code}')
    ok('another' in second.log() or 'lock' in second.log() or 'in use' in second.log(), second.log())
    expect(server.client(), 'PING', '+PONG')
    server.stop()


run()
