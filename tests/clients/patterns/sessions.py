"""Sessions: a hash each, written through to the system of record, with a time to live that slides with every use."""
import secrets


class Sessions:
    def __init__(self, r, database, ttl_s=1800):
        self.r, self.database, self.ttl_s = r, database, ttl_s

    def create(self, user, **fields):
        sid = secrets.token_hex(16)
        self._write(sid, {'user': user, **fields})
        self.r.sadd(f'sessions-of:{user}', sid)
        return sid

    def _write(self, sid, fields):
        self.database.setdefault(sid, {}).update({k: str(v) for k, v in fields.items()})
        with self.r.pipeline(transaction=True) as pipe:
            pipe.hset(f'session:{sid}', mapping=fields).expire(f'session:{sid}', self.ttl_s).execute()

    def load(self, sid):
        """The session, its life begun anew; from the system of record if the hash is gone; None if there is none."""
        with self.r.pipeline(transaction=True) as pipe:
            fields, alive = pipe.hgetall(f'session:{sid}').expire(f'session:{sid}', self.ttl_s).execute()
        if alive:
            return fields
        if sid in self.database:
            self._write(sid, self.database[sid])
            return dict(self.database[sid])
        return None

    def update(self, sid, **fields):
        self._write(sid, fields)

    def visit(self, sid):
        with self.r.pipeline(transaction=True) as pipe:
            return pipe.hincrby(f'session:{sid}', 'visits').expire(f'session:{sid}', self.ttl_s).execute()[0]

    def end_all(self, user):
        """Logs a user out everywhere."""
        sids = self.r.smembers(f'sessions-of:{user}')
        with self.r.pipeline(transaction=True) as pipe:
            for sid in sids:
                self.database.pop(sid, None)
                pipe.unlink(f'session:{sid}')
            pipe.delete(f'sessions-of:{user}')
            pipe.execute()
        return len(sids)
