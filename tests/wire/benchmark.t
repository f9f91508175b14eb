#!/usr/bin/python3
"""redis-benchmark runs its string tests without an error, and the data is what it wrote."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import SANITIZED, Server, eq, note, ok, run, skip_all, test

BENCHMARK = shutil.which('redis-benchmark')
if BENCHMARK is None:
    skip_all('no redis-benchmark here')
N = 5000 if SANITIZED else 50000


def bench(s, *options):
    done = subprocess.run([BENCHMARK, '-p', str(s.port), '--csv', *options], capture_output=True, text=True, timeout=300)
    eq(done.returncode, 0, done.stderr)
    ok('rror' not in done.stdout + done.stderr, done.stdout + done.stderr)
    note(' | '.join(done.stdout.splitlines()[1:]))


@test('pipelines of 1, 16 and 64 over random keys')
def _(s):
    for depth in ('1', '16', '64'):
        bench(s, '-n', str(N), '-r', '10000', '-d', '100', '-P', depth, '-t', 'ping_inline,ping_mbulk,set,get,incr,mset')
    ok(0 < s.client().call('DBSIZE') <= 30000, 'keys')


@test('many clients, and values of 10 kB')
def _(s):
    bench(s, '-n', str(N // 5), '-c', '200', '-t', 'set,get')
    bench(s, '-n', str(N // 10), '-r', '100', '-d', '10000', '-t', 'set,get')


@test('threads of its own')
def _(s):
    bench(s, '-n', str(N), '--threads', '2', '-P', '8', '-t', 'set,get')


run(Server())
