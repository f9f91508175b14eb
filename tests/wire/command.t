#!/usr/bin/python3
"""COMMAND in all its forms, compared with the oracle for the commands that both have.

The oracle is a Redis 7.0, Kelvin documents itself as 7.4 does: what changed in between is listed in DIFFERENCES. Trees
of arguments are compared in a short notation,

    name:type#key_spec_index=TOKEN@since-deprecated_since?*+(the arguments of a oneof or block)

where ? is optional, * multiple, + multiple_token, and only name and type are always there.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from kelvin import IS_KELVIN, ORACLE, Map, Server, Skip, Status, eq, expect, need_kelvin, ok, run, session, show, test
from resp import SetReply

# What the task names; a command missing here is a failure, a command beyond it is welcome.
EXPECTED = '''append bgrewriteaof bitcount bitfield bitfield_ro bitop bitpos blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax
    bzpopmin client command config copy dbsize debug decr decrby del discard dump echo eval eval_ro evalsha evalsha_ro exec exists
    expire fcall fcall_ro function
    expireat expiretime flushall flushdb get getbit getdel getex getrange getset hello incr incrby incrbyfloat info keys lcs
    memory mget move mset msetnx multi object persist pexpire pexpireat pexpiretime pfadd pfcount pfdebug pfmerge pfselftest ping psetex pttl quit randomkey rename
    renamenx reset restore scan script select set setbit setex setnx setrange shutdown strlen substr swapdb time touch ttl type unlink
    unwatch wait watch xack xackdel xadd xautoclaim xclaim xdel xdelex xgroup xinfo xlen xpending xrange xread xreadgroup
    xrevrange xsetid xtrim'''.split()
INFO_FIELDS = 'name', 'arity', 'flags', 'first key', 'last key', 'step', 'categories', 'tips', 'key specs'
# Not the summary: 7.2 wrote all of them anew.
DOC_FIELDS = 'since', 'group', 'complexity', 'doc_flags', 'deprecated_since', 'replaced_by', 'history', 'arguments'

ALL_NODES = ['request_policy:all_nodes', 'response_policy:all_succeeded']
TIPS = '7.2 corrected the tips'
NAMES = '7.2 renamed arguments that were called after their values or their subcommand'
GETKEYS = '7.2 documents the call whose keys are asked for, which needs no arguments'
DEPRECATED = '7.2 declares what had been deprecated long since'
# (command, field): (what Kelvin says instead of what Redis 7.0 says, why)
DIFFERENCES = {
    ('client|pause', 'since'): ('3.0.0', '7.2 names a release instead of a release candidate'),
    ('client|setname', 'tips'): (ALL_NODES, TIPS),
    ('config|resetstat', 'tips'): (ALL_NODES, TIPS),
    ('config|rewrite', 'tips'): (ALL_NODES, TIPS),
    ('msetnx', 'tips'): ([], '7.2 says no longer that it can be split: it is atomic'),
    ('randomkey', 'tips'): (['request_policy:all_shards', 'response_policy:special', 'nondeterministic_output'], TIPS),
    ('scan', 'tips'): (['nondeterministic_output', 'request_policy:special', 'response_policy:special'], TIPS),
    ('quit', 'doc_flags'): (['+deprecated'], '7.2 deprecated it'),
    ('quit', 'deprecated_since'): ('7.2.0', '7.2 deprecated it'),
    ('quit', 'replaced_by'): ('just closing the connection', '7.2 deprecated it'),
    ('command|getkeys', 'arity'): (-3, GETKEYS),
    ('command|getkeysandflags', 'arity'): (-3, GETKEYS),
    ('command|getkeys', 'arguments'): ('command:string arg:string?*', GETKEYS),
    ('command|getkeysandflags', 'arguments'): ('command:string arg:string?*', GETKEYS),
    ('client|kill', 'arguments'): (
        'filter:oneof(old-format:string-2.8.12 new-format:oneof*(client-id:integer=ID@2.8.12? '
        'client-type:oneof=TYPE@2.8.12?(normal:pure-token=NORMAL master:pure-token=MASTER@3.2.0 slave:pure-token=SLAVE '
        'replica:pure-token=REPLICA@5.0.0 pubsub:pure-token=PUBSUB) username:string=USER? addr:string=ADDR? '
        'laddr:string=LADDR@6.2.0? skipme:oneof=SKIPME?(yes:pure-token=YES no:pure-token=NO) '
        'maxage:integer=MAXAGE@7.4.0?))', NAMES),
    ('client|kill', 'history'): (
        [['2.8.12', 'Added new filter format.'], ['2.8.12', '`ID` option.'],
         ['3.2.0', 'Added `master` type in for `TYPE` option.'],
         ['5.0.0', 'Replaced `slave` `TYPE` with `replica`. `slave` still supported for backward compatibility.'],
         ['6.2.0', '`LADDR` option.'], ['7.4.0', '`MAXAGE` option.']], 'came with 7.4'),
    ('client|list', 'arguments'): (
        'client-type:oneof=TYPE@5.0.0?(normal:pure-token=NORMAL master:pure-token=MASTER replica:pure-token=REPLICA '
        'pubsub:pure-token=PUBSUB) client-id:integer=ID@6.2.0?*', NAMES),
    ('client|reply', 'arguments'): ('action:oneof(on:pure-token=ON off:pure-token=OFF skip:pure-token=SKIP)', NAMES),
    ('client|unblock', 'arguments'): (
        'client-id:integer unblock-type:oneof?(timeout:pure-token=TIMEOUT error:pure-token=ERROR)', NAMES),
    ('config|get', 'arguments'): ('parameter:string*', '7.2 needs no block for one argument'),
    ('config|set', 'arguments'): ('data:block*(parameter:string value:string)', NAMES),
    ('hello', 'arguments'): (
        'arguments:block?(protover:integer auth:block=AUTH?(username:string password:string) '
        'clientname:string=SETNAME?)', NAMES),
    ('lcs', 'arguments'): (
        'key1:key#0 key2:key#0 len:pure-token=LEN? idx:pure-token=IDX? min-match-len:integer=MINMATCHLEN? '
        'withmatchlen:pure-token=WITHMATCHLEN?', NAMES),
    ('bitcount', 'arguments'): (
        'key:key#0 range:block?(start:integer end:integer unit:oneof@7.0.0?(byte:pure-token=BYTE bit:pure-token=BIT))',
        NAMES),
    ('bitpos', 'arguments'): (
        'key:key#0 bit:integer range:block?(start:integer end-unit-block:block?(end:integer '
        'unit:oneof@7.0.0?(byte:pure-token=BYTE bit:pure-token=BIT)))', NAMES),
    ('bitop', 'arguments'): (
        'operation:oneof(and:pure-token=AND or:pure-token=OR xor:pure-token=XOR not:pure-token=NOT '
        'diff:pure-token=DIFF@8.2.0 diff1:pure-token=DIFF1@8.2.0 andor:pure-token=ANDOR@8.2.0 one:pure-token=ONE@8.2.0) '
        'destkey:key#0 key:key#1*', 'the operations are listed since 7.2, four are new in 8.2'),
    ('bitop', 'history'): (
        [['8.2.0', 'Added the `DIFF`, `DIFF1`, `ANDOR`, and `ONE` operations.']], 'four operations are new in 8.2'),
    ('bitfield', 'arguments'): (
        'key:key#0 operation:oneof?*(get-block:block=GET(encoding:string offset:integer) '
        'write:block(overflow-block:oneof=OVERFLOW?(wrap:pure-token=WRAP sat:pure-token=SAT fail:pure-token=FAIL) '
        'write-operation:oneof(set-block:block=SET(encoding:string offset:integer value:integer) '
        'incrby-block:block=INCRBY(encoding:string offset:integer increment:integer))))', NAMES),
    ('bitfield_ro', 'arguments'): ('key:key#0 get-block:block=GET?*+(encoding:string offset:integer)', NAMES),
    ('pfmerge', 'arguments'): ('destkey:key#0 sourcekey:key#1?*', '7.2 documents that there may be no source'),
    ('shutdown', 'arguments'): (
        'save-selector:oneof?(nosave:pure-token=NOSAVE save:pure-token=SAVE) now:pure-token=NOW@7.0.0? '
        'force:pure-token=FORCE@7.0.0? abort:pure-token=ABORT@7.0.0?', NAMES),
    ('xadd', 'history'): (
        [['6.2.0', 'Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option.'],
         ['7.0.0', 'Added support for the `<ms>-*` explicit ID form.'],
         ['8.2.0', 'Added the `KEEPREF`, `DELREF` and `ACKED` options.']],
        'new in 8.2'),
    ('xadd', 'arguments'): (
        'key:key#0 nomkstream:pure-token=NOMKSTREAM@6.2.0? condition:oneof@8.2.0?(keepref:pure-token=KEEPREF '
        'delref:pure-token=DELREF acked:pure-token=ACKED) trim:block?(strategy:oneof(maxlen:pure-token=MAXLEN '
        'minid:pure-token=MINID@6.2.0) operator:oneof?(equal:pure-token== approximately:pure-token=~) '
        'threshold:string count:integer=LIMIT@6.2.0?) id-selector:oneof(auto-id:pure-token=* id:string) '
        'data:block*(field:string value:string)', NAMES),
    ('xclaim', 'arguments'): (
        'key:key#0 group:string consumer:string min-idle-time:string id:string* ms:integer=IDLE? unix-time-'
        'milliseconds:unix-time=TIME? count:integer=RETRYCOUNT? force:pure-token=FORCE? justid:pure-'
        'token=JUSTID? lastid:string=LASTID?', NAMES),
    ('xgroup|create', 'arguments'): (
        'key:key#0 group:string id-selector:oneof(id:string new-id:pure-token=$) mkstream:pure-'
        'token=MKSTREAM? entries-read:integer=ENTRIESREAD?', NAMES),
    ('xgroup|createconsumer', 'arguments'): (
        'key:key#0 group:string consumer:string', NAMES),
    ('xgroup|delconsumer', 'arguments'): (
        'key:key#0 group:string consumer:string', NAMES),
    ('xgroup|destroy', 'arguments'): (
        'key:key#0 group:string', NAMES),
    ('xgroup|setid', 'arguments'): (
        'key:key#0 group:string id-selector:oneof(id:string new-id:pure-token=$) entries-'
        'read:integer=ENTRIESREAD?', NAMES),
    ('xinfo|consumers', 'history'): (
        [['7.2.0', 'Added the `inactive` field, and changed the meaning of `idle`.']],
        'came with 7.2'),
    ('xinfo|consumers', 'arguments'): (
        'key:key#0 group:string', NAMES),
    ('xinfo|stream', 'history'): (
        [['6.0.0', 'Added the `FULL` modifier.'],
         ['7.0.0', 'Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` '
          'and `lag` fields'],
         ['7.2.0', 'Added the `active-time` field, and changed the meaning of `seen-time`.']],
        'came with 7.2'),
    ('xinfo|stream', 'arguments'): (
        'key:key#0 full-block:block=FULL?(count:integer=COUNT?)', NAMES),
    ('xreadgroup', 'arguments'): (
        'group-block:block=GROUP(group:string consumer:string) count:integer=COUNT? '
        'milliseconds:integer=BLOCK? noack:pure-token=NOACK? streams:block=STREAMS(key:key#0* id:string*)', NAMES),
    ('xsetid', 'arguments'): (
        'key:key#0 last-id:string entries-added:integer=ENTRIESADDED@7.0.0? max-deleted-'
        'id:string=MAXDELETEDID@7.0.0?', NAMES),
    ('xtrim', 'history'): (
        [['6.2.0', 'Added the `MINID` trimming strategy and the `LIMIT` option.'],
         ['8.2.0', 'Added the `KEEPREF`, `DELREF` and `ACKED` options.']],
        'new in 8.2'),
    ('xtrim', 'arguments'): (
        'key:key#0 trim:block(strategy:oneof(maxlen:pure-token=MAXLEN minid:pure-token=MINID@6.2.0) '
        'operator:oneof?(equal:pure-token== approximately:pure-token=~) threshold:string '
        'count:integer=LIMIT@6.2.0? condition:oneof@8.2.0?(keepref:pure-token=KEEPREF delref:pure-'
        'token=DELREF acked:pure-token=ACKED))', NAMES),
}
for _name in ('mset', 'msetnx'):
    DIFFERENCES[_name, 'arguments'] = ('data:block*(key:key#0 value:string)', NAMES)
for _name, _flags in (('blpop', '+write +blocking'), ('brpop', '+write +blocking'), ('blmove', '+write +denyoom +blocking'),
                      ('brpoplpush', '+write +denyoom +blocking'), ('bzpopmin', '+write +blocking +fast'),
                      ('bzpopmax', '+write +blocking +fast')):
    DIFFERENCES[_name, 'flags'] = (_flags.split(), 'since 7.2 scripts may call it: it does not block there')
DIFFERENCES['wait', 'flags'] = (['+blocking'], 'since 7.2 scripts may call it; 7.4 says that it blocks')
DIFFERENCES['wait', 'categories'] = (['+@slow', '+@blocking', '+@connection'], '7.4 says that it blocks')
DIFFERENCES['function|flush', 'arguments'] = (
    'flush-type:oneof?(async:pure-token=ASYNC sync:pure-token=SYNC)', NAMES)
DIFFERENCES['script|flush', 'arguments'] = (
    'flush-type:oneof@6.2.0?(async:pure-token=ASYNC sync:pure-token=SYNC)', NAMES)
for _name in ('flushall', 'flushdb'):
    DIFFERENCES[_name, 'arguments'] = (
        'flush-type:oneof?(async:pure-token=ASYNC@4.0.0 sync:pure-token=SYNC@6.2.0)', NAMES)
for _name, _word in (('setnx', 'NX'), ('setex', 'EX'), ('psetex', 'PX')):
    DIFFERENCES[_name, 'doc_flags'] = (['+deprecated'], DEPRECATED)
    DIFFERENCES[_name, 'deprecated_since'] = ('2.6.12', DEPRECATED)
    DIFFERENCES[_name, 'replaced_by'] = (f'`SET` with the `{_word}` argument', DEPRECATED)
# display_text, new in 7.2: the name, but for these.
DISPLAY = {'old-format': 'ip:port', 'addr': 'ip:port', 'laddr': 'ip:port', 'by-pattern': 'pattern', 'get-pattern': 'pattern'}
DIFFERENCES['sscan', 'complexity'] = (
    'O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to '
    '0. N is the number of elements inside the collection.', '7.2 took a full stop away')
DIFFERENCES['hscan', 'complexity'] = DIFFERENCES['sscan', 'complexity']
DIFFERENCES['hscan', 'arguments'] = (
    'key:key#0 cursor:integer pattern:pattern=MATCH? count:integer=COUNT? novalues:pure-token=NOVALUES@7.4.0?',
    '7.4 added NOVALUES')
for _name in ('hset', 'hmset'):
    DIFFERENCES[_name, 'arguments'] = ('key:key#0 data:block*(field:string value:string)', NAMES)
EXPECTED += '''lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset ltrim rpop rpoplpush rpush
    rpushx'''.split()
EXPECTED += '''hdel hexists hexpire hexpireat hexpiretime hget hgetall hgetdel hgetex hincrby hincrbyfloat hkeys hlen hmget
    hmset hpersist hpexpire hpexpireat hpexpiretime hpttl hrandfield hscan hset hsetex hsetnx hstrlen httl hvals'''.split()
_SORTED = ('key:key#0 by-pattern:pattern#1=BY? limit:block=LIMIT?(offset:integer count:integer) get-pattern:pattern#1=GET?*+ '
           'order:oneof?(asc:pure-token=ASC desc:pure-token=DESC) sorting:pure-token=ALPHA?')
DIFFERENCES['sort_ro', 'arguments'] = (_SORTED, NAMES)
DIFFERENCES['sort', 'arguments'] = (_SORTED + ' destination:key#2=STORE?', NAMES)
EXPECTED += '''sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers smismember smove spop srandmember
    srem sscan sunion sunionstore sort sort_ro'''.split()
ZSCAN_COST = ('O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return '
              'back to 0. N is the number of elements inside the collection.')
DIFFERENCES['zscan', 'complexity'] = (ZSCAN_COST, '7.2 took a full stop away')
DIFFERENCES['zrandmember', 'complexity'] = ('O(N) where N is the number of members returned', NAMES)
_SORTBY = ' sortby:oneof%s?(byscore:pure-token=BYSCORE bylex:pure-token=BYLEX) rev:pure-token=REV%s?'
_LIMIT = ' limit:block=LIMIT%s?(offset:integer count:integer)'
_SCORES = ' withscores:pure-token=WITHSCORES%s?'
for _name, _args in {
        'zadd': 'key:key#0 condition:oneof@3.0.2?(nx:pure-token=NX xx:pure-token=XX) comparison:oneof@6.2.0?'
                '(gt:pure-token=GT lt:pure-token=LT) change:pure-token=CH@3.0.2? increment:pure-token=INCR@3.0.2? '
                'data:block*(score:double member:string)',
        'zrange': 'key:key#0 start:string stop:string' + _SORTBY % ('@6.2.0', '@6.2.0') + _LIMIT % '@6.2.0' + _SCORES % '',
        'zrangestore': 'dst:key#0 src:key#1 min:string max:string' + _SORTBY % ('', '') + _LIMIT % '',
        'zrangebylex': 'key:key#0 min:string max:string' + _LIMIT % '',
        'zrevrangebylex': 'key:key#0 max:string min:string' + _LIMIT % '',
        'zrangebyscore': 'key:key#0 min:double max:double' + _SCORES % '@2.0.0' + _LIMIT % '',
        'zrevrangebyscore': 'key:key#0 max:double min:double' + _SCORES % '' + _LIMIT % ''}.items():
    DIFFERENCES[_name, 'arguments'] = (_args, NAMES)
for _name in ('zrank', 'zrevrank'):
    DIFFERENCES[_name, 'arity'] = (-3, '7.2 added WITHSCORE')
    DIFFERENCES[_name, 'history'] = ([['7.2.0', 'Added the optional `WITHSCORE` argument.']], '7.2 added it')
    DIFFERENCES[_name, 'arguments'] = ('key:key#0 member:string withscore:pure-token=WITHSCORE?', '7.2 added it')
EXPECTED += '''zadd zcard zcount zdiff zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin
    zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore
    zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion zunionstore'''.split()
EXPECTED += '''geoadd geodist geohash geopos georadius georadius_ro georadiusbymember georadiusbymember_ro geosearch
    geosearchstore'''.split()
for _name, _cost in {'geodist': 'O(1)', 'geohash': 'O(1) for each member requested.',
                     'geopos': 'O(1) for each member requested.'}.items():
    DIFFERENCES[_name, 'complexity'] = (_cost, 'a member is found in constant time')
_UNIT = 'unit:oneof(m:pure-token=M km:pure-token=KM ft:pure-token=FT mi:pure-token=MI)'
_COUNT = ' count-block:block?(count:integer=COUNT any:pure-token=ANY%s?)'
_ORDER = ' order:oneof?(asc:pure-token=ASC desc:pure-token=DESC)'
_WITH = ' withcoord:pure-token=WITHCOORD? withdist:pure-token=WITHDIST? withhash:pure-token=WITHHASH?'
_POINT = 'longitude:double latitude:double'
_AREA = (f' from:oneof(member:string=FROMMEMBER fromlonlat:block=FROMLONLAT({_POINT})) by:oneof(circle:block('
         f'radius:double=BYRADIUS {_UNIT}) box:block(width:double=BYBOX height:double {_UNIT})){_ORDER}{_COUNT % ""}')
_RADIUS = f' radius:double {_UNIT}{_WITH}'
_STORE = ' store:oneof?(storekey:key#1=STORE storedistkey:key#2=STOREDIST)'
for _name, _args in {
        'geoadd': 'key:key#0 condition:oneof@6.2.0?(nx:pure-token=NX xx:pure-token=XX) change:pure-token=CH@6.2.0? '
                  f'data:block*({_POINT} member:string)',
        'geohash': 'key:key#0 member:string?*',
        'geopos': 'key:key#0 member:string?*',
        'geosearch': 'key:key#0' + _AREA + _WITH,
        'geosearchstore': 'destination:key#0 source:key#1' + _AREA + ' storedist:pure-token=STOREDIST?',
        'georadius': f'key:key#0 {_POINT}' + _RADIUS + _COUNT % '@6.2.0' + _ORDER + _STORE,
        'georadius_ro': f'key:key#0 {_POINT}' + _RADIUS + _COUNT % '@6.2.0' + _ORDER,
        'georadiusbymember': 'key:key#0 member:string' + _RADIUS + _COUNT % '' + _ORDER + _STORE,
        'georadiusbymember_ro': 'key:key#0 member:string' + _RADIUS + _COUNT % '' + _ORDER}.items():
    DIFFERENCES[_name, 'arguments'] = (_args, NAMES)
DISPLAY.update({'storekey': 'key', 'storedistkey': 'key'})
# Calls that are refused whatever their arguments.
UNDOCUMENTED = {'debug|jmap', 'debug|loadaof', 'debug|segfault'}

# Whose keys are asked for; all but the last line have some.
CALLS = '''
    GET k, get k, SET k v, SET k v EX 1, SET k v GET, SET k v NX GET KEEPTTL, SETNX k v, SETEX k 1 v, PSETEX k 1 v
    GETSET k v, GETDEL k, GETEX k, GETEX k PERSIST, MGET a b c, MSET a 1 b 2, MSET a 1 b, MSETNX a 1 b 2, STRLEN k
    INCR k, DECR k, INCRBY k 1, DECRBY k 1, INCRBYFLOAT k 1, APPEND k v, SETRANGE k 0 v, GETRANGE k 0 1, SUBSTR k 0 1
    LCS a b LEN, DEL a, DEL a a b, UNLINK a b, EXISTS a, TOUCH a b, TYPE k, RENAME a b, RENAMENX a b, COPY a b
    COPY a b DB 1 REPLACE, MOVE k 1, EXPIRE k 1 NX, PEXPIRE k 1, EXPIREAT k 1, PEXPIREAT k 1, TTL k, PTTL k, EXPIRETIME k
    PEXPIRETIME k, PERSIST k, DUMP k, RESTORE k 0 x, OBJECT ENCODING k, OBJECT FREQ k, WATCH a b
    SETBIT k 1 1, GETBIT k 1, BITCOUNT k, BITPOS k 1, BITOP AND d a b, BITFIELD k GET u8 0, BITFIELD k SET u8 0 1
    BITFIELD_RO k, PFADD k a, PFCOUNT a b, PFMERGE d a, PFDEBUG DECODE k, MEMORY USAGE k
    GET k x, SET k, MSET a, DEL x y z, LCS a, OBJECT NOSUCH k, OBJECT HELP, CONFIG GET x, FLUSHALL ASYNC, KEYS *, SCAN 0
    DEBUG OBJECT k, NOSUCH x, PING x, COMMAND GETKEYS GET k
'''
CALLS += '''
    SADD k a, SREM k a, SISMEMBER k a, SMISMEMBER k a b, SCARD k, SMEMBERS k, SRANDMEMBER k, SPOP k 2, SMOVE a b x, SINTER a b
    SUNION a, SDIFF a b c, SINTERSTORE d a b, SUNIONSTORE d a, SDIFFSTORE d a, SINTERCARD 2 a b LIMIT 1, SINTERCARD 3 a b
    SINTERCARD x a, SINTERCARD 0 a, SSCAN k 0, SORT k, SORT k BY w_* GET # LIMIT 0 1 STORE d, SORT k STORE d STORE e
    SORT_RO k, SORT_RO k BY STORE, SORT k BOGUS STORE d, SORT k LIMIT 1 STORE d
'''
CALLS += '''
    HSET k f v, HSETNX k f v, HMSET k f v, HGET k f, HMGET k f g, HGETALL k, HKEYS k, HVALS k, HLEN k, HEXISTS k f, HSTRLEN k f
    HINCRBY k f 1, HINCRBYFLOAT k f 1, HDEL k f g, HSCAN k 0, HRANDFIELD k 2
    ZADD k 1 a, ZRANGE k 0 1, ZRANGESTORE a b 0 1, ZUNION 2 a b, ZUNION 2 a b WEIGHTS 1 2, ZUNIONSTORE d 2 a b, ZINTER 1 a
    ZDIFFSTORE d 1 a, ZINTERCARD 2 a b LIMIT 1, ZMPOP 2 a b MIN, ZUNION 3 a b, ZUNION x a, ZUNIONSTORE d 0 a, ZPOPMIN k
    GEOADD k 1 2 m, GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m, GEORADIUS k 1 2 3 m, GEORADIUS k 1 2 3 m STORE d
    GEORADIUS k 1 2 3 m ASC STOREDIST d, GEORADIUSBYMEMBER k m 3 m STORE d, GEORADIUS_RO k 1 2 3 m STORE d, GEOPOS k a
    ZMPOP 2 a b, ZSCORE k m, ZSCAN k 0, ZREMRANGEBYLEX k - +, ZRANDMEMBER k
    EVAL x 2 a b c, EVAL x 0, EVAL x 5 a, EVALSHA x 0 a, FCALL f 1 a, FCALL f 0, EVAL x y
'''

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
    > COMMAND LIST FILTERBY ACLCAT
    -ERR syntax error
    > COMMAND LIST FILTERBY ACLCAT nosuch
    []
    > COMMAND LIST FILTERBY PATTERN "CONFIG|re*t"
    ["config|resetstat"]
    > COMMAND COUNT x
    -ERR wrong number of arguments for 'command|count' command
    > COMMAND INFO config|nosuch get|x config|
    [nil, nil, nil]
    > COMMAND DOCS config|nosuch
    []
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
    > COMMAND GETKEYS
    -ERR wrong number of arguments for 'command|getkeys' command
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


def oracle(s, resp=2):
    if not IS_KELVIN:
        raise Skip('a redis-server stands in')
    if ORACLE is None:
        raise Skip('no redis-server here')
    if not hasattr(oracle, 'server'):
        oracle.server = Server(binary=ORACLE)
    version = oracle.server.info('server')['redis_version']
    if not version.startswith('7.0.'):
        raise Skip(f'the oracle is a Redis {version}, the differences are listed for 7.0')
    return oracle.server.client(resp)


def names_of(client):
    return {name.decode() for name in client.call('COMMAND', 'LIST')}


def common(a, b):
    """The commands and subcommands that both servers know."""
    return sorted(names_of(a) & names_of(b))


def pairs(tree):
    """A map of either protocol as a dict."""
    return {key.decode(): value for key, value in zip(tree[0::2], tree[1::2])}


def plain(tree):
    """A reply as what can be compared and read: no more difference between RESP2 and RESP3 than there must be."""
    if isinstance(tree, list):
        return [plain(x) for x in tree]
    return ('+' if type(tree) is Status else '') + tree.decode() if isinstance(tree, bytes) else tree


def shape(tree):
    """The types of a reply, which RESP3 tells apart: of a map by field, of other aggregates the elements'."""
    if type(tree) is Map:
        return '%{' + ', '.join(f'{k}: {shape(v)}' for k, v in pairs(tree).items() if k != 'display_text') + '}'
    if isinstance(tree, list):
        return ('~' if type(tree) is SetReply else '') + '[' + ', '.join(sorted({shape(x) for x in tree})) + ']'
    return type(tree).__name__


