"""Daily uniques: exactly with bitmaps, about with HyperLogLog; retention, first-time detection."""


class Visits:
    def __init__(self, r):
        self.r = r

    def visit(self, day, user_id):
        """Whether it is the user's first of the day."""
        with self.r.pipeline() as pipe:
            pipe.setbit(f'active:{day}', user_id, 1)
            pipe.pfadd(f'uniques:{day}', user_id)
            pipe.expire(f'active:{day}', 90 * 86400).expire(f'uniques:{day}', 90 * 86400)
            return pipe.execute()[0] == 0

    def exactly(self, day):
        return self.r.bitcount(f'active:{day}')

    def about(self, *days):
        return self.r.pfcount(*(f'uniques:{day}' for day in days))

    def retained(self, *days):
        """How many came on each of the days."""
        self.r.bitop('AND', 'active:all', *(f'active:{day}' for day in days))
        return self.r.bitcount('active:all')

    def any_of(self, *days):
        self.r.bitop('OR', 'active:any', *(f'active:{day}' for day in days))
        self.r.pfmerge('uniques:any', *(f'uniques:{day}' for day in days))
        return self.r.bitcount('active:any'), self.r.pfcount('uniques:any')
