#!/usr/bin/python3
"""Differential: thousands of random valid and invalid calls per command, on this server and on a real redis-server.

KELVIN_DIFF_CALLS (default 2000) calls per command and protocol; KELVIN_SEED repeats a run.
"""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import diffgen_script
import diffgen_tx
from diffgen import FAR, GENERATORS, Gen, batch
from difftest import Pair, shown
from kelvin import Failure, ORACLE, Server, eq, note, ok, run, seed, show, skip_all, test

if ORACLE is None:
    skip_all('no redis-server to compare with')
SEED = seed()
CALLS = int(os.environ.get('KELVIN_DIFF_CALLS', 2000))
BATCH = 250
DIFFERENCES_MAX = 3
oracle = Server({'hz': 500}, binary=ORACLE)  # it looks for timeouts no more often than that


def payloads():
    """DUMP payloads of strings of all kinds, made by the oracle."""
    c = oracle.client()
    values = [b'', b'12', b'-300', b'70000', b'text', b'a' * 100, bytes(range(256)), b'ab' * 3000, b'9223372036854775807']
    c.pipeline([('SET', 'x', v) for v in values])
    made = []
    for value in values:
        c.call('SET', 'x', value)
        made.append(c.call('DUMP', 'x'))
    return made


def compare(server, name, resp, make):
    """`make(g, n)` gives about n calls."""
    g = Gen(f'{SEED}/{name}/{resp}')
    g.payloads = payloads()
    pair = Pair(server, oracle, resp)
    found, history, done = [], [], 0
    while done < CALLS and len(found) < DIFFERENCES_MAX:
        calls = make(g, min(BATCH, CALLS))
        history.append(calls)
        done += len(calls)
        difference = pair.run(calls)
        if difference is not None:
            context = [c for part in history[-4:-1] for c in part] + calls[:difference.at + 1]
            reduced = pair.reduce(context) or difference
            found.append(('' if reduced is not difference else '(did not come again on its own)\n') + reduced.describe())
            pair.reset()
            history = []
    if found:
        raise Failure(f'{done} calls\n' + '\n'.join(found))


for _name in GENERATORS:
    for _resp in (2, 3):
        test(f'{_name}, RESP{_resp}')(lambda s, name=_name, resp=_resp: compare(s, name, resp, lambda g, n: batch(g, name, n)))


def transactions(g, n):
    calls = []
    while len(calls) < n:
        calls += diffgen_tx.block(g, GENERATORS)
    return calls


def scripts(g, n):
    names = [name for name in GENERATORS if name not in diffgen_tx.APART]
    few = g.rng.sample(names, g.one(3, 10, len(names)))
    return [(0, GENERATORS[g.of(few)](g) if g.chance(0.2) else diffgen_script.script(g, GENERATORS, few)) for _ in range(n)]


for _resp in (2, 3):
    test(f'scripts, RESP{_resp}')(lambda s, resp=_resp: compare(s, 'scripts', resp, scripts))
    test(f'transactions of all types, RESP{_resp}')(lambda s, resp=_resp: compare(s, 'transactions', resp, transactions))


def scan_all(c, options):
    cursor, keys = b'0', set()
    while True:
        reply = c.call('SCAN', cursor, *options)
        if not isinstance(reply, list):
            return show(reply)
        cursor = reply[0]
        keys.update(reply[1])
        if cursor == b'0':
            return keys


MARK = b'__mark__'


def events(connection):
    """What a subscriber has been told up to each mark: a list of (channel, message) per call. Not of consumers: they come
    into being earlier here (see tests/README.md)."""
    parts, part = [], []
    while True:
        message = connection.reply()
        if message[2] == MARK:
            parts.append(part)
            part = []
            if message[3] == b'end':
                return parts
        elif not any(word in message[2] + message[3] for word in (b'createconsumer', b'delconsumer')):
            part.append((message[2], message[3]))