def notation(args):
    out = []
    for arg in map(pairs, args):
        text = f'{arg["name"].decode()}:{arg["type"].decode()}'
        text += f'#{arg["key_spec_index"]}' if 'key_spec_index' in arg else ''
        for sign, field in (('=', 'token'), ('@', 'since'), ('-', 'deprecated_since')):
            text += sign + arg[field].decode() if field in arg else ''
        flags = plain(arg.get('flags', []))
        text += ''.join(sign for sign, flag in (('?', '+optional'), ('*', '+multiple'), ('+', '+multiple_token'))
                        if flag in flags)
        text += f'({notation(arg["arguments"])})' if 'arguments' in arg else ''
        out.append(text)
    return ' '.join(out)


def compare(a, b, fields_of):
    """What differs in the fields of all common commands and is not listed, and the listed differences that were met."""
    found, met = [], set()
    for name in common(a, b):
        mine, theirs = fields_of(a, name), fields_of(b, name)
        for field, value in mine.items():
            if value == theirs[field]:
                continue
            if DIFFERENCES.get((name, field), [None])[0] == value:
                met.add((name, field))
            else:
                found.append(f'{name}, {field}: {value}\n    oracle: {theirs[field]}')
    ok(not found, '\n'.join(found))
    return met


def info_fields(client, name):
    return dict(zip(INFO_FIELDS, plain(client.call('COMMAND', 'INFO', name)[0])))


