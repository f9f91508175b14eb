#!/usr/bin/python3
"""Caches kept right by CLIENT TRACKING, each mode in a client of its own, while others change keys in every way. Every
client holds what it has read until it is told otherwise. At any time counters do not go back, and when all is still, what
the caches hold is what the server has. KELVIN_SEED repeats the choices, though not how they meet."""
import os
import random
import select
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (IS_KELVIN, SANITIZED, ErrorReply, Push, Server, encode, eq, eventually, note, ok, run, seed,
                    show, test)

SECONDS = 4.0 if SANITIZED else 1.5
COUNTERS = [f'count{i}' for i in range(8)]
KEYS = [f'key{i}' for i in range(16)]
SEED = seed()


class Cache:
    """One connection, RESP3: replies and invalidations in the order in which they come."""
    options = []
    writes = 0  # of so many calls one changes a key itself

    def __init__(self, s, number):
        self.random = random.Random(SEED * 100 + number)
        self.held, self.highest, self.hits, self.invalidations, self.waiting = {}, {}, 0, 0, []
        self.connect(s)
        eq(show(self.c.call('CLIENT', 'TRACKING', 'ON', *self.options)), '+OK')

    def connect(self, s):
        self.c = s.client(resp=3)

    # Frames.

    def invalidate(self, keys):
        self.invalidations += 1
        for key in list(self.held) if type(keys) is not list else [key.decode() for key in keys]:
            self.held.pop(key, None)

    def hold(self, key, value):
        self.held[key] = value
        self.check(key, value)

    def check(self, key, value):
        if key in COUNTERS:
            number = int(value) if type(value) is bytes else 0
            ok(number >= self.highest.get(key, 0), f'{type(self).__name__}: {key} went back to {number}')
            self.highest[key] = number

    def take(self, frame):
        if type(frame) is Push:
            eq(frame[0], b'invalidate')
            self.invalidate(frame[1])
            return
        ok(type(frame) is not ErrorReply or frame.startswith(b'WRONGTYPE'), show(frame))
        handle = self.waiting.pop(0)
        if handle is not None:
            handle(frame)

    def listen(self, seconds=0.0):
        """Takes what has come."""
        while self.c.reader.pending() or select.select([self.c.sock], [], [], seconds)[0]:
            self.take(self.c.read())

    # Calls.

    def ask(self, key):
        return [(['GET', key], lambda value: self.hold(key, value))]

    def change(self, key):
        return [(['INCR', key], None)]

    def calls(self):
        calls = []
        for _ in range(self.random.randrange(1, 6)):
            key = self.random.choice(COUNTERS + KEYS)
            if self.writes and self.random.randrange(self.writes) == 0:
                calls += self.change(key)
            elif key in self.held:
                self.hits += 1
                self.check(key, self.held[key])
            else:
                calls += self.ask(key)
        return calls

    def turn(self):
        self.listen()
        calls = self.calls()
        self.waiting += [handle for _, handle in calls]
        self.c.raw(b''.join(encode(call) for call, _ in calls))
        while self.waiting:
            self.take(self.c.read())

    def wrong(self, there):
        self.listen()
        return {key: (value, there[key]) for key, value in self.held.items() if value_of(value) != there[key]}


def value_of(reply):
    return reply if type(reply) is bytes else None


class Default(Cache):
    writes = 6


class NoLoop(Cache):
    """What it changes itself it forgets by itself."""
    options = ['NOLOOP']
    writes = 3

    def change(self, key):
        return [(['INCR', key], lambda _: self.held.pop(key, None))]


class OptIn(Cache):
    options = ['OPTIN']

    def ask(self, key):
        if self.random.randrange(3) == 0:
            return [(['GET', key], lambda value: self.check(key, value))]
        return [(['CLIENT', 'CACHING', 'YES'], None)] + super().ask(key)


class Broadcast(Cache):
    options = ['BCAST', 'PREFIX', 'key', 'PREFIX', 'count']
    writes = 10


class Transactions(Cache):
    """Reads several keys at one instant."""

    def ask(self, key):
        keys = [key, self.random.choice(KEYS), self.random.choice(COUNTERS)]

        def hold(values):
            for name, value in zip(keys, values):
                self.hold(name, value)

        return [(['MULTI'], None), *((['GET', name], None) for name in keys), (['EXEC'], hold)]


class Scripts(Cache):
    def ask(self, key):
        return [(['EVAL', 'return redis.call("GET", KEYS[1])', '1', key], lambda value: self.hold(key, value))]


class Redirected(Cache):
    """RESP2 with a second connection to listen on. What is invalidated between question and answer is not kept."""

    def connect(self, s):
        self.ear = s.client()
        number = self.ear.call('CLIENT', 'ID')
        self.ear.call('SUBSCRIBE', '__redis__:invalidate')
        self.c = s.client()
        self.options = ['REDIRECT', number]
        self.asked = {}

    def hear(self):
        while self.ear.reader.pending() or select.select([self.ear.sock], [], [], 0)[0]:
            kind, _, keys = self.ear.read()
            eq(kind, b'message')
            self.invalidate(keys)

    def invalidate(self, keys):
        super().invalidate(keys)
        for key in list(self.asked) if type(keys) is not list else [key.decode() for key in keys]:
            if key in self.asked:
                self.asked[key] = False

    def ask(self, key):
        self.asked[key] = True
        return [(['GET', key], lambda value: self.answer(key, value))]

    def answer(self, key, value):
        self.hear()
        self.check(key, value)
        if self.asked.pop(key, False):
            self.held[key] = value

    def turn(self):
        self.hear()
        super().turn()

    def wrong(self, there):
        self.hear()
        return super().wrong(there)


