#!/usr/bin/python3
"""Damaged files: a torn tail is cut, anything else is refused loudly; wrong data is never served."""
import os
import random
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (ErrorReply, Failure, IS_KELVIN, SANITIZED, Server, StartError, eq, eventually, note, ok, run, seed,
                    skip_all, temp_dir, test)

SEED = seed()
if not IS_KELVIN:
    skip_all('a redis-server stands in, which has another log')
rng = random.Random(SEED)
TRIALS = 4 if SANITIZED else 10
FIRST, SECOND = 6000, 1500
# No checkpoint: all data is in the log. Small segments, so that there are several.
OPTIONS = {'durability': 'everysec', 'log-segment-size': '1mb', 'checkpoint-log-size': '1gb', 'shards': '1',
           'maxmemory': '256mb'}
FRAME = re.compile(rb'#F lsn=([0-9a-f]{16}) len=([0-9a-f]{8}) prev=[0-9a-f]{16} durable=([0-9a-f]{16}) [^\r\n]*\r\n')
HEADER = re.compile(rb'#KELVIN-SEGMENT v1 id=[0-9a-f]{16} first=[0-9a-f]{16}')


def value(i):
    return b'%d:' % i + b'v' * (i % 400)


def write(c, first, last):
    for start in range(first, last, 20):
        c.pipeline([('SET', f'k{i}', value(i)) for i in range(start, min(last, start + 20))])


def log_directory(path):
    for where, _, files in os.walk(path):
        if 'kelvin.manifest' in files:
            return where
    raise Failure(f'no kelvin.manifest under {path}')


class Frame:
    def __init__(self, path, offset, end, lsn, durable):
        self.path, self.offset, self.end, self.lsn, self.durable = path, offset, end, lsn, durable


def frames_of(path):
    """All frames under a data directory in the order of their LSN, found as the format in persist/segment.h says."""
    found = []
    where = log_directory(path)
    for name in os.listdir(where):
        with open(os.path.join(where, name), 'rb') as file:
            data = file.read()
        if not HEADER.match(data):
            continue
        offset, next_lsn = 64, 0
        match = FRAME.match(data, offset)
        while match and int(match[1], 16) >= next_lsn:
            end = match.end() + int(match[2], 16)
            found.append(Frame(os.path.relpath(os.path.join(where, name), path), offset, end, int(match[1], 16), int(match[3], 16)))
            next_lsn = int(match[1], 16) + int(match[2], 16)
            offset, match = end, FRAME.match(data, end)
    return sorted(found, key=lambda f: f.lsn)


def all_durable(server):
    info = server.info('persistence')
    return info['log_durable_lsn'] == info['log_appended_lsn']


def make_original():
    """A killed server's directory: FIRST writes that were synced, SECOND that came right before the end."""
    server = Server(OPTIONS)
    write(server.client(), 0, FIRST)
    eventually(lambda: all_durable(server), 'everysec: all of it is synced')
    write(server.client(), FIRST, FIRST + SECOND)
    server.kill9()
    return server.dir


original = make_original()
frames = frames_of(original)
durable = max(f.durable for f in frames)
synced = [f for f in frames if f.lsn < durable]
loose = [f for f in frames if f.lsn >= durable]
note(f'{len(frames)} frames in {len({f.path for f in frames})} segments, {len(synced)} of them known durable')


def copy_of(path):
    target = os.path.join(temp_dir(), 'data')
    shutil.copytree(path, target)
    return target


def flip(path, offset):
    with open(path, 'r+b') as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        # Not bit 5: it makes a hexadecimal digit upper-case, which may be read as the same number.
        file.write(bytes([byte[0] ^ (1 << rng.choice([0, 1, 2, 3, 4, 6, 7]))]))


def contents(path):
    """Every file of the log with its bytes."""
    where = log_directory(path)
    return {n: open(os.path.join(where, n), 'rb').read() for n in os.listdir(where) if 'lock' not in n.lower()}


def start(directory):
    """A running server, or the StartError."""
    try:
        return Server(OPTIONS, directory=directory)
    except StartError as error:
        return error


def refused(directory, what):
    outcome = start(directory)
    if isinstance(outcome, Server):
        n = outcome.client().call('DBSIZE')
        outcome.kill9()
        raise Failure(f'{what}: the server started, with {n} keys')
    ok(outcome.code not in (0, None) and outcome.code > 0, f'{what}: exit code {outcome.code}')
    ok(re.search('LSN|lsn|segment|manifest', outcome.log) is not None, f'{what}: it does not say what is wrong\n{outcome.log}')
    return outcome


def prefix_held(server, what, at_least):
    """How many of the writes are there; all before the last one are, and nothing else."""
    c = server.client()
    n = c.call('DBSIZE')
    ok(at_least <= n <= FIRST + SECOND, f'{what}: {n} keys, at least {at_least} were safe')
    for i, got in enumerate(c.pipeline([('GET', f'k{i}') for i in range(n)])):
        ok(got == value(i), f'{what}: k{i} is {got!r:.80}, of {n} keys')
    return n


@test('undamaged, everything is there')
def _(_s):
    server = start(copy_of(original))
    ok(isinstance(server, Server), str(server))
    eq(prefix_held(server, 'undamaged', FIRST + SECOND), FIRST + SECOND)
    server.stop()