def doc_fields(client, name):
    doc = pairs(client.call('COMMAND', 'DOCS', name)[1])
    fields = {field: plain(doc.get(field)) for field in DOC_FIELDS}
    fields['arguments'] = notation(doc.get('arguments', []))
    return fields


def each_doc(docs):
    """(name, doc) of all commands and subcommands in a reply of COMMAND DOCS."""
    for name, doc in pairs(docs).items():
        doc = pairs(doc)
        yield name, doc
        yield from each_doc(doc.get('subcommands', []))


def each_arg(args):
    for arg in map(pairs, args):
        yield arg
        yield from each_arg(arg.get('arguments', []))


def least(arg):
    """How many words the argument takes at least if it is given."""
    own = 1 if 'token' in arg and arg['type'] != b'pure-token' else 0
    subs = [pairs(x) for x in arg.get('arguments', [])]
    if arg['type'] == b'oneof':
        return own + min(map(least, subs))
    return own + (sum(least(x) for x in subs if '+optional' not in plain(x.get('flags', []))) if subs else 1)


@test('all commands of the task are there')
def _(s):
    names = {n.decode() for n in s.client().call('COMMAND', 'LIST')}
    eq([n for n in EXPECTED if n not in names], [])


@test('COMMAND, COMMAND COUNT, COMMAND LIST and COMMAND DOCS agree')
def _(s):
    c = s.client()
    rows = c.call('COMMAND')
    names = {row[0].decode() for row in rows}
    eq(len(rows), c.call('COMMAND', 'COUNT'))
    subs = {sub[0].decode() for row in rows for sub in row[9]}
    eq(names_of(c), names | subs)
    eq({name for name, _ in each_doc(c.call('COMMAND', 'DOCS'))}, names | subs)
    eq(show(c.call('COMMAND', 'INFO')), show(rows))


