"""tools/demo: the main job on real input.

Load more data than the server may keep in memory, read all of it back, kill the server with -9, start it again, and
compare every record with its source once more. The source stays on disk (mapped); the server gets a RAM budget into
which at most a fifth of the data fits, keys and bookkeeping included.
"""

import argparse
import mmap
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import resp
import servers
import terminal as t

BATCH = 64  # requests a connection has on their way
SMALL_DATA = 50 << 20  # below this the report says that the data is small

# The server's budget is a fifth of the data, and beside it what RocksDB may use (memtables, block cache) and what a
# process takes that holds nothing. All of it is part of `maxmemory`, so the process is given the sum.
DATA_SHARE = 5
TIER_MEMORY = 8 << 20
PROCESS_MEMORY = 8 << 20


def server_options(kind, data_bytes):
    """(options, budget in bytes): the one place that says how the demo's server is run."""
    budget = data_bytes // DATA_SHARE + TIER_MEMORY + PROCESS_MEMORY
    return servers.options_for(kind, maxmemory=budget, tier_memory=TIER_MEMORY, shards=1), budget


# ---- the source ----


class Records:
    """The source text, mapped, cut at blank lines; keys are unique."""

    def __init__(self, path):
        self.bytes = 0
        self.keys, self.spans = [], []
        with open(path, "rb") as f:
            self.text = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) if os.path.getsize(path) else b""
        self._cut()

    def __len__(self):
        return len(self.keys)

    def value(self, i):
        start, end = self.spans[i]
        return self.text[start:end]

    def _cut(self):
        seen = {}
        for match in re.finditer(rb"[^\n](?s:.*?)(?=\n\n|\n?\Z)", self.text):
            start, end = match.span()
            key = self._key(self.text[start:end])
            copy = seen[key] = seen.get(key, 0) + 1
            self.keys.append(key if copy == 1 else b"%b#%d" % (key, copy))
            self.spans.append((start, end))
            self.bytes += end - start

    @staticmethod
    def _key(record):
        """pkg:<Package>:<Version>:<Architecture>; what is not a package record is keyed by its first line."""
        fields = dict(re.findall(rb"^(Package|Version|Architecture): *(.*)$", record, re.M))
        if b"Package" in fields:
            return b":".join([b"pkg"] + [fields.get(f, b"") for f in (b"Package", b"Version", b"Architecture")])
        return b"record:" + record.partition(b"\n")[0][:64]


def dump_package_index(path):
    with open(path, "wb") as out:
        if subprocess.run(["apt-cache", "dumpavail"], stdout=out).returncode != 0:
            raise SystemExit("demo: `apt-cache dumpavail` failed; name a file instead")
    if os.path.getsize(path) == 0:
        raise SystemExit("demo: the package index is empty; run `apt-get update`, or name a file")


# ---- work spread over connections ----


