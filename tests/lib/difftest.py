"""Runs the same calls on the server under test and on a real redis-server, and compares the replies.

Calls go out in pipelined batches over two connections to each server, in the same order. A difference is reduced to a
short sequence that still shows it on freshly flushed servers, and reported with both replies.
"""
import diffgen_hash
import diffgen_list
import diffgen_script
import diffgen_set
import diffgen_sort
import diffgen_stream
import diffgen_zset
from resp import Closed, ErrorReply, Nil, ProtocolError, encode, same, show

# (command or None for all, predicate(args, ours, theirs), reason): what may differ, and why. tests/README.md tells more.
_TTL_SLACK = {b'TTL': 5, b'PTTL': 5000, b'EXPIRETIME': 5, b'PEXPIRETIME': 5000}


def _close(args, ours, theirs):
    return isinstance(ours, int) and isinstance(theirs, int) and abs(ours - theirs) <= _TTL_SLACK[args[0].upper()]


def _object_is(subcommand):
    def check(args, ours, theirs):
        matches = len(args) == 3 and args[1].upper() == subcommand
        return matches and isinstance(ours, int) and isinstance(theirs, int)
    return check


def _same_set(args, ours, theirs):
    return isinstance(ours, list) and isinstance(theirs, list) and sorted(ours) == sorted(theirs)


def _both_keys(args, ours, theirs):
    return type(ours) is type(theirs) and type(ours) is bytes


def _checked_first(args, ours, theirs):
    """Our complaint about the arguments where Redis 7.0 has looked at the key first."""
    about = (b'ERR syntax error', b'ERR value is not an integer or out of range')
    missing = theirs in (0, -1) and isinstance(theirs, int)
    return isinstance(ours, ErrorReply) and ours in about and (missing or isinstance(theirs, ErrorReply))


def _memory_usage(args, ours, theirs):
    return args[1].upper() == b'USAGE' and isinstance(theirs, int) and (isinstance(ours, int) or isinstance(ours, Nil))


def _cut_short(args, ours, theirs):
    corrupted = isinstance(ours, ErrorReply) and ours.startswith(b'INVALIDOBJ')
    return args[1].upper() == b'DECODE' and corrupted and type(theirs) is bytes


def _of_the_command(reply):
    """An error without what a script adds to it."""
    return ErrorReply(reply.split(b' script: ')[0]) if type(reply) is ErrorReply else reply


def _library_errors(args, ours, theirs):
    """Errors that Lua and its libraries raise: in the words of another Lua. What redis.call raises is compared."""
    raised = type(ours) is ErrorReply and type(theirs) is ErrorReply and ours[:4] == theirs[:4] == b'ERR '
    return raised and (b'user_script:1: ' in theirs or b'ompiling script' in theirs)


DIFFERENCES = [
    ('TTL', _close, 'the two servers run a call some milliseconds apart'),
    ('PTTL', _close, 'the two servers run a call some milliseconds apart'),
    ('EXPIRETIME', _close, 'a relative expiry is resolved some milliseconds apart'),
    ('PEXPIRETIME', _close, 'a relative expiry is resolved some milliseconds apart'),
    ('OBJECT', _object_is(b'IDLETIME'), 'a second may begin between the two calls'),
    ('OBJECT', _object_is(b'REFCOUNT'), 'Redis shares small integers; Kelvin shares no values between keys'),
    ('BITCOUNT', _checked_first, '7.2 checks the arguments before the key'),
    ('BITPOS', _checked_first, '7.2 checks the arguments before the key'),
    ('PFDEBUG', _cut_short, 'Redis takes a last run that lacks its second byte as if a zero followed'),
    ('MEMORY', _memory_usage, 'the sizes are our own; Redis counts an expired key that is still there'),
    ('EVAL', _library_errors, 'what LuaJIT says and what Lua 5.1 says'),
    ('EVAL_RO', _library_errors, 'what LuaJIT says and what Lua 5.1 says'),
    ('SCRIPT', _library_errors, 'what LuaJIT says and what Lua 5.1 says'),
    ('KEYS', _same_set, 'no order is promised'),
    ('RANDOMKEY', _both_keys, 'random; that it is a key is checked apart'),
] + diffgen_set.DIFFERENCES + diffgen_hash.DIFFERENCES + diffgen_list.DIFFERENCES + diffgen_zset.DIFFERENCES + diffgen_sort.DIFFERENCES + diffgen_stream.DIFFERENCES


def _allowed(args, ours, theirs):
    name = bytes(args[0]).upper().decode('latin-1') if args else ''
    return any(command == name and check(args, ours, theirs) for command, check, _ in DIFFERENCES)


