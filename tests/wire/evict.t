#!/usr/bin/python3
"""maxmemory-policy with the tier off: what goes, what stays, and when writes are refused."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, eq, eventually, expect, ok, run, test

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


@test('noeviction refuses what takes memory, and nothing else')
def _(_s):
    server = server_with('noeviction')
    c = server.client()
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


@test('LFU keeps what is read often')
def _(_s):
    server = server_with('allkeys-lfu')
    c = server.client()
    c.pipeline([('SET', f'hot{i}', b'h' * 1000) for i in range(500)])
    for _ in range(30):
        c.pipeline([('GET', f'hot{i}') for i in range(500)])
    for start in range(0, 20000, 2000):
        c.pipeline([('SET', f'cold{start + i}', b'c' * 1000) for i in range(2000)])
        c.pipeline([('GET', f'hot{i}') for i in range(500)])
    left = c.call('EXISTS', *[f'hot{i}' for i in range(500)])
    ok(left > 350, f'only {left} of 500 hot keys are left')
    server.stop()


run()