@test('a row has the ten fields of Redis 7')
def _(s):
    c = s.client()
    for row in c.call('COMMAND'):
        eq(len(row), 10, show(row[0]))
        ok(isinstance(row[1], int) and row[1] != 0, f'arity of {row[0]}')


@test('INFO: arity, flags, keys, categories, tips, key specifications as the oracle says')
def _(s):
    for resp in (2, 3):
        met = compare(s.client(resp), oracle(s, resp), info_fields)
        eq(met, {key for key in DIFFERENCES if key[1] in INFO_FIELDS}, 'listed differences')


@test('the types of RESP3 are those of the oracle')
def _(s):
    a, b = s.client(3), oracle(s, 3)
    for call in ('INFO get', 'INFO set', 'INFO mset', 'INFO ping', 'INFO nosuch', 'DOCS set', 'DOCS getset', 'DOCS copy',
                 'DOCS client|pause', 'DOCS expire', 'DOCS nosuch', 'COUNT', 'LIST', 'GETKEYS get k',
                 'GETKEYSANDFLAGS get k', 'HELP'):
        eq(*(shape(c.call('COMMAND', *call.split())) for c in (a, b)), call)


@test('LIST FILTERBY as the oracle says')
def _(s):
    a, b = s.client(), oracle(s)
    both = {name for name in common(a, b) if (name, 'categories') not in DIFFERENCES}

    def check(*words):
        mine, theirs = ({x.decode() for x in c.call('COMMAND', 'LIST', 'FILTERBY', *words)} & both for c in (a, b))
        eq(sorted(mine ^ theirs), [], f'LIST FILTERBY {words}')

    for category in b.call('ACL', 'CAT'):
        check('ACLCAT', category.decode())
    for words in ('ACLCAT KeySpace', 'ACLCAT @read', 'PATTERN *', 'PATTERN get*', 'PATTERN GET*', 'PATTERN config|*',
                  'PATTERN *|get', 'PATTERN [gs]et', 'PATTERN ?et', 'MODULE x', 'aclcat read', 'pattern SET'):
        check(*words.split())