def agree(args, ours, theirs):
    called = diffgen_script.inner(args)
    if called:
        return same(ours, theirs) or _allowed(called, _of_the_command(ours), _of_the_command(theirs))
    return same(ours, theirs) or _allowed(args, ours, theirs)



def agree_in_exec(queued, ours, theirs):
    """Like agree() for the replies of an EXEC, each judged by its command."""
    if not (type(ours) is list and type(theirs) is list and len(ours) == len(theirs) == len(queued)):
        return same(ours, theirs)
    return all(agree(args, a, b) for args, a, b in zip(queued, ours, theirs))


def shown(args):
    return ' '.join(show(bytes(a)) if len(a) <= 120 else show(a[:60]) + f'…({len(a)} bytes)' for a in args)


def brief(tree):
    text = show(tree) if tree is not None else 'connection closed'
    return text if len(text) < 500 else f'{text[:300]} … ({len(text)} characters)'


class Side:
    """One server with its two connections."""

    def __init__(self, server, resp):
        self.server = server
        self.resp = resp
        self.connections = []

    def connect(self):
        for c in self.connections:
            c.close()
        self.connections = [self.server.client(self.resp) for _ in range(2)]
        self.connections[0].call('FLUSHALL')

    def run(self, calls):
        """Replies in order; None from where the connection was lost."""
        replies = []
        at = 0
        while at < len(calls):
            end = at
            while end < len(calls) and calls[end][0] == calls[at][0]:
                end += 1
            replies += self._run_on(self.connections[calls[at][0]], calls[at:end])
            at = end
        return replies

    @staticmethod
    def _run_on(connection, calls):
        replies = []
        try:
            connection.raw(b''.join(encode(args) for _, args in calls))
            for _ in calls:
                replies.append(connection.reply())
        except (Closed, TimeoutError, ProtocolError):
            replies += [None] * (len(calls) - len(replies))
        return replies


class Difference:
    def __init__(self, calls, at, ours, theirs):
        self.calls, self.at, self.ours, self.theirs = calls, at, ours, theirs

    def describe(self):
        lines = []
        for connection, args in self.calls[max(0, self.at - 25):self.at]:
            lines.append(f'     {connection}> {shown(args)}')
        connection, args = self.calls[self.at]
        lines += [f'  => {connection}> {shown(args)}', f'     ours:   {brief(self.ours)}', f'     oracle: {brief(self.theirs)}']
        return '\n'.join(lines)


class Pair:
    """The server under test and the oracle, in lockstep."""

    def __init__(self, ours, theirs, resp):
        self.sides = (Side(ours, resp), Side(theirs, resp))
        self.reset()

    def reset(self):
        for side in self.sides:
            side.connect()
            side.server.client().call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')  # DBSIZE counts what is due until it is met
        self._queued = [None, None]

    def _follow(self, connection, args, reply):
        """Keeps track of what is queued in a transaction; returns the calls that this EXEC ran, if it is one."""
        name = bytes(args[0]).upper() if args else b''
        queued = self._queued[connection]
        if reply == b'QUEUED' and queued is not None:
            queued.append(args)
        elif name == b'MULTI' and reply == b'OK':
            self._queued[connection] = []
        elif name in (b'EXEC', b'DISCARD', b'RESET') and not (type(reply) is ErrorReply and b'wrong number' in reply):
            self._queued[connection] = None
            return queued
        return None

    def run(self, calls):
        """The first Difference of a batch, or None."""
        all_ours, all_theirs = (side.run(calls) for side in self.sides)
        for at, ((connection, args), ours, theirs) in enumerate(zip(calls, all_ours, all_theirs)):
            if ours is None or theirs is None:
                if ours is not theirs:
                    return Difference(calls, at, ours, theirs)
                continue
            executed = self._follow(connection, args, theirs)
            good = agree_in_exec(executed, ours, theirs) if executed is not None else agree(args, ours, theirs)
            if not good:
                return Difference(calls, at, ours, theirs)
        return None

    def _shows(self, calls):
        self.reset()
        found = self.run(calls)
        return found

    def reduce(self, calls, attempts=250):
        """A short sequence, run on empty servers, that still ends in a difference; None if it does not come again."""
        best = self._shows(calls)
        if best is None:
            return None
        chunk = max(1, best.at // 2)
        while chunk and attempts > 0:
            start = 0
            while start < best.at and attempts > 0:
                shorter = best.calls[:start] + best.calls[min(start + chunk, best.at):best.at + 1]
                found = self._shows(shorter)
                attempts -= 1
                if found is not None:
                    best = found
                else:
                    start += chunk
            chunk //= 2
        return best
