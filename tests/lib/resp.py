"""A small raw RESP2/RESP3 client: what the server said, exactly, with types and error texts kept.

Replies are trees of Python values. int and bytes stand for integers and bulk strings; every other RESP type has a class
of its own below, so that `+OK` and `$2\r\nOK` never look equal to same(). show() writes a tree in the notation that
the transcripts of the tests use:

    +OK   -ERR text   7   "bulk\\x00"   nil (bulk)   nilarray   null (RESP3)   ["a", 1]
    {"k": "v"}   ~["member"]   >["push"]   ,1.5   #t   (123   =txt:"verbatim"
"""
import socket
import threading


class Status(bytes):
    """+text"""


class ErrorReply(bytes):
    """-CODE text, without the dash"""


class Double(bytes):
    """,1.5 as sent"""


class BigNumber(bytes):
    """(123 as sent"""


class Verbatim(bytes):
    """=txt:… with its three-letter format in front"""


class Bool(int):
    """#t or #f"""


class Map(list):
    """%n: keys and values alternate"""


class SetReply(list):
    """~n"""


class Push(list):
    """>n"""


class Nil:
    def __init__(self, shown):
        self.shown = shown

    def __repr__(self):
        return self.shown

    def __bool__(self):
        return False


NIL = Nil('nil')
NIL_ARRAY = Nil('nilarray')
NULL = Nil('null')


