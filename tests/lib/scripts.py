"""Scripts that say the same on Kelvin and on a redis-server: one a line, for wire/scripts.t. KEYS are k1 k2, ARGV a b 3."""

CALLS = r'''
return redis.call('get')
return redis.pcall('get')
return redis.call('nosuch')
return redis.call()
return redis.call({})
return redis.pcall({})
return redis.call('echo', nil)
return redis.call('echo', true)
return redis.call('set', 'a')
return redis.call('object', 'encoding')
return redis.call('multi')
return redis.call('eval', 'return 1', 0)
return redis.call('subscribe', 'x')
return redis.call('client', 'list')
return redis.call('client', 'nosuch')
return redis.call('config', 'get', 'x')
return redis.call('watch', 'a')
return redis.call('auth', 'x')
return redis.call('hello', 3)
return redis.call('quit')
return redis.call('save')
return redis.call('script', 'load', 'return 1')
return redis.call('select', 'x')
return redis.call('select', 500)
return redis.call('select', 5)
redis.call('select', 5) redis.call('set', 'k', 'in5') redis.call('select', 0) return redis.call('get', 'k')
redis.call('set', KEYS[1], 1) return redis.call('lpush', KEYS[1], 2)
local e = redis.pcall('lpush', KEYS[1], 2) return {e.err, type(e)}
return {pcall(redis.call, 'lpush', KEYS[1], 2)}
local ok, e = pcall(redis.call, 'lpush', KEYS[1], 2) return {type(e), e}
local ok, e = pcall(function() return redis.call('nosuch') end) return e
local ok, e = xpcall(function() return redis.call('lpush', KEYS[1], 2) end, function(e) return e end) return {type(e), e}
local co = coroutine.create(function() return redis.call('nosuch') end) local ok, e = coroutine.resume(co) return type(e)
local function f() local x = redis.call('nosuch') return x end local y = f() return y
if true then return redis.call('nosuch') end
for i = 1, 3 do if i == 2 then return redis.call('nosuch') -- a comment
 end end
return redis.call(
return { redis.call('ping'), redis.pcall('nosuch') }
return redis.call('ping', 'a', 'b')
return redis.call('ping')
return redis.call('PiNg', 'x')
return redis.call('set', KEYS[1], 3.3) and redis.call('get', KEYS[1])
return redis.call('set', KEYS[1], 1e100) and redis.call('get', KEYS[1])
return redis.call('set', KEYS[1], 1e15) and redis.call('get', KEYS[1])
return redis.call('set', KEYS[1], -0.5) and redis.call('get', KEYS[1])
return redis.call('set', KEYS[1], 2^53) and redis.call('get', KEYS[1])
return redis.call('set', KEYS[1], 1/0) and redis.call('get', KEYS[1])
return redis.call('del', KEYS[1]) == 1 and redis.call('get', KEYS[1])
redis.call('rpush', KEYS[2], 1, 2, 3, 4) return redis.call('lrange', KEYS[2], 0, -1)
redis.call('del', KEYS[2]) redis.call('hset', KEYS[2], 'f', 'v') return redis.call('hgetall', KEYS[2])
local r = redis.call('hgetall', KEYS[2]) return #r
redis.setresp(3) local r = redis.call('hgetall', KEYS[2]) return r.map.f
redis.setresp(3) return redis.call('hgetall', KEYS[2])
redis.call('del', KEYS[2]) redis.call('sadd', KEYS[2], 'f') redis.setresp(3) return redis.call('smembers', KEYS[2])
redis.setresp(3) return redis.call('smembers', KEYS[2]).set.f
redis.setresp(3) return redis.call('get', 'nosuchkey') == nil
return type(redis.call('get', 'nosuchkey'))
redis.call('del', KEYS[2]) redis.call('zadd', KEYS[2], 1.5, 'a') redis.setresp(3) return redis.call('zscore', KEYS[2], 'a')
redis.setresp(3) return redis.call('zscore', KEYS[2], 'a').double * 2
return redis.call('zscore', KEYS[2], 'a')
return redis.call('type', KEYS[2])
return redis.call('type', KEYS[2]).ok
return redis.call('publish', 'x', 'y')
return redis.call('sort', 'nosuch')
return redis.call('spop', 'nosuch')
return redis.call('mget', 'nosuch', KEYS[1], 'none')
return redis.call('lrange', KEYS[2], 0, -1)
local t = {} for i = 1, 100 do t[i] = 'm' .. i end redis.call('del', KEYS[1]) return redis.call('rpush', KEYS[1], unpack(t))
return redis.call('object', 'freq')
local a = {} for i = 1, 7999 do a[i] = 1 end redis.call('del', 'l') return redis.call('lpush', 'l', unpack(a))
return unpack({1, 2, 3}, -2, 2147483647)
return table.concat(cjson.decode('[0.0, -5e3, -1, 0.3e-3, -1023.2, 0e10]'), ' ')
return redis.call('flushall')
'''

