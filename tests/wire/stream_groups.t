#!/usr/bin/python3
"""Consumer groups against a naive model: random calls, every reply and the whole state of the groups compared, also after
kill -9, RDB reloads, checkpoints, copies, and with everything cold. KELVIN_SEED repeats a run."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Failure, IS_KELVIN, Server, eq, ok, run, seed, test

SEED = seed()
STEPS = 1500
STREAMS, GROUPS, CONSUMERS = (b's0', b's1'), (b'g', b'other'), (b'ann', b'bob', b'cyd')
LAST = (1 << 63, 0)


def parse(text):
    ms, seq = text.split(b'-')
    return int(ms), int(seq)


def spell(id_):
    return b'%d-%d' % id_


class Group:
    def __init__(self, last):
        self.last = last
        self.pending = {}  # id: [consumer, deliveries, when it was claimed with a TIME]
        self.consumers = set(CONSUMERS)

    def of(self, consumer):
        return sorted(id_ for id_, (owner, *_) in self.pending.items() if owner == consumer)


class Stream:
    """What a stream is, as simply as it can be said. Each method is one call, and returns its reply."""

    def __init__(self):
        self.entries, self.last, self.groups = {}, (0, 0), {}

    def between(self, low, high):
        return sorted(id_ for id_ in self.entries if low <= id_ <= high)

    def shown(self, id_):
        return [spell(id_), [b'f', self.entries[id_]]]

    def add(self, id_, value):
        self.entries[id_] = value
        self.last = id_
        return spell(id_)

    def delete(self, ids):
        return sum(self.entries.pop(id_, None) is not None for id_ in set(ids))

    def trim(self, n):
        gone = sorted(self.entries)[:max(0, len(self.entries) - n)]
        for id_ in gone:
            del self.entries[id_]
        return len(gone)

    def read_new(self, g, consumer, count, noack):
        group = self.groups[g]
        got = [id_ for id_ in self.between(group.last, LAST) if id_ > group.last][:count]
        for id_ in got:
            group.last = id_
            if not noack:
                group.pending[id_] = [consumer, 1, None]
        return [self.shown(id_) for id_ in got]

    def read_again(self, g, consumer, after, count):
        group = self.groups[g]
        reply = []
        for id_ in [id_ for id_ in group.of(consumer) if id_ > after][:count]:
            if id_ in self.entries:
                group.pending[id_] = [consumer, group.pending[id_][1] + 1, None]
                reply.append(self.shown(id_))
            else:
                reply.append([spell(id_), None])
        return reply

    def ack(self, g, ids):
        return sum(self.groups[g].pending.pop(id_, None) is not None for id_ in set(ids))

    def claim(self, g, consumer, ids, justid=False, force=False, deliveries=None, when=None, idle=False):
        """`idle`: only what was claimed with a TIME, which is long ago."""
        group, reply = self.groups[g], []
        for id_ in ids:
            if id_ not in self.entries:
                group.pending.pop(id_, None)
                continue
            if id_ not in group.pending:
                if not force:
                    continue
                group.pending[id_] = [consumer, 1, None]
            if idle and group.pending[id_][2] is None:
                continue
            times = deliveries if deliveries is not None else group.pending[id_][1] + (not justid)
            group.pending[id_] = [consumer, times, when]
            reply.append(spell(id_) if justid else self.shown(id_))
        return reply

    def autoclaim(self, g, consumer, start, count, justid):
        group, claimed, deleted = self.groups[g], [], []
        left = sorted(id_ for id_ in group.pending if id_ >= start)
        while left and len(claimed) + len(deleted) < count:
            id_ = left.pop(0)
            if id_ in self.entries:
                claimed += self.claim(g, consumer, [id_], justid)
            else:
                del group.pending[id_]
                deleted.append(spell(id_))
        return [spell(left[0]) if left else b'0-0', claimed, deleted]

    def delete_consumer(self, g, consumer):
        mine = self.groups[g].of(consumer)
        for id_ in mine:
            del self.groups[g].pending[id_]
        return len(mine)


class Play:
    """Random calls on the server and on the model."""

    def __init__(self, server, rng):
        self.server, self.rng = server, rng
        self.streams = {name: Stream() for name in STREAMS}
        self.next_ms, self.log = 1, []
        self.c = server.client()
        for name in STREAMS:
            for g in GROUPS:
                self.make_group(name, g, (0, 0))

    def call(self, *args):
        self.log = self.log[-30:] + [b' '.join(a if isinstance(a, bytes) else str(a).encode() for a in args)]
        return self.c.call(*args)

    def agree(self, want, *args):
        got = plain(self.call(*args))
        if got != want:
            raise Failure('\n'.join(line.decode(errors='replace') for line in self.log) + f'\n got: {got}\nwant: {want}')

    def make_group(self, name, g, last):
        self.streams[name].groups[g] = Group(last)
        self.agree(b'OK', 'XGROUP', 'CREATE', name, g, spell(last), 'MKSTREAM')
        for consumer in CONSUMERS:
            self.agree(1, 'XGROUP', 'CREATECONSUMER', name, g, consumer)

    def some_ids(self, stream, g):
        pool = list(stream.groups[g].pending) * 3 + list(stream.entries) + [(self.next_ms + 5, 0), (0, 1)]
        return [self.rng.choice(pool) for _ in range(self.rng.choice([1, 1, 2, 5]))]

    def any_position(self, stream):
        return self.rng.choice([(0, 0), (0, 0), stream.last, (self.rng.randint(1, self.next_ms), 0)])

    def step(self):
        rng, name, g, who = self.rng, self.rng.choice(STREAMS), self.rng.choice(GROUPS), self.rng.choice(CONSUMERS)
        stream, count = self.streams[name], self.rng.choice([1, 2, 3, 10])
        action = rng.choices(ACTIONS, WEIGHTS)[0]
        action(self, name, stream, g, who, count)

    def add(self, name, stream, g, who, count):
        for _ in range(count):
            self.next_ms += self.rng.randint(0, 2)
            ms, seq = stream.last
            id_ = (self.next_ms, seq + 1 if ms == self.next_ms else 0)
            value = b'v%d' % self.next_ms * self.rng.choice([1, 1, 1, 50])
            self.agree(stream.add(id_, value), 'XADD', name, spell(id_), 'f', value)

    def read(self, name, stream, g, who, count):
        noack = self.rng.random() < 0.1
        got = stream.read_new(g, who, count, noack)
        self.agree([[name, got]] if got else None, 'XREADGROUP', 'GROUP', g, who, 'COUNT', count, *(['NOACK'] if noack else []),
                   'STREAMS', name, '>')

    def read_both(self, name, stream, g, who, count):
        got = [[n, s.read_new(g, who, count, False)] for n, s in self.streams.items()]
        got = [part for part in got if part[1]]
        self.agree(got or None, 'XREADGROUP', 'GROUP', g, who, 'COUNT', count, 'STREAMS', *STREAMS, '>', '>')

    def reread(self, name, stream, g, who, count):
        after = self.any_position(stream)
        self.agree([[name, stream.read_again(g, who, after, count)]], 'XREADGROUP', 'GROUP', g, who, 'COUNT', count, 'STREAMS', name,
                   spell(after))

    def ack(self, name, stream, g, who, count):
        ids = self.some_ids(stream, g)
        self.agree(stream.ack(g, ids), 'XACK', name, g, *map(spell, ids))

    def delete(self, name, stream, g, who, count):
        ids = self.some_ids(stream, g)[:2]
        self.agree(stream.delete(ids), 'XDEL', name, *map(spell, ids))

    def trim(self, name, stream, g, who, count):
        keep = self.rng.choice([20, 50, 100])
        self.agree(stream.trim(keep), 'XTRIM', name, 'MAXLEN', keep)

    def claim(self, name, stream, g, who, count):
        ids = self.some_ids(stream, g)
        justid, force = self.rng.random() < 0.3, self.rng.random() < 0.2
        deliveries = self.rng.choice([None, None, 0, 7])
        when = self.rng.choice([None, None, 1000000000000 + self.rng.randint(0, 1 << 30)])
        words = (['JUSTID'] if justid else []) + (['FORCE'] if force else [])
        words += ['RETRYCOUNT', deliveries] if deliveries is not None else []
        words += ['TIME', when] if when else []
        self.agree(stream.claim(g, who, ids, justid, force, deliveries, when), 'XCLAIM', name, g, who, 0, *map(spell, ids), *words)

    def claim_idle(self, name, stream, g, who, count):
        ids = self.some_ids(stream, g)
        self.agree(stream.claim(g, who, ids, idle=True), 'XCLAIM', name, g, who, 3600000, *map(spell, ids))

    def autoclaim(self, name, stream, g, who, count):
        start, justid = self.any_position(stream), self.rng.random() < 0.3
        self.agree(stream.autoclaim(g, who, start, count, justid), 'XAUTOCLAIM', name, g, who, 0, spell(start), 'COUNT', count,
                   *(['JUSTID'] if justid else []))

    def delete_consumer(self, name, stream, g, who, count):
        self.agree(stream.delete_consumer(g, who), 'XGROUP', 'DELCONSUMER', name, g, who)
        self.agree(1, 'XGROUP', 'CREATECONSUMER', name, g, who)

    def set_position(self, name, stream, g, who, count):
        stream.groups[g].last = self.any_position(stream)
        self.agree(b'OK', 'XGROUP', 'SETID', name, g, spell(stream.groups[g].last))

    def renew_group(self, name, stream, g, who, count):
        self.agree(1, 'XGROUP', 'DESTROY', name, g)
        self.make_group(name, g, self.any_position(stream))

    def check(self):
        for name, stream in self.streams.items():
            self.agree([stream.shown(id_) for id_ in sorted(stream.entries)], 'XRANGE', name, '-', '+')
            for g, group in stream.groups.items():
                self.check_group(name, g, group)

    def check_group(self, name, g, group):
        ids = sorted(group.pending)
        counts = [[who, b'%d' % len(group.of(who))] for who in sorted(group.consumers) if group.of(who)]
        self.agree([len(ids), spell(ids[0]), spell(ids[-1]), counts] if ids else [0, None, None, None], 'XPENDING', name, g)
        before = time.time() * 1000
        listed = plain(self.call('XPENDING', name, g, '-', '+', 100000))
        after = time.time() * 1000
        eq([[id_, who, times] for id_, who, _, times in listed], [[spell(id_), *group.pending[id_][:2]] for id_ in ids], f'{name} {g}')
        for (_, _, idle, _), when in zip(listed, (group.pending[id_][2] for id_ in ids)):
            ok(before - 1 <= idle + when <= after + 1 if when else idle < 1e8, f'{name} {g}: idle for {idle}, claimed {when}')
        for who in CONSUMERS:
            listed = [p[0] for p in plain(self.call('XPENDING', name, g, '-', '+', 100000, who))]
            eq(listed, [spell(id_) for id_ in group.of(who)], f'{name} {g} {who}')
        infos = [dict(zip(i[::2], i[1::2])) for i in plain(self.call('XINFO', 'GROUPS', name))]
        info = next(i for i in infos if i[b'name'] == g)
        eq((info[b'pending'], info[b'consumers'], info[b'last-delivered-id']), (len(ids), 3, spell(group.last)))

    def kill(self):
        self.server.restart(kill=True)
        self.c = self.server.client()

    def stop(self):
        self.server.restart()
        self.c = self.server.client()

    def reload(self):
        self.agree(b'OK', 'DEBUG', 'RELOAD')

    def copy_and_back(self):
        for name in STREAMS:
            self.agree(1, 'COPY', name, b'copy')
            payload = self.call('DUMP', b'copy')
            self.agree(1, 'DEL', name)
            self.agree(b'OK', 'RESTORE', name, 0, payload)
            self.agree(1, 'DEL', b'copy')


def plain(reply):
    """Nils as None, the rest as it is."""
    if isinstance(reply, list):
        return [plain(part) for part in reply]
    return None if type(reply).__name__ == 'Nil' else reply


ACTIONS, WEIGHTS = zip((Play.add, 20), (Play.read, 18), (Play.read_both, 6), (Play.reread, 8), (Play.ack, 12), (Play.delete, 6),
                       (Play.trim, 1), (Play.claim, 10), (Play.claim_idle, 3), (Play.autoclaim, 10), (Play.delete_consumer, 2),
                       (Play.set_position, 2), (Play.renew_group, 1))


@test('random calls, and what becomes of the groups')
def _(s):
    play = Play(s, random.Random(SEED))
    # A Redis forgets in a restart how often entries were read again.
    upsets = [Play.kill if IS_KELVIN else Play.reload, Play.reload, Play.copy_and_back, Play.stop if IS_KELVIN else Play.reload] * 2
    for step in range(STEPS):
        play.step()
        if step % 50 == 49:
            play.check()
        if step % (STEPS // len(upsets)) == 100:
            upsets.pop(0)(play)
            play.check()
    play.check()


run(Server({'durability': 'everysec'}))
