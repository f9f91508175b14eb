"""Queues without streams: a reliable one with BLMOVE, one with delays on a sorted set, and priorities with BZPOPMIN."""
import json
import time


class ReliableQueue:
    """A job stands in its worker's own list until it is done; what a dead worker leaves behind goes back."""

    def __init__(self, r, name):
        self.r, self.name = r, name

    def put(self, *jobs):
        return self.r.lpush(self.name, *jobs)

    def _held(self, worker):
        return f'{self.name}:held:{worker}'

    def take(self, worker, timeout=1):
        return self.r.blmove(self.name, self._held(worker), timeout, 'RIGHT', 'LEFT')

    def done(self, worker, job):
        return self.r.lrem(self._held(worker), 1, job) == 1

    def recover(self, worker):
        n = 0
        while self.r.lmove(self._held(worker), self.name, 'LEFT', 'RIGHT') is not None:
            n += 1
        return n


_TAKE_DUE = '''
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #due > 0 then
  redis.call('ZREM', KEYS[1], unpack(due))
  redis.call('RPUSH', KEYS[2], unpack(due))
end
return #due
'''


class DelayedQueue:
    def __init__(self, r, name):
        self.r, self.later, self.ready = r, f'{{{name}}}:later', f'{{{name}}}:ready'
        self._take_due = r.register_script(_TAKE_DUE)

    def put(self, job, at):
        self.r.zadd(self.later, {json.dumps(job): at})

    def promote(self, now, n=100):
        return self._take_due(keys=[self.later, self.ready], args=[now, n])

    def take(self, timeout=1):
        got = self.r.blpop([self.ready], timeout)
        return None if got is None else json.loads(got[1])


class PriorityQueue:
    def __init__(self, r, name):
        self.r, self.name = r, name

    def put(self, job, priority):
        return self.r.zadd(self.name, {job: priority})

    def take(self, timeout=1):
        got = self.r.bzpopmin(self.name, timeout)
        return None if got is None else got[1]


class Inventory:
    """Reservation under WATCH: read, decide, write if nobody has written in between."""

    def __init__(self, r):
        self.r = r

    def reserve(self, item, n, who):
        def attempt(pipe):
            left = int(pipe.get(f'stock:{item}') or 0)
            pipe.multi()
            if left >= n:
                pipe.decrby(f'stock:{item}', n)
                pipe.hincrby(f'reserved:{item}', who, n)
            attempt.granted = left >= n

        self.r.transaction(attempt, f'stock:{item}')
        return attempt.granted


class IdempotentRequests:
    """The first of several equal requests does the work; the others get its answer."""

    def __init__(self, r, ttl=3600):
        self.r, self.ttl = r, ttl

    def run(self, request_id, work, patience=60):
        key = f'request:{request_id}'
        if self.r.set(key, 'pending', nx=True, ex=self.ttl):
            answer = work()
            self.r.set(key, f'done:{answer}', keepttl=True)
            return answer
        end = time.monotonic() + patience
        while time.monotonic() < end:
            held = self.r.get(key)
            if held.startswith('done:'):
                return held.removeprefix('done:')
            time.sleep(0.005)
        raise TimeoutError(request_id)
