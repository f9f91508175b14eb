// A work queue on a stream: a consumer group, retry by XAUTOCLAIM, a dead-letter stream for what fails too often.
'use strict';

const fieldsOf = (flat) => Object.fromEntries(flat.flatMap((name, i) => (i % 2 ? [] : [[name, flat[i + 1]]])));

class StreamWorker {
  /** `redis` blocks: it is this worker's own. `handler(job, id)` may throw; the job is tried again then. */
  constructor(redis, { stream, group, name, handler, retryAfter = 100, deliveriesMax = 3 }) {
    Object.assign(this, { redis, stream, group, name, handler, retryAfter, deliveriesMax, stopped: false });
  }

  async run() {
    await this.redis.xgroup('CREATE', this.stream, this.group, '0', 'MKSTREAM').catch((error) => {
      if (!error.message.startsWith('BUSYGROUP')) throw error;
    });
    while (!this.stopped) {
      await this.work(await this.claim());
      await this.work(await this.read());
    }
  }

  async read() {
    const reply = await this.redis.xreadgroup('GROUP', this.group, this.name, 'COUNT', 5, 'BLOCK', 50, 'STREAMS', this.stream, '>');
    return reply ? reply[0][1] : [];
  }

  async claim() {
    const [, messages] = await this.redis.xautoclaim(this.stream, this.group, this.name, this.retryAfter, '0-0', 'COUNT', 5);
    if (!messages.length) return [];
    const ids = messages.map(([id]) => id);
    const pending = await this.redis.xpending(this.stream, this.group, ids[0], ids.at(-1), 100, this.name);
    const deliveries = new Map(pending.map(([id, , , times]) => [id, times]));
    const tired = messages.filter(([id]) => deliveries.get(id) > this.deliveriesMax);
    for (const [id, flat] of tired) {
      await this.redis.multi().xadd(`${this.stream}:dead`, '*', ...flat, 'origin', id).xack(this.stream, this.group, id).exec();
    }
    return messages.filter((message) => !tired.includes(message));
  }

  async work(messages) {
    for (const [id, flat] of messages) {
      try {
        await this.handler(fieldsOf(flat), id);
      } catch {
        continue;
      }
      await this.redis.xack(this.stream, this.group, id);
    }
  }
}

module.exports = { StreamWorker, fieldsOf };
