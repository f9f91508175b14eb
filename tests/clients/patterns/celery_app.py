"""Tasks of a Celery application; its broker and its result backend are the server that CELERY_TEST_URL names."""
import os

from celery import Celery

app = Celery('kelvin-test', broker=os.environ['CELERY_TEST_URL'] + '/0', backend=os.environ['CELERY_TEST_URL'] + '/1')
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, result_expires=3600, broker_connection_retry=False,
                task_queue_max_priority=10, broker_transport_options={'priority_steps': [0, 5, 9], 'sep': ':',
                                                                      'queue_order_strategy': 'priority'},
                worker_send_task_events=True, task_send_sent_event=True)


@app.task
def add(a, b):
    return a + b


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def flaky(self, fails):
    """Succeeds after so many failures; tells how often it was tried."""
    if self.request.retries < fails:
        raise self.retry(exc=RuntimeError('not yet'), countdown=0.05)
    return self.request.retries + 1


@app.task
def broken():
    raise ValueError('broken')


@app.task(bind=True)
def progress(self, steps):
    for step in range(steps):
        self.update_state(state='PROGRESS', meta={'step': step})
    return steps
