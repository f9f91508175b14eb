#!/usr/bin/python3
"""How the server ends: SHUTDOWN, SIGTERM, SIGINT, and what its log says on the way."""
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import BINARY, IS_KELVIN, Server, eq, eventually, expect, ok, run, temp_dir, test



def ends(server, action):
    """The exit code after `action`."""
    action()
    code = server.wait_exit()
    ok(code is not None, 'the server does not end')
    return code


@test('SHUTDOWN ends without a reply and keeps the data')
def _(_s):
    for command in (['SHUTDOWN'], ['SHUTDOWN', 'NOSAVE'], ['SHUTDOWN', 'SAVE'], ['SHUTDOWN', 'NOW', 'FORCE']):
        server = Server({'durability': 'everysec'})
        c = server.client()
        c.call('SET', 'k', ' '.join(command))
        c.send(*command)
        ok(c.at_eof(), 'the connection should be closed')
        eq(server.wait_exit(), 0, str(command))
        server.start()
        expect(server.client(), 'GET k', f'"{" ".join(command)}"')
        server.stop()


@test('SHUTDOWN: arguments')
def _(s):
    expect(s.client(), 'SHUTDOWN BOGUS', '-ERR syntax error')
    expect(s.client(), 'SHUTDOWN SAVE NOSAVE', '-ERR syntax error')
    expect(s.client(), 'SHUTDOWN ABORT', '-ERR No shutdown in progress.')


@test('SIGTERM and SIGINT are orderly')
def _(_s):
    for number in (signal.SIGTERM, signal.SIGINT):
        server = Server({'durability': 'everysec'})
        server.client().call('SET', 'k', number)
        eq(ends(server, lambda: server.process.send_signal(number)), 0)
        server.start()
        expect(server.client(), 'GET k', f'"{number}"')
        server.stop()


@test('the log has the lines that harnesses wait for')
def _(s):
    log = s.log()
    ok(f'PID: {s.pid}' in log or f'pid={s.pid}' in log, 'the process id')
    ok('Ready to accept connections' in log, 'ready')


@test('pidfile: there while it runs, gone afterwards')
def _(_s):
    path = os.path.join(temp_dir(), 'server.pid')
    server = Server({'pidfile': path})
    server.client().call('PING')
    if IS_KELVIN:
        eq(open(path).read(), f'{server.process.pid}\n')
    server.stop()
    ok(not os.path.exists(path), 'the pid file is left behind')


@test('daemonize: the command ends, the server stays')
def _(_s):
    home = temp_dir()
    path = os.path.join(home, 'server.pid')
    command = [BINARY, '--daemonize', 'yes', '--pidfile', path, '--dir', home, '--port', '0', '--unixsocket',
               os.path.join(home, 's'), '--logfile', os.path.join(home, 'log')]
    eq(subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode, 0)
    eventually(lambda: os.path.exists(path) and open(path).read().strip() != '', 'no pid file')
    pid = int(open(path).read())
    eventually(lambda: 'ready to accept' in open(os.path.join(home, 'log')).read().lower(), 'it does not get ready')
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(path), 'it does not end')


@test('--version and an unknown option')
def _(s):
    done = subprocess.run([s.binary, '--version'], capture_output=True, text=True, timeout=30)
    eq(done.returncode, 0)
    ok('v=' in done.stdout or 'version' in done.stdout.lower(), done.stdout)
    server = Server({'no-such-option': 'x'}, start=False)
    server.launch()
    ok(server.wait_exit() not in (0, None), 'an unknown option should be refused')
    ok('no-such-option' in server.log(), server.log())


@test('a server with thousands of clients and much unsent output stops')
def _(_s):
    server = Server()
    clients = [server.client() for _ in range(500)]
    clients[0].call('SET', 'big', b'x' * 1000000)
    for c in clients[:50]:
        c.send('GET', 'big')
    eq(ends(server, server.process.terminate), 0)


run(Server())
