"""A leaderboard: best scores, ranks, neighbours, a week's total."""


class Leaderboard:
    def __init__(self, r, name):
        self.r, self.name = r, name

    def submit(self, player, score):
        """Keeps the best. Whether it was one."""
        return bool(self.r.zadd(self.name, {player: score}, gt=True, ch=True))

    def add(self, player, points):
        return self.r.zincrby(self.name, points, player)

    def top(self, n):
        return self.r.zrevrange(self.name, 0, n - 1, withscores=True)

    def rank(self, player):
        """1 is the best; None if unknown."""
        rank = self.r.zrevrank(self.name, player)
        return None if rank is None else rank + 1

    def around(self, player, n):
        rank = self.r.zrevrank(self.name, player)
        return self.r.zrevrange(self.name, max(0, rank - n), rank + n, withscores=True)

    def merge(self, others, ttl):
        with self.r.pipeline(transaction=True) as pipe:
            pipe.zunionstore(self.name, [other.name for other in others], aggregate='SUM')
            pipe.expire(self.name, ttl)
            pipe.zcard(self.name)
            return pipe.execute()[2]

    def trim(self, keep):
        return self.r.zremrangebyrank(self.name, 0, -keep - 1)