@test('GETKEYS and GETKEYSANDFLAGS as the oracle says')
def _(s):
    a, b = s.client(), oracle(s)
    for call in (call.strip() for line in CALLS.strip().splitlines() for call in line.split(',')):
        for form in ('GETKEYS', 'GETKEYSANDFLAGS'):
            eq(*(show(c.call('COMMAND', form, *call.split())) for c in (a, b)), f'{form} {call}')


@test('GETKEYS of a call with very many keys')
def _(s):
    names = [f'k{i}' for i in range(3000)]
    eq(s.client().call('COMMAND', 'GETKEYS', 'MGET', *names), [name.encode() for name in names])


@test('GETKEYS of a call without arguments')
def _(s):
    need_kelvin('COMMAND GETKEYS as of 7.2')
    for form in ('GETKEYS', 'GETKEYSANDFLAGS'):
        expect(s.client(), f'COMMAND {form} DBSIZE', '-ERR The command has no key arguments')
        expect(s.client(), f'COMMAND {form} GET', '-ERR Invalid number of arguments specified for command')


@test('GETKEYS of a call whose optional keys are not there')
def _(s):
    need_kelvin('the keys of PFMERGE without sources')
    expect(s.client(), 'COMMAND GETKEYS PFMERGE k', '["k"]')


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


