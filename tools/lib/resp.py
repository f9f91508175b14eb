"""A small RESP2 client: enough for the tools, and quick enough to pipeline a hundred thousand records a second."""

import socket


class ReplyError(Exception):
    """An error reply; the text is the server's."""


def encode(value):
    return value if isinstance(value, bytes) else str(value).encode()


def command(*args):
    """One request as bytes."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in map(encode, args):
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


class Connection:
    def __init__(self, port, timeout=120):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb", 1 << 18)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.reader.close()
        self.socket.close()

    def send(self, requests):
        self.socket.sendall(requests)

    def reply(self):
        """The next reply; raises ReplyError for an error."""
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise ReplyError(rest.decode(errors="replace"))
        if kind == b"*":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        raise ConnectionError("not a RESP2 reply: %r" % line[:40])

    def _bulk(self, length):
        if length < 0:
            return None
        data = self.reader.read(length + 2)
        if len(data) != length + 2:
            raise ConnectionError("the server closed the connection")
        return data[:-2]

    def call(self, *args):
        self.send(command(*args))
        return self.reply()
