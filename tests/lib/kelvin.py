"""Starts and stops the server under test, and gathers what a test file imports (resp.py, tap.py).

Environment:
    KELVIN_BUILD         build directory, by default build/
    KELVIN_SERVER        the binary itself; a redis-server may stand in for Kelvin, to check the tests against the oracle
    KELVIN_TEST_SHARDS   the test matrix: shard threads,
    KELVIN_TEST_IO       io backend,
    KELVIN_TEST_COLD=1   a memory budget so small that everything goes cold
    KELVIN_KEEP=1        leave the temporary directories behind

Servers listen on free loopback ports and live in temporary directories of their own. Only processes started here are
ever signalled, and they die with the test (PR_SET_PDEATHSIG), however that ends.
"""
import atexit
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import tap
from resp import Client, Closed, ErrorReply, Map, Nil, NIL, Push, ProtocolError, Status, encode, same, show, to_bytes
from tap import (Failure, Late, Skip, alive, elapse, eq, eventually, expect, in_time, note, ok, run, seed, session, skip_all,
                 split, test)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORACLE = shutil.which('redis-server')
BINARY = os.environ.get('KELVIN_SERVER') or os.path.join(ROOT, os.environ.get('KELVIN_BUILD', 'build'), 'kelvin-server')
IS_KELVIN = 'redis-server' not in os.path.basename(BINARY)
SANITIZED = os.path.basename(os.path.dirname(BINARY)) in ('build-asan', 'build-tsan')

# Options that a redis-server does not know: dropped when it stands in.
KELVIN_ONLY = {
    'shards', 'io-backend', 'durability', 'tier', 'tier-max-bytes', 'tier-compression', 'log-segment-size',
    'checkpoint-log-size', 'checkpoint-log-max', 'pipeline-order', 'tier-memory', 'tier-threads',
}

# What makes everything cold, and the one place that decides it: databases of a megabyte in a process that has room for
# its own structures. Tests take the number of keys and the size of values that they use from keys() and size().
COLD_OPTIONS = {'maxmemory': '96mb', 'tier': 'on', 'tier-memory': '8mb'}
COLD_WORDS = [word for db in range(3) for word in ('--db', str(db), 'maxmemory', '1mb')]

# Redis's way to say what Kelvin calls durability, for the stand-in. Its own everysec puts off writes while an fsync runs,
# and loses what it has acknowledged meanwhile when it is killed; Kelvin's does not.
_STAND_IN_DURABILITY = {
    'none': {'appendonly': 'no', 'save': ''},
    'os': {'appendonly': 'yes', 'appendfsync': 'no'},
    'everysec': {'appendonly': 'yes', 'appendfsync': 'no'},
    'always': {'appendonly': 'yes', 'appendfsync': 'always'},
}

COLD = os.environ.get('KELVIN_TEST_COLD') == '1'
_START_SECONDS = _STOP_SECONDS = 180  # only end a hang, as all such bounds do
_SANITIZER = re.compile(r'(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer)')
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
os.environ.setdefault('TSAN_OPTIONS', f'suppressions={ROOT}/tests/tsan.supp')
_servers = []
_dirs = []


def _matrix():
    # Zeroing segments is most of what a start costs, and tests start often.
    options = {'log-segment-size': '8mb'} if IS_KELVIN else {}
    if os.environ.get('KELVIN_TEST_SHARDS'):
        options['shards'] = os.environ['KELVIN_TEST_SHARDS']
    if os.environ.get('KELVIN_TEST_IO'):
        options['io-backend'] = os.environ['KELVIN_TEST_IO']
    if COLD:
        options.update(COLD_OPTIONS)
    return options


