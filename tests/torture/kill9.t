#!/usr/bin/python3
"""Writers of all types on databases of every durability, kill -9 at any moment, restart, and a look at what is left.

Killed under load, during checkpoints, and while starting. KELVIN_TORTURE_ROUNDS rounds (default 8) of up to two seconds.
"""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Failure, IS_KELVIN, Server, StartError, eq, note, run, seed, show, test
from torture import Writer, Wrong

SEED = seed()
ROUNDS = int(os.environ.get('KELVIN_TORTURE_ROUNDS', 8))
rng = random.Random(SEED)

# Small budgets, segments and checkpoints: values are cold, segments recycled and checkpoints made all the time.
OPTIONS = {'maxmemory': '96mb', 'tier-memory': '8mb', 'tier': 'on', 'durability': 'everysec', 'log-segment-size': '1mb',
           'checkpoint-log-size': '4mb'}
LINES = ['db 1 durability always', 'db 2 durability os', 'db 3 durability none']
LINES += [f'db {db} maxmemory 512kb' for db in range(8)]


def writers():
    return [
        Writer('everysec', SEED, [0]),
        Writer('everysec-pipelined', SEED, [0], pipeline=24),
        Writer('always', SEED, [1]),
        Writer('always-pipelined', SEED, [1], pipeline=24),
        Writer('os', SEED, [2]),
        Writer('os-pipelined', SEED, [2], pipeline=24),
        Writer('none', SEED, [3], logged=not IS_KELVIN),
        Writer('across', SEED, [0, 1]),
        Writer('owner', SEED, [4, 5], whole=True),
    ]


def settle(server, crew):
    """Everything is as it was acknowledged, or a little further."""
    for writer in crew:
        connection = server.client()
        writer.verify(connection)
        connection.close()


def digest(server, crew):
    """Of everything, without what would end by itself meanwhile."""
    c = server.client()
    for writer in crew:
        writer.forget_short_lived()
    for db in range(8):
        c.call('SELECT', db)
        short = c.call('KEYS', '*short*')
        if short:
            c.call('DEL', *short)
    c.call('SELECT', 3)
    c.call('FLUSHDB')
    return show(c.call('DEBUG', 'DIGEST'))


def load(server, crew):
    for writer in crew:
        writer.start(server.client())
    control = server.client()
    deadline = time.monotonic() + rng.uniform(0.2, 2.0)
    while time.monotonic() < deadline:
        time.sleep(rng.uniform(0, 0.3))
        if rng.random() < 0.3:
            control.call('BGREWRITEAOF')
    if rng.random() < 0.5:  # into the beginning or the middle of a checkpoint
        control.call('BGREWRITEAOF')
        time.sleep(rng.uniform(0, 0.2))


def end(server, crew):
    orderly = rng.random() < 0.2
    if orderly:
        server.process.terminate()
        code = server.wait_exit()
        if code != 0:
            raise Failure(f'an orderly stop ended with {code}\n{server.log_tail()}')
    else:
        server.process.kill()
        server.process.wait()
    for writer in crew:
        writer.thread.join(60)
        if writer.wrong:
            raise Failure(writer.wrong)
    return 'stopped' if orderly else 'killed'


def start_under_fire(server):
    """Sometimes the server is killed while it recovers, more than once; then it may start."""
    killed = rng.choice([0, 0, 1, 1, 2, 3])
    for _ in range(killed):
        server.launch()
        time.sleep(rng.choice([rng.uniform(0, 0.05), rng.uniform(0, 0.5)]))
        server.process.kill()
        server.process.wait()
    begin = time.monotonic()
    server.start()
    return killed, time.monotonic() - begin


def round_of(server, crew):
    before = sum(w.operations for w in crew)
    load(server, crew)
    how = end(server, crew)
    killed, seconds = start_under_fire(server)
    settle(server, crew)
    operations = sum(w.operations for w in crew) - before
    note(f'{how} after {operations} operations, {killed} times more while starting; ready in {seconds:.2f} s')


@test('every key is what was acknowledged, or what was sent after it')
def _(_s):
    server = Server(OPTIONS, LINES)
    crew = writers()
    try:
        for _ in range(ROUNDS):
            round_of(server, crew)
    except (Wrong, StartError) as error:
        raise Failure(f'{error}\n{server.log_tail(30)}') from None
    quiet = digest(server, crew)
    server.stop()
    server.start()
    settle(server, crew)
    eq(digest(server, crew), quiet, 'the digest of everything after an orderly stop')
    if IS_KELVIN:
        eq(show(server.client().call('DEBUG', 'LOADAOF')), '+OK')
        eq(digest(server, crew), quiet, 'after DEBUG LOADAOF')
    server.kill9()
    server.start()
    eq(digest(server, crew), quiet, 'after kill -9')
    server.stop()


run()
