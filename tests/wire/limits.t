#!/usr/bin/python3
"""Limits of what a client can make the server spend, and the sockets it listens on."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import Client, Closed, Late, Server, encode, eq, eventually, expect, in_time, ok, run, size, test


def config(s, name, value):
    expect(s.client(), ['CONFIG', 'SET', name, value], '+OK')


@test('proto-max-bulk-len')
def _(s):
    config(s, 'proto-max-bulk-len', '1mb')
    try:
        c = s.client()
        eq(bytes(c.call('SET', 'k', b'x' * (1 << 20))), b'OK')
        c.raw(b'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n')
        eq(c.read().decode(), 'ERR Protocol error: invalid bulk length')
        ok(c.at_eof(), 'the connection should be closed')
        c = s.client()
        expect(c, 'SETRANGE k 1048576 x', '-ERR string exceeds maximum allowed size (proto-max-bulk-len)')
        expect(c, 'APPEND k x', '-ERR string exceeds maximum allowed size (proto-max-bulk-len)')
    finally:
        config(s, 'proto-max-bulk-len', '512mb')


@test('client-query-buffer-limit')
def _(s):
    config(s, 'client-query-buffer-limit', '1mb')
    try:
        c = s.client()
        try:
            c.raw(b'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n' + b'x' * 7000000)
        except Closed:
            pass
        ok(c.at_eof(), 'a client over the limit should be closed')
        expect(s.client(), 'GET k', 'nil')
    finally:
        config(s, 'client-query-buffer-limit', '1gb')


@test('client-output-buffer-limit: a reader that never reads is closed')
def _(s):
    setup = s.client()
    setup.call('SET', 'big', b'x' * size(1 << 20))
    config(s, 'client-output-buffer-limit', 'normal 4mb 0 0')
    try:
        c = s.client()
        c.call('CLIENT', 'SETNAME', 'reader')
        c.raw(encode(['GET', 'big']) * (64 * (1 << 20) // size(1 << 20)))
        eventually(lambda: b'name=reader' not in setup.call('CLIENT', 'LIST'), 'the client should be dropped')
        expect(setup, 'PING', '+PONG')
    finally:
        config(s, 'client-output-buffer-limit', 'normal 0 0 0')


@test('slow readers get everything when there is no limit')
def _(s):
    setup = s.client()
    setup.call('SET', 'big', b'y' * size(1 << 20))
    c = s.client()
    c.raw(encode(['GET', 'big']) * 40)
    time.sleep(0.3)
    expect(setup, 'PING', '+PONG')
    for _ in range(40):
        ok(c.read() == b'y' * size(1 << 20), 'a reply differs')


@test('maxclients')
def _(s):
    before = int(s.info('clients')['connected_clients'])
    config(s, 'maxclients', 20)
    try:
        clients, refused = [], None
        while refused is None and len(clients) < 40:
            c = s.client()
            try:
                c.raw(encode(['PING']))
                reply = c.read()
            except Closed:
                reply = b'ERR max number of clients reached'
            if bytes(reply) == b'PONG':
                clients.append(c)
            else:
                refused = bytes(reply)
        eq(refused, b'ERR max number of clients reached')
        ok(10 <= len(clients) <= 20, f'{len(clients)} clients were let in')
        expect(clients[0], 'PING', '+PONG')
        for c in clients[1:]:
            c.close()
        eventually(lambda: _count(clients[0]) <= before + 1, 'closed clients should make room')
        expect(s.client(), 'PING', '+PONG')
    finally:
        config(s, 'maxclients', 10000)


def _count(c):
    return len(c.call('CLIENT', 'LIST').splitlines())


@test('timeout closes idle clients, not busy ones')
def _(s):
    def one_of_two(ms):
        idle, busy = s.client(), s.client()
        expect(idle, 'PING', '+PONG')
        busy.call('CONFIG', 'SET', 'timeout', ms // 1000)
        longest, last = 0, time.monotonic()
        try:
            while idle.quiet(0.1):
                expect(busy, 'PING', '+PONG')
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            expect(busy, 'PING', '+PONG')
        except Closed:
            if max(longest, time.monotonic() - last) * 1000 > ms // 2:
                raise Late('the busy client was idle itself')
            raise
        finally:
            in_time(lambda _: switch_off())
        ok(idle.at_eof(), 'the idle client should be closed')

    def switch_off():
        try:
            config(s, 'timeout', 0)
        except Closed:
            raise Late('closed before it was asked')

    in_time(one_of_two, 1000)


@test('a unix socket, with its permissions')
def _(_s):
    path = os.path.join(_s.home, 'k.sock')
    server = Server({'unixsocket': path, 'unixsocketperm': '700'})
    try:
        c = Client(path)
        expect(c, 'SET k v', '+OK')
        expect(server.client(), 'GET k', '"v"')
        eq(os.stat(path).st_mode & 0o777, 0o700)
        expect(c, 'CLIENT INFO', r'/addr=[^ ]*k\.sock:0/')
        c.close()
    finally:
        server.stop()
    ok(not os.path.exists(path), 'the socket should be removed')


@test('port 0 with a unix socket only')
def _(_s):
    path = os.path.join(_s.home, 'only.sock')
    server = Server({'unixsocket': path, 'port': '0'})
    c = Client(path)
    expect(c, 'PING', '+PONG')
    c.close()
    server.stop()


@test('an occupied port is refused in words that harnesses wait for')
def _(s):
    other = Server(start=False)
    other.options['port'] = str(s.port)
    other.launch()
    code = other.wait_exit()
    ok(code not in (0, None), f'exit code {code}')
    ok('Failed listening on port' in other.log(), other.log())


@test('several bind addresses, and tcp-backlog, tcp-keepalive')
def _(_s):
    server = Server({'bind': '127.0.0.1 -::1', 'tcp-backlog': '64', 'tcp-keepalive': '60'})
    expect(server.client(), 'CONFIG GET tcp-keepalive', '["tcp-keepalive", "60"]')
    server.stop()


run(Server())
