#!/usr/bin/python3
"""Data larger than RAM: written, cold, read back, restarted; within the budget all the while."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, SANITIZED, Server, eq, eventually, expect, note, ok, run, seed, show, skip_all, test

SEED = seed()
if not IS_KELVIN:
    skip_all('a redis-server stands in, which has no flash tier')
MIB = 1 << 20
N = 20000 if not SANITIZED else 6000
VALUE = 2000
BUDGET = {'maxmemory': '96mb', 'tier-memory': '8mb', 'tier': 'on', 'durability': 'everysec'}
LINES = ['db 0 maxmemory 6mb' if not SANITIZED else 'db 0 maxmemory 2mb']
LIMIT = 6 * MIB if not SANITIZED else 2 * MIB
CITIES = ('Amsterdam', 'Berlin', 'Copenhagen', 'Dublin', 'Edinburgh', 'Florence', 'Geneva', 'Helsinki')


def value(i):
    return random.Random(f'{SEED}/{i}').randbytes(VALUE // 2).hex().encode()


def fill(c, n=N):
    for start in range(0, n, 500):
        c.pipeline([('SET', f'k{i}', value(i)) for i in range(start, min(n, start + 500))])


def check(c, order):
    order = list(order)
    for start in range(0, len(order), 500):
        part = order[start:start + 500]
        for i, got in zip(part, c.pipeline([('GET', f'k{i}') for i in part])):
            ok(got == value(i), f'k{i} is {show(got):.80}')


@test('several times the budget, written and read back')
def _(s):
    c = s.client()
    fill(c)
    eq(c.call('DBSIZE'), N)
    tier = s.info('tier')
    eq(int(tier['tier_hot_keys']) + int(tier['tier_cold_keys']), N)
    ok(int(tier['tier_cold_keys']) > N // 2, f"only {tier['tier_cold_keys']} of {N} keys are cold")
    check(c, range(N))
    check(c, random.Random(SEED).sample(range(N), N // 2))
    tier = s.info('tier')
    ok(int(tier['tier_hot_keys']) * VALUE <= 2 * LIMIT, f"{tier['tier_hot_keys']} hot keys of {VALUE} bytes")
    note(f"hot {tier['tier_hot_keys']}, cold {tier['tier_cold_keys']}, resident {s.rss() / MIB:.0f} MiB")


@test('OBJECT TIER says where a value lives, and a read makes it hot')
def _(s):
    c = s.client()
    fill(c)
    places = c.pipeline([('OBJECT', 'TIER', f'k{i}') for i in range(N)])
    eq(set(map(bytes, places)) <= {b'hot', b'cold'}, True)
    cold = [i for i, place in enumerate(places) if place == b'cold']
    ok(len(cold) > N // 2, f'{len(cold)} cold keys')
    check(c, cold[:1])
    expect(c, f'OBJECT TIER k{cold[0]}', '/hot|cold/')
    check(c, cold[:1] * 3)


@test('everything about a cold key but its value needs no fetch')
def _(s):
    c = s.client()
    fill(c)
    cold = next(i for i, p in enumerate(c.pipeline([('OBJECT', 'TIER', f'k{i}') for i in range(N)])) if p == b'cold')
    key = f'k{cold}'
    for command, want in (('EXISTS', '1'), ('TYPE', '+string'), ('TTL', '-1'), ('OBJECT IDLETIME', '/^[0-9]+$/'),
                          ('MEMORY USAGE', '/^[0-9]{3,}$/')):
        expect(c, f'{command} {key}', want)
    expect(c, f'PEXPIREAT {key} 99999999999999', '1')
    expect(c, f'OBJECT TIER {key}', '/cold/')
    expect(c, f'PEXPIRETIME {key}', '99999999999999')
    check(c, [cold])


@test('writes of every kind on cold keys')
def _(s):
    c = s.client()
    fill(c)
    n = min(N, 3000)
    eq(c.pipeline([('APPEND', f'k{i}', 'tail') for i in range(n)]), [VALUE + 4] * n)
    eq(c.pipeline([('STRLEN', f'k{i}') for i in range(n)]), [VALUE + 4] * n)
    c.pipeline([('SETRANGE', f'k{i}', 0, 'head') for i in range(n)])
    for i, got in enumerate(c.pipeline([('GET', f'k{i}') for i in range(n)])):
        ok(got == b'head' + value(i)[4:] + b'tail', f'k{i} differs')
    c.pipeline([('DEL', f'k{i}') for i in range(0, n, 2)])
    c.pipeline([('RENAME', f'k{i}', f'r{i}') for i in range(1, n, 2)])
    for i, got in zip(range(1, n, 2), c.pipeline([('GETDEL', f'r{i}') for i in range(1, n, 2)])):
        ok(got == b'head' + value(i)[4:] + b'tail', f'r{i} differs')
    eq(c.call('DBSIZE'), N - n)
    check(c, range(n, N))


@test('MGET and MULTI over many cold keys')
def _(s):
    c = s.client()
    fill(c)
    rng = random.Random(SEED)
    for _ in range(20):
        part = rng.sample(range(N), 100)
        eq(c.call('MGET', *[f'k{i}' for i in part]) == [value(i) for i in part], True)
        replies = c.pipeline([('MULTI',)] + [('GET', f'k{i}') for i in part[:30]] + [('EXEC',)])
        eq(replies[-1] == [value(i) for i in part[:30]], True)


@test('a transaction that swaps databases reads cold values under their new number')
def _(s):
    c = s.client()
    fill(c)
    places = c.pipeline([('OBJECT', 'TIER', f'k{i}') for i in range(N)])
    cold = [i for i, place in enumerate(places) if place == b'cold'][:20]
    c.call('SELECT', 1)
    c.call('MULTI')
    c.call('SWAPDB', 0, 1)
    for i in cold:
        c.call('GET', f'k{i}')
    eq(c.call('EXEC')[1:], [value(i) for i in cold])
    expect(c, 'SWAPDB 0 1', '+OK')


@test('a command that needs more than the whole budget is refused')
def _(s):
    c = s.client()
    fill(c)
    expect(c, ['MGET'] + [f'k{i}' for i in range(N)], '/^-OOM/')
    check(c, range(100))


@test('many clients read and write cold keys at once')
def _(s):
    fill(s.client())
    rng = random.Random(SEED)
    clients = [s.client() for _ in range(30)]
    for _ in range(10):
        wanted = []
        for c in clients:
            part = [rng.randrange(N) for _ in range(20)]
            wanted.append(part)
            for i in part:
                c.send('GET', f'k{i}')
        for c, part in zip(clients, wanted):
            for i in part:
                ok(c.reply() == value(i), f'k{i} differs')


@test('kill -9 with most keys cold; the first read at once, then all')
def _(s):
    fill(s.client())
    s.kill9()
    s.start()
    begin = time.monotonic()
    c = s.client()
    check(c, [N // 2])
    note(f'first answer {(time.monotonic() - begin) * 1000:.0f} ms after being ready')
    eq(c.call('DBSIZE'), N)
    check(c, range(N))
    s.stop()
    s.start()
    check(s.client(), random.Random(SEED).sample(range(N), 1000))


@test('FLUSHALL and expiry give everything back')
def _(s):
    c = s.client()
    fill(c)
    due = int(time.time() * 1000) + 500
    c.pipeline([('PEXPIREAT', f'k{i}', due) for i in range(N // 2)])
    eventually(lambda: c.call('DBSIZE') == N - N // 2, 'due cold keys should go', 30)
    check(c, range(N // 2, N // 2 + 1000))
    c.call('FLUSHALL')
    tier = s.info('tier')
    eq((tier['tier_hot_keys'], tier['tier_cold_keys']), ('0', '0'))
    expect(c, 'GET k1', 'nil')


@test('deleted keys give their memory back, by checkpoints if need be')
def _(s):
    c = s.client()
    n = 60000 if not SANITIZED else 15000
    for turn in range(3):
        for start in range(0, n, 1000):
            for reply in c.pipeline([('SET', f'{turn}-{i}', 'small') for i in range(start, start + 1000)]):
                eq(reply, b'OK')
        completed = int(s.info('persistence')['checkpoints_completed'])
        c.call('BGREWRITEAOF')
        eventually(lambda: int(s.info('persistence')['checkpoints_completed']) > completed, 'no checkpoint')
        for start in range(0, n, 1000):
            c.pipeline([('DEL', f'{turn}-{i}') for i in range(start, start + 1000)])
    eq(c.call('DBSIZE'), 0)
    eventually(lambda: int(s.info('tier')['tier_tombs']) * 64 < LIMIT // 8, 'tombs stay')


@test('resident memory stays near the budget of the process')
def _(s):
    c = s.client()
    for _ in range(2):
        fill(c)
    resident = s.rss()
    note(f'resident {resident / MIB:.0f} MiB')
    if not SANITIZED:
        ok(resident < 140 * MIB, f'{resident / MIB:.0f} MiB')


def record(i):
    rng = random.Random(f'{SEED}/small/{i}')
    return (f'{{"id":{i},"user":"{rng.randbytes(4).hex()}","city":"{rng.choice(CITIES)}",'
            f'"active":{rng.choice(("true", "false"))},"score":{rng.randrange(100000)},'
            f'"visited":["{rng.choice(CITIES)}","{rng.choice(CITIES)}"],"token":"{rng.randbytes(16).hex()}",'
            f'"note":"{" ".join(rng.choice(CITIES).lower() for _ in range(6))}"}}').encode()


@test('deleted keys of an unlogged database leave nothing in RAM: no checkpoint waits for them')
def _(_s):
    server = Server(dict(BUDGET, durability='none'), LINES)
    c = server.client()
    fill(c, 5000)
    for start in range(0, 5000, 500):
        c.call('DEL', *[f'k{i}' for i in range(start, start + 500)])
    few = 512 * int(server.info('server')['shards'])  # each shard waits until it is worth a batch
    eventually(lambda: int(server.info('tier')['tier_tombs']) < few, 'tombs should go')
    eq(c.call('DBSIZE'), 0)
    fill(c, 1000)
    check(c, range(1000))
    server.stop()


@test('small values are compressed with a dictionary trained on them, which outlives kill -9')
def _(_s):
    n = 20000 if not SANITIZED else 10000
    options = dict(BUDGET, **{'tier-compression': 'zstd'})
    server = Server(options, ['db 0 maxmemory 2mb' if not SANITIZED else 'db 0 maxmemory 1mb', 'tier-threads 2'])

    def fill_small(c):
        for start in range(0, n, 1000):
            replies = c.pipeline([('SET', f's{i}', record(i)) for i in range(start, start + 1000)])
            eq({bytes(reply) for reply in replies}, {b'OK'})

    def check_small(c):
        for start in range(0, n, 500):
            part = range(start, start + 500)
            for i, got in zip(part, c.pipeline([('GET', f's{i}') for i in part])):
                ok(got == record(i), f's{i} is {show(got):.120}')

    c = server.client()
    for attempt in range(20):
        fill_small(c)
        if server.info('tier')['tier_dictionary_id'] != '0':
            break
    fill_small(c)
    check_small(c)
    tier = server.info('tier')
    eq((tier['tier_dictionary_id'], tier['tier_dictionaries']), ('1', '1'))
    ok(int(tier['tier_values_with_dictionary']) > 0, 'records use the dictionary')
    ok(int(tier['tier_cold_keys']) > n // 2, f"only {tier['tier_cold_keys']} of {n} keys are cold")
    note(f"after {attempt + 2} rounds of {n}: ratio {tier['tier_compression_ratio']}")
    for kill in (True, False):
        server.restart(kill=kill)
        c = server.client()
        check_small(c)
        eq(server.info('tier')['tier_dictionary_id'], '1')
    c.pipeline([('APPEND', f's{i}', ' ') for i in range(0, n, 7)])
    eq(c.call('GET', 's7'), record(7) + b' ')
    server.restart(kill=True)
    eq(server.client().call('GET', 's7'), record(7) + b' ')
    server.stop()


@test('large values are written out in parts while they go on being changed')
def _(_s):
    server = Server({'maxmemory': '200mb', 'tier-memory': '8mb', 'checkpoint-log-size': '8mb'}, ['db 0 maxmemory 24mb'])
    c = server.client()
    values = {b'k%d' % i: os.urandom(200000 + 131071 * i) for i in range(24)}
    for key, value in values.items():
        eq(c.call('SET', key, value), b'OK')
    for i in range(150):
        key = b'k%d' % (i * 7 % 24)
        values[key] += b'more%d' % i
        eq(c.call('APPEND', key, b'more%d' % i), len(values[key]))
    for key, value in values.items():
        ok(c.call('GET', key) == value, f'{key} differs')
    ok(int(server.info('tier')['tier_drops']) > 0, 'something was dropped, so written')
    server.restart(kill=True)
    c = server.client()
    for key, value in values.items():
        ok(c.call('GET', key) == value, f'{key} differs after a restart')
    server.stop()



def completed(server):
    return int(server.info('persistence')['checkpoints_completed'])


def checkpoint(server):
    before = completed(server)
    eventually(lambda: bytes(server.client().call('BGREWRITEAOF')).startswith(b'Background'), 'a checkpoint begins')
    eventually(lambda: completed(server) > before, 'it completes')


def append(c, n):
    c.pipeline([('RPUSH', 'large', *['x' * 100] * 100)] * (n // 100))


@test('a checkpoint that would write a large value anew waits for more log, up to checkpoint-log-max')
def _(_s):
    server = Server({'maxmemory': '400mb'})
    c = server.client()
    append(c, 40000)
    checkpoint(server)
    expect(c, 'CONFIG SET checkpoint-log-size 1mb', '+OK')
    for release in (['CONFIG', 'SET', 'checkpoint-log-max', '2mb'], ['DEL', 'large']):
        expect(c, 'CONFIG SET checkpoint-log-max 1gb', '+OK')
        before = completed(server)
        append(c, 30000)
        info = server.info('persistence')
        ok(2 * MIB < int(info['log_since_checkpoint_bytes']) < int(info['log_checkpoint_due_bytes']), f'{info}')
        time.sleep(0.5)
        eq(completed(server), before)
        c.call(*release)
        eventually(lambda: completed(server) > before, f'no checkpoint after {release}')
    server.stop()


@test('a checkpoint writes a large value once, however long it goes on being changed')
def _(_s):
    server = Server({'maxmemory': '400mb', 'tier-memory': '8mb'})
    c = server.client()
    append(c, 40000)
    stop = threading.Event()

    def change():
        while not stop.is_set():
            c.pipeline([('RPUSH', 'large', 'x'), ('RPOP', 'large')] * 20)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(4):
            checkpoint(server)
    finally:
        stop.set()
        writer.join()
    tier = server.info('tier')
    ok(int(tier['tier_cleaned_keys']) <= 4 and tier['tier_clean_errors'] == '0', f'{tier}')
    server.restart(kill=True)
    eq(server.client().call('LLEN', 'large'), 40000)
    server.stop()


def peak(server):
    """The most memory the process has had resident so far."""
    with open(f'/proc/{server.pid}/status') as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith('VmHWM:'))


@test('values of many megabytes on their way to flash and back stay within maxmemory')
def _(_s):
    if SANITIZED:
        return
    server = Server({'maxmemory': '128mb', 'tier': 'on'})
    c = server.client()
    for i in range(20):
        expect(c, ['SET', f'large{i}', random.Random(f'{SEED}/{i}').randbytes(8 * MIB)], '+OK')
    for i in range(20):
        expect(c, ['STRLEN', f'large{i}'], str(8 * MIB))
        eq(bytes(c.call('GETRANGE', f'large{i}', 0, 99)), random.Random(f'{SEED}/{i}').randbytes(8 * MIB)[:100])
    note(f'at most {peak(server) / MIB:.0f} MiB resident of 128')
    ok(peak(server) < 150 * MIB, f'{peak(server) / MIB:.0f} MiB resident')
    server.stop()


@test('a string is not made longer than the memory by a write far behind its end')
def _(_s):
    # A sanitizer's process is larger by itself; what is refused stays beyond the limit.
    server = Server({'maxmemory': '400mb' if SANITIZED else '96mb', 'tier': 'on', 'tier-memory': '8mb'})
    c = server.client()
    for call in ('SETRANGE s 500000000 x', 'SETBIT s 4000000000 1', 'BITFIELD s OVERFLOW SAT SET u8 #500000000 1',
                 'EVAL "return redis.call(\\"SETBIT\\", KEYS[1], 4000000000, 1)" 1 s'):
        expect(c, call, '/^-OOM/')
    expect(c, 'EXISTS s', '0')
    expect(c, 'SETRANGE s 30000000 x', '30000001')
    for _ in range(10):
        expect(c, 'SETRANGE s 30000000 x', '30000001')  # which takes nothing more
        expect(c, 'SETBIT s 240000000 0', '0')
    expect(c, 'SETRANGE s 536870912 x', '-ERR string exceeds maximum allowed size (proto-max-bulk-len)')
    expect(c, 'SETBIT s 4294967296 1', '-ERR bit offset is not an integer or out of range')
    note(f'at most {peak(server) / MIB:.0f} MiB resident of 96')
    ok(SANITIZED or peak(server) < 200 * MIB, f'{peak(server) / MIB:.0f} MiB resident')
    server.stop()


run(Server(BUDGET, LINES))