VALUES = r'''
return 3.99
return -3.99
return 1e300
return 0/0
return {1, 2, nil, 4}
return {1, 'a', {2, {3}}, true, false, {}}
return true
return false
return nil
return
return {}
return 'text'
return ''
return KEYS
return ARGV
return {#KEYS, #ARGV, KEYS[3] == nil, ARGV[3] + 1}
return {ok = 'fine'}
return {ok = 'x\ny'}
return {err = 'bad'}
return {err = 'ERR bad'}
return {err = 'x\ny'}
return {ok = 'fine', err = 'bad'}
return {ok = 1}
return {err = 1}
return {1, {err = 'inside'}, {ok = 'inside'}}
return {double = 3.5}
return {double = 'x'}
return {map = {a = 1}}
return {map = {a = {map = {b = 2}}}}
return {set = {a = 1}}
return {map = {}, set = {}}
return {big_number = '12345678901234567890'}
return {verbatim_string = {format = 'txt', string = 'abc'}}
return {verbatim_string = {format = 'txt'}}
return {map = {a = 1}, ok = 'x'}
redis.setresp(3) return true
redis.setresp(3) return {true, false}
return function() end
return coroutine.create(function() end)
return setmetatable({}, {__index = function(t, k) return k < 5 and k or nil end})
return unpack({1, 2, 3})
return (unpack({1, 2, 3}))
return redis.error_reply('x')
return redis.error_reply('x y')
return redis.error_reply('-x')
return redis.error_reply('-x y')
return redis.error_reply('-')
return redis.error_reply('')
return redis.error_reply('x\r\ny')
return redis.error_reply()
return redis.error_reply(1)
return redis.status_reply('x')
return redis.status_reply('x\ny')
return redis.status_reply({})
error('x')
error('x\ny')
error('x', 0)
error('x', 2)
error(1)
error()
error({err = 'MY err'})
error({err = 'x\ny'})
error({err = 1})
return {pcall(error)}
return {pcall(error, {err = 'E x'})}
return {pcall(error, {a = 1})}
return pcall(error, 'x')
return select(2, pcall(error, 'x'))
local ok, e = pcall(function() error({a = 'E x'}) end) return type(e)
return redis.sha1hex('')
return redis.sha1hex('abc')
return redis.sha1hex(string.rep('a', 1000))
return redis.sha1hex(1)
return redis.sha1hex()
return redis.sha1hex('a', 'b')
return redis.log(redis.LOG_DEBUG, 'x')
return redis.log()
return redis.log(9, 'x')
return redis.log('a', 'x')
return redis.log(redis.LOG_WARNING)
return redis.setresp(4)
return redis.setresp()
return redis.set_repl(redis.REPL_ALL)
return redis.set_repl(9)
return redis.set_repl()
return redis.replicate_commands()
return redis.breakpoint()
return redis.debug('x')
return redis.acl_check_cmd('get', 'x')
return redis.acl_check_cmd('nosuch', 'x')
return redis.acl_check_cmd()
return {redis.REPL_ALL, redis.REPL_AOF, redis.REPL_SLAVE, redis.REPL_REPLICA, redis.REPL_NONE}
return {redis.LOG_DEBUG, redis.LOG_VERBOSE, redis.LOG_NOTICE, redis.LOG_WARNING}
return redis.nosuch
return redis.nosuch()
return redis.register_function
return _VERSION
return foo
foo = 1
return foo.bar
local a a.b = 1
return ('x'):bad()
return nil .. 'x'
return 1 < 'x'
return {} < {}
return #5
return -{}
x x
return 1 +
return 'x
local x <const> = 1
return {1, 2
local t = {} t[nil] = 1
local t = {} t[0/0] = 1
for i = 1, 'x' do end
math.randomseed(5) local t = {} for i = 1, 20 do t[i] = math.random(100) end return t
math.randomseed(0) return {tostring(math.random()), math.random(3, 9)}
return math.random(0)
return math.random(5, 3)
return {math.floor(-1.5), math.fmod(7, 3), math.mod(7, 3), math.abs(-1), math.max(1, 2), math.min(1, 2), math.pow(2, 10)}
return {tostring(1e15), tostring(123456789012345678), tostring(1.5), tostring(-1), tostring(1/0), tostring(nil)}
return {tonumber('0x10'), tonumber('10', 2), tonumber('z', 36), tonumber(' 5 '), tonumber('x') == nil}
return {type(redis), type(_G), type(nil), type(1), type('x'), type(type)}
return {rawequal(redis, redis), rawget({5}, 1), select('#', 1, nil, nil), next({}) == nil}
local t = {} for k in pairs({a = 1, b = 2}) do t[#t + 1] = k end table.sort(t) return t
local n = 0 for k, v in pairs(redis) do n = n + 1 end return n > 10
local t = {} for k, v in pairs(bit) do t[#t + 1] = k end table.sort(t) return t
local t = {} for k, v in pairs(cjson) do t[#t + 1] = k end table.sort(t) return t
local t = {} for i, v in ipairs({1, 2, nil, 4}) do t[i] = v end return t
return loadstring('return 1 + 1')()
return {loadstring('x x')}
return load(function() return nil end) ~= nil
local n = 0 return load(function() n = n + 1 return ({'return ', '4', '2'})[n] end)()
return collectgarbage('count') > 0
return collectgarbage('bogus')
return #redis
return table.concat({1, 2, 3}, ',', 2, 3)
return table.concat({1, {}, 3})
local t = {3, 1, 2} table.sort(t) return t
local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return t
local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) table.remove(t, 2) return t
return {table.getn({1, 2}), table.maxn({[5] = 1})}
table.setn({}, 1)
local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return b * 2 end) return {co(1), co(10)}
return {coroutine.status(coroutine.create(function() end))}
local a = setmetatable({}, {__tostring = function() return 'mine' end}) return tostring(a)
local a = setmetatable({}, {__metatable = 'no'}) return getmetatable(a)
local a = setmetatable({}, {__metatable = 'no'}) setmetatable(a, {})
'''