def write(s, number, going, errors):
    """Changes keys, in every way; counters only grow."""
    rng = random.Random(SEED * 100 + 50 + number)
    c = s.client()
    try:
        while going():
            a, b = rng.sample(KEYS, 2)
            c.pipeline(rng.choice([
                [['SET', a, rng.randrange(1000)]],
                [['DEL', a, b]],
                [['SET', a, '5', 'PX', rng.randrange(1, 20)]],
                [['PEXPIRE', a, rng.randrange(1, 20)]],
                [['MSET', a, '1', b, '2']],
                [['RENAME', a, b]],
                [['COPY', a, b, 'REPLACE']],
                [['MULTI'], ['INCR', a], ['SET', b, '3'], ['INCR', rng.choice(COUNTERS)], ['EXEC']],
                [['INCR', key] for key in rng.choices(COUNTERS, k=5)],
                [['GETDEL', a], ['APPEND', a, '7'], ['SET', b, '8']],
                [['EVAL', 'redis.call("INCR", KEYS[1]) redis.call("DEL", KEYS[2]) return redis.call("SET", KEYS[2], 9)',
                  '2', rng.choice(COUNTERS), a]],
            ]))
            if rng.randrange(50) == 0:
                c.pipeline([['SELECT', '1'], ['FLUSHDB'], ['SELECT', '0']])  # invalidates everything
            if rng.randrange(10) == 0:
                time.sleep(0.001)
    except Exception as error:
        errors.append(error)


def visit(s, going, errors):
    """Clients that come, change their minds, and go without a word."""
    rng = random.Random(SEED * 100 + 99)
    try:
        while going():
            c = s.client(resp=rng.choice((2, 3)))
            calls = []
            for _ in range(rng.randrange(1, 6)):
                calls += rng.choice([
                    [['CLIENT', 'TRACKING', 'ON']],
                    [['CLIENT', 'TRACKING', 'ON', 'BCAST', 'PREFIX', rng.choice('abck')]],
                    [['CLIENT', 'TRACKING', 'ON', 'REDIRECT', rng.randrange(1, 30)]],
                    [['CLIENT', 'TRACKING', 'OFF']],
                    [['RESET']],
                    [['MGET', *rng.sample(KEYS, 5)]],
                    [['MULTI'], ['CLIENT', 'TRACKING', 'ON', 'NOLOOP'], ['GET', 'key1'], ['INCR', 'visits'], ['EXEC']],
                ])
            if rng.randrange(2):
                c.pipeline(calls)
            else:
                c.raw(b''.join(map(encode, calls)))
            c.close()
    except Exception as error:
        errors.append(error)


def play(s, caches):
    begin, errors = time.monotonic(), []

    def going():
        """For a while, and until every cache was of use; not for ever."""
        seconds = time.monotonic() - begin
        return seconds < SECONDS or (seconds < 60 and not errors and not all(c.hits and c.invalidations for c in caches))

    def use(cache):
        try:
            while going():
                cache.turn()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(s, i, going, errors)) for i in range(2)]
    threads.append(threading.Thread(target=visit, args=(s, going, errors)))
    threads += [threading.Thread(target=use, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    time.sleep(0.05)  # what expires has expired
    a = s.client()
    names = COUNTERS + KEYS
    there = dict(zip(names, map(value_of, a.call('MGET', *names))))
    for cache in caches:
        eventually(lambda: not cache.wrong(there), f'{type(cache).__name__} holds what is not there: {cache.wrong(there)}')
        note(f'{type(cache).__name__}: {cache.hits} hits, {cache.invalidations} invalidations')
        ok(cache.hits > 0 and cache.invalidations > 0, f'{type(cache).__name__}: {cache.hits} hits')


@test('caches in every mode while others write')
def _(s):
    play(s, [kind(s, i) for i, kind in enumerate((Default, Default, NoLoop, OptIn, Broadcast, Transactions, Scripts))])


@test('caches that listen on another connection')
def _(s):
    play(s, [Redirected(s, 10 + i) for i in range(4)])


@test('caches while the table is small')
def _(s):
    a = s.client()
    a.call('CONFIG', 'SET', 'tracking-table-max-keys', '5')
    try:
        # A Redis does not tell a NOLOOP client of keys for which its own command left no room.
        play(s, [Default(s, 20), Transactions(s, 21)] + ([NoLoop(s, 22)] if IS_KELVIN else []))
    finally:
        a.call('CONFIG', 'SET', 'tracking-table-max-keys', '1000000')


run(Server())
