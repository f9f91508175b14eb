// BullMQ; prints TAP. usage: node apps_bullmq.js PORT
'use strict';

const assert = require('node:assert');
const { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } = require('bullmq');
const Redis = require('ioredis');
const { eventually, run, test } = require('./tap');

const connection = { host: '127.0.0.1', port: Number(process.argv[2]) };
const opened = [];
const open = (Class, ...args) => {
  const one = new Class(...args, ...(Class === FlowProducer ? [] : [{ connection }]));
  one.on('error', () => {});
  one.setMaxListeners(100);
  opened.push(one);
  return one;
};
const work = (name, handler, options) => {
  const worker = new Worker(name, handler, { connection, ...options });
  worker.on('error', () => {});
  opened.push(worker);
  return worker;
};

test('jobs, results, progress, events', async () => {
  const queue = open(Queue, 'mail');
  const events = open(QueueEvents, 'mail');
  await events.waitUntilReady();
  const progress = [];
  events.on('progress', ({ data }) => progress.push(data));
  work('mail', async (job) => {
    await job.updateProgress(50);
    return job.data.n * 2;
  }, { concurrency: 5 });
  const jobs = await queue.addBulk(Array.from({ length: 50 }, (_, n) => ({ name: 'send', data: { n } })));
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
  assert.deepStrictEqual(results, Array.from({ length: 50 }, (_, n) => 2 * n));
  await eventually(() => progress.length === 50, 'progress is missing');
  assert.deepStrictEqual(await queue.getJobCounts('completed', 'failed', 'active', 'wait'), { completed: 50, failed: 0, active: 0, wait: 0 });
});

test('retries with backoff, and what is beyond them', async () => {
  const queue = open(Queue, 'flaky');
  const events = open(QueueEvents, 'flaky');
  await events.waitUntilReady();
  work('flaky', async (job) => {
    if (job.name === 'never') throw new UnrecoverableError('never');
    if (job.attemptsMade < job.data.fails) throw new Error(`attempt ${job.attemptsMade + 1}`);
    return job.attemptsMade + 1;
  });
  const options = { attempts: 3, backoff: { type: 'exponential', delay: 20 } };
  const good = await queue.add('good', { fails: 2 }, options);
  const bad = await queue.add('bad', { fails: 9 }, options);
  const never = await queue.add('never', {}, options);
  assert.strictEqual(await good.waitUntilFinished(events), 3);
  await assert.rejects(bad.waitUntilFinished(events), /attempt 3/);
  await assert.rejects(never.waitUntilFinished(events), /never/);
  assert.deepStrictEqual((await queue.getFailed()).map((job) => job.name).sort(), ['bad', 'never']);
  await (await queue.getJob(bad.id)).remove();
  assert.strictEqual(await queue.getFailedCount(), 1);
});

test('delays, priorities, the same id once', async () => {
  const queue = open(Queue, 'order');
  const late = await queue.add('late', {}, { delay: 150 });
  for (const priority of [5, 1, 3]) await queue.add(`p${priority}`, {}, { priority });
  await queue.add('once', {}, { jobId: 'same' });
  await queue.add('twice', {}, { jobId: 'same' });
  assert.deepStrictEqual(await queue.getJobCounts('delayed', 'prioritized', 'wait'), { delayed: 1, prioritized: 3, wait: 1 });
  const order = [];
  work('order', async (job) => order.push(job.name));
  await eventually(() => order.length === 5, 'jobs are left');
  assert.deepStrictEqual(order.filter((name) => name !== 'late'), ['once', 'p1', 'p3', 'p5']);
  const { processedOn, timestamp } = await queue.getJob(late.id);
  assert.ok(processedOn - timestamp >= 150, `${processedOn - timestamp}`);
});

test('flows: a parent waits for its children', async () => {
  const flow = new FlowProducer({ connection });
  flow.on('error', () => {});
  opened.push(flow);
  const events = open(QueueEvents, 'sums');
  await events.waitUntilReady();
  work('sums', async (job) => Object.values(await job.getChildrenValues()).reduce((a, b) => a + b, 0));
  work('parts', async (job) => job.data.n);
  const { job } = await flow.add({
    name: 'sum', queueName: 'sums', data: {},
    children: [1, 2, 3, 4].map((n) => ({ name: 'part', queueName: 'parts', data: { n } })),
  });
  assert.strictEqual(await job.waitUntilFinished(events), 10);
});

test('a limited rate, pause and resume', async () => {
  const queue = open(Queue, 'slow');
  await queue.pause();
  await queue.addBulk(Array.from({ length: 6 }, (_, n) => ({ name: 'x', data: { n } })));
  const seen = [];
  work('slow', async (job) => seen.push(job.data.n), { limiter: { max: 3, duration: 100 } });
  assert.deepStrictEqual(await queue.getJobCounts('paused', 'active'), { paused: 6, active: 0 });
  await queue.resume();
  await eventually(() => seen.length === 6, 'jobs are left');
  assert.deepStrictEqual(seen, [0, 1, 2, 3, 4, 5]);
});

test('schedulers repeat, and are removed', async () => {
  const queue = open(Queue, 'cron');
  let n = 0;
  work('cron', async () => n++);
  await queue.upsertJobScheduler('tick', { every: 30 }, { name: 'tick' });
  await eventually(() => n >= 3, 'it does not repeat');
  assert.strictEqual((await queue.getJobSchedulers()).length, 1);
  assert.strictEqual(await queue.removeJobScheduler('tick'), true);
});

test('what a dead worker held is done by another', async () => {
  const queue = open(Queue, 'stalled');
  await queue.add('x', {});
  const stalled = { stalledInterval: 50, maxStalledCount: 1000 };
  const dead = work('stalled', () => new Promise(() => {}), { lockDuration: 100, skipLockRenewal: true, ...stalled });
  await eventually(async () => (await queue.getActiveCount()) === 1, 'it is not taken');
  await dead.close(true);
  const done = [];
  work('stalled', async (job) => done.push(job.name), stalled);
  await eventually(() => done.length === 1, 'nobody else takes it');
});

test('clean, drain, obliterate', async () => {
  const queue = open(Queue, 'old');
  await queue.addBulk(Array.from({ length: 20 }, (_, n) => ({ name: 'x', data: { n } })));
  work('old', async () => 1);
  await eventually(async () => (await queue.getCompletedCount()) === 20, 'jobs are left');
  assert.strictEqual((await queue.clean(0, 100, 'completed')).length, 20);
  await queue.add('later', {}, { delay: 100000 });
  await queue.drain(true);
  assert.strictEqual(await queue.count(), 0);
  await queue.obliterate({ force: true });
  assert.deepStrictEqual(await admin.keys('bull:old:*'), []);
});

const admin = new Redis(connection);
const closeAll = () => Promise.all(opened.splice(0).map((one) => one.close(true).catch(() => {})));
run(
  async () => {
    await closeAll();
    await admin.flushall();
  },
  async () => {
    await closeAll();
    admin.disconnect();
  },
);
