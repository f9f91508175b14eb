#!/usr/bin/python3
"""CLIENT: who is connected, under which name, and how to stop them."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import (Late, Server, alive, elapse, encode, eq, eventually, expect, in_time, need_kelvin, ok, run, session, show,
                    test)

def fields(line):
    """One line of CLIENT LIST as a dict."""
    return dict(pair.split('=', 1) for pair in line.decode().split() if '=' in pair)


def listed(c, *options):
    return [fields(line) for line in c.call('CLIENT', 'LIST', *options).splitlines()]


session('ID, names', '''
    a> CLIENT ID
    /^[1-9][0-9]*$/
    a> CLIENT GETNAME
    nil
    a> CLIENT SETNAME worker
    +OK
    a> CLIENT GETNAME
    "worker"
    a> CLIENT SETNAME "two words"
    -ERR Client names cannot contain spaces, newlines or special characters.
    a> CLIENT SETNAME ""
    +OK
    a> CLIENT GETNAME
    nil
    a> CLIENT SETNAME
    -ERR wrong number of arguments for 'client|setname' command
    a> CLIENT
    -ERR wrong number of arguments for 'client' command
    a> CLIENT NOSUCH
    -ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.
    a> CLIENT INFO
    /^"id=[0-9]+ addr=127.0.0.1:[0-9]+ laddr=127.0.0.1:[0-9]+ fd=[0-9]+ name= age=[0-9]+ idle=[0-9]+ flags=N db=0 .*cmd=client\\|info user=default.*resp=2/
''')


@test('LIST shows every client with the fields that tools read')
def _(s):
    a, b = s.client(), s.client(resp=3)
    b.call('CLIENT', 'SETNAME', 'bee')
    b.call('SELECT', '2')
    b.call('MULTI')
    rows = {row['name']: row for row in listed(a) if row['name']}
    row = rows['bee']
    eq((row['db'], row['resp'], row['multi'], row['cmd'], row['flags']), ('2', '3', '0', 'multi', 'x'))
    for field in ('id addr laddr fd name age idle flags db sub psub multi qbuf qbuf-free argv-mem obl oll omem tot-mem '
                  'events cmd user redir resp').split():
        ok(field in row, f'no field {field}')
    ids = [int(row['id']) for row in listed(a)]
    ok(len(ids) == len(set(ids)) and b.call('CLIENT', 'ID') is not None, 'ids are unique')


@test('LIST TYPE and ID')
def _(s):
    a, b = s.client(), s.client()
    mine, other = a.call('CLIENT', 'ID'), b.call('CLIENT', 'ID')
    eq([row['id'] for row in listed(a, 'ID', other, mine)], [str(other), str(mine)])
    eq(listed(a, 'TYPE', 'replica'), [])
    ok(len(listed(a, 'TYPE', 'normal')) >= 2, 'normal clients')
    expect(a, 'CLIENT LIST TYPE bogus', "-ERR Unknown client type 'bogus'")
    expect(a, 'CLIENT LIST BOGUS', '-ERR syntax error')
    expect(a, 'CLIENT LIST ID x', '-ERR Invalid client ID')
    eq(listed(a, 'ID', 0, 999999), [])
    expect(a, 'CLIENT LIST TYPE normal ID 1', '-ERR syntax error')


@test('LIST tells what a client holds in memory')
def _(s):
    a, b = s.client(), s.client()
    b.pipeline([('WATCH', '{k}1', '{k}2'), ('MULTI',), ('SET', '{k}3', 'x' * 1000)])
    b.raw(b'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$50000\r\n' + b'x' * 20000)

    def row():
        return listed(a, 'ID', b_id)[0]

    b_id = next(r['id'] for r in listed(a) if r['flags'] == 'x')
    eventually(lambda: int(row()['qbuf']) >= 20000, 'the input is counted')
    have = row()
    eq(have['multi'], '1')
    ok(int(have['multi-mem']) >= 1000 and int(have['tot-mem']) >= 21000, have)
    ok('watch' not in have or have['watch'] == '2', have)
    if s.is_kelvin:
        eq(list(have), '''id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free argv-mem multi-mem
            rbs rbp obl oll omem tot-mem events cmd user redir resp lib-name lib-ver'''.split())


@test('KILL MAXAGE (7.4)')
def _(s):
    need_kelvin('MAXAGE')
    a = s.client()
    expect(a, 'CLIENT KILL MAXAGE 100000', '0')
    expect(a, 'CLIENT KILL MAXAGE 0', '-ERR maxage should be greater than 0')
    expect(a, 'CLIENT KILL MAXAGE x', '-ERR maxage is not an integer or out of range')

    def kill(ms):
        b = s.client()
        b.call('PING')
        time.sleep((ms + 100) / 1000)
        begin, c = time.monotonic(), s.client()
        c.call('PING')
        killed = a.call('CLIENT', 'KILL', 'MAXAGE', ms // 1000)
        if time.monotonic() - begin > ms / 2000:
            raise Late('the young one is not young any more')
        ok(killed >= 1 and b.at_eof(), 'b is older')
        expect(c, 'PING', '+PONG')

    in_time(kill, 1000)


@test('KILL by address, id, and filters')
def _(s):
    a, b, c = s.client(), s.client(), s.client()
    address = fields(b.call('CLIENT', 'INFO'))['addr']
    expect(a, ['CLIENT', 'KILL', address], '+OK')
    ok(b.at_eof(), 'b should be gone')
    expect(a, ['CLIENT', 'KILL', address], '-ERR No such client')
    expect(a, ['CLIENT', 'KILL', 'ID', c.call('CLIENT', 'ID')], '1')
    ok(c.at_eof(), 'c should be gone')
    expect(a, 'CLIENT KILL ID 999999', '0')
    expect(a, 'CLIENT KILL ID x', '-ERR client-id should be greater than 0')
    expect(a, 'CLIENT KILL TYPE bogus', "-ERR Unknown client type 'bogus'")
    expect(a, 'CLIENT KILL USER nobody', "-ERR No such user 'nobody'")
    expect(a, 'CLIENT KILL BOGUS x', '-ERR syntax error')
    others = [s.client() for _ in range(5)]
    for other in others:
        other.call('PING')
    eventually(lambda: len(listed(a)) == 6, 'those who are gone are to leave')
    eq(a.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'), 5)
    ok(all(other.at_eof() for other in others), 'the others should be gone')
    expect(a, 'PING', '+PONG')


@test('KILL of oneself is answered first')
def _(s):
    c = s.client()
    c.raw(encode(['CLIENT', 'KILL', 'ID', c.call('CLIENT', 'ID'), 'SKIPME', 'no']))
    eq(c.read(), 1)
    ok(c.at_eof(), 'the connection should be closed')


@test('REPLY OFF, ON, SKIP')
def _(s):
    c = s.client()
    c.raw(b''.join(map(encode, [('CLIENT', 'REPLY', 'OFF'), ('SET', 'a', '1'), ('GET', 'a'), ('CLIENT', 'REPLY', 'ON'),
                                ('GET', 'a'), ('CLIENT', 'REPLY', 'SKIP'), ('GET', 'a'), ('ECHO', 'end')])))
    eq([bytes(c.read()), c.read(), c.read()], [b'OK', b'1', b'end'])
    expect(c, 'CLIENT REPLY BOGUS', '-ERR syntax error')


@test('PAUSE ALL holds everybody')
def _(s):
    def pause(ms):
        a, b = s.client(), s.client()
        b.call('PING')
        begin = time.monotonic()
        expect(a, f'CLIENT PAUSE {ms}', '+OK')
        b.send('GET', 'k')
        waits = b.quiet(ms / 4000)
        eq(repr(b.reply()), 'nil')
        if not waits and time.monotonic() - begin >= ms / 1000:
            raise Late('the pause is over')
        ok(waits, 'a paused client should wait')

    in_time(pause, 1000)


@test('PAUSE WRITE lets reads through')
def _(s):
    a, b, c = s.client(), s.client(), s.client()
    expect(a, 'CLIENT PAUSE 600000 WRITE', '+OK')
    expect(b, 'GET k', 'nil')
    b.send('SET', 'k', '1')
    ok(b.quiet(0.3), 'a write should wait')
    c.raw(b''.join(map(encode, [('MULTI',), ('SET', 'm', '1'), ('EXEC',)])))
    time.sleep(0.2)
    expect(a, 'MGET k m', '[nil, nil]')
    expect(a, 'CLIENT UNPAUSE', '+OK')
    eq(bytes(b.reply()), b'OK')
    eq([show(c.reply()) for _ in range(3)], ['+OK', '+QUEUED', '[+OK]'])


@test('PAUSE WRITE: who waits counts as blocked; scripts that declare to write nothing do not wait')
def _(s):
    main = s.client()
    read_only = '#!lua flags=no-writes\nreturn 1'
    sha = main.call('SCRIPT', 'LOAD', read_only)
    main.call('FUNCTION', 'LOAD', 'REPLACE',
              "#!lua name=l\nredis.register_function{function_name='f', callback=function() return 1 end, flags={'no-writes'}}")
    expect(main, 'CLIENT PAUSE 600000 WRITE', '+OK')
    calls = [['SET', 'k', 1], ['DEL', 'none'], ['PFCOUNT', 'none'], ['PUBLISH', 'c', 'm'], ['EVAL', 'return 1', 0],
             ['EVAL', '#!lua\nreturn 1', 1, 'k'], ['MSET', *(word for i in range(8) for word in (f'k{i}', 1))]]
    waiting = [s.client() for _ in calls]
    last_id = waiting[-1].call('CLIENT', 'ID')
    for n, (client, call) in enumerate(zip(waiting, calls)):
        client.send(*call)
        eventually(lambda: s.info('clients')['blocked_clients'] == str(n + 1), f'{call} is to wait')
    for call in (['EVAL', read_only, 0], ['EVAL', read_only, 1, 'k'], ['EVALSHA', sha, 0], ['FCALL', 'f', 0], ['FCALL', 'f', 1, 'k']):
        eq(main.call(*call), 1)
    eq([show(r) for r in main.pipeline([['MULTI'], ['EVAL', read_only, 1, 'k'], ['EXEC']])][-1], '[1]')
    eq(main.call('CLIENT', 'KILL', 'ID', last_id), 1)
    waiting.pop()
    eventually(lambda: s.info('clients')['blocked_clients'] == str(len(calls) - 1), 'who is gone does not count')
    expect(main, 'CLIENT UNPAUSE', '+OK')
    eq([show(client.reply()) for client in waiting], ['+OK', '0', '0', '0', '1', '1'])
    eq(s.info('clients')['blocked_clients'], '0')
    main.call('FUNCTION', 'FLUSH')


@test('PAUSE ends by itself')
def _(s):
    a, b = s.client(), s.client()
    expect(a, 'CLIENT PAUSE 200', '+OK')
    b.send('SET', 'k', '1')
    eq(bytes(b.reply()), b'OK')
    expect(a, 'CLIENT PAUSE -1', '-ERR timeout is negative')
    expect(a, 'CLIENT PAUSE x', '-ERR timeout is not an integer or out of range')
    expect(a, 'CLIENT PAUSE 10 BOGUS', '-ERR CLIENT PAUSE mode must be WRITE or ALL')
    expect(a, 'CLIENT PAUSE 10 WRITE x',
           "-ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.")


@test('expired keys do not go while writes are paused')
def _(s):
    a = s.client()

    def pause(ms):
        a.call('CLIENT', 'UNPAUSE')
        a.call('SET', 'k', 'v', 'PX', ms)
        expect(a, 'CLIENT PAUSE 600000 WRITE', '+OK')
        alive(a.call('GET', 'k'))
        elapse(ms)

    in_time(pause)
    time.sleep(0.3)
    expect(a, 'GET k', 'nil')
    eq(a.call('DBSIZE'), 1)
    expect(a, 'CLIENT UNPAUSE', '+OK')
    eventually(lambda: a.call('DBSIZE') == 0, 'the key should go')


session('NO-EVICT', '''
    > CLIENT NO-EVICT on
    +OK
    > CLIENT INFO
    / flags=e /
    > CLIENT NO-EVICT off
    +OK
    > CLIENT NO-EVICT maybe
    -ERR syntax error
''')


@test('SETINFO and NO-TOUCH (7.2)')
def _(s):
    need_kelvin('CLIENT SETINFO')
    c = s.client()
    expect(c, 'CLIENT SETINFO lib-name kelvin-tests', '+OK')
    expect(c, 'CLIENT SETINFO LIB-VER 1.2.3', '+OK')
    expect(c, 'CLIENT INFO', '/ lib-name=kelvin-tests lib-ver=1.2.3/')
    expect(c, 'CLIENT SETINFO lib-name "with space"',
           '-ERR lib-name cannot contain spaces, newlines or special characters.')
    expect(c, 'CLIENT SETINFO bogus x', "-ERR Unrecognized option 'bogus'")
    expect(c, 'CLIENT NO-TOUCH on', '+OK')
    expect(c, 'CLIENT INFO', '/ flags=T /')
    expect(c, 'CLIENT NO-TOUCH off', '+OK')
    expect(c, 'CLIENT NO-TOUCH maybe', '-ERR syntax error')


@test('NO-TOUCH leaves the idle time alone')
def _(s):
    need_kelvin('CLIENT NO-TOUCH')
    c = s.client()
    c.call('SET', 'k', 'v')
    payload = c.call('DUMP', 'k')
    c.call('RESTORE', 'k', '0', payload, 'REPLACE', 'IDLETIME', '1000')
    c.call('CLIENT', 'NO-TOUCH', 'on')
    c.call('GET', 'k')
    ok(c.call('OBJECT', 'IDLETIME', 'k') >= 990, 'a read should not have touched the key')
    c.pipeline([('MULTI',), ('GET', 'k'), ('EVAL', "return redis.call('GET', KEYS[1])", 1, 'k'), ('EXEC',)])
    ok(c.call('OBJECT', 'IDLETIME', 'k') >= 990, 'nor in a transaction or a script')
    c.call('TOUCH', 'k')
    ok(c.call('OBJECT', 'IDLETIME', 'k') < 990, 'TOUCH should have touched it all the same')


@test('clients coming and going while others list and kill them')
def _(s):
    stop = threading.Event()

    def come_and_go():
        while not stop.is_set():
            c = s.client()
            try:
                c.call('CLIENT', 'SETNAME', 'guest')
                c.call('SET', 'k', 'v')
            except Exception:
                pass  # killed
            c.close()

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    c = s.client()
    for t in threads:
        t.start()
    for _ in range(200):
        for row in listed(c):
            if row.get('name') == 'guest':
                c.call('CLIENT', 'KILL', 'ID', row['id'])
    stop.set()
    for t in threads:
        t.join()
    expect(c, 'PING', '+PONG')


run(Server())
