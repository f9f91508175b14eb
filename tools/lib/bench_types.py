"""tools/bench types: CPU time per operation of the commands on lists, hashes, sets, sorted sets and streams.

Each row is measured on small collections (as many as a tenth of --keys, of ten elements each) and on one of --keys
elements. What only reads runs for --seconds at random places. What adds or takes away runs --keys times, in order, and
is undone outside of the measured span, so that each round finds the same data; streams grow.
"""

import contextlib

import benchlib as b
import resp
import terminal as t

ELEMENTS = 10  # of a small collection
RATIO_MAX, RATIO_GOAL = 1.0, 0.5
BATCH = 500


class Row:
    """{small} stands for the number of a small collection, {big} for that of an element of the big one."""

    def __init__(self, name, group, expect, small, big, undo=None, undo_first=False):
        self.name, self.group, self.expect = name, group, expect
        self.commands = {"small": small, "big": big}
        self.undo = dict(zip(("small", "big"), undo)) if undo else None
        self.undo_first = undo_first  # what would take away needs something added before


_PUSH = "PUSH l:{small} item:{big}", "PUSH biglist item:{big}"
_POP = "POP l:{small}", "POP biglist"


def _ends(commands, end):
    return [end + c for c in commands]


ROWS = [
    Row("lpush", "list", ":", *_ends(_PUSH, "L"), undo=_ends(_POP, "L")),
    Row("rpush", "list", ":", *_ends(_PUSH, "R"), undo=_ends(_POP, "R")),
    Row("lpop", "list", "$", *_ends(_POP, "L"), undo=_ends(_PUSH, "L"), undo_first=True),
    Row("rpop", "list", "$", *_ends(_POP, "R"), undo=_ends(_PUSH, "R"), undo_first=True),
    Row("lrange", "list", "*", "LRANGE l:{small} 0 -1", None),
    Row("lrange_100", "list", "*", None, "LRANGE biglist 0 99"),
    Row("lindex", "list", "$", "LINDEX l:{small} {0-9}", "LINDEX biglist {middle}"),
    Row("hset", "hash", ":", "HSET h:{small} field:00000{0-9} value:{big}", "HSET bighash field:{big} value:{big}"),
    Row("hget", "hash", "$", "HGET h:{small} field:00000{0-9}", "HGET bighash field:{big}"),
    Row("hgetall", "hash", "*", "HGETALL h:{small}", None),
    Row("sadd", "set", ":", "SADD s:{small} new:{big}", "SADD bigset new:{big}",
        undo=("SREM s:{small} new:{big}", "SREM bigset new:{big}")),
    Row("sismember", "set", ":", "SISMEMBER s:{small} member:00000{0-9}", "SISMEMBER bigset member:{big}"),
    Row("sinter", "set", "*", "SINTER s:{small} s:{small}", "SINTER bigset hundred"),
    Row("zadd", "zset", ":", "ZADD z:{small} {0-9} member:00000{0-9}", "ZADD bigzset {big} member:{big}"),
    Row("zscore", "zset", "$", "ZSCORE z:{small} member:00000{0-9}", "ZSCORE bigzset member:{big}"),
    Row("zrank", "zset", ":", "ZRANK z:{small} member:00000{0-9}", "ZRANK bigzset member:{big}"),
    Row("zrange", "zset", "*", "ZRANGE z:{small} 0 -1", None),
    Row("zrange_100", "zset", "*", None, "ZRANGE bigzset {half} {half99}"),
    Row("zrangebyscore", "zset", "*", "ZRANGEBYSCORE z:{small} 2 7", "ZRANGEBYSCORE bigzset {middle} +inf LIMIT 0 100"),
    Row("xadd", "stream", "$", "XADD x:{small} MAXLEN ~ 10 * name value:{big}", "XADD bigstream * name value:{big}"),
    Row("xrange", "stream", "*", "XRANGE x:{small} - +", None),
    Row("xrange_100", "stream", "*", None, "XRANGE bigstream 1-{middle} + COUNT 100"),
    Row("xread_10", "stream", "*", None, "XREAD COUNT 10 STREAMS bigstream 1-{middle}"),
]
GROUPS = {"list": "lpush", "hash": "hset", "set": "sadd", "zset": "zadd", "stream": "xadd"}


# ---- data ----


def _words(group, numbers):
    """The arguments that put these elements into a collection."""
    if group == "list":
        return ["item:%06d" % i for i in numbers]
    if group == "set":
        return ["member:%06d" % i for i in numbers]
    pairs = (("field:%06d" % i, "value:%06d" % i) if group == "hash" else (i, "member:%06d" % i) for i in numbers)
    return [word for pair in pairs for word in pair]


_VERBS = {"list": "RPUSH", "hash": "HSET", "set": "SADD", "zset": "ZADD"}
_SMALL = {"list": "l", "hash": "h", "set": "s", "zset": "z"}


def _entries(name, numbers):
    return [resp.command("XADD", name, "1-%d" % i, "name", "value:%06d" % i) for i in numbers]


