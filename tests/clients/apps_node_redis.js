// Applications on node-redis; prints TAP. usage: node apps_node_redis.js PORT
'use strict';

const assert = require('node:assert');
const { createClient, createClientPool, defineScript, BasicClientSideCache, WatchError } = require('redis');
const { eventually, run, test } = require('./tap');

const socket = { host: '127.0.0.1', port: Number(process.argv[2]) };
const opened = [];

async function connect(options, make = createClient) {
  const client = make({ socket, ...options });
  opened.push(client);
  client.on('error', () => {});
  await client.connect();
  return client;
}

test('a client-side cache that the server invalidates', async (writer) => {
  const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: 'LRU' });
  const reader = await connect({ RESP: 3, clientSideCache: cache });
  await writer.mSet({ a: '1', b: '2' });
  await writer.hSet('user', { name: 'Ada', city: 'London' });
  const readAll = async () => [await reader.get('a'), await reader.get('b'), { ...(await reader.hGetAll('user')) }];
  for (let i = 0; i < 10; i++) assert.deepStrictEqual(await readAll(), ['1', '2', { name: 'Ada', city: 'London' }]);
  const { hitCount, missCount } = cache.stats();
  assert.deepStrictEqual([hitCount, missCount], [27, 3]);
  await writer.set('a', 'new');
  await eventually(async () => (await reader.get('a')) === 'new', 'it was not told');
  await writer.hSet('user', 'city', 'Paris');
  await eventually(async () => (await reader.hGet('user', 'city')) === 'Paris', 'it was not told');
  await writer.multi().incr('n').del('b').exec();
  await eventually(async () => (await reader.get('b')) === null, 'it was not told');
  await writer.pExpire('a', 1);
  await eventually(async () => (await reader.get('a')) === null, 'it was not told of the expiry');
  await reader.set('mine', 'x');
  assert.strictEqual(await reader.get('mine'), 'x');
  await reader.set('mine', 'y');
  await eventually(async () => (await reader.get('mine')) === 'y', 'it was not told of its own write');
  assert.strictEqual(await reader.get('c'), null);
  await writer.flushAll();
  await eventually(async () => (await reader.get('mine')) === null, 'it was not told of the flush');
});

test('RESP3 maps, sets, doubles', async (writer) => {
  const client = await connect({ RESP: 3 });
  await client.zAdd('z', [{ value: 'a', score: 1.5 }, { value: 'b', score: Infinity }]);
  assert.deepStrictEqual(await client.zRangeWithScores('z', 0, -1), [{ value: 'a', score: 1.5 }, { value: 'b', score: Infinity }]);
  await client.sAdd('s', ['x', 'y']);
  assert.deepStrictEqual((await client.sMembers('s')).sort(), ['x', 'y']);
  assert.strictEqual(await client.zScore('z', 'a'), 1.5);
  await client.xAdd('stream', '1-1', { f: 'v' });
  const [{ name, messages }] = await writer.xRead({ key: 'stream', id: '0' });
  assert.deepStrictEqual([name, messages.map(({ id, message }) => [id, { ...message }])], ['stream', [['1-1', { f: 'v' }]]]);
});

test('scripts of one’s own', async () => {
  const client = await connect({
    scripts: {
      addAll: defineScript({
        NUMBER_OF_KEYS: 1,
        SCRIPT: "local n = 0 for _, v in ipairs(ARGV) do n = redis.call('INCRBY', KEYS[1], v) end return n",
        parseCommand(parser, key, ...numbers) {
          parser.pushKey(key);
          parser.push(...numbers.map(String));
        },
        transformReply: (reply) => Number(reply),
      }),
    },
  });
  assert.strictEqual(await client.addAll('sum', 1, 2, 3), 6);
  await client.scriptFlush();
  assert.strictEqual(await client.addAll('sum', 4), 10);
  const [sum, text] = await client.multi().addAll('sum', 1).get('sum').exec();
  assert.deepStrictEqual([sum, text], [11, '11']);
});

