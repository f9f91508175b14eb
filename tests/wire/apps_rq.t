#!/usr/bin/python3
"""RQ (Redis Queue): workers, failures and retries, dependencies, scheduled jobs, commands by pub/sub."""
import os
import subprocess
import sys
from datetime import timedelta

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
CLIENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'clients')
sys.path.insert(0, CLIENTS)
from kelvin import Server, eq, eventually, ok, run, skip_all, test

try:
    import redis
    import rq
    from rq.command import send_shutdown_command
    from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry
    from rq.scheduler import RQScheduler
except ImportError:
    skip_all('no python3-rq here')
from patterns import rq_jobs as jobs


def connect(s):
    return redis.Redis(port=s.port)


def work(s, *queues):
    return rq.SimpleWorker(queues, connection=connect(s)).work(burst=True, logging_level='CRITICAL')


@test('jobs, results, failures')
def _(s):
    q = rq.Queue('default', connection=connect(s))
    done, failed = [q.enqueue(jobs.add, n, 1) for n in range(20)], q.enqueue(jobs.broken)
    eq(len(q), 21)
    ok(work(s, q), 'it worked')
    eq([job.result for job in done], list(range(1, 21)))
    eq({job.get_status() for job in done}, {'finished'})
    ok(failed.is_failed and 'ValueError: broken' in failed.exc_info, f'{failed.exc_info}')
    eq(FailedJobRegistry(queue=q).get_job_ids(), [failed.id])
    eq(len(FinishedJobRegistry(queue=q)), 20)
    failed.requeue()
    eq(q.job_ids, [failed.id])
    q.empty()
    eq(q.is_empty(), True)


@test('retries, priorities of queues, dependencies')
def _(s):
    low, high = (rq.Queue(name, connection=connect(s)) for name in ('low', 'high'))
    first = low.enqueue(jobs.add, 1, 1)
    last = high.enqueue(jobs.add, 2, 2, depends_on=first)
    many = high.enqueue_many([rq.Queue.prepare_data(jobs.add, (n, n)) for n in range(5)])
    flaky = high.enqueue(jobs.flaky, 'a', 2, retry=rq.Retry(max=3))
    eq(DeferredJobRegistry(queue=high).get_job_ids(), [last.id])
    work(s, high, low)
    eq([job.result for job in (first, last, flaky, *many)], [2, 4, 3, 0, 2, 4, 6, 8])


@test('scheduled jobs')
def _(s):
    q = rq.Queue('default', connection=connect(s))
    job = q.enqueue_in(timedelta(milliseconds=1), jobs.add, 3, 4)
    later = q.enqueue_in(timedelta(hours=1), jobs.add, 5, 6)
    eq(len(ScheduledJobRegistry(queue=q)), 2)
    scheduler = RQScheduler([q], connection=connect(s))
    eq(scheduler.acquire_locks(), {'default'})
    eventually(lambda: scheduler.enqueue_scheduled_jobs() or q.job_ids == [job.id], 'it is not due')
    work(s, q)
    eq((job.result, later.get_status()), (7, 'scheduled'))
    scheduler.release_locks()


@test('a worker process waits, is served, seen, and shut down by a message')
def _(s):
    r, q = connect(s), rq.Queue('default', connection=connect(s))
    process = subprocess.Popen([sys.executable, '-m', 'rq.cli', 'worker', '--url', f'redis://127.0.0.1:{s.port}', '--name', 'patient',
                                '--quiet'], cwd=CLIENTS, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: [w.name for w in rq.Worker.all(connection=r)] == ['patient'], 'it does not register', 120)
        eventually(lambda: r.info('clients')['blocked_clients'] == 1, 'it does not wait')
        job, broken = q.enqueue(jobs.add, 20, 22), q.enqueue(jobs.broken)
        eventually(lambda: job.result == 42 and broken.is_failed, 'it is not served')
        eventually(lambda: r.pubsub_numsub('rq:pubsub:patient')[0][1] == 1, 'it does not listen')
        send_shutdown_command(r, 'patient')
        eq(process.wait(120), 0)
        eq(rq.Worker.all(connection=r), [])
    finally:
        process.kill()
        process.wait()


run(Server())
