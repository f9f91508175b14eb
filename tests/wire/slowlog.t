#!/usr/bin/python3
"""What is measured of commands: SLOWLOG, LATENCY, and the sections of INFO about calls, times and errors."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, Late, Server, eq, eventually, expect, in_time, need_kelvin, ok, run, session, show, test


def log_all(c):
    """Everything is logged from here on, but not this."""
    c.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0')
    c.call('SLOWLOG', 'RESET')


def log_default(c):
    c.call('CONFIG', 'SET', 'slowlog-log-slower-than', '10000', 'slowlog-max-len', '128')
    c.call('SLOWLOG', 'RESET')


def logged(c, n=-1):
    """Arguments of the entries, oldest first, without what is about the log itself."""
    entries = [[a.decode('latin-1') for a in e[3]] for e in c.call('SLOWLOG', 'GET', str(n))]
    return [e for e in reversed(entries) if e[0].upper() not in ('SLOWLOG', 'CONFIG')]


session('SLOWLOG: errors', '''
    > SLOWLOG
    -ERR wrong number of arguments for 'slowlog' command
    > SLOWLOG GET x
    -ERR count should be greater than or equal to -1
    > SLOWLOG GET -2
    -ERR count should be greater than or equal to -1
    > SLOWLOG GET 1 2
    -ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.
    > SLOWLOG RESET x
    -ERR wrong number of arguments for 'slowlog|reset' command
    > SLOWLOG NOSUCH
    -ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.
    > CONFIG SET slowlog-log-slower-than -2
    -ERR CONFIG SET failed (possibly related to argument 'slowlog-log-slower-than') - argument must be between -1 and 9223372036854775807 inclusive
    > CONFIG GET slowlog-*
    ["slowlog-log-slower-than", "10000", "slowlog-max-len", "128"]
''' if IS_KELVIN else '''
    > SLOWLOG GET x
    -ERR count should be greater than or equal to -1
''')


@test('only what is slower than the threshold is logged, with whose it was and when')
def _(s):
    c = s.client()
    c.call('CLIENT', 'SETNAME', 'snail')

    def one_entry(ms):
        log_default(c)
        c.call('CONFIG', 'SET', 'slowlog-log-slower-than', ms * 1000)
        c.call('SLOWLOG', 'RESET')
        c.pipeline([('SET', f'k{i}', 'v') for i in range(50)])
        if c.call('SLOWLOG', 'LEN') > 0:
            raise Late('something quick is logged')
        c.call('DEBUG', 'SLEEP', ms * 1.5 / 1000)
        if c.call('SLOWLOG', 'LEN') > 1:
            raise Late('something else is logged')
        eq(c.call('SLOWLOG', 'LEN'), 1)
        return ms

    ms = in_time(one_entry, 100)
    entry = c.call('SLOWLOG', 'GET')[0]
    eq(len(entry), 6)
    now = int(c.call('TIME')[0])
    ok(now - 60 <= entry[1] <= now, f'at {entry[1]}, now {now}')
    ok(entry[2] >= 1400 * ms, f'{entry[2]} microseconds')
    eq([bytes(a) for a in entry[3]], [b'DEBUG', b'SLEEP', b'%g' % (ms * 1.5 / 1000)])
    ok(re.match(rb'^127.0.0.1:\d+$', entry[4]) and entry[5] == b'snail', entry)
    log_default(c)


@test('ids rise over all shards, the newest come first, and slowlog-max-len of them are kept')
def _(s):
    c = s.client()
    log_default(c)
    c.call('CONFIG', 'SET', 'slowlog-max-len', '10')
    log_all(c)
    c.pipeline([('SET', f'k{i}', 'v') for i in range(40)])
    entries = c.call('SLOWLOG', 'GET', '-1')
    ids = [e[0] for e in entries]
    ok(len(ids) == 10 and ids == sorted(ids, reverse=True) and len(set(ids)) == 10, ids)
    eq(c.call('SLOWLOG', 'LEN'), 10)
    eq(len(c.call('SLOWLOG', 'GET', '3')), 3)
    eq(len(c.call('SLOWLOG', 'GET', '100')), 10)
    eq(len(c.call('SLOWLOG', 'GET', '9223372036854775807')) if IS_KELVIN else 10, 10)
    c.call('CONFIG', 'SET', 'slowlog-max-len', '0')
    eq(c.call('SLOWLOG', 'LEN') if IS_KELVIN else 0, 0)
    log_default(c)
    eq(c.call('SLOWLOG', 'LEN'), 0)


@test('long arguments and many of them are cut')
def _(s):
    c = s.client()
    log_all(c)
    c.call('SADD', 'set', *range(3, 34))
    c.call('SADD', 'set', *range(3, 35))
    c.call('SET', 'k', 'A' * 128)
    c.call('SET', 'k', 'A' * 129)
    have = logged(c)
    eq(have[0], ['SADD', 'set'] + [str(i) for i in range(3, 33)] + ['33'] if len(have[0]) > 32 else have[0], '33 are many')
    eq(have[1], ['SADD', 'set'] + [str(i) for i in range(3, 32)] + ['... (3 more arguments)'])
    eq(have[2], ['SET', 'k', 'A' * 128])
    eq(have[3], ['SET', 'k', 'A' * 128 + '... (1 more bytes)'])
    log_default(c)


@test('the commands of a transaction are logged, EXEC is not; nor is what was refused')
def _(s):
    c = s.client()
    log_all(c)
    c.pipeline([('MULTI',), ('SET', '{t}a', '1'), ('GET', '{t}a'), ('EXEC',), ('NOSUCH',), ('GET',), ('LPUSH', '{t}a', 'x')])
    eq(logged(c), [['MULTI'], ['SET', '{t}a', '1'], ['GET', '{t}a'], ['LPUSH', '{t}a', 'x']])
    log_default(c)


@test('secrets are not shown')
def _(s):
    c = s.client()
    log_all(c)
    c.call('AUTH', 'someone', 'secret')
    c.call('HELLO', '2', 'AUTH', 'default', 'secret', 'SETNAME', 'x')
    have = logged(c)
    eq(have[0], ['AUTH', '(redacted)', '(redacted)'])
    eq(have[1], ['HELLO', '2', 'AUTH', '(redacted)', '(redacted)', 'SETNAME', 'x'])
    c.call('CONFIG', 'SET', 'requirepass', '', 'timeout', '0')
    eq(show(c.call('SLOWLOG', 'GET', '1')[0][3]), '["CONFIG", "SET", "requirepass", "(redacted)", "timeout", "0"]')
    log_default(c)


@test('-1 turns it off')
def _(s):
    c = s.client()
    log_all(c)
    c.call('PING')
    c.call('CONFIG', 'SET', 'slowlog-log-slower-than', '-1')
    c.call('SLOWLOG', 'RESET')
    c.pipeline([('PING',)] * 5)
    eq(c.call('SLOWLOG', 'LEN'), 0)
    log_default(c)


@test('what a command waited for flash is in its entry')
def _(s):
    need_kelvin('flash')
    server = Server({'maxmemory': '96mb', 'tier': 'on', 'tier-memory': '8mb', 'durability': 'none'},
                    lines=['db 0 maxmemory 1mb'])
    c = server.client()
    c.pipeline([('SET', f'k{i}', 'x' * 10000) for i in range(400)])
    eventually(lambda: int(server.info('tier')['tier_cold_keys']) > 200, 'values should go cold')
    log_all(c)
    for i in range(100):
        c.call('GET', f'k{i}')
    waited = [e for e in logged(c) if 'microseconds for flash' in e[-1]]
    ok(waited, 'some read should have waited')
    ok(re.match(r'^\.\.\. \(waited \d+ microseconds for flash\)$', waited[0][-1]) and len(waited[0]) == 3, waited[0])
    for e in c.call('SLOWLOG', 'GET', '-1'):
        if b'for flash' in e[3][-1]:
            ok(int(e[3][-1].split()[2]) <= e[2], f'the duration has the wait in it: {e}')
    server.stop()


# --- LATENCY ---

session('LATENCY: nothing yet, errors', '''
    > LATENCY RESET
    /./
    > LATENCY LATEST
    []
    > LATENCY HISTORY command
    []
    > LATENCY HISTORY nosuch
    []
    > LATENCY GRAPH command
    -ERR No samples available for event 'command'
    > LATENCY RESET nosuch command
    0
    > LATENCY NOSUCH
    -ERR unknown subcommand 'NOSUCH'. Try LATENCY HELP.
    > LATENCY HISTORY
    -ERR wrong number of arguments for 'latency|history' command
    > LATENCY DOCTOR
    /latency-monitor-threshold/
''')


@test('events that took longer than the threshold')
def _(s):
    c = s.client()

    def one_event(ms):
        c.call('LATENCY', 'RESET')
        c.call('CONFIG', 'SET', 'latency-monitor-threshold', ms)
        c.call('DEBUG', 'SLEEP', ms * 1.5 / 1000)
        c.call('DEBUG', 'SLEEP', '0.01')
        rows = {row[0].decode(): row[1:] for row in c.call('LATENCY', 'LATEST')}
        at, last, worst = rows['command']
        have = c.call('LATENCY', 'HISTORY', 'command')
        if len(have) > 1:
            raise Late('something quick is shown')
        ok(last >= 1.4 * ms and worst >= last and abs(int(c.call('TIME')[0]) - at) < 60, rows)
        eq([show(have)], [f'[[{at}, {last}]]'])
        return rows

    rows = in_time(one_event, 100)
    at, last, worst = rows['command']
    graph = c.call('LATENCY', 'GRAPH', 'command').decode()
    ok(graph.startswith(f'command - high {last} ms, low {last} ms (all time high {worst} ms)\n' + '-' * 80 + '\n'), graph)
    ok('command' in c.call('LATENCY', 'DOCTOR').decode(), 'DOCTOR names the event')
    if IS_KELVIN:
        ok('hold' in rows or os.environ.get('KELVIN_TEST_SHARDS', '1') == '1', rows)
    eq(c.call('LATENCY', 'RESET', 'command'), 1)
    eq(show(c.call('LATENCY', 'HISTORY', 'command')), '[]')
    c.call('CONFIG', 'SET', 'latency-monitor-threshold', '0')
    c.call('DEBUG', 'SLEEP', '0.15')
    eq(show(c.call('LATENCY', 'HISTORY', 'command')), '[]')
    c.call('LATENCY', 'RESET')


@test('LATENCY HISTOGRAM: calls by time, of the commands named or all')
def _(s):
    c = s.client()
    c.call('CONFIG', 'RESETSTAT')
    c.pipeline([('SET', f'k{i}', 'v') for i in range(20)] + [('CLIENT', 'ID'), ('GET', 'k1')])
    have = dict(zip(*[iter(c.call('LATENCY', 'HISTOGRAM'))] * 2))
    eq(sorted(name.decode() for name in have), ['client|id', 'config|resetstat', 'get', 'set'])
    what = dict(zip(*[iter(have[b'set'])] * 2))
    eq(what[b'calls'], 20)
    bounds, counts = what[b'histogram_usec'][::2], what[b'histogram_usec'][1::2]
    ok(bounds == sorted(bounds) and counts == sorted(counts) and counts[-1] == 20, what)
    ok(set(bounds) <= {((1032 << k) - 1) // 1000 for k in range(32)}, bounds)  # 1 2 4 8 16 33 66 132 …
    names = c.call('LATENCY', 'HISTOGRAM', 'client', 'nosuch', 'set')[::2]
    eq([n.decode() for n in names], ['client|id', 'set'])
    resp3 = s.client(resp=3)
    have = resp3.call('LATENCY', 'HISTOGRAM', 'get')
    ok(show(have).startswith('{"get": {"calls": 1, "histogram_usec": {'), show(have))


# --- INFO ---


def fields(text):
    return dict(pair.split('=') for pair in text.split(','))


@test('commandstats: calls, time, rejected and failed ones')
def _(s):
    c = s.client()
    c.call('CONFIG', 'RESETSTAT')
    c.pipeline([('SET', 'k', 'v')] * 3 + [('SET', 'k')] + [('LPUSH', 'k', 'x')] * 2)
    c.call('DEBUG', 'SLEEP', '0.05')
    have = s.info('commandstats')
    row = fields(have['cmdstat_set'])
    eq((row['calls'], row['rejected_calls'], row['failed_calls']), ('3', '1', '0'))
    row = fields(have['cmdstat_lpush'])
    eq((row['calls'], row['rejected_calls'], row['failed_calls']), ('2', '0', '2'))
    row = fields(next(v for k, v in have.items() if k.startswith('cmdstat_debug')))
    ok(50000 <= int(row['usec']) and abs(float(row['usec_per_call']) - int(row['usec'])) <= 1, row)


@test('total_commands_processed: those of a transaction too')
def _(s):
    c = s.client()

    def total():
        return int(s.info('stats')['total_commands_processed'])

    before = total()
    c.pipeline([('MULTI',), ('SET', 'a', '1'), ('GET', 'b'), ('EXEC',), ('NOSUCH',), ('GET',), ('LPUSH', 'a', 'x')])
    eq(total() - before, 6)  # with one INFO


@test('errorstats: by the first word')
def _(s):
    c = s.client()
    c.call('CONFIG', 'RESETSTAT')
    c.pipeline([('SET', 'k', 'v'), ('LPUSH', 'k', 'x'), ('LPUSH', 'k', 'x'), ('INCR', 'k'), ('NOSUCH',), ('SET', 'k'),
                ('MULTI',), ('SET',), ('EXEC',)])
    have = s.info('errorstats')
    eq(have, {'errorstat_ERR': 'count=4', 'errorstat_EXECABORT': 'count=1', 'errorstat_WRONGTYPE': 'count=2'})
    eq(s.info('stats')['total_error_replies'], '7')
    c.call('CONFIG', 'RESETSTAT')
    eq(s.info('errorstats'), {})


@test('errorstats: of scripts each error once')
def _(s):
    c = s.client()
    c.call('SET', 'x', 'abc')
    for script, want in (("return redis.call('incr','x')", 'ERR'), ("return redis.pcall('incr','x')", 'ERR'),
                         ("redis.pcall('lpush','x','1') return 1", 'WRONGTYPE'), ("return redis.error_reply('-FOO x')", 'FOO'),
                         ("return {1,{err='BAR x'}}", 'BAR'), ("error({err='TBL z'})", 'TBL'), ("error('boom')", 'ERR'),
                         ("return redis.call('nosuch')", 'ERR'), ('syntax error', 'ERR')):
        c.call('CONFIG', 'RESETSTAT')
        try:
            c.call('EVAL', script, '0')
        except Exception:  # the error that the script replies
            pass
        eq(s.info('errorstats'), {f'errorstat_{want}': 'count=1'}, script)
    c.call('CONFIG', 'RESETSTAT')
    c.call('EVAL', "redis.pcall('get')", '0')
    eq(fields(s.info('commandstats')['cmdstat_get'])['rejected_calls'], '1')


@test('latencystats: percentiles of each command, those that are asked for')
def _(s):
    c = s.client()
    c.call('CONFIG', 'RESETSTAT')
    c.pipeline([('GET', 'k')] * 100)
    row = fields(s.info('latencystats')['latency_percentiles_usec_get'])
    eq(list(row), ['p50', 'p99', 'p99.9'])
    ok(0 < float(row['p50']) <= float(row['p99']) <= float(row['p99.9']), row)
    expect(c, 'CONFIG SET latency-tracking-info-percentiles "0 50.0 100"', '+OK')
    expect(c, 'CONFIG GET latency-tracking-info-percentiles', '["latency-tracking-info-percentiles", "0 50 100"]')
    eq(list(fields(s.info('latencystats')['latency_percentiles_usec_get'])), ['p0', 'p50', 'p100'])
    expect(c, 'CONFIG SET latency-tracking-info-percentiles "50 101"',
           "-ERR CONFIG SET failed (possibly related to argument 'latency-tracking-info-percentiles') - "
           'latency-tracking-info-percentiles parameters should sit between [0.0,100.0]')
    expect(c, 'CONFIG SET latency-tracking-info-percentiles "50 99 99.9" latency-tracking no', '+OK')
    c.call('CONFIG', 'RESETSTAT')
    c.pipeline([('GET', 'k')] * 10)
    ok('latency_percentiles_usec_get' not in s.info('latencystats'), 'nothing is counted')
    eq(fields(s.info('commandstats')['cmdstat_get'])['calls'], '10')
    c.call('CONFIG', 'SET', 'latency-tracking', 'yes')


run(Server())
