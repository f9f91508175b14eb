"""A lock that only its holder can release, a fencing token beside it, and Redlock over several servers."""
import time
import uuid

import redis

_RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
_EXTEND = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) else return 0 end"


class Lock:
    def __init__(self, r, name, ttl_ms):
        self.r, self.name, self.ttl_ms = r, f'lock:{name}', ttl_ms
        self.token = uuid.uuid4().hex
        self._release, self._extend = r.register_script(_RELEASE), r.register_script(_EXTEND)

    def acquire(self):
        return bool(self.r.set(self.name, self.token, nx=True, px=self.ttl_ms))

    def release(self):
        return self._release(keys=[self.name], args=[self.token]) == 1

    def extend(self):
        return self._extend(keys=[self.name], args=[self.token, self.ttl_ms]) == 1


_FENCED = '''
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return redis.call('INCR', KEYS[2])
end
return false
'''


class FencedLock(Lock):
    """acquire() gives a number that grows with every holder, or None."""

    def acquire(self):
        return self.r.eval(_FENCED, 2, self.name, f'{self.name}:fence', self.token, self.ttl_ms)


class Redlock:
    """Held while a majority of independent servers says so; validity is what is left of the time to live."""

    DRIFT = 0.01

    def __init__(self, servers, name, ttl_ms):
        self.locks = [Lock(r, name, ttl_ms) for r in servers]
        self.quorum = len(servers) // 2 + 1
        self.ttl_ms = ttl_ms
        token = uuid.uuid4().hex
        for lock in self.locks:
            lock.token = token

    def acquire(self):
        """Milliseconds for which it is valid, or 0."""
        begin = time.monotonic()
        got = self._on_all(Lock.acquire)
        valid = self.ttl_ms - (time.monotonic() - begin) * 1000 - self.ttl_ms * self.DRIFT - 2
        if got >= self.quorum and valid > 0:
            return valid
        self.release()
        return 0

    def release(self):
        return self._on_all(Lock.release)

    def _on_all(self, action):
        return sum(self._try(action, lock) for lock in self.locks)

    @staticmethod
    def _try(action, lock):
        try:
            return action(lock)
        except (redis.ConnectionError, redis.TimeoutError):
            return False
