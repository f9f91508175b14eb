"""Scripts that run on Kelvin and on a redis-server, every connection of which must get the same bytes from both: pushes
and replies, in their order.

A script has lines `name> COMMAND`, or several commands to be sent at once, with ` ; ` between them; `sleep 5` waits for so
many milliseconds. After each line everything that is under way to any connection is read. `name~ COMMAND` is of something
that other connections learn in its own time: they are neither read nor compared before `name? TEXT`, which ends with it.
"""
import re
import time

from kelvin import IS_KELVIN, ORACLE, Server, Skip, encode, ok, split

_LINE = re.compile(r'(\w+)([>~?]) (.*)')


class Wire:
    """Connections to one server whose received bytes are kept."""

    def __init__(self, server, resp):
        self.server = server
        self.resp = resp
        self.clients = {}
        self.bytes = {}
        self.tokens = 0

    def client(self, name):
        if name in self.clients:
            return self.clients[name]
        client = self.server.client()
        self.clients[name] = client
        self.bytes[name] = b''
        receive = client.reader._more

        def recording():
            data = receive()
            self.bytes[name] += data
            return data
        client.reader._more = recording
        if self.resp == 3:
            client.send('HELLO', '3')
            client.read()
            self.bytes[name] = b''  # ids differ
        return client

    def sync(self, name):
        """Reads until what the server had for this connection has come."""
        token = b'token-%d' % self.tokens
        self.tokens += 1
        client = self.clients[name]
        client.send('PING', token)
        while client.read() not in (token, [b'pong', token]):
            pass

    def wait(self, name, text):
        """Until the connection has got this text."""
        while text.encode() not in self.bytes[name]:
            self.clients[name].read()

    def step(self, name, command, alone=False):
        client = self.client(name)
        client.raw(b''.join(encode(split(line)) for line in command.split(' ; ')))
        for other in [name] + [n for n in self.clients if n != name and not alone]:
            self.sync(other)


def compare(server, script, options=(), only=None):
    """The script on this server and on the oracle, in both protocols. `options` are set before it; `only`: the
    connections that matter."""
    if not ORACLE or not IS_KELVIN:
        raise Skip('no redis-server to compare with')
    for resp in (2, 3):
        for each in (server, oracle()):
            each.fresh()
        wires = [Wire(s, resp) for s in (server, oracle())]
        for wire in wires:
            for name, value in options:
                wire.server.client().call('CONFIG', 'SET', name, value)
        for line in script.strip().splitlines():
            if line.strip().startswith('sleep '):
                time.sleep(int(line.split()[1]) / 1000)
                continue
            if not line.strip():
                continue
            name, what, command = _LINE.match(line.strip()).groups()
            for wire in wires:
                wire.wait(name, command) if what == '?' else wire.step(name, command, alone=what == '~')
            for other in (only or wires[0].clients) if what != '~' else []:
                got, want = (wire.bytes[other] for wire in wires)
                ok(got == want, f'RESP{resp}, {other} after {line.strip()}\n got: {got[-400:]}\nwant: {want[-400:]}')
        for wire in wires:
            wire.server.close_clients()


_oracle = []


def oracle():
    if not _oracle:
        _oracle.append(Server(binary=ORACLE))
    return _oracle[0]