@test('DOCS: all fields but the summary as the oracle says')
def _(s):
    for resp in (2, 3):
        met = compare(s.client(resp), oracle(s, resp), doc_fields)
        eq(met, {key for key in DIFFERENCES if key[1] in DOC_FIELDS}, 'listed differences')


@test('DOCS: the fields of a reply and of an argument come in the order of Redis')
def _(s):
    order = ['summary', 'since', 'group', 'complexity', 'doc_flags', 'deprecated_since', 'replaced_by', 'history',
             'arguments', 'subcommands']
    arg_order = ['name', 'type', 'display_text', 'key_spec_index', 'token', 'summary', 'since', 'deprecated_since',
                 'flags', 'arguments']
    for name, doc in each_doc(s.client().call('COMMAND', 'DOCS')):
        eq(list(doc), [field for field in order if field in doc], name)
        for arg in each_arg(doc.get('arguments', [])):
            eq(list(arg), [field for field in arg_order if field in arg], f'{name}: {arg["name"]}')


@test('DOCS: an argument has what its type needs')
def _(s):
    need_kelvin('display_text, which is new in 7.2')
    for name, doc in each_doc(s.client().call('COMMAND', 'DOCS')):
        for arg in each_arg(doc.get('arguments', [])):
            what = f'{name}: {arg["name"].decode()}'
            group = arg['type'] in (b'oneof', b'block')
            eq('arguments' in arg, group, what)
            eq('key_spec_index' in arg, arg['type'] == b'key' or arg['name'] in (b'by-pattern', b'get-pattern'), what)
            ok('token' in arg or arg['type'] != b'pure-token', what)
            display = DISPLAY.get(arg['name'].decode(), arg['name'].decode())
            eq(arg.get('display_text'), None if group else display.encode(), what)


