"""tools/bench patterns: CPU time per operation of what applications are built of: streams with consumer groups,
transactions, scripts.

An operation is a whole request: XREADGROUP and XACK of one entry, MULTI to EXEC. Rows that change their data for good
are run --keys times, in order, and prepared anew outside of the measured span.
"""

import contextlib
import hashlib

import bench_types as types
import benchlib as b
import resp
import terminal as t

IN_FLIGHT = 2000  # entries between the one that is delivered and the one that is acknowledged
SMALL = 10  # hits of each key of the limiter
LIMIT = 8

LIMITER = """
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_us - ARGV[1] * 1000)
local used = redis.call('ZCARD', KEYS[1])
if used >= tonumber(ARGV[2]) then return {0, 0} end
redis.call('ZADD', KEYS[1], now_us, ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return {1, ARGV[2] - used - 1}
"""
SHA = hashlib.sha1(LIMITER.encode()).hexdigest()


class Row:
    """`load` runs once, `prepare` before each round (both get a connection and the number of keys); `once`
    is how often it can be run then, 0 for as long as --seconds."""

    def __init__(self, name, expect, command, load=None, prepare=None, once=0):
        self.name, self.expect, self.command = name, expect, command
        self.load, self.prepare, self.once = load, prepare, once


def _pipelined(c, requests, batch=2000):
    for at in range(0, len(requests), batch):
        c.send(b"".join(requests[at:at + batch]))
        for _ in requests[at:at + batch]:
            c.reply()


def load_queue(c, keys):
    _pipelined(c, [resp.command("XADD", "queue", "1-%d" % (keys + i), "job", "%012d" % i) for i in range(keys)])


def new_group(c, keys):
    """A group that has delivered the first entries, so that what is acknowledged has been delivered."""
    c.call("XGROUP", "DESTROY", "queue", "workers")
    c.call("XGROUP", "CREATE", "queue", "workers", "0")
    c.call("XREADGROUP", "GROUP", "workers", "w", "COUNT", IN_FLIGHT, "STREAMS", "queue", ">")


def delete(*names):
    def prepare(c, keys):
        c.call("DEL", *names)
    return prepare


def load_strings(c, keys):
    _pipelined(c, [resp.command("SET", "key:%06d" % i, "value:%010d" % i) for i in range(keys)])


def new_limits(c, keys):
    c.call("SCRIPT", "LOAD", LIMITER)
    _pipelined(c, [resp.command("DEL", "rate:%0*d" % (len(str(keys // SMALL - 1)), i)) for i in range(keys // SMALL)])


def multi(commands):
    return "MULTI ; " + " ; ".join(commands) + " ; EXEC"


def rows(keys):
    """In {small} stands one of a tenth of the keys, in {big} one of all."""
    acked = "{%d-%d}" % (keys, 2 * keys - IN_FLIGHT - 1)  # ids without leading zeros
    return [
        Row("xadd", "$", "XADD log * job {big}", prepare=delete("log"), once=keys),
        Row("xadd_maxlen", "$", "XADD log MAXLEN ~ 1000 * job {big}", prepare=delete("log"), once=keys),
        Row("xreadgroup+xack", "*:", "XREADGROUP GROUP workers w COUNT 1 STREAMS queue > ; XACK queue workers 1-" + acked,
            load_queue, new_group, once=keys - IN_FLIGHT),
        Row("limiter_evalsha", "*", "EVALSHA %s 1 rate:{small} 60000 %d {big}" % (SHA, LIMIT), prepare=new_limits, once=keys),
        Row("multi_10_set", "+" * 11 + "*", multi(["SET key:{big} value:{big}"] * 10), load_strings),
        Row("multi_10_incr", "+" * 11 + "*", multi(["INCR n:{small}"] * 10)),
    ]


def measure_round(bench, server, row, seed):
    if row.prepare:
        with server.connect() as c:
            row.prepare(c, bench.args.keys)
        b.wait_all_idle([server])
    how_long = {"sequential": True, "count": row.once} if row.once else {"seconds": bench.args.seconds}
    return types.drive(bench, server, row.command, seed, row.expect, **how_long)


def measure_row(bench, group, row):
    """All rounds of one row: a Series for each server."""
    for server in group:
        with server.connect() as c:
            c.call("FLUSHALL")
            if row.load:
                row.load(c, bench.args.keys)
    return b.interleaved(bench, group, lambda server, number: measure_round(bench, server, row, number))


def chosen_rows(bench):
    all_rows = rows(bench.args.keys)
    wanted = bench.args.rows.split(",") if bench.args.rows else [row.name for row in all_rows]
    unknown = set(wanted) - {row.name for row in all_rows}
    if unknown:
        raise b.servers.ServerError("no such row: %s" % ", ".join(sorted(unknown)))
    return [row for row in all_rows if row.name in wanted]


def patterns(bench):
    args, chosen = bench.args, chosen_rows(bench)
    sides = b.sides_of(bench, maxmemory=b.parse_size(args.maxmemory or b.HOT_MEMORY), shards=1,
                       io_backend=args.io_backend)
    b.announce(bench, sides, "server CPU per operation in ns, pipeline %s, %d clients, %s keys, %d rounds" % (
        args.pipelines, args.clients, t.count(args.keys), args.rounds))
    judged, cells = [s.kind for s in sides] == ["kelvin", "redis"], []
    with contextlib.ExitStack() as stack:
        group = [stack.enter_context(b.running(side.server())) for side in sides]
        print(t.bold(types.HEADER % ("", "", sides[0].label, "min – max", sides[1].label, "min – max", "ratio", "ops/s")))
        for row in chosen:
            series = measure_row(bench, group, row)
            types.print_row(row, "", series, judged)
            cells.append({"row": row.name, "ratio": {f: b.ratio(series, f) for f in b.FIGURES},
                          "a": series[0].as_json(), "b": series[1].as_json()})
    if judged:
        print(t.dim("\n  goal: %.1f in every row; none above %.1f\n" % (types.RATIO_GOAL, types.RATIO_MAX)))
    return sides, cells