TEXT = r'''
return {('hello'):find('l'), ('hello'):find('xyz') == nil, ('hello'):find(''), ('hello'):find('', 10) == nil}
return {('hello world'):find('o w'), ('a.b'):find('.', 1, true), ('a.b'):find('%.')}
return {('hello'):match('(h)(.)'), ('key=val'):match('(%w+)=(%w+)'), ('  x '):match('^%s*(.-)%s*$')}
return {('hello'):match('()ll()')}
return {('abc'):gsub('%w', '%0%0'), ('abc'):gsub('', '-'), ('hello world'):gsub('o', '0', 1)}
return {('hello'):gsub('l', {l = 'L'}), ('hello'):gsub('.', function(c) if c == 'l' then return '' end end)}
return {('abc'):gsub('b', '%%'), ('x y'):gsub('(%w) (%w)', '%2 %1')}
local t = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t + 1] = k .. v end return t
local t = {} for w in ('one two  three'):gmatch('%a+') do t[#t + 1] = w end return t
return {('f(a(b)c)d'):match('%b()'), ('THE (quick) fox'):find('%((%a+)%)'), ('x'):rep(3)}
return {('THE quick'):gsub('%f[%a]%a', '<%0>')}
return {('a-b-c'):gsub('-', '+'), ('[x]'):match('%[(.-)%]'), ('a]b'):match('[]]'), ('a-b'):match('[a%-]+'), ('x^y'):match('[x^]+')}
return {('aXb'):match('[%u]'), ('aXb'):match('[^%l]+'), ('09af'):match('[0-9a-f]+'), ('a\0b'):find('%z')}
return {('abcabc'):match('(abc)%1'), ('xyzzy'):match('(%a)%1')}
return ('x'):match('(')
return ('x'):match('%')
return ('x'):match('[a')
return ('x'):match(')')
return ('x'):gsub('x', '%2')
return ('x'):gsub('x', {x = {}})
return ('x'):match('%f')
return ('x'):match('%1')
return {('hello'):byte(1, -1)}
return {string.char(72, 105), ('Hello'):upper(), ('Hello'):lower(), ('abc'):reverse(), ('abc'):len(), ('hello'):sub(-3, -2)}
return {string.format('%5.2f|%d|%s|%q|%x|%5s|%-5s|%g|%c|%%', 3.14159, 42, 'x', 'a"b\n', 255, 'r', 'l', 1e20, 65)}
return {string.format('%d', 3.7), string.format('%s', 1.5), string.format('%i', -3)}
return string.format('%d', 'x')
return string.format('%y', 1)
return string.rep('ab', 3) .. string.rep('x', 0) .. string.rep('x', -1)
return {('x'):find('x', -10), ('abc'):find('b', -1) == nil, ('abc'):sub(2), ('abc'):sub(0), ('abc'):sub(5)}
return string.gfind('a b', '%a')()
return {bit.band(12, 10), bit.bor(12, 10), bit.bxor(12, 10), bit.bnot(0), bit.lshift(1, 4), bit.rshift(-1, 28), bit.arshift(-16, 2)}
return {bit.tobit(2^32 + 5), bit.tohex(255), bit.tohex(255, 4), bit.tohex(-1, -8), bit.rol(0x12345678, 8), bit.ror(0x12345678, 8), bit.bswap(0x12345678)}
return bit.band()
return cjson.encode({1, 2, 3})
return cjson.encode({a = 1})
return cjson.encode({})
return cjson.encode({[1] = 1, [2] = 2, [4] = 4})
return cjson.encode({[1] = 1, [100] = 2})
return cjson.encode({[1.5] = 1})
return cjson.encode({[true] = 1})
return cjson.encode('a"b\\c/d\b\f\n\r\t\0\127é')
return cjson.encode({1.5, -0.1, 1e20, 123456789012345, 0.1 + 0.2, 1e-10})
return cjson.encode({true, false, cjson.null, 'x'})
return cjson.encode(0/0)
return cjson.encode(1/0)
return cjson.encode(function() end)
return cjson.encode({function() end})
return cjson.encode(nil)
return cjson.encode()
local a = {} a[1] = a return cjson.encode(a)
local t = {} for i = 1, 1100 do t = {t} end return cjson.encode(t)
return cjson.encode({{{}}, {a = {b = {1, 2, {c = 'd'}}}}})
return cjson.decode('[1, 2.5, -3e2, "x", true, false, null, {}, []]')[4]
local t = cjson.decode('[1, 2.5, -3e2, "x", true, false, null, {}, []]') return {t[1], tostring(t[2]), t[3], t[5], t[6], t[7] == cjson.null, #t}
return cjson.decode('{"a": {"b": [1, 2, {"c": "d"}]}}').a.b[3].c
return cjson.decode('"\\u00e9\\u20ac\\ud83d\\ude00\\n\\t\\"\\\\\\/"')
return cjson.decode(' 5 ')
return cjson.decode('')
return cjson.decode('[')
return cjson.decode('[1,]')
return cjson.decode('{"a":1,}')
return cjson.decode('{"a" 1}')
return cjson.decode('{1:1}')
return cjson.decode('[1 2]')
return cjson.decode('nul')
return cjson.decode('"abc')
return cjson.decode('"\\x"')
return cjson.decode('"\\ud800x"')
return cjson.decode('[1] x')
return cjson.decode('0x10')
return tostring(cjson.decode('[1e5, 0.1]')[2])
return cjson.decode('-')
return cjson.decode('\0')
return cjson.decode(string.rep('[', 1100))
return #cjson.decode(string.rep('[', 900) .. string.rep(']', 900))
return cjson.decode()
return {cjson._NAME, cjson._VERSION, type(cjson.null)}
local c = cjson.new() c.encode_sparse_array(true) return c.encode({[100] = 2})
local c = cjson.new() c.encode_number_precision(3) return c.encode({3.14159})
local c = cjson.new() c.encode_invalid_numbers('null') return c.encode({0/0})
local c = cjson.new() c.encode_invalid_numbers(true) return c.encode({1/0, -1/0})
local c = cjson.new() c.decode_invalid_numbers(false) return c.decode('[0x10]')
local c = cjson.new() c.encode_max_depth(2) return c.encode({{{1}}})
local c = cjson.new() c.decode_max_depth(2) return c.decode('[[[1]]]')
local c = cjson.new() return {c.encode_max_depth(), c.encode_sparse_array()}
return cjson.new().encode_max_depth(0)
return cjson.new().encode_keep_buffer(false)
local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end return hex(cmsgpack.pack({1, 2, 3}, 'x', true, false, nil))
local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end return hex(cmsgpack.pack(0, 127, 128, 255, 256, 65535, 65536, 2^32, 2^53, -1, -32, -33, -128, -129, -32768, -32769, -2^31, -2^31 - 1, 1.5, 0.1, 1e300))
local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end return hex(cmsgpack.pack(string.rep('x', 31), string.rep('x', 32)))
local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end return {#cmsgpack.pack(string.rep('x', 300)), #cmsgpack.pack(string.rep('x', 70000)), hex(cmsgpack.pack({a = {1}}))}
local t = {} for i = 1, 20 do t[i] = i end return {#cmsgpack.pack(t), #cmsgpack.unpack(cmsgpack.pack(t))}
local t = {} for i = 1, 20 do t['k' .. i] = i end return cmsgpack.unpack(cmsgpack.pack(t)).k7
local t = {} for i = 1, 20 do t = {t} end local function depth(x) return type(x) == 'table' and 1 + depth(x[1]) or 0 end return depth(cmsgpack.unpack(cmsgpack.pack(t)))
return {cmsgpack.unpack(cmsgpack.pack(1, 'a', true, {1, 2}))}
return {cmsgpack.unpack_one(cmsgpack.pack(1, 'a', true))}
return {cmsgpack.unpack_limit(cmsgpack.pack(1, 'a', true), 2)}
return {cmsgpack.unpack_limit(cmsgpack.pack(1, 'a', true), 1, 1)}
return {cmsgpack.unpack_one('\1', 1)}
return cmsgpack.unpack('\161')
return cmsgpack.unpack('\193')
return cmsgpack.unpack('\217\255')
return cmsgpack.pack()
return cmsgpack.unpack_one('x', 5)
return cmsgpack._NAME
local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end return {hex(struct.pack('>I2h', 1, -1)), hex(struct.pack('<i4', 258)), hex(struct.pack('bBhHlL', 1, 2, 3, 4, 5, 6))}
local function hex(s) return (s:gsub('.', function(c) return string.format('%02x', c:byte()) end)) end return {hex(struct.pack('>fd', 1.5, -2.25)), hex(struct.pack('sc3c0', 'ab', 'xyz', 'all')), hex(struct.pack('!4bi4xb', 1, 2, 3))}
return {struct.unpack('>I2h', struct.pack('>I2h', 1, -1))}
return {struct.unpack('<i3I3', struct.pack('<i3I3', -2, 70000))}
return {struct.unpack('sc2', 'ab\0xyz')}
return {struct.unpack('>Bc0', '\3abcdef')}
return {struct.unpack('bb', '\1\2\3', 2)}
return {struct.size('>I2hbd'), struct.size('!8bd'), struct.size('c10x')}
return struct.size('s')
return struct.size('c0')
return struct.unpack('y', 'abc')
return redis.error_reply('ERR two words')
return redis.error_reply('-ERR x')
return cjson.decode('[1]\0x')
return struct.unpack('i4', 'ab')
return struct.unpack('s', 'ab')
return struct.unpack('c0', 'ab')
return struct.unpack('b', 'a', 0)
return struct.pack('y', 1)
return struct.pack('i99', 1)
return struct.pack('!3b', 1)
return struct.pack('c5', 'ab')
return struct.pack('i4')
return struct.pack('>I8', 2^53)
'''

