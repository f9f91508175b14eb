"""tools/bench pubsub: CPU time per PUBLISH to one, ten and a thousand subscribers of a channel.

The subscribers are connections of a process of their own, which only reads (this file, run as a program). To a thousand
a single client publishes, one message after the other; to fewer, as many clients and as deep a pipeline as anywhere.
"""

import collections
import contextlib
import os
import resource
import select
import socket
import subprocess
import sys

import bench_types as types
import benchlib as b
import resp
import terminal as t

FEW = 10  # subscribers up to whom pipelines are used
Row = collections.namedtuple("Row", "name subscribers")
ROWS = [Row("publish_%d" % n, n) for n in (1, 10, 1000)]


def listen(port, count):
    """Subscribes so many connections, says so, and reads until it is killed."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    poll, sockets, into = select.epoll(), {}, bytearray(1 << 20)
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", port))
        s.sendall(resp.command("SUBSCRIBE", "news"))
        while not s.recv(4096).endswith(b":1\r\n"):
            pass
        s.setblocking(False)
        sockets[s.fileno()] = s
        poll.register(s, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            if sockets[fd].recv_into(into) == 0:
                sys.exit("a subscriber was cut")


@contextlib.contextmanager
def subscribers(server, count):
    pin = None if b.LOAD_CORE is None else lambda: os.sched_setaffinity(0, {b.LOAD_CORE})
    child = subprocess.Popen([sys.executable, __file__, str(server.port), str(count)], stdout=subprocess.PIPE, text=True,
                             preexec_fn=pin)
    try:
        if child.stdout.readline() != "ready\n":
            raise b.servers.ServerError("%d subscribers did not get ready" % count)
        yield
        if child.poll() is not None:
            raise b.servers.ServerError("a subscriber was cut")
    finally:
        child.kill()
        child.wait()


def measure_round(bench, server, count, seed):
    args = bench.args
    few = count <= FEW
    with subscribers(server, count):
        return bench.drive(server, command=types.command_of("PUBLISH news value:{big}", args.keys), expect=":", seed=seed,
                           pipeline=int(args.pipelines) if few else 1, connections=args.clients if few else 1,
                           seconds=args.seconds)


def measure_row(bench, group, count):
    return b.interleaved(bench, group, lambda server, number: measure_round(bench, server, count, number))


def pubsub(bench):
    args = bench.args
    wanted = args.rows.split(",") if args.rows else [row.name for row in ROWS]
    unknown = set(wanted) - {row.name for row in ROWS}
    if unknown:
        raise b.servers.ServerError("no such row: %s" % ", ".join(sorted(unknown)))
    sides = b.sides_of(bench, maxmemory=b.parse_size(args.maxmemory or b.HOT_MEMORY), shards=1,
                       io_backend=args.io_backend)
    b.announce(bench, sides, "server CPU per PUBLISH in ns, pipeline %s, %d clients (1, 1 to a thousand), %d rounds" % (
        args.pipelines, args.clients, args.rounds))
    judged, cells = [s.kind for s in sides] == ["kelvin", "redis"], []
    with contextlib.ExitStack() as stack:
        group = [stack.enter_context(b.running(side.server())) for side in sides]
        print(t.bold(types.HEADER % ("", "", sides[0].label, "min – max", sides[1].label, "min – max", "ratio", "ops/s")))
        for row in (row for row in ROWS if row.name in wanted):
            series = measure_row(bench, group, row.subscribers)
            types.print_row(row, "", series, judged)
            cells.append({"row": row.name, "ratio": {f: b.ratio(series, f) for f in b.FIGURES}, "a": series[0].as_json(),
                          "b": series[1].as_json()})
    return sides, cells


if __name__ == "__main__":
    listen(int(sys.argv[1]), int(sys.argv[2]))
