// Applications on ioredis; prints TAP. usage: node apps_ioredis.js PORT
'use strict';

const assert = require('node:assert');
const { randomUUID } = require('node:crypto');
const { once } = require('node:events');
const Redis = require('ioredis');
const scripts = require('./patterns/scripts');
const { StreamWorker, fieldsOf } = require('./patterns/stream_worker');
const { eventually, inTime, run, sleep, test } = require('./tap');

const port = Number(process.argv[2]);
const opened = [];
const connect = (options) => {
  const redis = new Redis({ port, host: '127.0.0.1', scripts, ...options });
  opened.push(redis);
  return redis;
};

test('consumer group: retry, claim from the dead, dead letters', (redis) =>
  inTime((ms) => consume(redis, ms), 'jobs are taken from workers that are only slow', 100));

/** Whether every job was done once; one that is not done after so many milliseconds is given to another worker. */
async function consume(redis, retryAfter) {
  await redis.del('jobs', 'jobs:dead');
  for (let n = 0; n < 60; n++) {
    await redis.xadd('jobs', 'MAXLEN', '~', 1000, '*', 'n', n, 'kind', n % 20 === 7 ? 'poison' : n % 10 === 3 ? 'flaky' : 'good');
  }
  await redis.xgroup('CREATE', 'jobs', 'workers', '0');
  const taken = await redis.xreadgroup('GROUP', 'workers', 'dead', 'COUNT', 10, 'STREAMS', 'jobs', '>');
  assert.strictEqual(taken[0][1].length, 10);
  const tries = {};
  const done = [];
  const handler = async ({ n, kind }) => {
    tries[n] = (tries[n] ?? 0) + 1;
    if (kind === 'poison' || (kind === 'flaky' && tries[n] === 1)) throw new Error(kind);
    done.push(Number(n));
  };
  const workers = [1, 2, 3].map((i) => new StreamWorker(connect(), { stream: 'jobs', group: 'workers', name: `w${i}`, handler, retryAfter }));
  const running = workers.map((worker) => worker.run());
  await eventually(async () => (await redis.xpending('jobs', 'workers'))[0] === 0 &&
    new Set(done).size + (await redis.xlen('jobs:dead')) >= 60, 'jobs are left');
  workers.forEach((worker) => (worker.stopped = true));
  await Promise.all(running);
  const dead = (await redis.xrange('jobs:dead', '-', '+')).map(([, flat]) => fieldsOf(flat));
  if (done.length !== new Set(done).size || dead.some(({ kind }) => kind !== 'poison')) return false;
  assert.strictEqual(done.length, 57);
  assert.ok(![7, 27, 47].some((n) => done.includes(n)));
  assert.deepStrictEqual([...new Set(dead.map(({ n }) => Number(n)))].sort((a, b) => a - b), [7, 27, 47]);
  return true;
}

test('sliding-window limiter as a command of one’s own', async (redis) => {
  const hits = await Promise.all(Array.from({ length: 50 }, () => redis.slidingWindow('rate:ada', 60000, 20, randomUUID())));
  assert.strictEqual(hits.filter(([allowed]) => allowed).length, 20);
  await redis.script('FLUSH');
  assert.deepStrictEqual(await redis.slidingWindow('rate:bob', 60000, 20, 'x'), [1, 19]);
  const replies = await redis.pipeline().slidingWindow('rate:bob', 60000, 20, 'y').remember('recent', 'a', 2).exec();
  assert.deepStrictEqual(replies, [[null, [1, 18]], [null, ['a']]]);
  assert.deepStrictEqual(await redis.multi().remember('recent', 'b', 2).remember('recent', 'c', 2).exec(),
    [[null, ['b', 'a']], [null, ['c', 'b']]]);
});

test('lock with a token', async (redis) => {
  const lock = (token) => redis.set('lock:door', token, 'PX', 60000, 'NX');
  assert.deepStrictEqual(await Promise.all(['a', 'b', 'c'].map(lock)), ['OK', null, null]);
  assert.strictEqual(await redis.releaseLock('lock:door', 'b'), 0);
  assert.strictEqual(await redis.releaseLock('lock:door', 'a'), 1);
  assert.strictEqual(await lock('b'), 'OK');
});

test('JSON documents merged in Lua', async (redis) => {
  await redis.setJson('doc', JSON.stringify({ name: 'Ada', tags: ['x', 'y'], n: 1 }));
  const text = await redis.setJson('doc', JSON.stringify({ n: 2.5, more: { deep: true } }));
  assert.deepStrictEqual(JSON.parse(text), { name: 'Ada', tags: ['x', 'y'], n: 2.5, more: { deep: true } });
});