@test('DOCS: arguments and arity agree')
def _(s):
    need_kelvin('documented arguments for each command')
    c = s.client()
    for name, doc in each_doc(c.call('COMMAND', 'DOCS')):
        arity = info_fields(c, name)['arity']
        args = [pairs(x) for x in doc.get('arguments', [])]
        loose = [arg for arg in each_arg(doc.get('arguments', [])) if 'flags' in arg]
        words = len(name.split('|')) + sum(least(arg) for arg in args if '+optional' not in plain(arg.get('flags', [])))
        if 'subcommands' in doc or name in UNDOCUMENTED:
            ok(not args, f'{name} has arguments')
            continue
        eq(words, abs(arity), f'{name}: least number of words')
        ok(arity > 0 or loose or name == 'quit', f'{name} takes any number of arguments and does not say so')
        ok(arity < 0 or not loose, f'{name} takes a fixed number of arguments')


session('LOLWUT, MODULE LIST', '''
    > LOLWUT
    /Redis ver[.] [0-9]+[.][0-9]/
    > LOLWUT VERSION 5 6
    /Redis ver[.] [0-9]|[^ -~]/
    > LOLWUT VERSION x
    -ERR value is not an integer or out of range
    > MODULE LIST
    []
    > MODULE HELP
    /MODULE <subcommand>/
''')


run(Server())
