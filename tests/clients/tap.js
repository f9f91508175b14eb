// Tests of client libraries as functions, reported as TAP: what tests/lib/tap.py is for Python.
'use strict';

const tests = [];

/** Registers a test; run() calls it with what `fresh` gave it. */
const test = (name, body) => tests.push({ name, body });

/** Waits until `condition` is true. Generous: it bounds a hang, it does not time anything. */
async function eventually(condition, message, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${message} (waited ${seconds} s)`);
    await sleep(5);
  }
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The promise, or an error if it takes longer than so many seconds. */
function within(seconds, promise) {
  let timer;
  const hang = new Promise((_, reject) => (timer = setTimeout(reject, seconds * 1000, new Error(`hangs (waited ${seconds} s)`))));
  return Promise.race([promise, hang]).finally(() => clearTimeout(timer));
}

/** Runs all tests in order: body(await fresh()), and in the end done(). Sets the exit code. */
async function run(fresh, done) {
  let failed = 0;
  for (const [i, { name, body }] of tests.entries()) {
    try {
      await within(200, body(await fresh()));
      console.log(`ok ${i + 1} - ${name}`);
    } catch (error) {
      failed++;
      console.log(`not ok ${i + 1} - ${name}`);
      console.log(String(error.stack).replace(/^/gm, '# '));
    }
  }
  console.log(`1..${tests.length}`);
  await within(10, Promise.resolve(done())).catch(() => {});
  process.exit(failed ? 1 : 0);
}

/** attempt(ms) until it is true, with twice the lifetime each time: for what is right only if the machine is not too slow. */
async function inTime(attempt, message, ms) {
  for (; !(await attempt(ms)); ms *= 2) if (ms > 10000) throw new Error(`${message} after ${ms} ms`);
}

module.exports = { test, run, eventually, inTime, sleep };
