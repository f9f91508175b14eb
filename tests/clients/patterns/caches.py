"""Caches: XFetch (early expiry by chance, against stampedes), cache-aside with versions, and one in the client's memory
that the server invalidates."""
import json
import math
import random
import threading
import time
import uuid

import redis


class XFetch:
    """Optimal probabilistic cache stampede prevention: the nearer the end and the dearer the value, the likelier one of
    the readers computes it anew before it expires."""

    def __init__(self, r, beta=1.0, uniform=random.random):
        self.r, self.beta, self.uniform = r, beta, uniform

    def get(self, key, ttl_ms, compute):
        with self.r.pipeline(transaction=True) as pipe:
            cached, left_ms = pipe.get(key).pttl(key).execute()
        if cached is not None:
            held = json.loads(cached)
            early = held['delta_ms'] * self.beta * -math.log(self.uniform() or 1e-300)
            if left_ms > 0 and early < left_ms:
                return held['value']
        begin = time.monotonic()
        value = compute()
        delta_ms = (time.monotonic() - begin) * 1000
        self.r.set(key, json.dumps({'value': value, 'delta_ms': delta_ms}), px=ttl_ms)
        return value


class OnceCache:
    """Cache-aside where one reader computes and the others wait for its message instead of asking the source too."""

    def __init__(self, r, lock_ms=5000):
        self.r, self.lock_ms = r, lock_ms

    def get(self, key, ttl, compute):
        while True:
            value = self.r.get(key)
            if value is not None:
                return value
            if self.r.set(f'{key}:computing', 1, nx=True, px=self.lock_ms):
                if not self.r.exists(key):  # else it came between question and lock
                    self.r.set(key, compute(), ex=ttl)
                with self.r.pipeline(transaction=True) as pipe:
                    pipe.delete(f'{key}:computing').publish(f'{key}:ready', 1).execute()
                return self.r.get(key)
            self._wait(key)

    def _wait(self, key):
        with self.r.pubsub(ignore_subscribe_messages=True) as p:
            p.subscribe(f'{key}:ready')
            p.get_message(timeout=1)  # the confirmation
            if self.r.exists(f'{key}:computing'):
                p.get_message(timeout=self.lock_ms / 1000)


class NearCache:
    """Values in this process's memory; the server tells on a second connection which keys are no longer true."""

    def __init__(self, options, prefixes=()):
        """`options` of redis.Redis; with `prefixes`, the server tells of every such key, read before or not."""
        self.local, self.lock = {}, threading.Lock()
        self.hits = self.invalidations = 0
        name = f'near-{uuid.uuid4().hex}'
        self.listener = redis.Redis(client_name=name, **options).pubsub()
        self.listener.subscribe(**{'__redis__:invalidate': self._invalidate})
        self.r = redis.Redis(single_connection_client=True, **options)
        listener_id = next(c['id'] for c in self.r.client_list() if c['name'] == name)
        bcast = ['BCAST'] + [word for prefix in prefixes for word in ('PREFIX', prefix)] if prefixes else []
        self.r.execute_command('CLIENT', 'TRACKING', 'ON', 'REDIRECT', listener_id, *bcast)
        self.thread = self.listener.run_in_thread(sleep_time=0.01, daemon=True)

    def _invalidate(self, message):
        with self.lock:
            self.invalidations += 1
            if message['data'] is None:
                self.local.clear()
            else:
                for key in message['data']:
                    self.local.pop(key, None)

    def get(self, key):
        with self.lock:
            if key in self.local:
                self.hits += 1
                return self.local[key]
        value = self.r.get(key)
        with self.lock:
            self.local[key] = value
        return value

    def close(self):
        self.thread.stop()
        self.thread.join()
        self.r.close()