def in_parallel(server, order, connections, work):
    """Calls work(connection, indices) for batches of `order` from several threads; the first failure is raised here."""
    failures = []

    def worker(first):
        try:
            with server.connect() as c:
                for at in range(first * BATCH, len(order), connections * BATCH):
                    if failures:
                        return
                    work(c, order[at : at + BATCH])
        except Exception as e:
            failures.append(e)

    threads = [threading.Thread(target=worker, args=(i,), daemon=True) for i in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def load(server, records, connections):
    """Writes every record. Returns the seconds it took."""
    progress = t.Progress("load", len(records), records.bytes)
    lock = threading.Lock()

    def set_batch(c, indices):
        values = [records.value(i) for i in indices]
        c.send(b"".join(resp.command(b"SET", records.keys[i], v) for i, v in zip(indices, values)))
        for _ in indices:
            if c.reply() != b"OK":
                raise ConnectionError("SET was not acknowledged")
        with lock:
            progress.add(len(indices), sum(map(len, values)))

    in_parallel(server, range(len(records)), connections, set_batch)
    return progress.finish()


class Verdict:
    """What a comparison with the source found."""

    def __init__(self):
        self.missing = self.different = self.bytes_lost = 0
        self.examples = []

    def note(self, key, want, got):
        if got is None:
            self.missing += 1
        else:
            self.different += 1
        common = 0 if got is None else sum(a == b for a, b in zip(want, got))
        self.bytes_lost += max(1, len(want) - common)
        self.examples = (self.examples + [key.decode(errors="replace")])[:3]

    def __bool__(self):
        """True if all was well."""
        return self.missing == self.different == 0

    def __str__(self):
        if self:
            return t.good("every byte equal")
        return t.bad("%d missing, %d different: %s …" % (self.missing, self.different, ", ".join(self.examples)))


def compare(label, server, records, connections, seed):
    """Reads every record in random order. Returns (verdict, seconds)."""
    order = list(range(len(records)))
    random.Random(seed).shuffle(order)
    verdict, lock = Verdict(), threading.Lock()
    progress = t.Progress(label, len(records), records.bytes)

    def get_batch(c, indices):
        c.send(b"".join(resp.command(b"GET", records.keys[i]) for i in indices))
        pairs = [(i, records.value(i), c.reply()) for i in indices]
        with lock:
            for i, want, got in pairs:
                if got != want:
                    verdict.note(records.keys[i], want, got)
            progress.add(len(indices), sum(len(want) for _, want, _ in pairs))

    in_parallel(server, order, connections, get_batch)
    return verdict, progress.finish(str(verdict))


# ---- watching the server ----


class MemoryWatch(threading.Thread):
    """Samples the server's resident memory over its lives. `max_rss` is the kernel's own high-water mark."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.max_rss = self.max_anonymous = 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(0.02):
            self.sample()

    def sample(self):
        m = self.server.memory()
        self.max_rss = max(self.max_rss, m.get("VmHWM", 0))
        self.max_anonymous = max(self.max_anonymous, m.get("RssAnon", 0))


def show_places(server, records):
    """Hot, cold, flash, resident: by the server's own account where it gives one, and by the kernel's. Returns the
    bytes on flash."""
    info, memory = server.info(), server.memory()
    log_bytes, tier_bytes = server.disk_bytes()
    print()
    say_keys("hot", info, "tier_hot_keys", "tier_hot_bytes", len(records))
    say_keys("cold", info, "tier_cold_keys", "tier_cold_bytes", len(records))
    t.say("flash", "%s: values and keys %s, log %s" % (t.size(log_bytes + tier_bytes), t.size(tier_bytes),
                                                       t.size(log_bytes)))
    t.say("resident", "%s, of which %s anonymous%s" % (
        t.size(memory["VmRSS"]), t.size(memory["RssAnon"]),
        "; RocksDB %s" % t.size(int(info["tier_store_memory"])) if "tier_store_memory" in info else ""))
    print()
    return log_bytes + tier_bytes


def say_keys(label, info, keys_field, bytes_field, total):
    if keys_field in info:
        keys = int(info[keys_field])
        held = ", %s" % t.size(int(info[bytes_field])) if bytes_field in info else ""
        t.say(label, "%s   %s keys%s" % (t.bar(keys / max(total, 1)), t.count(keys), held))


def restart(server, records):
    """kill -9 and again. Returns the seconds from exec to the first answer to a GET, or None if it was wrong."""
    i = len(records) // 2
    server.kill9()
    started = time.monotonic()
    server.spawn()
    answer = server.first_answer(resp.command(b"GET", records.keys[i]))
    seconds = time.monotonic() - started
    t.say("kill -9", "started again: first answer after %s" % t.bold(t.duration(seconds)))
    return seconds if answer == records.value(i) else None


# ---- the demo ----


def introduce(args, server, version, records, budget):
    print("\n  %s\n" % t.bold("Kelvin: more data than memory, and a kill -9 on top"))
    source = args.file or "apt-cache dumpavail"
    small = t.dim("  (small: fixed costs show)") if records.bytes < SMALL_DATA else ""
    t.say("data", "%s records, %s from %s%s" % (t.count(len(records)), t.size(records.bytes), source, small))
    t.say("server", "%s, pid %d, port %d" % (version, server.pid, server.port))
    t.say("budget", "%s of memory: %s for the data (1/%d of it), %s for RocksDB, %s for the process" % (
        t.size(budget), t.size(budget - TIER_MEMORY - PROCESS_MEMORY), DATA_SHARE, t.size(TIER_MEMORY),
        t.size(PROCESS_MEMORY)))
    print()


def perform(args, server, version, records, budget):
    """The whole story; True if not a byte was lost."""
    watch = MemoryWatch(server)
    watch.start()
    introduce(args, server, version, records, budget)
    load_seconds = load(server, records, args.connections)
    first, read_seconds = compare("read back", server, records, args.connections, args.seed)
    flash = show_places(server, records)
    watch.sample()
    restart_seconds = restart(server, records)
    second, _ = compare("verify", server, records, args.connections, args.seed + 1)
    keys_after = server.call("DBSIZE")
    watch.sample()
    watch.ended.set()
    lost = first.bytes_lost + second.bytes_lost
    right = bool(first) and bool(second) and restart_seconds is not None and keys_after == len(records)
    print()
    t.table([
        ("records", t.count(len(records))),
        ("data", t.size(records.bytes)),
        ("memory budget, RocksDB's included", t.size(budget)),
        ("resident at most", t.size(watch.max_rss) + (", over the budget" if watch.max_rss > budget else "")),
        ("  of which anonymous", t.size(watch.max_anonymous)),
        ("flash", t.size(flash)),
        ("load", "%s records/s" % t.count(round(len(records) / load_seconds))),
        ("read back, random", "%s records/s" % t.count(round(len(records) / read_seconds))),
        ("kill -9 to first answer", t.duration(restart_seconds) if restart_seconds else "wrong answer"),
        ("keys after the restart", t.count(keys_after)),
        ("bytes lost", t.count(lost)),
    ])
    print("  %s\n" % (t.good("Nothing lost.") if right else t.bad("FAILED: what came back is not what was written.")))
    return right


def parse_arguments():
    p = argparse.ArgumentParser(prog="tools/demo", description="Load, read back, kill -9, restart, verify.")
    p.add_argument("file", nargs="?", help="records separated by blank lines (default: apt-cache dumpavail)")
    p.add_argument("--connections", type=int, default=4, help="connections that load and read (default 4)")
    p.add_argument("--seed", type=int, default=1, help="of the random orders (default 1)")
    p.add_argument("--keep", action="store_true", help="keep the data directory and say where it is")
    return p.parse_args()


def run(args, directory):
    source = args.file
    if not source:
        source = os.path.join(directory, "source")
        dump_package_index(source)
    records = Records(source)
    if not len(records):
        raise SystemExit("demo: no records in %s" % source)
    binary, kind, version = servers.find_binary("kelvin")
    options, budget = server_options(kind, records.bytes)
    server = servers.Server(binary, os.path.join(directory, "data"), options)
    try:
        server.start()
        return perform(args, server, version, records, budget)
    except (OSError, resp.ReplyError) as e:
        raise servers.ServerError("%s\n%s" % (e, server.log_tail())) from e
    finally:
        server.stop()


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = tempfile.mkdtemp(prefix="kelvin-demo-")
    try:
        return 0 if run(args, directory) else 1
    except servers.ServerError as e:
        print("\ndemo: %s" % e, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted", file=sys.stderr)
        return 130
    finally:
        if args.keep:
            print("  data kept in %s" % directory)
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