def same(a, b):
    """Equal in type and value, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a is b or a == b


def quote(data):
    out = []
    for byte in data:
        if byte in (0x22, 0x5C):
            out.append('\\' + chr(byte))
        elif 0x20 <= byte < 0x7F:
            out.append(chr(byte))
        else:
            out.append({10: '\\n', 13: '\\r', 9: '\\t'}.get(byte) or '\\x%02x' % byte)
    return '"' + ''.join(out) + '"'


def _text(data):
    return data.decode('utf-8', 'backslashreplace')


def _show_map(tree):
    pairs = zip(tree[0::2], tree[1::2])
    return '{' + ', '.join(f'{show(k)}: {show(v)}' for k, v in pairs) + '}'


_SHOW = {
    Status: lambda v: '+' + _text(v),
    ErrorReply: lambda v: '-' + _text(v),
    Double: lambda v: ',' + _text(v),
    BigNumber: lambda v: '(' + _text(v),
    Verbatim: lambda v: '=' + _text(v[:4]) + quote(v[4:]),
    Bool: lambda v: '#t' if v else '#f',
    Map: _show_map,
    SetReply: lambda v: '~[' + ', '.join(map(show, v)) + ']',
    Push: lambda v: '>[' + ', '.join(map(show, v)) + ']',
    list: lambda v: '[' + ', '.join(map(show, v)) + ']',
    bytes: quote,
    int: str,
    Nil: repr,
}


def show(tree):
    return _SHOW[type(tree)](tree)


def to_bytes(arg):
    if isinstance(arg, bytes):
        return arg
    if isinstance(arg, (bytearray, memoryview)):
        return bytes(arg)
    return str(arg).encode()


def encode(args):
    """One command as a RESP array of bulk strings."""
    parts = [b'*%d\r\n' % len(args)]
    for arg in args:
        data = to_bytes(arg)
        parts.append(b'$%d\r\n%s\r\n' % (len(data), data))
    return b''.join(parts)


class ProtocolError(Exception):
    """The server sent something that is not RESP."""


class Closed(Exception):
    """The server closed the connection."""


class Reader:
    """Cuts replies out of a byte stream; `more()` returns further bytes or raises Closed."""

    def __init__(self, more):
        self._more = more
        self._buf = b''
        self._pos = 0

    def pending(self):
        """Bytes received and not yet parsed."""
        return self._buf[self._pos:]

    def _fill(self, parts=None):
        data = self._more()
        if parts is None:
            self._buf = self._buf[self._pos:] + data
            self._pos = 0
        else:
            parts.append(data)
        return len(data)

    def _line(self):
        while True:
            end = self._buf.find(b'\r\n', self._pos)
            if end >= 0:
                line = self._buf[self._pos:end]
                self._pos = end + 2
                return line
            self._fill()

    def exactly(self, n):
        have = len(self._buf) - self._pos
        if have < n:
            parts = [self._buf[self._pos:]]
            while have < n:
                have += self._fill(parts)
            self._buf = b''.join(parts)
            self._pos = 0
        data = self._buf[self._pos:self._pos + n]
        self._pos += n
        return data

    def _bulk(self, n):
        data = self.exactly(n + 2)
        if data[-2:] != b'\r\n':
            raise ProtocolError(f'bulk of {n} bytes not ended by CRLF')
        return data[:-2]

    def _many(self, n):
        return [self.read() for _ in range(n)]

    def read(self):
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b'$':
            return NIL if rest == b'-1' else self._bulk(int(rest))
        if kind == b':':
            return int(rest)
        if kind == b'+':
            return Status(rest)
        if kind == b'*':
            return NIL_ARRAY if rest == b'-1' else self._many(int(rest))
        if kind == b'-':
            return ErrorReply(rest)
        return self._read_resp3(kind, rest)

    def _read_resp3(self, kind, rest):
        if kind == b'_':
            return NULL
        if kind == b'%':
            return Map(self._many(2 * int(rest)))
        if kind == b'~':
            return SetReply(self._many(int(rest)))
        if kind == b'>':
            return Push(self._many(int(rest)))
        if kind == b',':
            return Double(rest)
        if kind == b'#' and rest in (b't', b'f'):
            return Bool(rest == b't')
        if kind == b'(':
            return BigNumber(rest)
        if kind == b'=':
            return Verbatim(self._bulk(int(rest)))
        if kind == b'|':
            self._many(2 * int(rest))
            return self.read()
        raise ProtocolError(f'unexpected reply line {kind + rest!r}')


# Above this a pipeline is sent by a helper thread while replies are read: neither side may wait for the other to read.
_INLINE_SEND_MAX = 64 * 1024


class Client:
    """One connection. Push messages met while waiting for a reply are collected in `pushes`."""

    def __init__(self, address, timeout=60.0):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = Reader(self._receive)
        self.pushes = []

    def _receive(self):
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed('end of stream')
        return data

    def raw(self, data):
        try:
            self.sock.sendall(data)
        except ConnectionError as error:
            raise Closed(str(error)) from error

    def send(self, *args):
        self.raw(encode(args))

    def read(self):
        """The next reply or push message, whichever comes."""
        return self.reader.read()

    def reply(self):
        """The next reply; push messages before it are put aside."""
        while True:
            tree = self.reader.read()
            if type(tree) is not Push:
                return tree
            self.pushes.append(tree)

    def call(self, *args):
        self.raw(encode(args))
        return self.reply()

    def pipeline(self, calls):
        """Sends all calls at once; returns their replies in order."""
        data = b''.join(map(encode, calls))
        if len(data) <= _INLINE_SEND_MAX:
            self.raw(data)
            return [self.reply() for _ in calls]
        sender = threading.Thread(target=self._send_quietly, args=(data,), daemon=True)
        sender.start()
        replies = [self.reply() for _ in calls]
        sender.join()
        return replies

    def _send_quietly(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            pass  # the reading side reports it

    def at_eof(self, timeout=60.0):
        """Whether the server closes this connection within `timeout`; unread replies are thrown away."""
        self.sock.settimeout(timeout)
        try:
            while self.sock.recv(1 << 16):
                pass
            return True
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def quiet(self, seconds):
        """Whether nothing arrives for `seconds`. The connection stays usable."""
        if self.reader.pending():
            return False
        old = self.sock.gettimeout()
        self.sock.settimeout(seconds)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(old)

    def close(self):
        self.sock.close()
