"""Find nearby, and take one: drivers in a geo index, each hired by one rider only."""

_HIRE = '''
local found = redis.call('GEOSEARCH', KEYS[1], 'FROMLONLAT', ARGV[1], ARGV[2], 'BYRADIUS', ARGV[3], 'km', 'ASC', 'COUNT', 10)
for _, driver in ipairs(found) do
  if redis.call('SET', KEYS[2] .. driver, ARGV[4], 'NX', 'EX', 60) then
    redis.call('ZREM', KEYS[1], driver)
    return driver
  end
end
return false
'''


class Drivers:
    def __init__(self, r, city):
        self.r, self.key, self.locks = r, f'{{{city}}}:drivers', f'{{{city}}}:hired:'
        self._hire = r.register_script(_HIRE)

    def report(self, driver, lon, lat):
        self.r.geoadd(self.key, [lon, lat, driver])

    def near(self, lon, lat, km, n=10):
        return self.r.geosearch(self.key, longitude=lon, latitude=lat, radius=km, unit='km', sort='ASC', count=n,
                                withdist=True)

    def hire(self, rider, lon, lat, km):
        """The nearest free driver, who is now this rider's; None if there is none."""
        return self._hire(keys=[self.key, self.locks], args=[lon, lat, km, rider])

    def hire_optimistic(self, rider, lon, lat, km):
        """The same without a script: find, lock, and look elsewhere if another was faster."""
        for driver, _ in self.near(lon, lat, km):
            if self.r.set(self.locks + driver, rider, nx=True, ex=60):
                if self.r.zrem(self.key, driver):
                    return driver
                self.r.delete(self.locks + driver)
        return None
