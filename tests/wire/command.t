#!/usr/bin/python3
"""COMMAND in all its forms, compared with the oracle for the commands that both have."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, Map, Server, Skip, eq, note, ok, run, session, show, test

# What the task names; a command missing here is a failure, a command beyond it is welcome.
EXPECTED = '''append bgrewriteaof client command config copy dbsize debug decr decrby del discard dump echo exec exists expire
    expireat expiretime flushall flushdb get getdel getex getrange getset hello incr incrby incrbyfloat info keys lcs
    mget move mset msetnx multi object persist pexpire pexpireat pexpiretime ping psetex pttl quit randomkey rename
    renamenx reset restore scan select set setex setnx setrange shutdown strlen substr swapdb time touch ttl type unlink
    unwatch wait watch'''.split()
# Flags of Redis 7.0 that say something about its own machinery rather than about the command.
FLAGS_IGNORED = {'skip_monitor', 'skip_slowlog'}

session('COUNT, LIST, arguments', '''
    > COMMAND COUNT
    /^[1-9][0-9]+$/
    > COMMAND LIST FILTERBY PATTERN "getr*"
    ["getrange"]
    > COMMAND LIST FILTERBY PATTERN nosuch*
    []
    > COMMAND LIST FILTERBY MODULE none
    []
    > COMMAND LIST BOGUS
    -ERR syntax error
    > COMMAND NOSUCH
    -ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.
    > COMMAND INFO nosuch
    /nil/
    > COMMAND DOCS nosuch
    []
    > COMMAND INFO
    ...
''')

session('GETKEYS', '''
    > COMMAND GETKEYS GET k
    ["k"]
    > COMMAND GETKEYS MSET a 1 b 2
    ["a", "b"]
    > COMMAND GETKEYS DEL a b c
    ["a", "b", "c"]
    > COMMAND GETKEYS RENAME a b
    ["a", "b"]
    > COMMAND GETKEYS OBJECT ENCODING k
    ["k"]
    > COMMAND GETKEYS DBSIZE x
    -ERR The command has no key arguments
    > COMMAND GETKEYS GET a b
    -ERR Invalid number of arguments specified for command
    > COMMAND GETKEYS NOSUCH x
    -ERR Invalid command specified
    > COMMAND GETKEYSANDFLAGS SET k v
    [["k", [+OW, +update]]]
    > COMMAND GETKEYSANDFLAGS GET k
    [["k", [+RO, +access]]]
    > COMMAND GETKEYSANDFLAGS DEL a b
    [["a", [+RM, +delete]], ["b", [+RM, +delete]]]
''')


def oracle(s):
    if not IS_KELVIN:
        raise Skip('a redis-server stands in')
    if ORACLE is None:
        raise Skip('no redis-server here')
    if not hasattr(oracle, 'server'):
        oracle.server = Server(binary=ORACLE)
    return oracle.server.client()


def common(a, b):
    """The names that both servers know."""
    names = set(a.call('COMMAND', 'LIST')) & set(b.call('COMMAND', 'LIST'))
    return sorted(n for n in names if b'|' not in n)


@test('all commands of the task are there')
def _(s):
    names = {n.decode() for n in s.client().call('COMMAND', 'LIST')}
    eq([n for n in EXPECTED if n not in names], [])


@test('COMMAND, COMMAND COUNT and COMMAND LIST agree')
def _(s):
    c = s.client()
    names = {row[0] for row in c.call('COMMAND')}
    eq(len(names), c.call('COMMAND', 'COUNT'))
    eq({n for n in c.call('COMMAND', 'LIST') if b'|' not in n}, names)


@test('a row has the ten fields of Redis 7')
def _(s):
    c = s.client()
    for row in c.call('COMMAND'):
        eq(len(row), 10, show(row[0]))
        ok(isinstance(row[1], int) and row[1] != 0, f'arity of {row[0]}')


@test('INFO: arity, flags, keys as the oracle says')
def _(s):
    a, b = s.client(), oracle(s)
    differences = []
    for name in common(a, b):
        mine, theirs = a.call('COMMAND', 'INFO', name)[0], b.call('COMMAND', 'INFO', name)[0]
        flags = [sorted(set(map(bytes, row[2])) - {f.encode() for f in FLAGS_IGNORED}) for row in (mine, theirs)]
        if (mine[1], flags[0], mine[3:6]) != (theirs[1], flags[1], theirs[3:6]):
            differences.append(f'{name.decode()}: {mine[1]} {flags[0]} {mine[3:6]}, oracle {theirs[1]} {flags[1]} {theirs[3:6]}')
    note('\n'.join(differences[10:]))
    eq(differences[:10], [])


@test('INFO: ACL categories as the oracle says')
def _(s):
    a, b = s.client(), oracle(s)
    differences = []
    for name in common(a, b):
        mine, theirs = ({bytes(x) for x in c.call('COMMAND', 'INFO', name)[0][6]} for c in (a, b))
        if mine != theirs:
            differences.append(f'{name.decode()}: {sorted(mine - theirs)} more, {sorted(theirs - mine)} less')
    note('\n'.join(differences[10:]))
    eq(differences[:10], [])


@test('GETKEYS of sample calls as the oracle says')
def _(s):
    a, b = s.client(), oracle(s)
    for call in ('SET k v EX 1', 'MGET a b c', 'MSETNX a 1 b 2', 'COPY a b', 'MOVE k 1', 'LCS a b LEN', 'TOUCH a b', 'GETEX k',
                 'RESTORE k 0 x', 'OBJECT FREQ k', 'WATCH a b', 'EXISTS a', 'SETRANGE k 0 v', 'FLUSHALL', 'EXPIRE k 1',
                 'KEYS *', 'SCAN 0', 'RENAMENX a b', 'UNLINK a', 'DUMP k', 'GETSET k v', 'INCRBYFLOAT k 1'):
        eq(show(a.call('COMMAND', 'GETKEYS', *call.split())), show(b.call('COMMAND', 'GETKEYS', *call.split())), call)


@test('DOCS say what each command is for')
def _(s):
    c = s.client(resp=3)
    docs = c.call('COMMAND', 'DOCS')
    eq(type(docs), Map)
    rows = dict(zip(docs[0::2], docs[1::2]))
    eq(len(rows), c.call('COMMAND', 'COUNT'))
    for name, row in rows.items():
        doc = dict(zip(row[0::2], row[1::2]))
        for field in (b'summary', b'since', b'group', b'complexity'):
            ok(field in doc or field == b'complexity', f'{name!r} has no {field!r}')
        ok(len(doc[b'summary']) > 5, f'summary of {name!r}')
    one = s.client().call('COMMAND', 'DOCS', 'get')
    eq(one[0], b'get')


@test('DOCS: group, since and complexity as the oracle says')
def _(s):
    a, b = s.client(), oracle(s)
    differences = []
    for name in common(a, b):
        docs = [c.call('COMMAND', 'DOCS', name)[1] for c in (a, b)]
        mine, theirs = (dict(zip(d[0::2], d[1::2])) for d in docs)
        for field in (b'since', b'group'):
            if mine.get(field) != theirs.get(field):
                differences.append(f'{name.decode()} {field.decode()}: {mine.get(field)}, oracle {theirs.get(field)}')
    eq(differences, [])


run(Server())
