"""tools/bench: two servers side by side on one machine.

throughput    GET and SET of 100-byte values over a million keys. Both servers run at once, each measured alone in turn
              (A B, B A, A B …), so that drift of the machine hits both; medians over the rounds, the spread beside them.
              Server on core 0, load generator (loadgen.c) on core 1. CPU time is that of all the server's threads.
instructions  User-space instructions per operation under callgrind: two fresh runs that differ only in the number of
              operations (N and 2N); start, load and shutdown cancel out.
types         CPU per operation of the commands on lists, hashes, sets and sorted sets, small ones and big ones.
patterns      CPU per operation of streams with groups, transactions of ten commands, a rate limiter in Lua.
pubsub        CPU per PUBLISH to one, ten and a thousand subscribers.
memory        Resident bytes beyond the raw data, per key, per element, per small hash.
stall         How long other clients wait while collections of ten million elements are made, dropped, freed … (bench_stall.py).
restart       Load, all but a little of it cold, kill -9, time from exec to the first answer to a GET.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import bench_memory
import bench_patterns
import bench_pubsub
import bench_stall
import bench_types
import resp
import servers
import terminal as t
from benchlib import (FIGURES, HOT_MEMORY, Bench, announce, interleaved, machine, median, parse_size, ratio, running,
                      sides_of)

# What the finished Kelvin is to reach against Redis 7.0: CPU time per operation by pipeline depth, and instructions.
CPU_GOALS = {1: 0.8, 16: 0.5, 64: 0.35}
INSTRUCTIONS_GOAL = 1 / 3

# Memory of the server under test when next to nothing is hot.
COLD_MEMORY, COLD_TIER_MEMORY = "128mb", "16mb"


# ---- throughput ----


def measure_cell(bench, group, row, pipeline):
    """All rounds of one row at one pipeline depth: a Series for each server."""
    args = bench.args
    return interleaved(bench, group, lambda server, number: bench.drive(
        server, op=row, pipeline=pipeline, connections=args.clients, seconds=args.seconds, seed=number))


HEADER = "  %-12s %-10s %9s %17s %8s %8s %10s %6s %6s %15s" % (
    "", "", "ops/s", "min – max", "p50 µs", "p99 µs", "CPU ns/op", "user", "sys", "min – max")


def print_cell(sides, row, pipeline, series):
    for i, (side, s) in enumerate(zip(sides, series)):
        low, high = s.spread("ops_per_second")
        cpu_low, cpu_high = s.spread("cpu_ns")
        print("  %-12s %-10s %9s %17s %8.0f %8.0f %10.0f %6.0f %6.0f %15s" % (
            "" if i else "%s, P %d" % (row, pipeline), side.label, t.count(round(s.median("ops_per_second"))),
            "%.0fk – %.0fk" % (low / 1e3, high / 1e3), s.median("p50_us"), s.median("p99_us"), s.median("cpu_ns"),
            s.median("user_ns"), s.median("sys_ns"), "%.0f – %.0f" % (cpu_low, cpu_high)))
    goal = CPU_GOALS.get(pipeline) if [s.kind for s in sides] == ["kelvin", "redis"] else None
    print("  %-12s %-10s %s %17s %8.2f %8.2f %s %6.2f %6.2f %15s\n" % (
        "", "ratio", t.bold("%9.2f" % ratio(series, "ops_per_second")), "", ratio(series, "p50_us"),
        ratio(series, "p99_us"), t.bold("%10.2f" % ratio(series, "cpu_ns")), ratio(series, "user_ns"),
        ratio(series, "sys_ns"), "goal %.2f" % goal if goal else ""), flush=True)


def throughput(bench):
    args = bench.args
    sides = sides_of(bench, maxmemory=parse_size(args.maxmemory or HOT_MEMORY), shards=1, io_backend=args.io_backend)
    announce(bench, sides, "%s of %d bytes, %s keys, %d clients, %d rounds of %g s" % (
        args.rows, args.value_bytes, t.count(args.keys), args.clients, args.rounds, args.seconds))
    cells = []
    with contextlib.ExitStack() as stack:
        group = [stack.enter_context(running(side.server())) for side in sides]
        for side, server in zip(sides, group):
            t.say(side.label, "%s keys loaded in %s" % (t.count(args.keys), t.duration(bench.fill(server)["seconds"])))
        print("\n" + t.bold(HEADER))
        for row in args.rows.split(","):
            for pipeline in map(int, args.pipelines.split(",")):
                series = measure_cell(bench, group, row, pipeline)
                print_cell(sides, row, pipeline, series)
                cells.append({"row": row, "pipeline": pipeline, "ratio": {f: ratio(series, f) for f in FIGURES},
                              "a": series[0].as_json(), "b": series[1].as_json()})
                if args.profile:
                    profile_cell(bench, sides, group, row, pipeline)
    return sides, cells


def profile_cell(bench, sides, group, row, pipeline):
    """A run of its own for each server under perf, so that sampling does not touch the figures."""
    for side, server in zip(sides, group):
        data = os.path.join(bench.directory, "perf.data")
        perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "1999", "-p", str(server.pid), "-o",
                                 data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        bench.drive(server, op=row, pipeline=pipeline, connections=bench.args.clients, seconds=bench.args.seconds)
        perf.send_signal(signal.SIGINT)
        perf.wait()
        report = subprocess.run(["perf", "report", "--stdio", "-q", "-i", data, "--sort", "symbol", "--percent-limit",
                                 "0.5"], capture_output=True, text=True).stdout
        top = re.findall(r"^\s*[\d.]+%.*?\S(?=\s{2,}-|\s*$)", report, re.M)[: bench.args.top]
        print("    %s, %s, pipeline %d" % (t.bold(side.label), row, pipeline))
        print("".join("    %s\n" % line for line in top) or "    perf recorded nothing\n", flush=True)


# ---- instructions ----


def count_instructions(bench, side, row, ops, run_name):
    """Instructions of a whole run: start, load, `ops` operations, shutdown. Returns (count, callgrind's file)."""
    out = os.path.join(bench.directory, "callgrind.%s.%s" % (side.label, run_name))
    wrapper = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out]
    with running(side.server(wrapper, run_name)) as server:
        bench.fill(server)
        bench.drive(server, op=row, pipeline=64, connections=1, count=ops)
    with open(out) as f:
        totals = re.search(r"^(?:totals|summary): (\d+)", f.read(), re.M)
    if not totals:
        raise servers.ServerError("callgrind left no total\n" + server.log_tail())
    return int(totals.group(1)), out


