#!/usr/bin/python3
"""INFO: the sections and fields that people and monitoring tools read."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, Server, Skip, eq, eventually, need_kelvin, ok, run, test

FIELDS = {
    'server': '''redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds uptime_in_days hz
        executable config_file''',
    'clients': 'connected_clients maxclients blocked_clients',
    'memory': '''used_memory used_memory_human used_memory_rss used_memory_peak maxmemory maxmemory_human
        maxmemory_policy mem_fragmentation_ratio mem_allocator total_system_memory''',
    'persistence': '''loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time
        rdb_last_bgsave_status aof_enabled aof_rewrite_in_progress aof_last_bgrewrite_status aof_last_write_status''',
    'stats': '''total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
        total_net_output_bytes rejected_connections expired_keys evicted_keys keyspace_hits keyspace_misses''',
    'replication': 'role connected_slaves master_replid master_repl_offset',
    'cpu': 'used_cpu_sys used_cpu_user',
    'cluster': 'cluster_enabled',
}
TIER_FIELDS = 'tier_hot_keys tier_cold_keys'


@test('every section has its fields')
def _(s):
    for section, names in FIELDS.items():
        text = s.client().call('INFO', section).decode()
        ok(text.startswith(f'# {section.capitalize() if section != "cpu" else "CPU"}\r\n'), f'{section}: {text[:40]!r}')
        have = s.info(section)
        eq([n for n in names.split() if n not in have], [], section)


@test('without argument: the default sections; all and everything')
def _(s):
    text = s.client().call('INFO').decode()
    for title in ('Server', 'Clients', 'Memory', 'Persistence', 'Stats', 'Replication', 'CPU', 'Cluster', 'Keyspace'):
        ok(f'# {title}\r\n' in text, f'no section {title}')
    s.client().call('GET', 'x')
    for name in ('all', 'everything'):
        ok('# Commandstats\r\n' in s.client().call('INFO', name).decode(), name)
    two = s.client().call('INFO', 'server', 'stats').decode()
    ok('# Server' in two and '# Stats' in two and '# Memory' not in two, 'INFO server stats')
    eq(s.client().call('INFO', 'nosuch'), b'')


@test('INFO is verbatim text in RESP3')
def _(s):
    ok(s.client(resp=3).call('INFO', 'server').startswith(b'txt:# Server'), 'a verbatim string')


@test('the io backend is the one asked for')
def _(s):
    need_kelvin('io backends')
    want = os.environ.get('KELVIN_TEST_IO', 'auto')
    have = s.info('server')['multiplexing_api']
    ok(have == want or (want == 'auto' and have in ('epoll', 'io_uring')), have)


@test('keyspace: keys, expires, avg_ttl per database')
def _(s):
    c = s.client()
    c.pipeline([('SET', f'k{i}', 'v') for i in range(10)] + [('EXPIRE', f'k{i}', 1000) for i in range(4)])
    c.pipeline([('SELECT', '2'), ('SET', 'x', '1')])
    have = s.info('keyspace')
    ok(have['db0'].startswith('keys=10,expires=4,avg_ttl='), have['db0'])
    ok(have['db2'].startswith('keys=1,expires=0,avg_ttl=0'), have['db2'])
    ok('db1' not in have, 'an empty database is not listed')


@test('hits, misses, commands and connections are counted')
def _(s):
    c = s.client()
    c.call('SET', 'k', 'v')
    before = s.info()
    c.pipeline([('GET', 'k')] * 10 + [('GET', 'missing')] * 5 + [('MGET', 'k', 'missing'), ('EXISTS', 'k')])
    s.client().call('PING')
    after = s.info()
    grown = {n: int(after[n]) - int(before[n]) for n in ('keyspace_hits', 'keyspace_misses', 'total_connections_received')}
    eq((grown['keyspace_hits'], grown['keyspace_misses']), (12, 6))
    ok(grown['total_connections_received'] >= 2, 'connections')
    ok(int(after['total_commands_processed']) - int(before['total_commands_processed']) >= 18, 'commands')


@test('used_memory follows the data')
def _(s):
    c = s.client()
    before = int(s.info('memory')['used_memory'])
    c.pipeline([('SET', f'k{i}', b'x' * 1000) for i in range(500)])
    during = int(s.info('memory')['used_memory'])
    ok(during - before > 400000 or s.cold, f'{before} to {during}')
    c.call('FLUSHALL')
    ok(int(s.info('memory')['used_memory']) < during, 'memory comes back')


@test('commandstats')
def _(s):
    c = s.client()
    c.call('CONFIG', 'RESETSTAT')
    c.pipeline([('SET', 'k', 'v')] * 7 + [('SET', 'k')] * 2 + [('INCR', 'k')] * 3)
    have = s.info('commandstats')
    row = dict(pair.split('=') for pair in have['cmdstat_set'].split(','))
    eq((row['calls'], row['rejected_calls'], row['failed_calls']), ('7', '2', '0'))
    row = dict(pair.split('=') for pair in have['cmdstat_incr'].split(','))
    eq((row['calls'], row['failed_calls']), ('3', '3'))


@test('the tier section')
def _(s):
    need_kelvin('tier')
    c = s.client()
    c.pipeline([('SET', f'k{i}', 'v') for i in range(10)])
    have = s.info('tier')
    eq([n for n in TIER_FIELDS.split() if n not in have], [])
    eq(int(have['tier_hot_keys']) + int(have['tier_cold_keys']), 10)


# What a Redis 7.0 has and Kelvin has not.
MISSING = {
    'aof_rewrites_consecutive_failures', 'aof_delayed_fsync',  # of rewrites by fork, and of a log that waits for its fsync
    'total_eviction_exceeded_time', 'current_eviction_exceeded_time', 'dump_payload_sanitizations',
    'reply_buffer_shrinks', 'reply_buffer_expands',  # reply buffers have no sizes of their own
}


@test('every field of a redis-server is there, in its section')
def _(s):
    if not IS_KELVIN or ORACLE is None:
        raise Skip('nothing to compare')
    redis = Server({'appendonly': 'yes'}, binary=ORACLE)

    def sections(server):
        out, name = {}, None
        for line in server.client().call('INFO', 'everything').decode().split('\r\n'):
            name = line[2:] if line.startswith('#') else name
            if ':' in line and name not in ('Commandstats', 'Latencystats', 'Errorstats', 'Keyspace'):
                out.setdefault(name, set()).add(line.split(':')[0])
        return out

    mine = sections(s)
    missing = {name: fields - mine.get(name, set()) - MISSING for name, fields in sections(redis).items()}
    eq({name: sorted(fields) for name, fields in missing.items() if fields}, {})
    redis.stop()


@test('figures that follow what happens: traffic, mean time to live, memory of clients')
def _(s):
    c = s.client()
    c.pipeline([('SET', f'k{i}', 'x' * 1000, 'EX', '1000') for i in range(100)])
    c.raw(b'*2\r\n$4\r\nECHO\r\n$60000\r\n' + b'x' * 50000)
    eventually(lambda: 900000 < int(s.info('keyspace')['db0'].split('avg_ttl=')[1].split(',')[0]) <= 1000000, 'avg_ttl')
    eventually(lambda: int(s.info('clients')['client_recent_max_input_buffer']) >= 50000, 'the largest input')
    eventually(lambda: int(s.info('memory')['mem_clients_normal']) >= 50000, 'memory of clients')
    eventually(lambda: float(s.info('stats')['instantaneous_input_kbps']) > 0, 'bytes a second')
    have = s.info('stats')
    ok(int(have['total_reads_processed']) > 0 and int(have['total_writes_processed']) > 0, 'reads and writes')
    before = int(s.info('memory').get('lazyfreed_objects', 0))
    c.close()
    c = s.client()
    c.call('FLUSHALL', 'ASYNC')
    eventually(lambda: int(s.info('memory')['lazyfreed_objects']) >= before + 100, 'freed in the background')


@test('clients that watch and subscribe, turns of the loop')
def _(s):
    need_kelvin('those fields in 7.0')
    a, b, c = s.client(), s.client(), s.client()
    a.call('WATCH', 'k1', 'k2')
    b.call('WATCH', 'k2')
    c.call('SUBSCRIBE', 'ch')
    have = s.info('clients')
    eq((have['watching_clients'], have['total_watched_keys'], have['pubsub_clients']), ('2', '2', '1'))
    a.call('UNWATCH')
    b.close()
    c.close()

    def none():
        return [s.info('clients')[n] for n in ('watching_clients', 'total_watched_keys', 'pubsub_clients')] == ['0'] * 3

    eventually(none, 'all are gone')
    before = s.info('stats')
    a.pipeline([('SET', f'k{i}', 'v') for i in range(1000)])
    after = s.info('stats')
    for field in 'eventloop_cycles eventloop_duration_sum eventloop_duration_cmd_sum'.split():
        ok(int(after[field]) > int(before[field]), f'{field}: {before[field]} {after[field]}')
    ok(int(after['eventloop_duration_sum']) >= int(after['eventloop_duration_cmd_sum']), 'commands are a part')
    eventually(lambda: int(s.info('stats')['instantaneous_eventloop_cycles_per_sec']) > 0, 'turns a second')


@test('sections are named in any case, and several times')
def _(s):
    text = s.client().call('INFO', 'SERVER', 'server', 'Keyspace', 'nosuch').decode()
    eq(text.count('# Server'), 1)
    ok('# Keyspace' in text and '# Stats' not in text, text)
    default, none = s.client().call('INFO', 'default').decode(), s.client().call('INFO').decode()
    titles = [line for line in default.splitlines() if line.startswith('#')]
    eq(titles, [line for line in none.splitlines() if line.startswith('#')])
    ok('# Commandstats' not in titles and '# Latencystats' not in titles and '# Errorstats' in titles, titles)


run(Server())
