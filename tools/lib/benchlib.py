"""What the modes of tools/bench have in common: the servers side by side, the load generator, series of rounds."""

import contextlib
import json
import os
import re
import shlex
import statistics
import subprocess
import time

import servers
import terminal as t

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = (CORES[0], CORES[1]) if len(CORES) > 1 else (None, None)

# Memory of the servers under test where everything is to be hot.
HOT_MEMORY = "2gb"


def parse_size(text):
    number, unit = re.fullmatch(r"(\d+)([kmg]?)b?", text.lower()).groups()
    return int(number) << {"": 0, "k": 10, "m": 20, "g": 30}[unit]


def median(values):
    return statistics.median(values)


# ---- the load generator ----


def build_loadgen():
    source = os.path.join(HERE, "loadgen.c")
    program = os.path.join(servers.ROOT, ".cache", "bench", "loadgen")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        os.makedirs(os.path.dirname(program), exist_ok=True)
        subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-Wall", source, "-o", program], check=True)
    return program


class Bench:
    """The settings of a run, and the load generator bound to them."""

    def __init__(self, args, directory):
        self.args, self.directory = args, directory
        self.loadgen = build_loadgen()

    def drive(self, server, **options):
        """Runs the load generator; its result as a dictionary. Refuses results with errors or lost keys."""
        command = [self.loadgen, "--port", str(server.port), "--pid", str(server.pid)]
        options = {"keys": self.args.keys, "value_bytes": self.args.value_bytes, **options}
        for name, value in options.items():
            option = "--" + name.replace("_", "-")
            command += [option] if value is True else [option, str(value)]
        pin = None if LOAD_CORE is None else lambda: os.sched_setaffinity(0, {LOAD_CORE})
        done = subprocess.run(command, capture_output=True, text=True, preexec_fn=pin)
        if not done.stdout:
            raise servers.ServerError("%s\n%s" % (done.stderr.strip(), server.log_tail()))
        result = json.loads(done.stdout)
        if result["errors"] or result["misses"] or result["wrong"]:
            raise servers.ServerError("the server answered wrongly: %(errors)d errors (%(first_error)s), %(misses)d "
                                      "missing keys, %(wrong)d wrong values" % result)
        return result

    def fill(self, server):
        """Every key once."""
        return self.drive(server, op="set", sequential=True, count=self.args.keys, pipeline=64, connections=4)

    def side(self, label, name, extra, **server_settings):
        return Side(self, label, name, extra, **server_settings)


class Side:
    """One of the servers compared: how to run it, and what to call it."""

    def __init__(self, bench, label, name, extra, **settings):
        self.label = label
        self.binary, self.kind, self.version = servers.find_binary(name)
        self.options = servers.options_for(self.kind, **settings) + shlex.split(extra)
        self.directory = os.path.join(bench.directory, label)

    def server(self, wrapper=(), subdirectory=""):
        return servers.Server(self.binary, os.path.join(self.directory, subdirectory), self.options, SERVER_CORE,
                              wrapper)


def sides_of(bench, **settings):
    a, b = bench.args.a, bench.args.b
    settings["durability"] = bench.args.durability
    settings["rewrites"] = bench.args.rewrites == "on"
    label_a, label_b = os.path.basename(a), os.path.basename(b)
    if label_a == label_b:
        label_a, label_b = label_a + ":a", label_b + ":b"
    return [bench.side(label_a, a, bench.args.a_options, **settings),
            bench.side(label_b, b, bench.args.b_options, **settings)]


@contextlib.contextmanager
def running(server):
    try:
        yield server.start()
    finally:
        server.stop(timeout=120)


def wait_all_idle(group, timeout=60):
    """Until no server of the group does background work."""
    deadline = time.monotonic() + timeout
    for server in group:
        if not server.wait_idle(timeout=max(deadline - time.monotonic(), 0.6)):
            print(t.dim("  (pid %d is still busy in the background; measuring anyway)" % server.pid))


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    return {"cpu": model.group(1) if model else "?", "cores": len(CORES), "kernel": os.uname().release}


def announce(bench, sides, what):
    m = machine()
    print("\n  %s: %s\n" % (t.bold("tools/bench"), what))
    t.say("machine", "%s, %d cores, Linux %s%s" % (m["cpu"], m["cores"], m["kernel"], "" if SERVER_CORE is not None
                                                  else "; one core: server and load share it"))
    for side in sides:
        t.say(side.label, "%s %s" % (side.version, t.dim(" ".join(shlex.quote(o) for o in side.options))))
    print()


# ---- rounds ----


FIGURES = ("ops_per_second", "p50_us", "p99_us", "cpu_ns", "user_ns", "sys_ns")


class Series:
    """The rounds of one side in one cell of the comparison."""

    def __init__(self):
        self.rounds = []

    def add(self, result):
        result["cpu_ns"] = result["user_ns"] + result["sys_ns"]
        self.rounds.append(result)

    def median(self, figure):
        return median([r[figure] for r in self.rounds])

    def spread(self, figure):
        values = [r[figure] for r in self.rounds]
        return min(values), max(values)

    def as_json(self):
        return {"median": {f: self.median(f) for f in FIGURES}, "min_max": {f: self.spread(f) for f in FIGURES},
                "rounds": self.rounds}


def interleaved(bench, group, measure):
    """A Series for each server: A B, B A, A B ... `measure` is given the server and the number of the round, from one."""
    series = [Series() for _ in group]
    for number in range(bench.args.rounds):
        order = range(len(group)) if number % 2 == 0 else reversed(range(len(group)))
        for i in order:
            wait_all_idle(group)
            series[i].add(measure(group[i], number + 1))
    return series


def ratio(series, figure):
    return series[0].median(figure) / max(series[1].median(figure), 1e-9)