def annotate(bench, out, ops, base_out):
    """The functions that cost most in the longer run, per operation."""
    def self_costs(path):
        text = subprocess.run(["callgrind_annotate", "--threshold=95", path], capture_output=True, text=True).stdout
        found = re.findall(r"^\s*([\d,]+) \([\s\d.]+%\)\s+\S*?:(\S+)", text, re.M)
        return {name: int(n.replace(",", "")) for n, name in found}

    long_run, short_run = self_costs(out), self_costs(base_out)
    costs = {name: (n - short_run.get(name, 0)) / ops for name, n in long_run.items()}
    for name, n in sorted(costs.items(), key=lambda item: -item[1])[: bench.args.top]:
        print("      %7.0f  %s" % (n, name))
    print()


def instructions(bench):
    args = bench.args
    if shutil.which("valgrind") is None:
        raise servers.ServerError("valgrind is not installed")
    sides = sides_of(bench, maxmemory=parse_size(args.maxmemory or HOT_MEMORY), shards=1, io_backend="epoll")
    announce(bench, sides, "user-space instructions per operation, pipeline 64, 1 client, %s keys, N = %s" % (
        t.count(args.keys), t.count(args.ops)))
    cells = []
    for row in args.rows.split(","):
        per_op = []
        for side in sides:
            (once, out), (twice, out2) = [count_instructions(bench, side, row, n * args.ops, "%s%d" % (row, n))
                                          for n in (1, 2)]
            per_op.append((twice - once) / args.ops)
            print("  %-12s %-10s %s" % (row, side.label, t.bold("%8s" % t.count(round(per_op[-1])))), flush=True)
            if args.profile:
                annotate(bench, out2, args.ops, out)
        goal = " (goal %.2f)" % INSTRUCTIONS_GOAL if [s.kind for s in sides] == ["kelvin", "redis"] else ""
        print("  %-12s %-10s %s%s\n" % ("", "ratio", t.bold("%8.2f" % (per_op[0] / per_op[1])), goal), flush=True)
        cells.append({"row": row, "a": per_op[0], "b": per_op[1], "ratio": per_op[0] / per_op[1]})
    return sides, cells


