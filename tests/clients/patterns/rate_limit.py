"""Rate limiters: sliding window in Lua and in MULTI, fixed window, token bucket in Lua."""
import time
import uuid

_SLIDING_WINDOW = '''
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local window_us = ARGV[1] * 1000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_us - window_us)
local used = redis.call('ZCARD', KEYS[1])
if used >= tonumber(ARGV[2]) then
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return {0, 0, math.ceil((oldest[2] + window_us - now_us) / 1000)}
end
redis.call('ZADD', KEYS[1], now_us, ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {1, ARGV[2] - used - 1, 0}
'''


class SlidingWindowLua:
    def __init__(self, r, limit, window_ms):
        self.script, self.limit, self.window_ms = r.register_script(_SLIDING_WINDOW), limit, window_ms

    def hit(self, who):
        """(allowed, remaining, milliseconds until the next may come)"""
        allowed, remaining, wait = self.script(keys=[f'rate:{who}'], args=[self.window_ms, self.limit, uuid.uuid4().hex])
        return allowed == 1, remaining, wait


class SlidingWindowMulti:
    """Counts refused hits too, as the published recipe does: it adds first and looks at the count afterwards."""

    def __init__(self, r, limit, window_s):
        self.r, self.limit, self.window_s = r, limit, window_s

    def hit(self, who):
        now, key = time.time(), f'window:{who}'
        with self.r.pipeline(transaction=True) as pipe:
            pipe.zremrangebyscore(key, 0, now - self.window_s)
            pipe.zadd(key, {uuid.uuid4().hex: now})
            pipe.zcard(key)
            pipe.expire(key, int(self.window_s) + 1)
            return pipe.execute()[2] <= self.limit


class FixedWindow:
    def __init__(self, r, limit, window_s):
        self.r, self.limit, self.window_s = r, limit, window_s

    def hit(self, who):
        with self.r.pipeline() as pipe:
            pipe.incr(f'fixed:{who}').expire(f'fixed:{who}', self.window_s, nx=True)
            return pipe.execute()[0] <= self.limit


_TOKEN_BUCKET = '''
local rate, capacity, now, asked = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(bucket[1]) or capacity
local at = tonumber(bucket[2]) or now
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)
local allowed = tokens >= asked
if allowed then tokens = tokens - asked end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], math.ceil(capacity / rate) * 2)
return {allowed and 1 or 0, tostring(tokens)}
'''


class TokenBucket:
    """`rate` tokens a second, up to `capacity`; the caller brings the time."""

    def __init__(self, r, rate, capacity):
        self.script, self.rate, self.capacity = r.register_script(_TOKEN_BUCKET), rate, capacity

    def take(self, who, now, tokens=1):
        allowed, left = self.script(keys=[f'bucket:{who}'], args=[self.rate, self.capacity, repr(now), tokens])
        return bool(allowed), float(left)