# Where LuaJIT's language is another than Lua 5.1's.
DIALECT = r'''
return "\d+\.\-\[\]\%\/"
return '\x41\u{48}\z b'
return {("a.b"):gsub("\.", "x")}
return '\"\'\\\a\b\f\n\r\t\v' == "\"'\\\7\8\12\10\13\9\11"
return "\065\10\0651"
return [[\d\x41]]
return [==[\d]]\x]==]
return loadstring("return '\\d'")()
return load(function() return nil end) ~= nil
local n = 0 return load(function() n = n + 1 return ({'return 1', '5', nil, '7'})[n] end)()
local n = 0 return load(function() n = n + 1 if n < 1000 then return ' ' end if n == 1000 then return 'return 5' end end, '=name')()
return {load(function() return {} end)}
return {load(function() error({err = 'x'}) end)}
return {loadstring('# x\nreturn 1')}
# return 1
local function f(...) return arg.n end return f(1, 2)
local function f(...) return arg end return f(1, 2)
local function f(a, ...) return arg[1] end return f(1, 2)
local function f(a, ...) local x = ... return arg end return f(1, 2)
local function f(...) local g = function() return arg end return g() end return f(1, 2)
local function f(...) local g = function(...) return arg end return g(3) end return f(1, 2)
local function f(...) local g = function(...) return ... end return arg[2] end return f(1, 2)
local t = {} function t.f(...) return #arg end function t:g(...) return arg.n end return {t.f(1, 2, 3), t:g(1)}
local function f(...) if true then for i = 1, 2 do while true do repeat break until false break end end end return arg[1] end return f(7)
local function f(...) return redis.call('rpush', 'dialect', unpack(arg)) end return f(1, 2)
local arg = 5 return arg
return arg
return --[[ "x ]] 1 --[==[ 1LL ]==]
return 1 -- 1LL
return {bit.tohex(65535, -2147483648), bit.tohex(65535, 12), bit.tohex(65535, -12), bit.tohex(65535, 0), bit.tohex('7')}
return bit.tohex(65535, 'x')
return loadstring(string.dump(function() return 1 end))()
return {pcall(string.dump, redis.call)}
return {big_number = '123\r\n123'}
return redis.acl_check_cmd({})
return {tostring(cjson.null), cjson.null .. 'x'}
return {tostring(cjson.decode('[null]')[1]), type(cjson.null), cjson.null == cjson.decode('null')}
'''

