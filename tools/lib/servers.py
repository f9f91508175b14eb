"""Servers as the tools see them: Kelvin, or a redis-server to compare with.

Everything that depends on which of the two it is stands here: how it is recognised, its options, the names of its INFO
fields. A Server owns one child process and one data directory; it signals only the process it started, by pid.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import resp

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEFAULT_KELVIN = os.path.join(ROOT, "build", "kelvin-server")
CLOCK_TICK = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """The server could not be started, or is gone. The text is for people."""


def find_binary(name):
    """Path and kind of `kelvin`, `redis`, or a path to either server."""
    if name == "kelvin":
        name = os.environ.get("KELVIN_SERVER") or DEFAULT_KELVIN
    elif name == "redis":
        name = shutil.which("redis-server") or "/usr/bin/redis-server"
    if not os.access(name, os.X_OK):
        raise ServerError("no server at %s%s" % (name, ": run tools/build" if name == DEFAULT_KELVIN else ""))
    try:
        version = subprocess.run([name, "--version"], capture_output=True, text=True, timeout=10).stdout
    except subprocess.TimeoutExpired as e:
        raise ServerError("%s does not answer --version" % name) from e
    kind = "redis" if re.match(r"(Redis|Valkey) server", version) else "kelvin"
    return name, kind, describe_version(kind, version)


def describe_version(kind, text):
    number = re.search(r"\d+\.\d+(\.\d+)?", text)
    return "%s %s" % ("redis-server" if kind == "redis" else "kelvin-server", number.group() if number else "?")


def options_for(kind, durability="everysec", maxmemory=0, tier_memory=0, shards=0, io_backend=None, rewrites=True,
                tier="on"):
    """Command line of a server, by default with its log synced every second. Sizes in bytes; 0: the server's default.

    tier_memory is RocksDB's share *of* maxmemory. Redis gets no maxmemory: it cannot keep more than that. rewrites=False
    turns off what shortens the log in the background, on either side: Redis's AOF rewrites, Kelvin's checkpoints."""
    if kind == "redis":
        log = ["--appendonly", "no"]
        if durability != "none":
            log = ["--appendonly", "yes", "--appendfsync", "no" if durability == "os" else durability]
        return ["--save", ""] + ([] if rewrites else ["--auto-aof-rewrite-percentage", "0"]) + log
    options = ["--tier", tier, "--durability", durability]
    if not rewrites:
        options += ["--checkpoint-log-size", "1000gb"]
    settings = {"--maxmemory": maxmemory, "--tier-memory": tier_memory, "--shards": shards, "--io-backend": io_backend}
    for option, value in settings.items():
        if value:
            options += [option, str(value)]
    return options


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server process and its data directory, which survives kill9() and start()."""

    def __init__(self, binary, directory, options=(), cpu=None, wrapper=()):
        self.binary = binary
        self.directory = directory
        self.options = list(options)
        self.cpu = cpu  # pin to this core, None: do not
        self.wrapper = list(wrapper)  # e.g. valgrind and its options
        self.port = free_port()
        self.process = None
        self.log_path = os.path.join(directory, "server.out")
        os.makedirs(directory, exist_ok=True)

    @property
    def pid(self):
        return self.process.pid

    def spawn(self):
        """exec only; see wait_ready()."""
        command = self.wrapper + [self.binary, "--port", str(self.port), "--dir", self.directory] + self.options
        pin = None if self.cpu is None else lambda: os.sched_setaffinity(0, {self.cpu})
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=pin,
                                            cwd=self.directory)

    def start(self, timeout=60):
        self.spawn()
        self.wait_ready(timeout)
        return self

    def wait_ready(self, timeout=60):
        self.first_answer(resp.command(b"PING"), timeout)

    def first_answer(self, request, timeout=60):
        """Asks until the server gives an answer other than `-LOADING`; returns it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError("the server exited with %s\n%s" % (self.process.returncode, self.log_tail()))
            try:
                with resp.Connection(self.port, timeout=timeout) as c:
                    c.send(request)
                    return c.reply()
            except resp.ReplyError as e:
                if not str(e).startswith("LOADING"):
                    raise
            except OSError:
                pass
            time.sleep(0.0005)
        raise ServerError("no answer within %d s\n%s" % (timeout, self.log_tail()))

    def connect(self):
        return resp.Connection(self.port)

    def call(self, *args):
        with self.connect() as c:
            return c.call(*args)

    def info(self):
        """All of INFO as a dictionary of strings."""
        text = self.call("INFO", "everything").decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and line[0] != "#")

    def log_tail(self, lines=15):
        with open(self.log_path, errors="replace") as log:
            return "".join("    | " + line for line in log.readlines()[-lines:])

    def kill9(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=30):
        """Ends the process, politely if it listens; does nothing if it is gone."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill9()

    # ---- what the kernel says about the process ----

    def memory(self):
        """VmRSS, VmHWM, RssAnon … of the process in bytes; empty once it is gone."""
        try:
            with open("/proc/%d/status" % self.pid) as f:
                return {k: int(v) * 1024 for k, v in re.findall(r"^(\w+):\s+(\d+) kB$", f.read(), re.M)}
        except OSError:
            return {}

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICK

    def wait_idle(self, share=0.02, timeout=60):
        """Until background work (compaction, checkpoint) has calmed down. False if it did not within the timeout."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(0.5)
            if self.cpu_seconds() - before <= share * 0.5:
                return True
        return False

    def disk_bytes(self):
        """(log, everything else) in allocated bytes; the server's own output is not counted."""
        log = other = 0
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                if path == self.log_path:
                    continue
                try:
                    allocated = os.stat(path).st_blocks * 512
                except FileNotFoundError:
                    continue
                if "appendonlydir" in path:
                    log += allocated
                else:
                    other += allocated
        return log, other