# ---- restart ----


def kill_and_restart(bench, server):
    """Seconds from exec to the first answer to a GET; then the keys are counted and a sample of them is checked."""
    request = resp.command(b"GET", b"key:%012d" % (bench.args.keys // 2))
    server.kill9()
    started = time.monotonic()
    server.spawn()
    answer = server.first_answer(request, timeout=600)
    seconds = time.monotonic() - started
    if answer is None:
        raise servers.ServerError("the first GET found nothing")
    if server.call("DBSIZE") != bench.args.keys:
        raise servers.ServerError("%d keys came back" % server.call("DBSIZE"))
    bench.drive(server, op="get", count=min(bench.args.keys, 20000), pipeline=16, connections=4)
    return seconds


def checkpoint(server, timeout=300):
    """BGREWRITEAOF, waited for."""
    server.call("BGREWRITEAOF")
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        time.sleep(0.1)
        info = server.info()
        if info.get("aof_rewrite_in_progress") == "0" and info.get("aof_rewrite_scheduled", "0") == "0":
            return
    raise servers.ServerError("the checkpoint did not end")


def print_restart(label, seconds, server):
    log, rest = server.disk_bytes()
    memory = server.memory()
    print("  %-26s %s   %s log, %s tier on flash; %s resident" % (
        label, t.bold("%8s" % t.duration(median(seconds))), t.size(log), t.size(rest), t.size(memory.get("VmRSS", 0))))
    if len(seconds) > 1:
        print(t.dim("  %-26s %s – %s" % ("", t.duration(min(seconds)), t.duration(max(seconds)))))
    sys.stdout.flush()


def restart(bench):
    args = bench.args
    side = bench.side(os.path.basename(args.a), args.a, args.a_options, shards=1,
                      maxmemory=parse_size(args.maxmemory or COLD_MEMORY), tier_memory=parse_size(COLD_TIER_MEMORY))
    announce(bench, [side], "kill -9 and restart, %s keys of %d bytes; exec to first answer" % (
        t.count(args.keys), args.value_bytes))
    with running(side.server()) as server:
        bench.fill(server)
        server.wait_idle()
        info = server.info()
        if "tier_cold_keys" in info:
            t.say("cold", "%s of %s keys" % (t.count(int(info["tier_cold_keys"])), t.count(args.keys)))
        after_load = [kill_and_restart(bench, server)]
        print_restart("killed after the load", after_load, server)
        after_checkpoint = []
        for _ in range(args.rounds):
            checkpoint(server)
            after_checkpoint.append(kill_and_restart(bench, server))
        print_restart("killed after a checkpoint", after_checkpoint, server)
    print(t.dim("  every key counted and 20,000 checked after each; the page cache is warm\n"))
    return [side], [{"state": "load", "seconds": after_load}, {"state": "checkpoint", "seconds": after_checkpoint}]


# ---- command line ----

MODES = {"throughput": throughput, "types": bench_types.types, "patterns": bench_patterns.patterns, "pubsub": bench_pubsub.pubsub,
         "memory": bench_memory.memory, "instructions": instructions, "restart": restart, "stall": bench_stall.stall}
# What --rows, --pipelines, --seconds and --durability are where they are not given, by mode.
DEFAULTS = {"types": {"rows": "", "pipelines": "16", "seconds": 2},
            "patterns": {"rows": "", "pipelines": "16", "seconds": 2},
            "pubsub": {"rows": "", "pipelines": "16", "seconds": 2}, "memory": {"rows": "", "durability": "none"},
            "stall": {"rows": "set,hash,zset,list", "keys": 10000000}}
COMMON_DEFAULTS = {"rows": "get,set", "pipelines": "1,16,64", "seconds": 3, "durability": "everysec"}


def parse_arguments():
    p = argparse.ArgumentParser(prog="tools/bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("mode", nargs="?", choices=MODES, default="throughput")
    p.add_argument("--a", default="kelvin", help="kelvin, redis, or the path of a server (default kelvin)")
    p.add_argument("--b", default="redis", help="the other one (default redis)")
    p.add_argument("--a-options", default="", metavar="TEXT", help="more options for A, e.g. '--shards 2'")
    p.add_argument("--b-options", default="", metavar="TEXT", help="more options for B")
    p.add_argument("--rows", help="operations (default get,set; types: rows or groups, patterns: rows, memory: kinds of rows, stall: types, all by default)")
    p.add_argument("--pipelines", help="depths (default 1,16,64; types, patterns: one, 16)")
    p.add_argument("--keys", type=int, help="default 1,000,000; instructions 10,000; memory both 1 and 10 million; stall 10,000,000 elements")
    p.add_argument("--value-bytes", type=int, default=100, help="default 100")
    p.add_argument("--clients", type=int, default=50, help="default 50")
    p.add_argument("--seconds", type=float, help="measured per round (3; types, patterns: 2), after half a second of warm-up")
    p.add_argument("--rounds", type=int, default=3, help="default 3")
    p.add_argument("--ops", type=int, default=100000, help="N of the instructions mode (default 100,000)")
    p.add_argument("--maxmemory", help="Kelvin's, default %s; for restart %s" % (HOT_MEMORY, COLD_MEMORY))
    p.add_argument("--durability", choices=("none", "os", "everysec", "always"),
                   help="of both (default everysec, memory: none; Redis: its appendonly and appendfsync)")
    p.add_argument("--rewrites", choices=("off", "on"), default="off",
                   help="AOF rewrites of Redis and checkpoints of Kelvin while it is measured (default off)")
    p.add_argument("--io-backend", default="auto", help="Kelvin's (default auto; instructions: always epoll)")
    p.add_argument("--profile", action="store_true", help="also name the functions that cost most (perf, callgrind)")
    p.add_argument("--top", type=int, default=20, help="how many of them (default 20)")
    p.add_argument("--json", metavar="FILE", help="write all figures there too")
    p.add_argument("--dir", help="where the servers keep their data (default: a temporary directory)")
    args = p.parse_args()
    for name, value in {**COMMON_DEFAULTS, **DEFAULTS.get(args.mode, {})}.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    if args.mode != "memory":
        args.keys = args.keys or (10000 if args.mode == "instructions" else 1000000)
    return args


def write_json(path, args, sides, cells):
    report = {"mode": args.mode, "machine": machine(), "settings": vars(args), "results": cells,
              "sides": [{"label": s.label, "version": s.version, "options": s.options} for s in sides]}
    with open(path, "w") as f:
        json.dump(report, f, indent=1)


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = tempfile.mkdtemp(prefix="kelvin-bench-", dir=args.dir)
    try:
        sides, cells = MODES[args.mode](Bench(args, directory))
        if args.json:
            write_json(args.json, args, sides, cells)
        return 0
    except (servers.ServerError, resp.ReplyError, OSError) as e:
        print("\nbench: %s" % e, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