test('auto-pipelining', async () => {
  const redis = connect({ enableAutoPipelining: true });
  await Promise.all(Array.from({ length: 500 }, (_, i) => redis.set(`k${i}`, i)));
  const values = await Promise.all(Array.from({ length: 500 }, (_, i) => redis.get(`k${i}`)));
  assert.deepStrictEqual(values, values.map((_, i) => String(i)));
  await redis.lpush('list', 'x');
  const mixed = await Promise.allSettled([redis.incr('k1'), redis.incr('list'), redis.get('k1')]);
  assert.deepStrictEqual(mixed.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
});

test('scan streams of every type', async (redis) => {
  const n = 700;
  const names = Array.from({ length: n }, (_, i) => `m${i}`);
  await redis.pipeline().sadd('set', ...names).hset('hash', Object.fromEntries(names.map((m) => [m, 1])))
    .zadd('zset', ...names.flatMap((m, i) => [i, m])).exec();
  for (const [stream, width] of [[redis.sscanStream('set', { count: 50 }), 1], [redis.hscanStream('hash'), 2], [redis.zscanStream('zset', { match: 'm*' }), 2]]) {
    const seen = new Set();
    for await (const page of stream) page.filter((_, i) => i % width === 0).forEach((m) => seen.add(m));
    assert.strictEqual(seen.size, n);
  }
});

test('a publisher and subscribers, patterns too', async (redis) => {
  const sub = connect();
  const got = [];
  sub.on('message', (channel, text) => got.push([channel, text]));
  sub.on('pmessage', (pattern, channel, text) => got.push([pattern, channel, text]));
  assert.strictEqual(await sub.subscribe('news', 'sport'), 2);
  assert.strictEqual(await sub.psubscribe('n*'), 3);
  assert.strictEqual(await redis.publish('news', 'one'), 2);
  assert.strictEqual(await redis.publish('sport', 'two'), 1);
  assert.strictEqual(await redis.publish('nobody', 'three'), 1);
  await eventually(() => got.length === 4, 'messages are missing');
  assert.deepStrictEqual(got, [['news', 'one'], ['n*', 'news', 'one'], ['sport', 'two'], ['n*', 'nobody', 'three']]);
  assert.deepStrictEqual(await redis.pubsub('NUMSUB', 'news', 'sport'), ['news', 1, 'sport', 1]);
  await sub.unsubscribe('news');
  assert.strictEqual(await redis.publish('sport', 'last'), 1);
  await eventually(() => got.length === 5, 'messages are missing');
});

test('a killed subscriber comes back and subscribes again', async (redis) => {
  const sub = connect({ connectionName: 'listener', retryStrategy: () => 5 });
  const got = [];
  sub.on('message', (channel, text) => got.push(text));
  await sub.subscribe('news');
  await sub.psubscribe('x*');
  const [, id] = (await redis.client('LIST')).match(/id=(\d+) .*name=listener/);
  const again = once(sub, 'ready');
  assert.strictEqual(await redis.client('KILL', 'ID', id), 1);
  await again;
  await eventually(async () => (await redis.pubsub('NUMSUB', 'news'))[1] === 1 && (await redis.pubsub('NUMPAT')) === 1, 'it is not back');
  await redis.publish('news', 'after');
  await eventually(() => got.length === 1, 'messages are missing');
});

test('a blocked consumer that is killed blocks again', async (redis) => {
  const worker = connect({ connectionName: 'blocked', retryStrategy: () => 5, maxRetriesPerRequest: null });
  const job = worker.blpop('queue', 'other', 0);
  let id;
  await eventually(async () => {
    [, id] = (await redis.client('LIST')).match(/id=(\d+) .*name=blocked .*cmd=blpop/) ?? [];
    return id;
  }, 'it does not block');
  await redis.client('KILL', 'ID', id);
  await sleep(10);
  await redis.rpush('other', 'job');
  assert.deepStrictEqual(await job, ['other', 'job']);
});

test('keyspace notifications', async (redis) => {
  await redis.config('SET', 'notify-keyspace-events', 'KEA');
  const sub = connect();
  const got = [];
  sub.on('pmessage', (pattern, channel, text) => got.push([channel.replace(/@.*__:/, ' '), text]));
  await sub.psubscribe('__key*@0__:*');
  await redis.set('a', 1, 'PX', 1);
  await redis.hset('h', 'f', 1);
  await redis.rename('h', 'i');
  const last = ['expired', 'rename_to'].map((event) => `__keyevent ${event}`);
  await eventually(() => last.every((event) => got.some(([channel]) => channel === event)), 'no expiry was told');
  await redis.config('SET', 'notify-keyspace-events', '');
  const of = (key) => got.filter(([channel]) => channel === `__keyspace ${key}`).map(([, text]) => text);
  assert.deepStrictEqual([of('a'), of('h'), of('i')], [['set', 'expire', 'expired'], ['hset', 'rename_from'], ['rename_to']]);
  assert.deepStrictEqual(got.filter(([channel]) => channel === '__keyevent hset'), [['__keyevent hset', 'h']]);
});

test('monitor', async (redis) => {
  const monitor = await redis.monitor();
  const seen = [];
  monitor.on('monitor', (time, args) => seen.push(args));
  await redis.set('watched', 'välue "x"');
  await eventually(() => seen.some(([name]) => name.toLowerCase() === 'set'), 'it does not see');
  assert.deepStrictEqual(seen.find(([name]) => name.toLowerCase() === 'set').slice(1)[0], 'watched');
  monitor.disconnect();
});

const redis = connect();
run(
  async () => {
    opened.splice(1).forEach((one) => one.disconnect());
    await redis.flushall();
    return redis;
  },
  () => opened.forEach((one) => one.disconnect()),
);