@test('a flipped bit below the durable point is refused, and nothing is changed')
def _(_s):
    for _ in range(TRIALS):
        frame = rng.choice(synced)
        directory = copy_of(original)
        offset = rng.randrange(frame.offset, frame.end)
        flip(os.path.join(directory, frame.path), offset)
        before = contents(directory)
        refused(directory, f'{frame.path} at {offset}')
        ok(contents(directory) == before, 'a refused log should be left as it was')
        refused(directory, 'again')


@test('a flipped bit above it is a tail, or is refused')
def _(_s):
    for _ in range(TRIALS):
        frame = rng.choice(loose or frames[-1:])
        directory = copy_of(original)
        offset = rng.randrange(frame.offset, frame.end)
        flip(os.path.join(directory, frame.path), offset)
        outcome = start(directory)
        if isinstance(outcome, Server):
            prefix_held(outcome, f'{frame.path} at {offset}', FIRST)
            outcome.stop()


@test('a last frame torn anywhere is cut unaided, and what is written later stays')
def _(_s):
    last = frames[-1]
    for _ in range(TRIALS):
        directory = copy_of(original)
        offset = rng.randrange(last.offset, last.end)
        with open(os.path.join(directory, last.path), 'r+b') as file:
            file.seek(offset)
            file.write(bytes(last.end - offset) if rng.random() < 0.5 else rng.randbytes(last.end - offset))
        server = start(directory)
        ok(isinstance(server, Server), f'torn at {offset}: {server}')
        n = prefix_held(server, f'torn at {offset}', FIRST)
        write(server.client(), n, n + 40)
        server.restart(kill=True)
        c = server.client()
        eq(c.call('DBSIZE'), n + 40)
        eq(c.pipeline([('GET', f'k{i}') for i in range(n + 40)]) == [value(i) for i in range(n + 40)], True)
        server.stop()


@test('rubbish behind the end does no harm')
def _(_s):
    last = frames[-1]
    for size in (1, 100, 5000):
        directory = copy_of(original)
        with open(os.path.join(directory, last.path), 'r+b') as file:
            file.seek(last.end)
            file.write(rng.randbytes(size))
        server = start(directory)
        ok(isinstance(server, Server), str(server))
        eq(prefix_held(server, 'rubbish', FIRST), FIRST + SECOND)
        server.stop()


@test('a file cut short below the durable point is refused')
def _(_s):
    for frame in (synced[0], synced[len(synced) // 2]):
        directory = copy_of(original)
        os.truncate(os.path.join(directory, frame.path), (frame.offset + frame.end) // 2)
        refused(directory, f'{frame.path} cut short')


@test('missing files are refused')
def _(_s):
    paths = sorted({f.path for f in frames if f.lsn < durable})
    for path in (paths[0], paths[len(paths) // 2]):
        directory = copy_of(original)
        os.unlink(os.path.join(directory, path))
        refused(directory, f'{path} missing')
    directory = copy_of(original)
    os.unlink(os.path.join(log_directory(directory), 'kelvin.manifest'))
    refused(directory, 'no manifest')


@test('a damaged manifest is refused')
def _(_s):
    for _ in range(TRIALS):
        directory = copy_of(original)
        path = os.path.join(log_directory(directory), 'kelvin.manifest')
        flip(path, rng.randrange(os.path.getsize(path)))
        refused(directory, 'manifest')


@test('after an orderly stop nothing may be missing at all')
def _(_s):
    directory = copy_of(original)
    server = start(directory)
    ok(isinstance(server, Server), str(server))
    server.client().call('SET', 'one more', 'x')
    server.stop()
    frame = frames_of(directory)[-1]
    with open(os.path.join(directory, frame.path), 'r+b') as file:
        file.seek(frame.offset)
        file.write(bytes(frame.end - frame.offset))
    refused(directory, 'the last frame of a clean stop')


@test('damaged flash files: an error or the right value, never a wrong one')
def _(_s):
    options = {**OPTIONS, 'maxmemory': '96mb', 'tier-memory': '8mb', 'checkpoint-log-size': '4mb'}
    server = Server(options, ['db 0 maxmemory 1mb'])
    n = 4000
    values = [b'%d:' % i + rng.randbytes(500).hex().encode() for i in range(n)]
    server.client().pipeline([('SET', f'k{i}', v) for i, v in enumerate(values)])
    server.client().call('BGREWRITEAOF')
    eventually(lambda: int(server.info('persistence')['checkpoints_completed']) > 0, 'no checkpoint')
    server.stop()
    refusals = errors = 0
    for _ in range(TRIALS):
        directory = copy_of(server.dir)
        files = [os.path.join(w, f) for w, _, fs in os.walk(directory) for f in fs if f.endswith(('.sst', '.blob'))]
        ok(files, 'no flash files')
        for _ in range(3):
            path = rng.choice(files)
            flip(path, rng.randrange(os.path.getsize(path)))
        try:
            damaged = Server(options, ['db 0 maxmemory 1mb'], directory=directory)
        except StartError as error:
            ok(error.code not in (0, None) and error.code > 0, f'exit code {error.code}\n{error.log[-2000:]}')
            refusals += 1
            continue
        replies = damaged.client().pipeline([('GET', f'k{i}') for i in range(n)])
        for i, reply in enumerate(replies):
            if type(reply) is bytes:
                ok(reply == values[i], f'k{i} is wrong: {reply!r:.80}')
            else:
                errors += 1
                ok(type(reply) is ErrorReply, f'k{i} is {reply!r}')
        damaged.kill9()
    note(f'{refusals} of {TRIALS} refused to start, {errors} reads answered with an error')


run()
