#!/usr/bin/python3
"""redis-cli, as people use it: one command, pipes, --pipe, --scan, --bigkeys, --stat, --latency."""
import fcntl
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Server, encode, eq, ok, run, skip_all, test

CLI = shutil.which('redis-cli')
if CLI is None:
    skip_all('no redis-cli here')


def cli(s, *words, stdin=b'', options=()):
    done = subprocess.run([CLI, '-p', str(s.port), *options, *words], input=stdin, capture_output=True, timeout=300)
    return done.stdout.decode() + done.stderr.decode()


@test('one command')
def _(s):
    eq(cli(s, 'SET', 'k', 'v'), 'OK\n')
    eq(cli(s, 'GET', 'k'), 'v\n')
    eq(cli(s, 'PING'), 'PONG\n')
    eq(cli(s, 'INCR', 'n', options=('-n', '3')), '1\n')
    ok('ERR' in cli(s, 'INCR', 'k'), 'an error')
    eq(cli(s, 'GET', 'k', options=('-3',)), 'v\n')
    eq(cli(s, 'SET', 'x', stdin=b'from stdin', options=('-x',)), 'OK\n')
    eq(cli(s, 'GET', 'x'), 'from stdin\n')


@test('commands from a pipe')
def _(s):
    eq(cli(s, stdin=b'SET a 1\nINCR a\nMULTI\nGET a\nEXEC\n'), 'OK\n2\nOK\nQUEUED\n2\n')


@test('--pipe loads a hundred thousand keys')
def _(s):
    data = b''.join(encode(['SET', f'key:{i}', f'value:{i}']) for i in range(100000))
    out = cli(s, stdin=data, options=('--pipe',))
    ok('errors: 0, replies: 100000' in out, out)
    eq(cli(s, 'DBSIZE'), '100000\n')


@test('--scan and --bigkeys')
def _(s):
    cli(s, 'MSET', 'a:1', 'x', 'a:2', 'y' * 100, 'b:1', 'z')
    eq(sorted(cli(s, options=('--scan', '--pattern', 'a:*')).split()), ['a:1', 'a:2'])
    out = cli(s, options=('--bigkeys',))
    ok('Biggest string found' in out and 'a:2' in out, out)


@test('the help of the server: COMMAND DOCS')
def _(s):
    out = cli(s, 'COMMAND', 'DOCS', 'SET')
    ok('summary' in out and 'Set' in out, out[:300])


def typed(s, keys, want):
    """Whether redis-cli in a terminal shows `want` after these keys; also what it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(CLI, [CLI, '-p', str(s.port)], dict(os.environ, TERM='xterm', HOME=s.home))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 50, 200, 0, 0))
    shown, deadline = b'', time.monotonic() + 60
    while want not in shown and time.monotonic() < deadline:
        if keys and b'> ' in shown:
            os.write(terminal, keys)
            keys, shown = b'', b''
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536)
    os.close(terminal)
    os.waitpid(pid, 0)
    return want in shown, shown


@test('hints and help in a terminal come from COMMAND DOCS')
def _(s):
    for keys, want in ((b'expire k ', b'seconds [NX|XX|GT|LT]'), (b'set ', b'key value [NX|XX] [GET] [EX seconds|'),
                       (b'help mset\r', b'key value [key value ...]')):
        found, shown = typed(s, keys, want)
        ok(found, shown)


@test('-r, -i, --latency for a moment')
def _(s):
    eq(cli(s, 'INCR', 'r', options=('-r', '5')).split(), ['1', '2', '3', '4', '5'])
    try:
        subprocess.run([CLI, '-p', str(s.port), '--latency', '-i', '1', '--raw'], capture_output=True, timeout=2)
    except subprocess.TimeoutExpired:
        pass
    eq(cli(s, 'PING'), 'PONG\n')


run(Server())
