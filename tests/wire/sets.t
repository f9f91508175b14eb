#!/usr/bin/python3
"""Sets where the differential test cannot reach: what is random, iterations, the forms, what the log says, restarts."""
import os
import random
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, ROOT, Server, eq, expect, keys, need_kelvin, ok, run, seed, session, show, test

SEED = seed()


def members(n, prefix='member:'):
    return [f'{prefix}{i:09}'.encode() for i in range(n)]


FORMS = {
    'intset': [b'%d' % (i * 7 - 300) for i in range(100)],
    'listpack': [b'm%d' % i for i in range(60)] + [b'%d' % i for i in range(30)] + [b''],
    'hashtable': members(keys(5000)) + [b'x' * 70, b'y' * 70000, b''],
}


def fill(c, key, words):
    c.call('DEL', key)
    for at in range(0, len(words), 500):
        c.call('SADD', key, *words[at:at + 500])


def each_form(s):
    c = s.client()
    for form, words in FORMS.items():
        fill(c, 's', words)
        if IS_KELVIN:
            eq(c.call('OBJECT', 'ENCODING', 's').decode(), form)
        yield c, set(words)


session('forms and limits', '''
    > SADD s 1 2 3
    3
    > OBJECT ENCODING s
    "intset"
    > SADD s a
    1
    > OBJECT ENCODING s
    "listpack"
    > SADD s xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    1
    > OBJECT ENCODING s
    "hashtable"
    > CONFIG SET set-max-intset-entries 3 set-max-listpack-entries 2 set-max-listpack-value 1
    +OK
    > SADD i 1 2 3
    3
    > OBJECT ENCODING i
    "intset"
    > SADD i 4
    1
    > OBJECT ENCODING i
    "hashtable"
    > SADD p a b
    2
    > OBJECT ENCODING p
    "listpack"
    > SADD p c
    1
    > OBJECT ENCODING p
    "hashtable"
    > SADD q aa
    1
    > OBJECT ENCODING q
    "hashtable"
    > CONFIG SET set-max-intset-entries 512 set-max-listpack-entries 128 set-max-listpack-value 64
    +OK
    > SREM p a b c
    3
    > EXISTS p
    0
''' if IS_KELVIN else '''
    > PING
    +PONG
''')


