// Commands of one's own, for ioredis' `scripts` option: a sliding-window limiter, a lock, a capped list of what is recent.
'use strict';

module.exports = {
  slidingWindow: {
    numberOfKeys: 1,
    lua: `
      local clock = redis.call('TIME')
      local now = tonumber(clock[1]) * 1000 + math.floor(clock[2] / 1000)
      redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, now - ARGV[1])
      local count = redis.call('ZCARD', KEYS[1])
      if count < tonumber(ARGV[2]) then
        redis.call('ZADD', KEYS[1], now, ARGV[3])
        redis.call('PEXPIRE', KEYS[1], ARGV[1])
        return {1, ARGV[2] - count - 1}
      end
      return {0, 0}`,
  },
  releaseLock: {
    numberOfKeys: 1,
    lua: "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0",
  },
  remember: {
    numberOfKeys: 1,
    lua: `
      redis.call('LREM', KEYS[1], 0, ARGV[1])
      redis.call('LPUSH', KEYS[1], ARGV[1])
      redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
      return redis.call('LRANGE', KEYS[1], 0, -1)`,
  },
  setJson: {
    numberOfKeys: 1,
    lua: `
      local value = cjson.decode(redis.call('GET', KEYS[1]) or '{}')
      for name, new in pairs(cjson.decode(ARGV[1])) do value[name] = new end
      local text = cjson.encode(value)
      redis.call('SET', KEYS[1], text)
      return text`,
  },
};
