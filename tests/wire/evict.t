#!/usr/bin/python3
"""maxmemory-policy with the tier off: what goes, what stays, and when writes are refused."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import NIL, Server, eq, eventually, expect, need_kelvin, note, ok, run, show, test

BUDGET = 8 << 20
POLICIES = ('allkeys-lru', 'allkeys-lfu', 'allkeys-random', 'volatile-lru', 'volatile-lfu', 'volatile-random', 'volatile-ttl')


def server_with(policy):
    # The whole process's budget on Redis; on Kelvin the database's, beside what the process needs itself.
    server = Server({'maxmemory': '96mb', 'tier': 'off', 'durability': 'none', 'maxmemory-policy': policy},
                    [f'db 0 maxmemory {BUDGET}'])
    if not server.is_kelvin:
        server.client().call('CONFIG', 'SET', 'maxmemory', BUDGET)
    return server


def fill(c, n=20000, expire=True):
    """Errors among the replies to n writes of a kilobyte."""
    options = ['EX', '100000'] if expire else []
    errors = 0
    for start in range(0, n, 500):
        replies = c.pipeline([('SET', f'k{i}', b'x' * 1000, *options) for i in range(start, start + 500)])
        errors += sum(bytes(r) != b'OK' for r in replies)
    return errors


def policy_test(policy):
    @test(f'{policy} makes room')
    def _(_s):
        server = server_with(policy)
        c = server.client()
        eq(fill(c), 0)
        left = c.call('DBSIZE')
        ok(1000 < left < 12000, f'{left} keys of a kilobyte are left in {BUDGET} bytes')
        ok(int(server.info('stats')['evicted_keys']) >= 20000 - left, 'evicted_keys')
        server.stop()


for _policy in POLICIES:
    policy_test(_policy)


def scripts_without_memory(c):
    error = "OOM command not allowed when used memory > 'maxmemory'."
    refused = "/^-OOM (command not allowed|allow-oom flag is not set on the script, can not run it) when used memory > 'maxmemory'/"
    for script, want in (('return 1', '1'), ("return redis.call('EXISTS', KEYS[1])", '/[01]/'),
                         ("return redis.call('SET', KEYS[1], 'as much as fits')", '/^-' + re.escape(error) + '/'),
                         ("return redis.pcall('SET', KEYS[1], 'as much as fits')['err']", '/' + re.escape(error) + '/'),
                         ('#!lua\nreturn 1', refused), ('#!lua flags=no-writes\nreturn 1', '1'),
                         ("#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], string.rep('x', 2000))", '+OK'),
                         ('#!lua\nreturn 1', refused)):
        expect(c, ['EVAL', script, 1, 'k2'], want)
    expect(c, 'FCALL plain 0', refused)
    expect(c, 'FCALL reads 0', '1')
    expect(c, ['EVAL', "redis.call('DEL', KEYS[1]) return redis.call('SET', KEYS[1], string.rep('x', 3000))", 1, 'k2'], '+OK')


@test('noeviction refuses what takes memory, and nothing else')
def _(_s):
    server = server_with('noeviction')
    c = server.client()
    c.call('FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('plain', function() return 1 end) "
           "redis.register_function{function_name='reads', flags={'no-writes'}, callback=function() return 1 end}")
    ok(fill(c) > 1000, 'writes should be refused in the end')
    expect(c, ['SET', 'new', b'x' * 1000], "-OOM command not allowed when used memory > 'maxmemory'.")
    expect(c, 'GET k1', '...')
    before = c.call('DBSIZE')
    expect(c, 'DEL k1', '1')
    eq(c.call('DBSIZE'), before - 1)
    eq(server.info('stats')['evicted_keys'], '0')
    expect(c, 'MULTI', '+OK')
    expect(c, ['SET', 'new', b'x' * 100000], '/QUEUED|^-OOM/')
    expect(c, 'EXEC', '/OOM|EXECABORT/')
    for size in (100, 1):  # no room at all
        while isinstance(c.call('RPUSH', 'l', 'x' * size), int):
            pass
    scripts_without_memory(c)
    c.call('FLUSHALL')
    eventually(lambda: bytes(c.call('SET', 'new', 'x')) == b'OK', 'writes should work again')
    server.stop()


@test('volatile policies never touch keys without expiry')
def _(_s):
    for policy in ('volatile-lru', 'volatile-ttl'):
        server = server_with(policy)
        c = server.client()
        c.pipeline([('SET', f'stay{i}', b'y' * 1000) for i in range(2000)])
        eq(fill(c), 0)
        eq(c.call('EXISTS', *[f'stay{i}' for i in range(2000)]), 2000)
        server.stop()
    server = server_with('volatile-lru')
    ok(fill(server.client(), expire=False) > 1000, 'nothing to evict: writes are refused')
    server.stop()


@test('nothing is evicted while writes are paused')
def _(_s):
    server = server_with('allkeys-lru')
    c = server.client()
    eq(fill(c, 4000), 0)
    eq(server.info('stats')['evicted_keys'], '0')
    c.call('CLIENT', 'PAUSE', 100000, 'WRITE')
    c.call('CONFIG', 'SET', 'db.0.maxmemory' if server.is_kelvin else 'maxmemory', BUDGET // 4)
    time.sleep(0.5)
    eq(server.info('stats')['evicted_keys'], '0')
    c.call('CLIENT', 'UNPAUSE')
    eventually(lambda: server.info('stats')['evicted_keys'] != '0', 'afterwards room is made')
    server.stop()


@test('LFU keeps what is read often')
def _(_s):
    server = server_with('allkeys-lfu')
    c = server.client()
    c.pipeline([('SET', f'hot{i}', b'h' * 1000) for i in range(500)])
    for _ in range(30):
        c.pipeline([('GET', f'hot{i}') for i in range(500)])
    # Short pipelines: a shard that is far behind the others finds nothing but hot keys to make room with.
    for start in range(0, 20000, 200):
        c.pipeline([('SET', f'cold{start + i}', b'c' * 1000) for i in range(200)])
        if start % 2000 == 0:
            c.pipeline([('GET', f'hot{i}') for i in range(500)])
    left = c.call('EXISTS', *[f'hot{i}' for i in range(500)])
    ok(left > 250, f'only {left} of 500 hot keys are left')  # at random some 50 would be, of the cold ones seven in twenty
    server.stop()


FLASH = 16 << 20
FLASH_VALUE = 4000


def flash_server(policy):
    return Server({'maxmemory': '96mb', 'tier-memory': '8mb', 'durability': 'everysec', 'maxmemory-policy': policy,
                   'log-segment-size': '1mb', 'checkpoint-log-size': '8mb', 'tier-compression': 'none'},
                  ['db 0 maxmemory 2mb', f'tier-max-bytes {FLASH}'])


def write_flash(c, server, numbers, name='f'):
    """Writes incompressible values; how many were refused, and the most that was on flash meanwhile."""
    refused, most, numbers = 0, 0, list(numbers)
    for start in range(0, len(numbers), 200):
        part = numbers[start:start + 200]
        replies = c.pipeline([('SET', f'{name}{i}', os.urandom(FLASH_VALUE)) for i in part])
        for reply in replies:
            ok(bytes(reply) == b'OK' or bytes(reply).startswith(b'OOM '), show(reply))
        refused += sum(bytes(reply) != b'OK' for reply in replies)
        most = max(most, int(server.info('tier')['tier_store_bytes']))
    return refused, most


@test('noeviction: a full flash refuses what takes memory, until something is deleted')
def _(_s):
    need_kelvin('flash tier')
    server = flash_server('noeviction')
    c = server.client()
    numbers = range(3 * FLASH // FLASH_VALUE)
    refused, most = write_flash(c, server, numbers)
    note(f'{refused} of {len(numbers)} writes refused, at most {most / FLASH:.2f} times tier-max-bytes on flash')
    ok(refused > len(numbers) // 3, f'only {refused} of {len(numbers)} writes were refused')
    expect(c, ['SET', 'new', b'x' * 1000], "-OOM command not allowed when used memory > 'maxmemory'.")
    eq(server.info('stats')['evicted_keys'], '0')
    kept = c.call('DBSIZE')
    eq(kept, len(numbers) - refused)
    ok(most < 2 * FLASH, f'{most} bytes on flash')
    ok(len(c.call('GET', 'f0')) == FLASH_VALUE, 'reading goes on')
    alive = [i for i, there in zip(numbers, c.pipeline([('EXISTS', f'f{i}') for i in numbers])) if there]
    gone = kept - FLASH // 2 // FLASH_VALUE
    eq(c.call('DEL', *[f'f{i}' for i in alive[:gone]]), gone)
    eventually(lambda: bytes(c.call('SET', 'new', 'x')) == b'OK', 'writes should work again', 60)
    for figure in ('tier_store_bytes', 'tier_live_bytes_estimated'):
        eventually(lambda: int(server.info('tier')[figure]) < FLASH * 3 // 4, 'a compaction gives it back', 60)
    refused, most = write_flash(c, server, range(500), 'g')
    eq(refused, 0)
    eq(c.call('DBSIZE'), kept - gone + 501)
    c.call('CONFIG', 'SET', 'tier-max-bytes', '1mb')
    eventually(lambda: bytes(c.call('SET', 'new', 'x')).startswith(b'OOM'), 'a lower limit is obeyed', 60)
    eq(c.call('CONFIG', 'GET', 'tier-max-bytes'), [b'tier-max-bytes', b'1048576'])
    c.call('CONFIG', 'SET', 'tier-max-bytes', '0')
    eventually(lambda: bytes(c.call('SET', 'new', 'x')) == b'OK', 'and none', 60)
    server.stop()


@test('allkeys-lru: a full flash makes the oldest keys go, hot or cold')
def _(_s):
    need_kelvin('flash tier')
    server = flash_server('allkeys-lru')
    c = server.client()
    n = 4 * FLASH // FLASH_VALUE
    most = 0
    for quarter in range(4):
        refused, now = write_flash(c, server, range(quarter * n // 4, (quarter + 1) * n // 4))
        ok(refused == 0, f'{refused} writes of quarter {quarter} refused: {server.info("tier")} {server.info("memory")}')
        most = max(most, now)
        time.sleep(2)  # the clock of the LRU ticks in seconds
    left = [c.call('EXISTS', *[f'f{i}' for i in range(q * n // 4, (q + 1) * n // 4)]) for q in range(4)]
    note(f'{left} of {n // 4} keys a quarter are left; at most {most / FLASH:.2f} times tier-max-bytes on flash')
    ok(left[3] > 4 * left[0], f'the oldest should go first: {left}')
    ok(sum(left) > n // 16, f'too many are gone: {left}')
    ok(most < 4 * FLASH, f'{most} bytes on flash')  # half as much again, twice while a compaction rewrites it all
    eventually(lambda: int(server.info('tier')['tier_store_bytes']) < FLASH * 5 // 4, 'the limit is kept in the end', 60)
    keys = c.call('DBSIZE')
    server.restart(kill=True)
    c = server.client()
    eq(c.call('DBSIZE') <= keys, True)
    alive = [i for i in range(n) if c.call('EXISTS', f'f{i}')]
    for got in c.pipeline([('GET', f'f{i}') for i in alive]):
        ok(isinstance(got, bytes) and len(got) == FLASH_VALUE or got is NIL, show(got))
    server.stop()


@test('volatile-lru: a full flash with nothing that may go refuses writes')
def _(_s):
    need_kelvin('flash tier')
    server = flash_server('volatile-lru')
    c = server.client()
    n = 2 * FLASH // FLASH_VALUE
    refused, _most = write_flash(c, server, range(n))
    ok(refused > n // 4, f'only {refused} of {n} writes were refused')
    c.pipeline([('EXPIRE', f'f{i}', 100000) for i in range(n // 4)])
    eventually(lambda: bytes(c.call('SET', 'new', 'x')) == b'OK', 'what may go now makes room', 60)
    ok(c.call('EXISTS', *[f'f{i}' for i in range(n // 4)]) < n // 4, 'some of them are gone')
    eq(c.call('EXISTS', *[f'f{i}' for i in range(n // 4, n // 3)]), n // 3 - n // 4)
    server.stop()


run()