def keys(n):
    """How many keys a test uses that would like n: fewer when little memory is all there is."""
    return max(1, n // 20) if COLD else n


def size(n):
    """How many bytes a test uses for a value that would like n."""
    return min(n, 1 << 18) if COLD else n


def need_kelvin(why):
    """Skips the test while a redis-server stands in."""
    if not IS_KELVIN:
        raise Skip(f'a redis-server stands in, which has no {why}')


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def temp_dir():
    path = tempfile.mkdtemp(prefix='kelvin-test-')
    _dirs.append(path)
    return path


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class StartError(Exception):
    """The server ended instead of becoming ready. `code` is its exit code, `log` all that it printed."""

    def __init__(self, code, log):
        super().__init__(f'server ended with {code} while starting:\n{log[-2000:]}')
        self.code = code
        self.log = log


class Server:
    """One server process and its directory. `options` are --name value pairs; `lines` go into a configuration file; one
    that sets a memory budget of its own is outside the cold part of the matrix."""

    def __init__(self, options=None, lines=None, directory=None, binary=None, start=True):
        self.binary = binary or BINARY
        self.is_kelvin = 'redis-server' not in os.path.basename(self.binary)
        self.home = temp_dir()
        self.dir = directory or os.path.join(self.home, 'data')
        os.makedirs(self.dir, exist_ok=True)
        self.log_path = os.path.join(self.home, 'server.log')
        self.options = {} if binary else _matrix()
        self.options.update({k: str(v) for k, v in (options or {}).items()})
        self.cold = COLD and not binary and 'maxmemory' not in (options or {})
        self.lines = lines or []
        self.process = None
        self._clients = []
        self._log_checked = 0
        _servers.append(self)
        if start:
            self.start()

    def command(self):
        """The command line that start() uses."""
        options = {'port': self.port, 'bind': '127.0.0.1', 'dir': self.dir, 'enable-debug-command': 'yes'}
        options.update(self.options)
        lines = self.lines
        if not self.is_kelvin:
            options.update(_STAND_IN_DURABILITY.get(options.get('durability'), {}))
            options = {k: v for k, v in options.items() if k not in KELVIN_ONLY}
            options.setdefault('save', '')
            lines = [line for line in lines if line.split(' ')[0] not in KELVIN_ONLY | {'db'}]
        words = [self.binary]
        if lines:
            self.conf = os.path.join(self.home, 'server.conf')
            with open(self.conf, 'w') as out:
                out.write('\n'.join(lines) + '\n')
            words.append(self.conf)
        for name, value in options.items():
            words += ['--' + name, str(value)]
        return words + (COLD_WORDS if self.cold and self.is_kelvin else [])

    def launch(self):
        """Starts the process and returns without waiting for it."""
        self.port = free_port()
        with open(self.log_path, 'ab') as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT, cwd=self.home,
                                            stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent)

    def start(self):
        for attempt in range(5):
            self.launch()
            try:
                self._wait_ready()
                return self
            except StartError as error:
                if attempt == 4 or not re.search('Address already in use|Failed listening', error.log):
                    raise
        return self

    def _wait_ready(self):
        deadline = time.monotonic() + _START_SECONDS
        while True:
            code = self.process.poll()
            log = self.log()
            if 'ready to accept connections' in log.lower():
                return
            if code is not None:
                self._check_log()
                raise StartError(code, log)
            if time.monotonic() > deadline:
                self.kill9()
                raise StartError(None, f'not ready after {_START_SECONDS} s\n' + log)
            time.sleep(0.005)

    def log(self):
        """What the process started last has printed so far."""
        with open(self.log_path, 'rb') as log:
            log.seek(self._log_start)
            return log.read().decode('utf-8', 'replace')

    def log_tail(self, lines=15):
        return '\n'.join(self.log().splitlines()[-lines:])

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def client(self, resp=2, timeout=300.0 if SANITIZED else 120.0):
        """A new connection; closed by itself when the test ends."""
        client = Client(('127.0.0.1', self.port), timeout)
        self._clients.append(client)
        if resp == 3:
            client.call('HELLO', '3')
        return client

    def close_clients(self):
        for client in self._clients:
            client.close()
        self._clients = []

    def fresh(self):
        """Before each test: alive and empty."""
        if not self.alive():
            if self.process is not None:
                self._ended()
            self.start()
        client = self.client()
        client.call('CLIENT', 'UNPAUSE')
        client.call('FLUSHALL')
        self.close_clients()

    def info(self, section=None):
        """INFO as a dict of strings."""
        client = Client(('127.0.0.1', self.port))
        try:
            text = client.call('INFO', *([section] if section else []))
        finally:
            client.close()
        pairs = (line.split(':', 1) for line in text.decode().splitlines() if ':' in line)
        return dict(pairs)

    def rss(self):
        """Resident memory in bytes."""
        with open(f'/proc/{self.pid}/statm') as statm:
            return int(statm.read().split()[1]) * os.sysconf('SC_PAGESIZE')

    def wait_exit(self, seconds=_STOP_SECONDS):
        """The exit code of a server that is expected to end by itself; None if it does not."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._check_log()
        return code

    def stop(self):
        """An orderly stop. Anything but a clean exit is a problem of the whole run."""
        self.close_clients()
        if not self.alive():
            self._ended()
            return
        self.process.send_signal(signal.SIGTERM)
        code = self.wait_exit()
        if code is None:
            tap.problem(f'the server did not stop within {_STOP_SECONDS} s\n' + self.log_tail(40))
            self.kill9()
        elif code != 0:
            tap.problem(f'the server stopped with exit code {code}\n' + self.log_tail(40))

    def kill9(self):
        self.close_clients()
        if self.alive():
            self.process.kill()
        self.process.wait()
        self._check_log()

    def restart(self, kill=False):
        if kill:
            self.kill9()
        else:
            self.stop()
        self.start()

    def _ended(self):
        if self.process is not None and self.process.returncode not in (0, -signal.SIGKILL):
            tap.problem(f'the server ended by itself with {self.process.returncode}\n' + self.log_tail(40))
            self.process.returncode = 0
        self._check_log()

    def _check_log(self):
        with open(self.log_path, 'rb') as log:
            log.seek(self._log_checked)
            text = log.read().decode('utf-8', 'replace')
            self._log_checked = log.tell()
        match = _SANITIZER.search(text)
        if match:
            tap.problem(text[max(0, match.start() - 200):match.start() + 6000])


def _cleanup():
    for server in _servers:
        if server.alive():
            server.process.kill()
            server.process.wait()
    if os.environ.get('KELVIN_KEEP') == '1':
        note('kept: ' + ' '.join(_dirs))
        return
    for path in _dirs:
        shutil.rmtree(path, ignore_errors=True)


atexit.register(_cleanup)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
if not os.access(BINARY, os.X_OK):
    skip_all(f'{os.path.relpath(BINARY, ROOT)} is not built')
