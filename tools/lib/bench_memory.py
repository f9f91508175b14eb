"""tools/bench memory: what a server spends beyond the data it is given.

Each row starts both servers afresh, one after the other, gives them a few elements and takes them away again (so that
buffers have their size), fills them and waits until they are idle. What the resident memory has grown by, less the
bytes of keys, members, fields and values themselves, is divided by the number of keys or elements. (A score of a sorted
set counts as 8 bytes of data.)
"""

import benchlib as b
import resp
import terminal as t

KEY_BYTES = 16  # of a string's key, and of a member, field, item
BATCH = 500
FIELDS = ("name", "email", "age", "city", "score")


def _number(prefix, i):
    return "%s:%0*d" % (prefix, KEY_BYTES - len(prefix) - 1, i)


class Row:
    """`goal`: bytes for Kelvin. `known`: what redis-server 7.0 is known to need. load(bench, server, count) fills;
    raw is the data of one key or element in bytes."""

    def __init__(self, name, kind, counts, raw, load, goal=None, needs=None):
        self.name, self.kind, self.counts, self.raw, self.load, self.goal, self.needs = (
            name, kind, counts, raw, load, goal, needs)


def strings(value_bytes):
    def load(bench, server, count):
        bench.drive(server, op="set", sequential=True, count=count, keys=count, value_bytes=value_bytes, pipeline=64,
                    connections=4)
    return load


def elements(verb, words):
    """One collection with so many elements."""
    def load(bench, server, count):
        with server.connect() as c:
            for at in range(0, count, BATCH):
                numbers = range(at, min(at + BATCH, count))
                c.call(verb, "big", *[word for i in numbers for word in words(i)])
    return load


def small_hashes(bench, server, count):
    with server.connect() as c:
        for at in range(0, count, BATCH):
            requests = []
            for i in range(at, min(at + BATCH, count)):
                pairs = [word for field, value in zip(FIELDS, _values(i)) for word in (field, value)]
                requests.append(resp.command("HSET", _number("user", i), *pairs))
            c.send(b"".join(requests))
            for _ in requests:
                c.reply()


def _values(i):
    return "user%06d" % (i % 10 ** 6), "u%05d@example" % (i % 10 ** 5), 20 + i % 50, "city%03d" % (i % 1000), i % 10000


_SMALL_HASH_RAW = KEY_BYTES + sum(len(f) for f in FIELDS) + sum(len(str(v)) for v in _values(123456))
_MILLION = (10 ** 6,)
ROWS = [Row("string, %d bytes" % n, "string", (10 ** 6, 10 ** 7), KEY_BYTES + n, strings(n), goal=40)
        for n in (8, 32, 100, 1000)]
ROWS += [
    Row("set member", "set", _MILLION, KEY_BYTES, elements("SADD", lambda i: (_number("member", i),)), 16, "sadd"),
    Row("sorted-set member", "zset", _MILLION, KEY_BYTES + 8,
        elements("ZADD", lambda i: (i * 7919 % 10 ** 6 + 0.5, _number("member", i))), 40, "zadd"),
    Row("hash field", "hash", _MILLION, 2 * KEY_BYTES,
        elements("HSET", lambda i: (_number("field", i), _number("value", i))), None, "hset"),
    Row("list item", "list", _MILLION, KEY_BYTES, elements("RPUSH", lambda i: (_number("item", i),)), None, "rpush"),
    Row("small hash", "hash", _MILLION, _SMALL_HASH_RAW, small_hashes, 44, "hset"),
]
PARITY = 1  # byte more than the other, that is
ROOM_FACTOR = 1.6  # a server's memory at most, in units of data + 100 bytes a key


def available_memory():
    with open("/proc/meminfo") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable"))


def resident(server):
    server.wait_idle(timeout=60)
    return server.memory()["VmRSS"]


def warm_up(bench, server, row):
    row.load(bench, server, 2000)
    server.call("FLUSHALL")
    with server.connect() as c:
        for _ in range(1000):
            c.call("ECHO", "x" * 10000)


def measure(bench, side, row, count):
    """Bytes beyond the data per key or element; None if the server does not have the command."""
    with b.running(side.server(subdirectory="%s-%d" % (row.name.replace(" ", "-").replace(",", ""), count))) as server:
        if row.needs and server.call("COMMAND", "INFO", row.needs)[0] is None:
            return None
        warm_up(bench, server, row)
        before = resident(server)
        row.load(bench, server, count)
        return (resident(server) - before) / count - row.raw


def print_row(row, count, figures, judged):
    if None in figures:
        print(t.dim("  %-20s skipped: one of the servers does not have it yet" % row.name), flush=True)
        return
    goal, what = (row.goal, "goal %d" % row.goal) if row.goal else (figures[1] + PARITY, "goal parity")
    verdict = "" if not judged else what + ("" if figures[0] <= goal else ": MISSED")
    print("  %-20s %11s %10.1f %10.1f %s   %s" % (row.name, t.count(count), figures[0], figures[1],
                                                 t.bold("%7.2f" % (figures[0] / figures[1])), verdict), flush=True)


def memory(bench):
    args = bench.args
    kinds = args.rows.split(",") if args.rows else [row.kind for row in ROWS]
    sides = b.sides_of(bench, maxmemory=b.parse_size(args.maxmemory or "0"), shards=1, io_backend=args.io_backend,
                       tier="off")
    b.announce(bench, sides, "resident bytes beyond the data, per key or element")
    judged, cells = [s.kind for s in sides] == ["kelvin", "redis"], []
    print(t.bold("  %-20s %11s %10s %10s %7s" % ("", "", sides[0].label, sides[1].label, "ratio")))
    for row in ROWS:
        for count in [args.keys] if args.keys else row.counts:
            if row.kind not in kinds:
                continue
            if count * (row.raw + 100) * ROOM_FACTOR > available_memory():
                print(t.dim("  %-20s %11s skipped: too much for this machine" % (row.name, t.count(count))))
                continue
            figures = [measure(bench, side, row, count) for side in sides]
            print_row(row, count, figures, judged)
            cells.append({"row": row.name, "count": count, "a": figures[0], "b": figures[1]})
    print()
    return sides, cells
