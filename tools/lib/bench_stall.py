"""tools/bench stall: what other clients feel while one collection of millions of elements is made, copied, written to
flash, dropped from RAM, fetched back, renamed, deleted, and falls due.

A client beside PINGs in a loop. For each step the longest wait is shown, and the most CPU time that the shard's thread
took while one PING waited: on a machine with other work the wait tells little, the CPU time says how long a turn was.
"""

import ctypes
import multiprocessing
import os
import time

import resp
import servers
import terminal as t
from benchlib import running

BATCH = 100
KINDS = ("set", "hash", "zset", "list")
# Per type: how to add, how to look at one element (which fetches the value), how many there are.
COMMANDS = {
    "set": (b"SADD", (b"SISMEMBER", b"big", b"m1"), b"SCARD"),
    "hash": (b"HSET", (b"HGET", b"big", b"m1"), b"HLEN"),
    "zset": (b"ZADD", (b"ZSCORE", b"big", b"m1"), b"ZCARD"),
    "list": (b"RPUSH", (b"LINDEX", b"big", b"1"), b"LLEN"),
}


class Pinger:
    """A process that PINGs without pause; worst() tells the worst since the last call of it."""

    def __init__(self, server):
        self.figures = multiprocessing.Array(ctypes.c_double, 2)  # seconds waited, seconds of CPU
        self.process = multiprocessing.Process(target=self._loop, args=(server.port, shard_thread(server.pid)), daemon=True)
        self.process.start()

    def _loop(self, port, schedstat):
        ping = resp.command(b"PING")
        with resp.Connection(port, timeout=600) as c, open(schedstat) as stat:
            def cpu():
                stat.seek(0)
                return int(stat.read().split()[0]) / 1e9
            while True:
                begin, before = time.monotonic(), cpu()
                c.send(ping)
                c.reply()
                waited, worked = time.monotonic() - begin, cpu() - before
                with self.figures.get_lock():
                    self.figures[0] = max(self.figures[0], waited)
                    self.figures[1] = max(self.figures[1], worked)
                time.sleep(0.0002)

    def worst(self):
        with self.figures.get_lock():
            found = list(self.figures)
            self.figures[0] = self.figures[1] = 0
        return found

    def stop(self):
        self.process.terminate()
        self.process.join()


def shard_thread(pid):
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, tid)) as comm:
            if comm.read().startswith(("shard", "redis-server")):
                return "/proc/%d/task/%s/schedstat" % (pid, tid)
    raise servers.ServerError("no thread of a shard found")


def elements(kind, start, end):
    """Arguments that add elements start … end - 1."""
    words = []
    for i in range(start, end):
        if kind == "hash":
            words += [b"m%d" % i, b"value:%d" % i]
        elif kind == "zset":
            words += [b"%d" % (i * 7919 % 1000003), b"m%d" % i]
        else:
            words.append(b"m%d" % i)
    return words


def fill(server, kind, n):
    with resp.Connection(server.port, timeout=600) as c:
        under_way = 0
        for start in range(0, n, BATCH):
            c.send(resp.command(COMMANDS[kind][0], b"big", *elements(kind, start, min(n, start + BATCH))))
            under_way += 1
            if under_way == 4:
                c.reply()
                under_way -= 1
        for _ in range(under_way):
            c.reply()


def checkpoint(server):
    server.call("BGREWRITEAOF")
    wait_for(server, lambda info: info["aof_rewrite_in_progress"] == "0" and info["aof_rewrite_scheduled"] == "0")


def wait_for(server, condition, timeout=600):
    deadline = time.monotonic() + timeout
    while not condition(server.info()):
        if time.monotonic() > deadline:
            raise servers.ServerError("waited %d s for nothing" % timeout)
        time.sleep(0.1)


def slow(server, *command):
    with resp.Connection(server.port, timeout=600) as c:
        return c.call(*command)


class Stall:
    def __init__(self, bench, server, kind):
        self.bench, self.server, self.kind = bench, server, kind
        self.n = bench.args.keys
        self.cells = []

    def step(self, name, action, note=""):
        self.pinger.worst()
        begin = time.monotonic()
        action()
        seconds = time.monotonic() - begin
        time.sleep(0.3)
        waited, worked = self.pinger.worst()
        resident = self.server.memory().get("VmRSS", 0)
        print("  %-6s %-34s %9s %11.1f %s %10s  %s" % (
            self.kind, name, t.duration(seconds), waited * 1e3, t.bold("%11.1f" % (worked * 1e3)), t.size(resident), note),
            flush=True)
        self.cells.append({"type": self.kind, "step": name, "seconds": seconds, "wait_ms": waited * 1e3,
                           "cpu_ms": worked * 1e3, "resident": resident})

    def call(self, *command):
        return lambda: slow(self.server, *command)

    def again(self):
        """Another big one, for what comes next; what this costs is shown where it is a step."""
        slow(self.server, b"COPY", b"master", b"big")
        time.sleep(0.2)

    def run(self):
        server, (_, look, length) = self.server, COMMANDS[self.kind]
        self.pinger = Pinger(server)
        self.step("nothing", lambda: time.sleep(2))
        self.step("made", lambda: fill(server, self.kind, self.n))
        self.step("written by a checkpoint", lambda: checkpoint(server))
        self.step("dropped from RAM", self.drop)
        self.step("fetched back", self.call(*look))
        if slow(server, length, b"big") != self.n:
            raise servers.ServerError("elements are missing")
        self.step("renamed", self.call(b"RENAME", b"big", b"master"))
        self.step("copied", self.again)
        self.step("saved by BGSAVE while dirty", self.save)
        self.step("DEL", self.call(b"DEL", b"big"))
        self.again()
        self.step("UNLINK", self.call(b"UNLINK", b"big"))
        self.again()
        self.step("overwritten by SET", self.call(b"SET", b"big", b"x"))
        slow(server, b"DEL", b"big")
        self.again()
        self.step("expired", self.expire)
        self.again()
        self.step("FLUSHALL", self.call(b"FLUSHALL"))
        self.step("freed in the background", lambda: wait_for(server, lambda i: i.get("lazyfree_pending_objects") == "0"))
        self.pinger.stop()

    def drop(self):
        slow(self.server, b"CONFIG", b"SET", b"db.0.maxmemory", b"1mb")
        wait_for(self.server, lambda info: int(info["tier_cold_keys"]) > 0)
        slow(self.server, b"CONFIG", b"SET", b"db.0.maxmemory", b"0")

    def save(self):
        slow(self.server, b"BGSAVE")
        wait_for(self.server, lambda info: info["rdb_bgsave_in_progress"] == "0")

    def expire(self):
        slow(self.server, b"PEXPIRE", b"big", b"300")
        wait_for(self.server, lambda info: int(info["expired_keys"]) > 0)


def stall(bench):
    """The sides and cells of `tools/bench stall`."""
    side = bench.side(os.path.basename(bench.args.a), bench.args.a, bench.args.a_options, shards=1,
                      maxmemory=8 << 30, durability=bench.args.durability)
    t.say(side.label, "%s; collections of %s elements" % (side.version, t.count(bench.args.keys)))
    print(t.bold("\n  %-6s %-34s %9s %11s %11s %10s" % ("", "", "took", "PING ms", "CPU ms", "resident")))
    cells = []
    for kind in KINDS:
        if kind not in bench.args.rows.split(","):
            continue
        with running(side.server(subdirectory=kind)) as server:
            s = Stall(bench, server, kind)
            s.run()
            cells += s.cells
    return [side], cells
