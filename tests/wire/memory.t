#!/usr/bin/python3
"""MEMORY: what a key takes, what the process has."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Map, Server, eq, ok, run, session, test

session('arguments', '''
    > MEMORY USAGE missing
    nil
    > MEMORY USAGE missing SAMPLES 0
    nil
    > MEMORY USAGE missing SAMPLES -1
    -ERR syntax error
    > MEMORY USAGE missing SAMPLES x
    -ERR value is not an integer or out of range
    > MEMORY USAGE missing SAMPLES
    -ERR syntax error
    > MEMORY USAGE
    -ERR wrong number of arguments for 'memory|usage' command
    > MEMORY NOSUCH
    -ERR unknown subcommand 'NOSUCH'. Try MEMORY HELP.
    > MEMORY PURGE
    +OK
''')


@test('USAGE: a key and its value')
def _(s):
    c = s.client()
    for length in (1, 100, 10000, 1000000):
        c.call('SET', 'k', 'x' * length)
        used = c.call('MEMORY', 'USAGE', 'k')
        ok(length < used < length * 1.3 + 100, f'{used} bytes for {length}')
        eq(c.call('MEMORY', 'USAGE', 'k', 'SAMPLES', 3), used)


@test('STATS')
def _(s):
    for resp in (2, 3):
        c = s.client(resp)
        c.call('SET', 'k', 'x' * 1000000)
        reply = c.call('MEMORY', 'STATS')
        eq(type(reply), Map if resp == 3 else list)
        stats = {name.decode(): value for name, value in zip(reply[0::2], reply[1::2])}
        ok(stats['total.allocated'] >= 1000000, show_number(stats, 'total.allocated'))
        ok(stats['peak.allocated'] >= stats['total.allocated'], show_number(stats, 'peak.allocated'))
        for name in ('dataset.percentage', 'fragmentation', 'allocator-fragmentation.ratio'):
            ok(float(stats[name]) >= 0, show_number(stats, name))


def show_number(stats, name):
    return f'{name} is {stats[name]}'


@test('DOCTOR, MALLOC-STATS, HELP')
def _(s):
    c = s.client()
    ok(len(c.call('MEMORY', 'DOCTOR')) > 20, 'DOCTOR says something')
    ok(len(c.call('MEMORY', 'MALLOC-STATS')) > 20, 'MALLOC-STATS says something')
    ok(b'USAGE <key> [SAMPLES <count>]' in c.call('MEMORY', 'HELP'), 'HELP')


run(Server())
