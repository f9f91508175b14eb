"""A work queue on a stream: a consumer group, retry by XAUTOCLAIM, a dead-letter stream for what fails too often."""
import redis


class WorkQueue:
    def __init__(self, r, name, group='workers', retry_after_ms=200, deliveries_max=3):
        self.r, self.name, self.group = r, name, group
        self.dead = f'{name}:dead'
        self.retry_after_ms, self.deliveries_max = retry_after_ms, deliveries_max
        try:
            r.xgroup_create(name, group, id='0', mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith('BUSYGROUP'):
                raise

    def publish(self, job):
        return self.r.xadd(self.name, job, maxlen=100000, approximate=True)

    def outstanding(self):
        return self.r.xpending(self.name, self.group)['pending']


class Worker:
    """Runs `handler` on every job. A job whose handler raises stays pending, until a worker claims it again."""

    def __init__(self, queue, name, handler):
        self.queue, self.name, self.handler = queue, name, handler
        self.r = queue.r

    def run(self, stop):
        self._work(self._read('0'))  # what this name had taken before it crashed
        while not stop.is_set():
            self._bury()
            self._work(self._claim())
            self._work(self._read('>', block=50))

    def _read(self, after, block=None):
        q = self.queue
        reply = self.r.xreadgroup(q.group, self.name, {q.name: after}, count=10, block=block)
        return [message for _, messages in reply for message in messages]

    def _claim(self):
        q, start, claimed = self.queue, '0-0', []
        while True:
            start, messages, *_ = self.r.xautoclaim(q.name, q.group, self.name, q.retry_after_ms, start, count=10)
            claimed += messages
            if start in (b'0-0', '0-0'):
                return claimed

    def _bury(self):
        """What was delivered too often goes to the dead letters, atomically and once."""
        q = self.queue
        stale = self.r.xpending_range(q.name, q.group, '-', '+', 100, idle=q.retry_after_ms)
        for id_ in (p['message_id'] for p in stale if p['times_delivered'] >= q.deliveries_max):
            if not self.r.xclaim(q.name, q.group, self.name, q.retry_after_ms, [id_], justid=True):
                continue  # another worker was faster
            for _, job in self.r.xrange(q.name, id_, id_):
                with self.r.pipeline(transaction=True) as pipe:
                    pipe.xadd(q.dead, {**job, 'origin': id_})
                    pipe.xack(q.name, q.group, id_)
                    pipe.execute()

    def _work(self, messages):
        for id_, job in messages:
            try:
                self.handler(id_, job)
            except Exception:
                continue
            with self.r.pipeline(transaction=True) as pipe:
                pipe.xack(self.queue.name, self.queue.group, id_)
                pipe.xdel(self.queue.name, id_)
                pipe.execute()