LINES = '''#!lua
return 1
---
#!lua flags=
return 1
---
#!lua flags=no-writes
return redis.call('set', KEYS[1], 1)
---
#!lua flags=no-writes,allow-stale
return redis.call('get', 'nosuch')
---
#!lua flags=foo
return 1
---
#!lua flags=no-writes, allow-oom
return 1
---
#!lua\tflags=no-writes\t\r
return redis.call('set', 'x', 1)
---
#!lua name=foo
return 1
---
#!lua  flags=no-writes   flags=allow-oom
return 1
---
#!js
return 1
---
#!
return 1
---
#!lua
---
#!lua
return redis.call('nosuch')
---
-- line one
local x = 1

return redis.call('nosuch')
---
local function f()
    error('deep')
end
f()
---
local t = {}
for i = 1, 3 do
    t[i] = redis.call('incr', KEYS[1])
end
return t
'''


def cases():
    text = CALLS + VALUES + TEXT + DIALECT
    return [line for line in text.split('\n') if line] + [one.rstrip('\n') for one in LINES.split('---\n')]


# Tried one by one: each must fail, and leave the next script with everything as it was.
ESCAPES = r'''
_G.x = 1
_G = {}
redis = nil
redis.call = nil
redis.x = 1
string.x = 1
string.rep = nil
table.x = 1
math.random = nil
bit.band = nil
cjson.encode = nil
cmsgpack.pack = nil
struct.pack = nil
coroutine.x = 1
os.clock = nil
KEYS = nil
KEYS = {}
rawset(_G, 'x', 1)
rawset(redis, 'x', 1)
rawset(string, 'x', 1)
table.insert(redis, 1)
table.insert(_G, 1, 1)
setmetatable(_G, {})
setmetatable(_G, nil)
setmetatable(redis, {})
setmetatable('', {})
getmetatable(_G).__index = {}
getmetatable(_G).__newindex = nil
getmetatable(_G).__metatable = nil
rawset(getmetatable(_G), '__index', {})
setmetatable(getmetatable(_G), {})
getmetatable('').__index = {}
getmetatable('').x = 1
rawset(getmetatable(''), '__index', {})
rawset(getmetatable('').__index, 'rep', 1)
getmetatable('').__index.rep = 1
getmetatable(redis).__index.call = nil
setfenv(1, {})
setfenv(0, {})
getfenv(0).x = 1
getfenv(1)._G.x = 1
debug.getregistry()
debug.sethook()
debug.setmetatable('', {})
package.loadlib('x', 'y')
package.loaded.os.execute('true')
require('os')
require 'ffi'
module('x')
dofile('/etc/passwd')
loadfile('/etc/passwd')
io.open('/etc/passwd')
os.execute('true')
os.exit()
os.getenv('HOME')
os.remove('x')
os.time()
print('x')
newproxy(true)
jit.off()
ffi.C.system('true')
string.dump(function() end)()
loadstring(string.dump(function() end))()
assert(loadstring('\27LJ\2\n'))()
assert(load(function() return '\27LJ\2\n' end))()
assert(loadstring('x = 1'))()
loadstring('x = 1')()
load(function() error('no') end)()
coroutine.wrap(function() x = 1 end)()
coroutine.wrap(function() rawset(_G, 'x', 1) end)()
collectgarbage('stop')
collectgarbage('setpause', 1000000)
local t = setmetatable({}, getmetatable(_G)) setmetatable(t, {}) t.x = 1 y = 1
for k, v in pairs(_G) do if k == 'redis' then v.call = nil end end
local k, v = next(redis) redis[k] = nil
table.sort(redis, function() return true end) redis[1] = 1
('x').y.z = 1
(1).x = 1
(nil).x = 1
(function() end).x = 1
'''
