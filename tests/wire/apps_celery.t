#!/usr/bin/python3
"""Celery with this server as broker and result backend: a worker process, retries, countdowns, groups, chords."""
import gc
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'clients'))
from kelvin import ROOT, Failure, Server, Skip, eq, eventually, ok, run, skip_all, temp_dir, test

try:
    import celery
    import redis
except ImportError:
    skip_all('no python3-celery here')

server = Server()
os.environ['CELERY_TEST_URL'] = f'redis://127.0.0.1:{server.port}'
from patterns import celery_app as tasks

SECONDS = 120
failed = []


class Worker:
    """A worker process, as operators start it."""

    def __init__(self, *options):
        self.log_path = os.path.join(temp_dir(), 'worker.log')
        with open(self.log_path, 'wb') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'celery', '-A', 'patterns.celery_app', 'worker', '--pool', 'threads', '--concurrency', '4',
                 '--loglevel', 'info', *options], cwd=os.path.join(ROOT, 'tests', 'clients'), stdout=log, stderr=log)

    def log(self):
        with open(self.log_path, errors='replace') as log:
            return log.read()

    def ready(self):
        if self.process.poll() is not None:
            raise Failure(f'the worker ended with {self.process.returncode}\n{self.log()[-2000:]}')
        return ' ready.' in self.log()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


worker = Worker()


def come(result, **options):
    """The result. Celery's client sends SUBSCRIBE over one connection and the task over another, and does not wait for the
    first: with several shards on a machine that is short of processors the worker's PUBLISH may be earlier. Whoever
    asks again is told."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return result.get(5, **options)
        except celery.exceptions.TimeoutError:
            if time.monotonic() > end:
                raise


def check(name):
    """A test() that is skipped once another has failed: each would wait in vain."""
    def register(function):
        def body(_):
            if failed:
                raise Skip(f'"{failed[0]}" failed')
            failed.append(name)
            function()
            failed.pop()
        return test(name)(body)
    return register


@check('what was queued before a worker ran is done by the first one')
def _():
    results = [tasks.add.delay(n, 1) for n in range(5)]
    eventually(worker.ready, 'the worker does not start', SECONDS)
    eq([come(r) for r in results], [1, 2, 3, 4, 5])
    eq(redis.Redis(port=server.port).llen('celery'), 0)


@check('calls and results')
def _():
    eq(come(tasks.add.delay(2, 3)), 5)
    results = [tasks.add.delay(n, n) for n in range(50)]
    eq([come(r) for r in results], [2 * n for n in range(50)])
    eq([r.state for r in results], ['SUCCESS'] * 50)
    eq(come(tasks.add.apply_async((1, 1), priority=9)), 2)
    eq(come(tasks.progress.delay(3)), 3)


@check('failures come back as exceptions')
def _():
    try:
        come(tasks.broken.delay())
    except ValueError as error:
        eq(str(error), 'broken')
    else:
        raise Failure('no exception')
    eq(come(tasks.broken.delay(), propagate=False).args, ('broken',))


@check('retries')
def _():
    eq([come(tasks.flaky.delay(n)) for n in (0, 1, 2)], [1, 2, 3])
    failed = tasks.flaky.delay(9)
    eq(str(come(failed, propagate=False)), 'not yet')
    eq(failed.state, 'FAILURE')


@check('countdown and expiry')
def _():
    eq(come(tasks.add.apply_async((1, 2), countdown=0.2)), 3)
    gone = tasks.add.apply_async((1, 2), expires=-1)
    eventually(lambda: gone.state == 'REVOKED', 'it is still there')


@check('groups')
def _():
    eq(come(celery.group(tasks.add.s(n, 1) for n in range(20))()), list(range(1, 21)))
    saved = celery.group(tasks.add.s(n, n) for n in range(3))()
    saved.save()
    eq(come(saved), [0, 2, 4])
    eq([r.id for r in tasks.app.GroupResult.restore(saved.id)], [r.id for r in saved])


@check('chains and chords')
def _():
    eq(come(celery.chain(tasks.add.s(1, 2), tasks.add.s(10), tasks.add.s(100))()), 113)
    eq(come(celery.chord([tasks.add.s(n, n) for n in range(20)])(tasks.total.s())), 380)
    nested = celery.chain(celery.group(tasks.add.s(n, 1) for n in range(3)), tasks.total.s(), tasks.add.s(1))
    eq(come(nested()), 7)


@check('remote control: ping, scheduled, revoke')
def _():
    inspect = tasks.app.control.inspect(timeout=60, limit=1)
    eq([list(reply.values()) for reply in [inspect.ping()]], [[{'ok': 'pong'}]])
    ok('patterns.celery_app.add' in next(iter(inspect.registered().values())), 'its tasks')
    held = tasks.add.apply_async((1, 2), countdown=3600)
    eventually(lambda: any(inspect.scheduled().values()), 'not scheduled')
    held.revoke()
    eventually(lambda: any(held.id in ids for ids in inspect.revoked().values()), 'not revoked')


@check('results expire, or are forgotten')
def _():
    r = redis.Redis(port=server.port, db=1)
    result = tasks.add.delay(1, 1)
    come(result)
    ok(r.ttl(f'celery-task-meta-{result.id}') > 3000, 'no expiry')
    result.forget()
    eq(r.exists(f'celery-task-meta-{result.id}'), 0)


@test('the worker stops when it is told to')
def _(_):
    worker.stop()
    eq(worker.process.returncode, 0, worker.log()[-2000:])
    gc.collect()  # results that nobody waited for unsubscribe
    server.stop()


run()
