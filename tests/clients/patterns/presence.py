"""Who is online: a key with a short life for everybody, renewed by heartbeats; keyspace notifications tell who left."""
import threading


class Presence:
    def __init__(self, r, ttl_ms):
        self.r, self.ttl_ms = r, ttl_ms
        self.left, self.changed = [], threading.Condition()
        r.config_set('notify-keyspace-events', 'Ex')
        db = r.connection_pool.connection_kwargs.get('db', 0)
        self.events = r.pubsub(ignore_subscribe_messages=True)
        self.events.psubscribe(**{f'__keyevent@{db}__:expired': self._expired})
        self.events.get_message(timeout=5)
        self.thread = self.events.run_in_thread(sleep_time=0.01, daemon=True)

    def _expired(self, message):
        key = message['data']
        if key.startswith('presence:'):
            with self.changed:
                self.left.append(key.removeprefix('presence:'))
                self.changed.notify_all()

    def heartbeat(self, user):
        self.r.set(f'presence:{user}', 1, px=self.ttl_ms)

    def online(self):
        return {key.removeprefix('presence:') for key in self.r.scan_iter('presence:*', count=100)}

    def wait_until_left(self, users, timeout=60):
        with self.changed:
            return self.changed.wait_for(lambda: users <= set(self.left), timeout)

    def close(self):
        self.thread.stop()
        self.thread.join()
        self.events.close()
        self.r.config_set('notify-keyspace-events', '')
