// Smoke test with ioredis; prints TAP. usage: node ioredis.js PORT
'use strict';

const assert = require('node:assert');
const Redis = require('ioredis');
const { run, test } = require('./tap');

const port = Number(process.argv[2]);
const connect = (options) => new Redis({ port, host: '127.0.0.1', retryStrategy: null, ...options });

test('strings and expiry', async (redis) => {
  assert.strictEqual(await redis.set('k', 'välue', 'EX', 1000), 'OK');
  assert.strictEqual(await redis.get('k'), 'välue');
  assert.ok((await redis.ttl('k')) > 990);
  assert.strictEqual(await redis.set('k', 'x', 'NX'), null);
  assert.deepStrictEqual(await redis.mset({ a: 1, b: 2 }), 'OK');
  assert.deepStrictEqual(await redis.mget('a', 'b', 'c'), ['1', '2', null]);
  const binary = Buffer.from([0, 255, 13, 10]);
  await redis.set('binary', binary);
  assert.deepStrictEqual(await redis.getBuffer('binary'), binary);
});

test('pipelines', async (redis) => {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 2000; i++) pipeline.set(`k${i}`, i).incr(`k${i}`);
  const replies = await pipeline.exec();
  assert.strictEqual(replies.length, 4000);
  replies.forEach(([error, value], i) => {
    assert.strictEqual(error, null);
    assert.strictEqual(value, i % 2 ? (i - 1) / 2 + 1 : 'OK');
  });
});

test('a thousand calls at once on one connection', async (redis) => {
  const replies = await Promise.all(Array.from({ length: 1000 }, (_, i) => redis.echo(`e${i}`)));
  replies.forEach((reply, i) => assert.strictEqual(reply, `e${i}`));
});

test('transactions', async (redis) => {
  const replies = await redis.multi().set('t', 1).incr('t').get('t').exec();
  assert.deepStrictEqual(replies, [[null, 'OK'], [null, 2], [null, '2']]);
  const other = connect();
  await redis.watch('t');
  await other.set('t', 'changed');
  assert.strictEqual(await redis.multi().set('t', 'mine').exec(), null);
  other.disconnect();
});

test('scan stream', async (redis) => {
  await redis.mset(...Array.from({ length: 1000 }, (_, i) => [`user:${i}`, i]).flat());
  const seen = new Set();
  for await (const keys of redis.scanStream({ match: 'user:*', count: 100 })) keys.forEach((key) => seen.add(key));
  assert.strictEqual(seen.size, 1000);
});

test('errors and info', async (redis) => {
  await redis.set('text', 'x');
  await assert.rejects(redis.incr('text'), /not an integer/);
  await assert.rejects(redis.call('NOSUCH'), /unknown command/);
  assert.match(await redis.info('server'), /redis_version:/);
});

test('databases and names', async () => {
  const redis = connect({ db: 2, connectionName: 'node' });
  await redis.set('in-two', 1);
  assert.strictEqual(await redis.client('GETNAME'), 'node');
  await redis.select(0);
  assert.strictEqual(await redis.get('in-two'), null);
  await redis.quit();
});

const redis = connect();
run(
  async () => {
    await redis.flushall();
    return redis;
  },
  () => redis.disconnect(),
);