@test('SPOP takes members, and nothing else')
def _(s):
    rng = random.Random(SEED)
    for c, left in each_form(s):
        while left:
            if rng.random() < 0.5:
                taken = [c.call('SPOP', 's')]
            else:
                n = rng.choice([1, 2, 10, len(left) // 3, 2000])
                taken = c.call('SPOP', 's', n)
                eq(len(taken), min(n, len(left)))
            ok(len(set(taken)) == len(taken) and left.issuperset(taken), 'what was popped was not there')
            left.difference_update(taken)
            eq(c.call('SCARD', 's'), len(left))
        eq(c.call('EXISTS', 's'), 0)
        ok(not c.call('SPOP', 's'), 'a member of an empty set')


@test('SRANDMEMBER: all that is asked for, members only, and no two alike')
def _(s):
    for c, all_of_it in each_form(s):
        for n in (1, 2, len(all_of_it) // 20, len(all_of_it) // 2, len(all_of_it) - 1, len(all_of_it), 10 ** 6):
            some = c.call('SRANDMEMBER', 's', n)
            eq(len(some), min(n, len(all_of_it)))
            ok(len(set(some)) == len(some) and all_of_it.issuperset(some), f'{n} random members')
        for n in (1, 7, 1000):
            some = c.call('SRANDMEMBER', 's', -n)
            ok(len(some) == n and all_of_it.issuperset(some), f'{-n} random members')
        seen = set()
        for _ in range(200):
            seen.add(c.call('SRANDMEMBER', 's'))
        ok(len(seen) > 30 and all_of_it.issuperset(seen), f'{len(seen)} different ones in 200 draws')
        eq(c.call('SCARD', 's'), len(all_of_it))


def sscan(c, key, *options, between=lambda: None):
    cursor, found = b'0', []
    while True:
        cursor, page = c.call('SSCAN', key, cursor, *options)
        found += page
        if cursor == b'0':
            return found
        between()


@test('SSCAN gives each member once, and with changes meanwhile all that stay')
def _(s):
    rng = random.Random(SEED)
    for c, all_of_it in each_form(s):
        found = sscan(c, 's', 'COUNT', rng.choice([1, 10, 1000]))
        eq(sorted(found), sorted(all_of_it))
        want = {m for m in all_of_it if m.endswith(b'1')}
        eq(set(sscan(c, 's', 'MATCH', '*1')), want)
    stay, go = members(keys(3000)), members(keys(3000), 'gone:')
    fill(c, 's', stay + go)

    def change():
        c.call('SADD', 's', *[b'new:%d' % rng.randrange(10 ** 6) for _ in range(20)])
        c.call('SREM', 's', *rng.sample(go, 40))
    ok(set(sscan(c, 's', 'COUNT', 20, between=change)) >= set(stay), 'a member that stayed was missed')


@test('large sets: algebra agrees with that of Python')
def _(s):
    rng = random.Random(SEED)
    c = s.client()
    everything = members(keys(20000)) + [b'%d' % i for i in range(2000)]
    for _ in range(8):
        sets = []
        for i in range(rng.randint(1, 9)):
            words = rng.sample(everything, rng.choice([3, 100, 700, len(everything) // 2]))
            fill(c, f'{{t}}{i}', words)
            sets.append(set(words))
        names = [f'{{t}}{i}' for i in range(len(sets))]
        for name, want in (('INTER', set.intersection(*sets)), ('UNION', set.union(*sets)),
                           ('DIFF', sets[0].difference(*sets[1:]))):
            got = c.call('S' + name, *names)
            ok(len(got) == len(want) and set(got) == want, f'S{name} of {[len(x) for x in sets]}')
            eq(c.call(f'S{name}STORE', '{t}to', *names), len(want))
            eq(set(c.call('SMEMBERS', '{t}to')), want)
        want = len(set.intersection(*sets))
        eq(c.call('SINTERCARD', len(names), *names), want)
        eq(c.call('SINTERCARD', len(names), *names, 'LIMIT', 3), min(3, want))
        flags = c.call('SMISMEMBER', names[0], *everything[:3000])
        eq(flags, [int(m in sets[0]) for m in everything[:3000]])


@test('DUMP here, RESTORE there, both ways')
def _(s):
    rng = random.Random(SEED)
    if ORACLE is None:
        return
    oracle = Server(binary=ORACLE)
    ours, theirs = s.client(), oracle.client()
    wide = [[b'%d' % (i << bits) for i in range(-40, 40)] for bits in (3, 14, 40)]
    for words in list(FORMS.values()) + wide + [[b'1'], [b''], members(600), [b'%d' % i for i in range(513)]]:
        for source, target in ((ours, theirs), (theirs, ours)):
            source.call('DEL', 's')
            source.call('SADD', 's', *words)
            for word in rng.sample(words, len(words) // 3):
                source.call('SREM', 's', word)
            payload = source.call('DUMP', 's')
            eq(show(target.call('RESTORE', 'd', 0, payload, 'REPLACE')), '+OK')
            eq(sorted(target.call('SMEMBERS', 'd')), sorted(source.call('SMEMBERS', 's')))
    # A listpack, which a 7.0 does not write: members a and 12, then the same with a twice.
    lp = b'\x0d\x00\x00\x00\x02\x00\x81a\x02\x0c\x01\xff'
    lp = bytes([len(lp)]) + lp[1:]
    for body, want in ((lp, '+OK'), (bytes([15]) + lp[1:4] + b'\x03' + lp[5:-1] + b'\x81a\x02\xff',
                                     '-ERR Bad data format')):
        payload = b'\x14' + bytes([len(body)]) + body + b'\x0b\x00' + b'\x00' * 8
        if IS_KELVIN:
            eq(show(ours.call('RESTORE', 'lp', 0, payload, 'REPLACE')), want)
    if IS_KELVIN:
        expect(ours, 'SMEMBERS lp', 'sorted ["12", "a"]')
    oracle.stop()


def effects(server):
    dump = subprocess.run([os.path.join(ROOT, os.environ.get('KELVIN_BUILD', 'build'), 'kelvin-log_dump'),
                           os.path.join(server.dir, 'appendonlydir')], capture_output=True, text=True, check=False)
    return re.findall(r'^    \d+ db\d+ (.*)$', dump.stdout, re.M)


@test('the log says what happened, one key at a time')
def _(_s):
    need_kelvin('effects are its own')
    server = Server({'durability': 'everysec', 'set-max-listpack-entries': '128'})
    c = server.client()
    steps = [('SADD s a b c', '"SADD" "s" "a" "b" "c"'), ('SADD s a', None), ('SREM s nosuch', None),
             ('SADD one x', '"SADD" "one" "x"'), ('SPOP one', '"SREM" "one" "x"'), ('SPOP one', None),
             ('SMOVE s {s}t a', '"SREM" "s" "a"|"SADD" "{s}t" "a"'), ('SMOVE s {s}t nosuch', None),
             ('SADD s a', '"SADD" "s" "a"'), ('SMOVE s {s}t a', '"SREM" "s" "a"'), ('SPOP s 100', '"DEL" "s"'),
             ('SINTERSTORE {s}u {s}t', '"RESTORE" "{s}u" "0" .* "REPLACE"'), ('SINTERSTORE {s}u nosuch', '"DEL" "{s}u"'),
             ('SINTERSTORE {s}u nosuch', None)]
    want = []
    for command, effect in steps:
        c.call(*command.split())
        want += [re.sub(r'([{}])', r'\\\1', e) for e in effect.split('|')] if effect else []
    server.stop()
    got = [e for e in effects(server) if 'SELECT' not in e]
    ok(len(got) == len(want) and all(re.fullmatch(w, g) for w, g in zip(want, got)), f'{got}\n{want}')


@test('sets survive restarts and kill -9')
def _(_s):
    server = Server({'durability': 'everysec'})
    c = server.client()
    rng = random.Random(SEED)
    model = {}
    for round_ in range(4):
        for name, words in FORMS.items():
            for i in range(3):
                key = f'{name}{i}'
                fill(c, key, rng.sample(words, len(words) // 2))
                c.call('SPOP', key)
                c.call('SPOP', key, rng.randrange(30))
                c.call('SREM', key, *rng.sample(words, 20))
                c.call('SMOVE', f'{name}0', key, words[0])
        c.call('SUNIONSTORE', 'union', *[f'{name}{i}' for name in FORMS for i in range(3)])
        c.call('SDIFFSTORE', 'diff', 'union', 'intset1', 'hashtable0')
        names = c.call('KEYS', '*')
        model = {name: sorted(c.call('SMEMBERS', name)) for name in names}
        if IS_KELVIN and round_ % 2:
            c.call('BGREWRITEAOF')
        server.restart(kill=round_ % 2 == 0)
        c = server.client()
        eq({name: sorted(c.call('SMEMBERS', name)) for name in c.call('KEYS', '*')}, model)
    server.stop()


@test('a set of many members is deleted, overwritten and expired')
def _(s):
    c = s.client()
    for n, command in enumerate(['DEL s', 'UNLINK s', 'SET s x', 'PEXPIRE s 1', 'SPOP s 100000', 'SINTERSTORE s nosuch']):
        fill(c, 's', members(keys(20000)))
        c.call(*command.split())
        expect(c, 'SADD s a' if n != 2 else 'DEL s', '1') if n != 3 else None
        c.call('FLUSHALL')
    eq(c.call('DBSIZE'), 0)


run(Server())