def load_streams(server, keys):
    width = len(str(keys // ELEMENTS - 1))
    with server.connect() as c:
        for at in range(0, keys // ELEMENTS, BATCH):
            names = ["x:%0*d" % (width, i) for i in range(at, min(at + BATCH, keys // ELEMENTS))]
            _send(c, [request for name in names for request in _entries(name, range(ELEMENTS))])
        for at in range(0, keys, BATCH):
            _send(c, _entries("bigstream", range(at, min(at + BATCH, keys))))


def load(server, group, keys):
    if group == "stream":
        return load_streams(server, keys)
    small = keys // ELEMENTS
    verb, words, width = _VERBS[group], _words(group, range(ELEMENTS)), len(str(small - 1))
    with server.connect() as c:
        for at in range(0, small, BATCH):
            names = ["%s:%0*d" % (_SMALL[group], width, i) for i in range(at, min(at + BATCH, small))]
            _send(c, [resp.command(verb, name, *words) for name in names])
        for at in range(0, keys, BATCH):
            _send(c, [resp.command(verb, "big" + group, *_words(group, range(at, min(at + BATCH, keys))))])
        if group == "set":
            _send(c, [resp.command(verb, "hundred", *_words(group, range(0, keys, max(1, keys // 100))))])


def _send(connection, requests):
    connection.send(b"".join(requests))
    for _ in requests:
        connection.reply()


def unknown_commands(server, rows):
    """Those of the rows' commands that the server does not have."""
    names = sorted({row.name.partition("_")[0] for row in rows})
    return {name for name, info in zip(names, server.call("COMMAND", "INFO", *names)) if info is None}


# ---- measuring ----


def command_of(template, keys):
    digits = len(str(keys - 1))
    for word, text in (("{small}", "{0-%d}" % (keys // ELEMENTS - 1)), ("{big}", "{0-%d}" % (keys - 1)),
                       ("{middle}", "{%d-%d}" % (10 ** (digits - 1), keys - 101)), ("{half}", str(keys // 2)),
                       ("{half99}", str(keys // 2 + 99))):
        template = template.replace(word, text)
    return template


def drive(bench, server, command, seed, expect="", **options):
    return bench.drive(server, command=command_of(command, bench.args.keys), pipeline=int(bench.args.pipelines),
                       connections=bench.args.clients, seed=seed, **({"expect": expect} if expect else {}), **options)


def measure_round(bench, server, row, size, seed):
    if row.undo is None:
        return drive(bench, server, row.commands[size], seed, row.expect, seconds=bench.args.seconds)
    once = {"sequential": True, "count": bench.args.keys}
    if row.undo_first:
        drive(bench, server, row.undo[size], seed, **once)
        b.wait_all_idle([server])
    result = drive(bench, server, row.commands[size], seed, row.expect, **once)
    if not row.undo_first:
        drive(bench, server, row.undo[size], seed, **once)
    return result


def measure_row(bench, group, row, size):
    """All rounds of one row: a Series for each server."""
    return b.interleaved(bench, group, lambda server, number: measure_round(bench, server, row, size, number))


HEADER = "  %-15s %-6s %12s %16s %12s %16s %8s %8s"
LINE = "  %-15s %-6s %12.0f %16s %12.0f %16s %s %8.2f%s"


def print_row(row, size, series, judged):
    spreads = ["%.0f – %.0f" % s.spread("cpu_ns") for s in series]
    cpu = b.ratio(series, "cpu_ns")
    verdict = "" if not judged or cpu <= RATIO_GOAL else "  above the goal" if cpu < RATIO_MAX else "  ABOVE THE LIMIT"
    print(LINE % (row.name, size, series[0].median("cpu_ns"), spreads[0], series[1].median("cpu_ns"), spreads[1],
                  t.bold("%8.2f" % cpu), b.ratio(series, "ops_per_second"), verdict), flush=True)


def chosen_rows(names):
    wanted = names.split(",") if names else [row.name for row in ROWS]
    unknown = [w for w in wanted if w not in GROUPS and w not in {row.name for row in ROWS}]
    if unknown:
        raise b.servers.ServerError("no such row: %s" % ", ".join(unknown))
    return [row for row in ROWS if row.name in wanted or row.group in wanted]


def types(bench):
    args = bench.args
    rows = chosen_rows(args.rows)
    sides = b.sides_of(bench, maxmemory=b.parse_size(args.maxmemory or b.HOT_MEMORY), shards=1,
                       io_backend=args.io_backend)
    b.announce(bench, sides, "server CPU per operation in ns, pipeline %s, %d clients, %s elements, %d rounds" % (
        args.pipelines, args.clients, t.count(args.keys), args.rounds))
    judged, cells = [s.kind for s in sides] == ["kelvin", "redis"], []
    with contextlib.ExitStack() as stack:
        group = [stack.enter_context(b.running(side.server())) for side in sides]
        missing = set.union(*[unknown_commands(server, rows) for server in group])
        print(t.bold(HEADER % ("", "", sides[0].label, "min – max", sides[1].label, "min – max", "ratio", "ops/s")))
        loaded = set()
        for row in rows:
            if row.name.partition("_")[0] in missing:
                print(t.dim("  %-15s skipped: one of the servers does not have it yet" % row.name), flush=True)
                continue
            if row.group not in loaded:
                for server in group:
                    load(server, row.group, args.keys)
                loaded.add(row.group)
            for size in ("small", "big"):
                if row.commands[size] is None:
                    continue
                series = measure_row(bench, group, row, size)
                print_row(row, size, series, judged)
                cells.append({"row": row.name, "size": size, "ratio": {f: b.ratio(series, f) for f in b.FIGURES},
                              "a": series[0].as_json(), "b": series[1].as_json()})
    if judged:
        print(t.dim("\n  goal: %.1f in every row; none above %.1f\n" % (RATIO_GOAL, RATIO_MAX)))
    return sides, cells
