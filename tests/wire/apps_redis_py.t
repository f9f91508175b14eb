#!/usr/bin/python3
"""Applications on redis-py, one pattern each (tests/clients/patterns): queues, locks, limiters, caches, sessions and more."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'clients'))
from kelvin import Failure, Late, Server, eq, eventually, in_time, ok, run, skip_all, test

try:
    import redis
except ImportError:
    skip_all('no python3-redis here')
from patterns.caches import NearCache, OnceCache, XFetch
from patterns.locks import FencedLock, Lock, Redlock
from patterns.nearby import Drivers
from patterns.presence import Presence
from patterns.queues import DelayedQueue, IdempotentRequests, Inventory, PriorityQueue, ReliableQueue
from patterns.rankings import Leaderboard
from patterns.rate_limit import FixedWindow, SlidingWindowLua, SlidingWindowMulti, TokenBucket
from patterns.sessions import Sessions
from patterns.stream_worker import Worker, WorkQueue
from patterns.uniques import Visits


def connect(s, **options):
    return redis.Redis(port=s.port, decode_responses=True, **options)


def at_once(n, work):
    """work(0) … work(n - 1), each in a thread; their results in order. The first exception is raised here."""
    results, errors = [None] * n, []

    def call(i):
        try:
            results[i] = work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=call, args=(i,), daemon=True) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(300)
    if errors:
        raise errors[0]
    if any(t.is_alive() for t in threads):
        raise Failure('a thread hangs')
    return results


# ---- queues ----


@test('consumer group: retry, claim from the dead, dead letters')
def _(s):
    in_time(lambda ms: consume(s, ms), 200)


def consume(s, ms):
    """Every job is done by somebody; one that is not done after so many milliseconds is given to another."""
    connect(s).flushall()
    queue = WorkQueue(connect(s), 'jobs', retry_after_ms=ms)
    WorkQueue(connect(s), 'jobs', retry_after_ms=ms)  # a second start finds the group
    done, tries, lock = [], {}, threading.Lock()

    def handle(id_, job):
        with lock:
            tries[id_] = tries.get(id_, 0) + 1
            if job['kind'] == 'poison' or (job['kind'] == 'flaky' and tries[id_] == 1):
                raise RuntimeError(job['kind'])
            done.append(int(job['n']))

    def late():
        """Whether a job was tried more often than it failed."""
        with lock:
            return any(n > most[id_] for id_, n in tries.items())

    most = {}
    for n in range(120):
        kind = 'poison' if n % 40 == 7 else 'flaky' if n % 10 == 3 else 'good'
        most[queue.publish({'n': n, 'kind': kind})] = {'poison': 3, 'flaky': 2, 'good': 1}[kind]
    # One takes ten and dies.
    taken = connect(s).xreadgroup('workers', 'dead', {'jobs': '>'}, count=10)
    eq(len(taken[0][1]), 10)
    stop = threading.Event()
    workers = [Worker(WorkQueue(connect(s), 'jobs', retry_after_ms=ms), f'w{i}', handle) for i in range(3)]
    threads = [threading.Thread(target=worker.run, args=(stop,), daemon=True) for worker in workers]
    for t in threads:
        t.start()
    try:
        eventually(lambda: queue.outstanding() == 0 and len(set(done)) + queue.r.xlen('jobs:dead') >= 120, 'jobs are left')
    finally:
        stop.set()
        for t in threads:
            t.join(60)
    dead = queue.r.xrange('jobs:dead')
    if late() or any(job['kind'] != 'poison' for _, job in dead):
        raise Late('a job was taken from a worker that was only slow')
    eq(sorted(done), [n for n in range(120) if n % 40 != 7])
    eq({int(job['n']) for _, job in dead}, {7, 47, 87})
    ok(all(tries[job['origin']] >= 2 for _, job in dead), f'{dead}')
    eq({c['name']: c['pending'] for c in queue.r.xinfo_consumers('jobs', 'workers')},
       {'dead': 0, 'w0': 0, 'w1': 0, 'w2': 0})
    eq(queue.r.xlen('jobs'), 3, 'what was done is deleted')
    eq(queue.r.xinfo_groups('jobs')[0]['pending'], 0)


@test('a worker that restarts gets what it had taken')
def _(s):
    queue = WorkQueue(connect(s), 'jobs', retry_after_ms=3600000)
    ids = [queue.publish({'n': n}) for n in range(5)]
    taken = connect(s).xreadgroup('workers', 'me', {'jobs': '>'}, count=3)
    eq([id_ for id_, _ in taken[0][1]], ids[:3])
    seen, stop = [], threading.Event()
    worker = threading.Thread(target=Worker(queue, 'me', lambda id_, job: seen.append(id_)).run, args=(stop,), daemon=True)
    worker.start()
    eventually(lambda: len(seen) == 5, 'jobs are left')
    late = queue.publish({'n': 5})
    eventually(lambda: len(seen) == 6, 'the waiting worker was not served')
    stop.set()
    worker.join(60)
    eq(seen, ids + [late])


@test('reliable queue: every job once, what the dead held comes back')
def _(s):
    queue = ReliableQueue(connect(s), 'work')
    queue.put(*range(200))
    eq(queue.take('dead'), '0')
    eq(queue.take('dead'), '1')

    def work(i):
        mine, done = ReliableQueue(connect(s), 'work'), []
        while (job := mine.take(f'w{i}', 0.3)) is not None:
            ok(mine.done(f'w{i}', job), 'the job was not held')
            done.append(int(job))
        return done

    results = at_once(4, work)
    eq(sorted(n for done in results for n in done), list(range(2, 200)))
    eq(queue.recover('dead'), 2)
    eq([queue.take('w'), queue.take('w')], ['0', '1'])


@test('delayed jobs become ready once, in order, and wake who waits')
def _(s):
    r = connect(s)
    queue = DelayedQueue(r, 'mail')
    for n in range(50):
        queue.put({'n': n}, at=1000 + n)
    eq(queue.promote(999), 0)
    takers = []
    waiting = threading.Thread(target=lambda: takers.append(DelayedQueue(connect(s), 'mail').take(60)))
    waiting.start()
    eventually(lambda: r.info('clients')['blocked_clients'] == 1, 'nobody waits')
    eq(sum(at_once(4, lambda i: DelayedQueue(connect(s), 'mail').promote(1029))), 30)
    waiting.join(60)
    eq(takers, [{'n': 0}])
    eq([queue.take()['n'] for _ in range(29)], list(range(1, 30)))
    eq(r.zcard('{mail}:later'), 20)
    eq(queue.take(0.05), None)


@test('priority queue: the most urgent first')
def _(s):
    queue = PriorityQueue(connect(s), 'urgent')
    order = list(range(100))
    random.shuffle(order)
    for n in order:
        queue.put(f'job{n}', n)
    eq([queue.take() for _ in range(100)], [f'job{n}' for n in range(100)])
    got = []
    waiting = threading.Thread(target=lambda: got.append(PriorityQueue(connect(s), 'urgent').take(60)))
    waiting.start()
    eventually(lambda: queue.r.info('clients')['blocked_clients'] == 1, 'nobody waits')
    queue.put('late', 1)
    waiting.join(60)
    eq(got, ['late'])


# ---- limits, locks, reservations ----


@test('sliding window, Lua: the limit holds among rivals')
def _(s):
    def hits(i):
        limiter = SlidingWindowLua(connect(s), 25, 600000)
        return [limiter.hit('ada') for _ in range(20)]

    flat = [hit for mine in at_once(4, hits) for hit in mine]
    eq(sum(allowed for allowed, _, _ in flat), 25)
    eq(sorted(left for allowed, left, _ in flat if allowed), list(range(25)))
    ok(all(0 < wait <= 600000 for allowed, _, wait in flat if not allowed), f'{flat}')
    r = connect(s)
    ok(0 < r.pttl('rate:ada') <= 600000, 'no expiry')
    r.zadd('rate:ada', {member: score - 600000000 for member, score in r.zrange('rate:ada', 0, 4, withscores=True)})
    eq([SlidingWindowLua(r, 25, 600000).hit('ada')[1] for _ in range(5)], [4, 3, 2, 1, 0], 'the window slides')


@test('sliding window, MULTI, and fixed window')
def _(s):
    for limiter in SlidingWindowMulti, FixedWindow:
        hits = at_once(4, lambda i: [mine.hit('ada') for mine in [limiter(connect(s), 30, 6000)] for _ in range(15)])
        eq(sum(map(sum, hits)), 30, limiter.__name__)
    r = connect(s)
    eq(r.zcard('window:ada'), 60)
    ok(0 < r.ttl('fixed:ada') <= 6000, 'no expiry')


@test('token bucket: fractions of tokens, refill up to the capacity')
def _(s):
    bucket = TokenBucket(connect(s), rate=2, capacity=5)
    eq(bucket.take('ada', 100.0, 5), (True, 0.0))
    eq(bucket.take('ada', 100.25), (False, 0.5))
    eq(bucket.take('ada', 100.5), (True, 0.0))
    eq(bucket.take('ada', 1000.0, 3), (True, 2.0))
    eq(bucket.take('ada', 999.0, 2.5), (False, 2.0))
    ok(0 < connect(s).ttl('bucket:ada') <= 6, 'no expiry')
    taken = at_once(4, lambda i: sum(TokenBucket(connect(s), 1, 10).take('all', 5.0)[0] for _ in range(5)))
    eq(sum(taken), 10)


@test('lock: one holder, released and extended by its token only')
def _(s):
    a, b = Lock(connect(s), 'door', 60000), Lock(connect(s), 'door', 60000)
    ok(a.acquire() and not b.acquire(), 'two holders')
    ok(not b.release() and not b.extend(), 'not its lock')
    ok(a.extend() and a.release() and not a.release(), 'released twice')
    ok(b.acquire(), 'not free')
    brief = Lock(connect(s), 'brief', 50)
    ok(brief.acquire(), 'not free')
    eventually(Lock(connect(s), 'brief', 60000).acquire, 'it does not expire')
    ok(not brief.release(), 'released what had expired')
    counter = connect(s)

    def add(i):
        r = connect(s)
        for _ in range(10):
            lock = Lock(r, 'counter', 60000)
            while not lock.acquire():
                time.sleep(0.001)
            r.set('n', int(r.get('n') or 0) + 1)
            lock.release()

    at_once(4, add)
    eq(counter.get('n'), '40')


@test('fencing tokens grow')
def _(s):
    numbers = []
    for _ in range(3):
        lock, rival = (FencedLock(connect(s), '{disk}', 60000) for _ in range(2))
        numbers.append(lock.acquire())
        eq(rival.acquire(), None)
        ok(lock.release(), 'not released')
    eq(numbers, [1, 2, 3])


@test("redis-py's own lock: blocking, timeouts, extend, reacquire, lost locks")
def _(s):
    r = connect(s)
    lock = r.lock('l', timeout=600)
    ok(lock.acquire() and lock.locked() and lock.owned(), 'acquire')
    eq(r.lock('l', timeout=600).acquire(blocking_timeout=0.05), False)
    ok(lock.extend(1000) and r.pttl('l') > 1000000, f'{r.pttl("l")}')
    ok(lock.reacquire() and r.pttl('l') <= 600000, f'{r.pttl("l")}')
    waiting = threading.Thread(target=lambda: connect(s).lock('l', sleep=0.01).acquire() and r.set('got', 'it'))
    waiting.start()
    lock.release()
    waiting.join(60)
    eq((r.get('got'), r.ttl('l')), ('it', -1))
    lost = r.lock('m', timeout=600)
    lost.acquire()
    r.set('m', 'a rival')
    for action in lost.release, lambda: lost.extend(1), lost.reacquire:
        try:
            action()
        except redis.exceptions.LockNotOwnedError:
            lost.local.token = lost.local.token or b'gone'
        else:
            raise Failure('it acts on a lost lock')
    eq(r.get('m'), 'a rival')


@test('Redlock: a majority of three decides')
def _(s):
    others = [Server(), Server()]
    try:
        def lock():
            return Redlock([connect(x) for x in (s, *others)], 'r', 60000)

        a, b = lock(), lock()
        ok(0 < a.acquire() < 60000 and b.acquire() == 0, 'two holders')
        eq([connect(x).get('lock:r') for x in (s, *others)], [a.locks[0].token] * 3)
        eq(a.release(), 3)
        ok(b.acquire() > 0, 'not free')
        b.release()
        connect(others[0]).set('lock:r', 'a rival', nx=True)
        ok(a.acquire() > 0, 'two of three are enough')
        eq(a.release(), 2)
        others[1].stop()
        eq(a.acquire(), 0, 'one of three')
        eq(connect(s).get('lock:r'), None, 'nothing is left behind')
        connect(others[0]).delete('lock:r')
        ok(a.acquire() > 0, 'two live')
        winners = at_once(3, lambda i: Redlock([connect(x) for x in (s, *others)], 'race', 60000).acquire())
        ok(sum(w > 0 for w in winners) <= 1, f'{winners}')
    finally:
        for x in others:
            x.stop() if x.alive() else None


@test('inventory: WATCH never sells what is not there')
def _(s):
    r = connect(s)
    r.set('stock:book', 20)
    granted = at_once(4, lambda i: sum(Inventory(connect(s)).reserve('book', 1, f'c{i}') for _ in range(8)))
    eq(sum(granted), 20)
    eq(r.get('stock:book'), '0')
    eq(sum(map(int, r.hvals('reserved:book'))), 20)


@test('idempotent requests: done once, answered to all')
def _(s):
    calls = []
    answers = at_once(5, lambda i: IdempotentRequests(connect(s)).run('pay-1', lambda: calls.append(i) or f'by {i}'))
    eq(len(calls), 1)
    eq(answers, [f'by {calls[0]}'] * 5)


# ---- caches and sessions ----


@test('XFetch: early by chance, never from an expired value')
def _(s):
    computed = []

    def compute():
        computed.append(1)
        time.sleep(0.02)
        return {'n': len(computed)}

    never, always = XFetch(connect(s), uniform=lambda: 1.0), XFetch(connect(s), beta=1e9, uniform=lambda: 0.5)
    eq(never.get('report', 60000, compute), {'n': 1})
    eq(never.get('report', 60000, compute), {'n': 1})
    eq(always.get('report', 60000, compute), {'n': 2})
    eq(never.get('report', 60000, compute), {'n': 2})
    eq(never.get('short', 40, compute), {'n': 3})
    eventually(lambda: never.get('short', 40, compute)['n'] > 3, 'it never expires')
    at_once(4, lambda i: [XFetch(connect(s)).get('report', 60000, compute) for _ in range(10)])
    ok(len(computed) < 12, f'{len(computed)} computations')


@test('one computes, the others wait for the message')
def _(s):
    computed = []

    def compute():
        computed.append(1)
        time.sleep(0.1)
        return 'value'

    eq(at_once(6, lambda i: OnceCache(connect(s)).get('page', 60, compute)), ['value'] * 6)
    eq(len(computed), 1)


def _near(s, prefixes=()):
    return NearCache({'port': s.port, 'decode_responses': True}, prefixes)


@test('near cache: the server invalidates what was read')
def _(s):
    r, near = connect(s), _near(s)
    try:
        r.mset({f'k{i}': i for i in range(50)})
        eq([near.get(f'k{i}') for i in range(50)], [str(i) for i in range(50)])
        eq([near.get(f'k{i}') for i in range(50)], [str(i) for i in range(50)])
        eq(near.hits, 50)
        r.set('k1', 'new')
        r.delete('k2')
        r.set('unread', 1)
        eventually(lambda: near.get('k1') == 'new' and near.get('k2') is None, 'it was not told')
        eq(near.get('k3'), '3')
        r.pexpire('k4', 1)
        eventually(lambda: near.get('k4') is None, 'it was not told of the expiry')
        with r.pipeline() as pipe:
            pipe.set('k5', 'a').set('k6', 'b').execute()
        eventually(lambda: (near.get('k5'), near.get('k6')) == ('a', 'b'), 'it was not told of the transaction')
        r.eval("redis.call('SET', KEYS[1], 'scripted')", 1, 'k7')
        eventually(lambda: near.get('k7') == 'scripted', 'it was not told of the script')
        near.get('k8')
        r.flushdb()
        eventually(lambda: near.get('k8') is None, 'it was not told of the flush')
    finally:
        near.close()


@test('near cache: broadcasts for a prefix')
def _(s):
    r, near = connect(s), _near(s, ['user:', 'item:'])
    try:
        r.mset({'user:1': 'a', 'other': 'b'})
        eventually(lambda: near.invalidations >= 1, 'nothing was broadcast')
        eq((near.get('user:1'), near.get('other')), ('a', 'b'))
        r.mset({'user:1': 'c', 'other': 'd'})
        eventually(lambda: near.get('user:1') == 'c', 'it was not told')
        eq(near.get('other'), 'b', 'not one of the prefixes')
        before = near.invalidations
        r.set('item:7', 'x')
        eventually(lambda: near.invalidations > before, 'nothing was broadcast')
    finally:
        near.close()


@test('sessions: written through, sliding, ended everywhere')
def _(s):
    r, database = connect(s), {}
    sessions = Sessions(r, database, ttl_s=100)
    sid = sessions.create('ada', theme='dark')
    eq(sessions.load(sid), {'user': 'ada', 'theme': 'dark'})
    r.expire(f'session:{sid}', 5)
    eq(sessions.visit(sid), 1)
    ok(r.ttl(f'session:{sid}') > 90, 'it does not slide')
    sessions.update(sid, theme='light', cart='3')
    eq(database[sid], {'user': 'ada', 'theme': 'light', 'cart': '3'})
    r.delete(f'session:{sid}')
    eq(sessions.load(sid), {'user': 'ada', 'theme': 'light', 'cart': '3'})
    eq(r.hgetall(f'session:{sid}'), database[sid], 'read back in')
    others = [sessions.create('ada') for _ in range(4)]
    eq(sessions.end_all('ada'), 5)
    eq([sessions.load(x) for x in [sid, *others]], [None] * 5)
    eq(sum(at_once(4, lambda i: [Sessions(connect(s), {}).visit('shared') for _ in range(20)][-1] > 0)), 4)
    eq(r.hget('session:shared', 'visits'), '80')


@test('presence: who stops beating leaves, and all are told')
def _(s):
    r = connect(s)
    presence, steady = Presence(r, 100), Presence(connect(s), 600000)
    try:
        steady.heartbeat('ada')
        for user in 'bob', 'cyd', 'dan':
            presence.heartbeat(user)
        r.set('unrelated', 1, px=1)
        for watcher in presence, steady:
            ok(watcher.wait_until_left({'bob', 'cyd', 'dan'}), f'it was not told: {watcher.left}')
        eq(sorted(presence.left), ['bob', 'cyd', 'dan'])
        eq(presence.online(), {'ada'})
    finally:
        presence.close()
        steady.close()


# ---- rankings, places, counts ----


@test('leaderboard: best scores, ranks, neighbours, weekly sums')
def _(s):
    r = connect(s)
    day = Leaderboard(r, 'board:mon')
    for n in range(1000):
        day.submit(f'p{n:03}', n)
    ok(day.submit('p000', 5000.5) and not day.submit('p999', 10), 'the best stays')
    eq(day.top(2), [('p000', 5000.5), ('p999', 999.0)])
    eq((day.rank('p000'), day.rank('p001'), day.rank('nobody')), (1, 1000, None))
    eq([p for p, _ in day.around('p500', 2)], ['p502', 'p501', 'p500', 'p499', 'p498'])
    other = Leaderboard(r, 'board:tue')
    at_once(4, lambda i: [Leaderboard(connect(s), 'board:tue').add(f'p{n:03}', 2) for n in range(10)])
    eq(other.top(1), [('p009', 8.0)])
    week = Leaderboard(r, 'board:week')
    eq(week.merge([day, other], 3600), 1000)
    eq(r.zscore('board:week', 'p009'), 17.0)
    eq(week.trim(100), 900)
    eq(r.zcard('board:week'), 100)


@test('find nearby, and hire each driver once')
def _(s):
    drivers = Drivers(connect(s), 'berlin')
    for n in range(30):
        drivers.report(f'd{n:02}', 13.4 + n * 0.001, 52.5)
    near = drivers.near(13.4, 52.5, 1.0, 5)
    eq([d for d, _ in near], [f'd{n:02}' for n in range(5)])
    ok(near[0][1] < 0.001 and 0.06 < near[1][1] < 0.07, f'{near}')
    eq(drivers.hire('me', 13.4, 52.5, 5), 'd00')
    eq(drivers.hire('you', 0, 0, 5), None)
    hired = at_once(4, lambda i: [Drivers(connect(s), 'berlin').hire(f'rider{i}', 13.4, 52.5, 50) for _ in range(4)])
    flat = sorted(d for mine in hired for d in mine)
    eq(flat, [f'd{n:02}' for n in range(1, 17)])
    eq(connect(s).get('{berlin}:hired:' + hired[2][0]), 'rider2')
    hired = at_once(4, lambda i: [Drivers(connect(s), 'berlin').hire_optimistic(f'r{i}', 13.4, 52.5, 50) for _ in range(5)])
    flat = sorted(d for mine in hired for d in mine if d)
    eq(flat, sorted(set(flat)), 'hired twice')
    ok(len(flat) + connect(s).zcard('{berlin}:drivers') == 13, f'{flat}')


@test('daily uniques: bitmaps count exactly, HyperLogLog nearly')
def _(s):
    visits = Visits(connect(s))
    firsts = [visits.visit('mon', n % 500) for n in range(700)]
    eq(sum(firsts), 500)
    for n in range(250, 750):
        visits.visit('tue', n)
    eq((visits.exactly('mon'), visits.exactly('tue'), visits.exactly('wed')), (500, 500, 0))
    ok(480 < visits.about('mon') < 520 and 720 < visits.about('mon', 'tue') < 780, f'{visits.about("mon", "tue")}')
    eq(visits.retained('mon', 'tue'), 250)
    exact, about = visits.any_of('mon', 'tue')
    eq(exact, 750)
    ok(720 < about < 780, f'{about}')


run(Server())