def compare_events(server, names):
    """Plain calls, and what each of them tells the subscribers of keyspace notifications."""
    g = Gen(f'{SEED}/events')
    g.payloads = payloads()
    pair = Pair(server, oracle, 2)
    listeners = []
    for side in pair.sides:
        side.connections[0].call('CONFIG', 'SET', 'notify-keyspace-events', 'KEAn')
        listeners.append(side.server.client())
        listeners[-1].call('PSUBSCRIBE', '__*')
    for _ in range(max(1, CALLS // BATCH)):
        few = g.rng.sample(names, 5)
        calls = [(0, GENERATORS[g.of(few)](g)) for _ in range(BATCH)]
        marked = [c for call in calls for c in (call, (0, [b'PUBLISH', MARK, b'']))] + [(0, [b'PUBLISH', MARK, b'end'])]
        difference = pair.run(marked)
        if difference is not None:
            raise Failure(difference.describe())
        ours, theirs = (events(listener) for listener in listeners)
        for at, (a, b) in enumerate(zip(ours, theirs)):
            if a != b:
                context = '\n'.join(shown(args) for _, args in calls[max(0, at - 20):at])
                raise Failure(f'{context}\n=> {shown(calls[at][1])}\nours:   {a}\noracle: {b}')


@test('keyspace notifications of every command')
def _(s):
    # Of the last two we tell too if one of their operations fails after the string has grown or another was done.
    apart = diffgen_tx.APART | {'SELECT', 'SWAPDB', 'RANDOMKEY', 'BITFIELD', 'PFADD'}
    names = [n for n in GENERATORS if n not in apart]
    try:
        compare_events(s, names)
    finally:
        for server in s, oracle:
            server.client().call('CONFIG', 'SET', 'notify-keyspace-events', '')


@test('SCAN: full iterations give the same sets')
def _(s):
    rng = random.Random(SEED)
    pair = [s.client(), oracle.client()]
    pair[1].call('FLUSHALL')
    for _ in range(max(5, CALLS // 100)):
        writes = [('SET', f'key:{rng.randrange(3000)}', 'v') for _ in range(100)]
        writes += [('DEL', f'key:{rng.randrange(3000)}') for _ in range(50)]
        options = []
        for choice in rng.sample([['MATCH', rng.choice(['key:1*', '*7', 'key:??', 'none'])], ['COUNT', rng.choice([1, 10, 5000])],
                                  ['TYPE', rng.choice(['string', 'list', 'bogus', 'STRING'])]], rng.randrange(4)):
            options += choice
        for c in pair:
            c.pipeline(writes)
        ours, theirs = (scan_all(c, options) for c in pair)
        eq(ours, theirs, f'SCAN {options}')
        ok(pair[0].call('RANDOMKEY') in scan_all(pair[0], []), 'RANDOMKEY gave what is not a key')


@test('DUMP here, RESTORE there, both ways')
def _(s):
    g = Gen(SEED)
    ours, theirs = s.client(), oracle.client()
    for i in range(max(50, CALLS // 10)):
        value = g.value()
        source, target = (ours, theirs) if i % 2 else (theirs, ours)
        source.call('SET', 'dumped', value, 'PXAT', g.of(FAR) * 1000)
        payload = source.call('DUMP', 'dumped')
        eq(show(target.call('RESTORE', 'restored', '0', payload, 'REPLACE')), '+OK', repr(value))
        ok(target.call('GET', 'restored') == value, f'{value[:50]!r} came back different')
        eq(target.call('OBJECT', 'ENCODING', 'restored'), source.call('OBJECT', 'ENCODING', 'dumped'), repr(value))


@test('the whole key space is the same after all commands mixed')
def _(s):
    g = Gen(f'{SEED}/mixed')
    g.payloads = payloads()
    pair = Pair(s, oracle, 2)
    apart = 'FLUSHALL', 'FLUSHDB', 'MULTI', 'MULTI errors', 'WATCH', 'SORT', 'SORT_RO'
    names = [n for n in GENERATORS if n not in apart]
    history = []
    for _ in range(max(1, CALLS // BATCH)):
        calls = [(0, GENERATORS[g.of(names)](g)) for _ in range(BATCH)]
        difference = pair.run(calls)
        if difference is not None:
            reduced = pair.reduce(history + calls[:difference.at + 1]) or difference
            raise Failure(reduced.describe())
        history += calls
    for db in range(3):
        states = []
        for side in pair.sides:
            c = side.connections[0]
            c.call('SELECT', db)
            keys = sorted(c.call('KEYS', '*'))
            states.append(list(zip(keys, c.pipeline([('GET', k) for k in keys]))))
        eq(states[0], states[1], f'database {db}')
    note(f'{len(states[0])} keys in the last database')


# The background cycle deletes expired keys a little earlier or later on either side: DBSIZE would tell.
run(Server())