test('functions', async (client) => {
  const code = `#!lua name=shop
    redis.register_function('buy', function(keys, args)
      local left = tonumber(redis.call('GET', keys[1]) or 0)
      if left < tonumber(args[1]) then return redis.error_reply('SOLDOUT only ' .. left) end
      return redis.call('DECRBY', keys[1], args[1])
    end)
    redis.register_function{function_name = 'stock', flags = {'no-writes'}, callback = function(keys)
      return redis.call('GET', keys[1])
    end}`;
  assert.strictEqual(await client.functionLoad(code, { REPLACE: true }), 'shop');
  await client.set('book', '5');
  assert.strictEqual(await client.fCall('buy', { keys: ['book'], arguments: ['2'] }), 3);
  assert.strictEqual(await client.fCallRo('stock', { keys: ['book'] }), '3');
  await assert.rejects(client.fCall('buy', { keys: ['book'], arguments: ['9'] }), /SOLDOUT only 3/);
  await assert.rejects(client.fCallRo('buy', { keys: ['book'], arguments: ['1'] }), /Can not execute a script with write flag/);
  const [library] = await client.functionList();
  assert.deepStrictEqual(library.functions.map(({ name }) => name).sort(), ['buy', 'stock']);
  const dump = await client.withTypeMapping({ 36: Buffer }).functionDump();
  await client.functionFlush();
  await assert.rejects(client.fCall('buy', { keys: ['book'], arguments: ['1'] }), /Function not found/);
  await client.functionRestore(dump);
  assert.strictEqual(await client.fCall('buy', { keys: ['book'], arguments: ['1'] }), 2);
  await client.functionFlush();
});

test('channels, patterns, shard channels', async (publisher) => {
  for (const RESP of [2, 3]) {
    const sub = await connect({ RESP });
    const got = [];
    await sub.subscribe('news', (text, channel) => got.push([channel, text]));
    await sub.pSubscribe('n?ws', (text, channel) => got.push(['n?ws', channel, text]));
    await sub.sSubscribe('{a}shard', (text, channel) => got.push(['shard', channel, text]));
    assert.strictEqual(await publisher.publish('news', 'hello'), 2);
    assert.strictEqual(await publisher.sPublish('{a}shard', 'there'), 1);
    await eventually(() => got.length === 3, 'messages are missing');
    assert.deepStrictEqual(got, [['news', 'hello'], ['n?ws', 'news', 'hello'], ['shard', '{a}shard', 'there']]);
    assert.deepStrictEqual(await publisher.pubSubShardChannels(), ['{a}shard']);
    if (RESP === 3) assert.strictEqual(await sub.ping(), 'PONG');
    await sub.unsubscribe('news');
    await sub.pUnsubscribe('n?ws');
    await sub.sUnsubscribe('{a}shard');
    assert.strictEqual(await publisher.publish('news', 'hello'), 0);
    sub.destroy();
  }
});

test('optimistic transactions', async (client) => {
  const other = await connect();
  await client.watch('n');
  await other.set('n', '1');
  await assert.rejects(client.multi().set('n', '2').exec(), WatchError);
  assert.deepStrictEqual(await client.multi().incr('n').hSet('h', 'f', 'v').hGet('h', 'f').exec(), [2, 1, 'v']);
});

test('a pool whose members block', async (client) => {
  const pool = await connect({}, (options) => createClientPool(options, { minimum: 1, maximum: 5 }));
  const waiting = Array.from({ length: 4 }, () => pool.blPop('jobs', 90));
  await eventually(async () => /blocked_clients:4/.test(await client.info('clients')), 'they do not block');
  await client.rPush('jobs', ['1', '2', '3', '4']);
  const got = await Promise.all(waiting);
  assert.deepStrictEqual(got.map(({ element }) => element).sort(), ['1', '2', '3', '4']);
});

test('iterators over keys and members', async (client) => {
  await client.mSet(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`key:${i}`, 'v'])));
  const seen = new Set();
  for await (const keys of client.scanIterator({ MATCH: 'key:*', COUNT: 50 })) keys.forEach((key) => seen.add(key));
  assert.strictEqual(seen.size, 500);
  await client.sAdd('set', [...seen]);
  let n = 0;
  for await (const members of client.sScanIterator('set')) n += members.length;
  assert.ok(n >= 500);
});

let first;
run(
  async () => {
    opened.splice(1).forEach((one) => one.isOpen && one.destroy());
    first = first ?? (await connect());
    await first.flushAll();
    return first;
  },
  () => opened.forEach((one) => one.isOpen && one.destroy()),
);
