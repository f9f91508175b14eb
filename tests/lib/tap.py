"""Tests as functions, reported as TAP.

    @test('APPEND makes a missing key')
    def _(s):
        expect(s.client(), 'APPEND k v', '1')

    session('EXPIRE on a missing key', '''
        > EXPIRE missing 10
        0
    ''')

    run(server)

One function or transcript is one TAP line; what went wrong follows it as a diagnostic. A transcript holds commands
(`> GET k`, or `name> GET k` for a second connection, in redis-cli's quoting) and below each its expected reply in the
notation of resp.show(), or `/regex/` for it, `sorted [...]` for an array in any order, `...` for anything.

KELVIN_ONLY=regex runs only the tests whose names match; KELVIN_SEED=n repeats a randomised run.
"""
import os
import random
import re
import sys
import time
import traceback

from resp import Nil, show


class Failure(AssertionError):
    """An expectation that did not hold; the message is printed as diagnostic."""


class Skip(Exception):
    """Raised by a test that cannot run here; the message says why."""


_tests = []
_count = 0
_failed = 0
_problems = []


def note(text):
    for line in str(text).splitlines() or ['']:
        print('# ' + line)
    sys.stdout.flush()


def problem(text):
    """Reports something wrong outside any test (a crash, a sanitizer's report): the run fails in the end."""
    _problems.append(text)
    note(text)


def _report(passed, name, directive=''):
    global _count, _failed
    _count += 1
    _failed += not passed
    name = name.replace('#', r'\#')
    print(f"{'ok' if passed else 'not ok'} {_count} - {name}{directive}")
    sys.stdout.flush()


def test(name):
    def register(function):
        _tests.append((name, function))
        return function

    return register


def ok(condition, message):
    if not condition:
        raise Failure(message)


def eq(got, want, what=''):
    if got != want:
        raise Failure(f'{what}\n got: {_brief(got)}\nwant: {_brief(want)}'.strip())


def _brief(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 600 else text[:400] + f' … ({len(text)} characters) … ' + text[-150:]


def eventually(condition, message, seconds=60.0, pause=0.02):
    """Waits until condition() is true. Generous: it bounds a hang, it does not time anything."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f'{message} (waited {seconds:g} s)')
        time.sleep(pause)


class Late(Exception):
    """What an attempt of in_time() needs was over before it came to it."""


def in_time(attempt, ms=20):
    """The result of attempt(ms), for steps that something short-lived has to survive. It gets a lifetime in milliseconds,
    and raises Late when it sees that this was too short for the machine of the moment: then it runs again from its start,
    with twice as much."""
    while True:
        try:
            return attempt(ms)
        except Late as late:
            if ms > 30000:
                raise Failure(f'{late} after {ms} ms') from late
            ms *= 2


def alive(reply):
    """The reply of keys that should not be due yet; Late if one is."""
    if any(isinstance(value, Nil) for value in (reply if isinstance(reply, list) else [reply])):
        raise Late('expired')
    return reply


def elapse(ms):
    """Sleeps until what was given `ms` milliseconds to live is due by any clock."""
    time.sleep((ms + 5) / 1000)


_ESCAPES = {'n': b'\n', 'r': b'\r', 't': b'\t', 'a': b'\a', 'b': b'\b'}
_WORD = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|(\S+))')


def split(line):
    """A command line in redis-cli's quoting as a list of byte strings."""
    words = []
    for match in _WORD.finditer(line.strip()):
        quoted, single, plain = match.groups()
        if quoted is not None:
            raw = re.split(r'\\(x[0-9a-fA-F]{2}|.)', quoted)
            pieces = [p.encode() if i % 2 == 0 else _unescape_code(p) for i, p in enumerate(raw)]
            words.append(b''.join(pieces))
        else:
            words.append((plain if single is None else single).encode())
    return words


def _unescape_code(code):
    if code[0] == 'x' and len(code) == 3:
        return bytes([int(code[1:], 16)])
    return _ESCAPES.get(code, code.encode())


def matches(tree, want):
    """Whether a reply is what a transcript line says."""
    if want == '...':
        return True
    if len(want) > 1 and want[0] == want[-1] == '/':
        return re.search(want[1:-1], show(tree)) is not None
    if want.startswith('sorted ') and isinstance(tree, list):
        return '[' + ', '.join(sorted(map(show, tree))) + ']' == want[len('sorted '):]
    return show(tree).rstrip() == want.rstrip()  # unknown-command errors end with a space


def expect(client, command, want):
    """Calls `command` (a line to split, or a list of arguments) and compares the reply with its notation."""
    args = split(command) if isinstance(command, str) else command
    reply = client.call(*args)
    if not matches(reply, want):
        shown = command if isinstance(command, str) else ' '.join(show(a) if isinstance(a, bytes) else str(a) for a in args)
        raise Failure(f'> {_brief(shown)}\n got: {_brief(show(reply))}\nwant: {_brief(want)}')
    return reply


_STEP = re.compile(r'^(\w*)> (.*)$')


def _steps(text):
    """(connection, command, wanted reply) of a transcript."""
    steps = []
    for line in (raw.strip() for raw in text.splitlines()):
        if not line or line.startswith('# '):
            continue
        match = _STEP.match(line)
        if match:
            steps.append([match.group(1), match.group(2), ''])
        else:
            steps[-1][2] = (steps[-1][2] + ' ' + line).strip()
    return steps


def session(name, text):
    steps = _steps(text)

    def play(server):
        clients = {}
        for connection, command, want in steps:
            if connection not in clients:
                clients[connection] = server.client()
            expect(clients[connection], command, want)

    _tests.append((name, play))


def seed():
    """The seed of this run, printed so that a failure can be replayed."""
    value = int(os.environ.get('KELVIN_SEED') or random.SystemRandom().getrandbits(32))
    note(f'KELVIN_SEED={value}')
    return value


def skip_all(reason):
    print(f'1..0 # SKIP {reason}')
    sys.exit(0)


def _run_one(name, function, server):
    try:
        if server is not None:
            server.fresh()
        function(server)
    except Skip as why:
        _report(True, name, f' # SKIP {why}')
    except Failure as failure:
        _report(False, name)
        note(failure)
    except Exception:
        _report(False, name)
        note(traceback.format_exc())
        if server is not None:
            note(server.log_tail())
    else:
        _report(True, name)
    finally:
        if server is not None:
            server.close_clients()


def run(server=None):
    """Runs the registered tests in order, stops the server, prints the plan and exits."""
    only = re.compile(os.environ.get('KELVIN_ONLY', ''))
    for name, function in _tests:
        if only.search(name):
            _run_one(name, function, server)
    if server is not None:
        server.stop()
    finish()


def finish():
    if _problems:
        _report(False, 'no crash, leak or sanitizer report')
        for text in _problems:
            note(text)
    print(f'1..{_count}' if _count else '1..0 # SKIP nothing selected')
    sys.stdout.flush()
    sys.exit(1 if _failed else 0)
