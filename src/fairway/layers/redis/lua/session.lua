--@ head queues endings
-- Sessions. 2: verb, 3: session, then what the verb takes:
-- 'open': ms without a sign after which it is dead, demand, reserve, and the queues that it reads
-- 'demand': how many more (negative takes back), and how many of them are no places of an idle thread
-- 'release': entries that were not begun; 'pause'; 'close'; 'held': an entry
-- Result: 'ok'; 'gone' when there is no such session; for 'close' the prefixes that went with it; for 'held' 'ok' or 'lost'.
local verb, sid = arg[2], arg[3]
local stream = B .. ':s:' .. sid
if verb == 'open' then
  for at = 7, #arg do
    local name = arg[at]
    call('RPUSH', B .. ':c:' .. sid, name)
    call('RPUSH', B .. ':r:' .. name, sid)
    call('HINCRBY', B .. ':pins', name, 1)
  end
  call('HSET', B .. ':sessions', sid, arg[5] * PLACE + arg[6])
  call('ZADD', B .. ':alive', now + arg[4], sid)
  tell_readers()
  feed(sid)
  return finish('ok')
end
if verb == 'close' then
  local prefixes = end_session(sid)
  tell_readers()
  return finish(prefixes)
end
if verb == 'held' then
  return finish(call('XRANGE', stream, arg[4], arg[4])[1] and 'ok' or 'lost')
end
if verb == 'pause' then
  turn_away(sid, call('LRANGE', B .. ':c:' .. sid, 0, -1))
  tell_readers()
  return finish('ok')
end
if verb == 'demand' then
  local value = tonumber(call('HGET', B .. ':sessions', sid))
  if not value then return finish('gone') end
  local demand = math.max(0, math.floor(value / PLACE) + arg[4])
  call('HSET', B .. ':sessions', sid, demand * PLACE + math.max(0, value % PLACE + arg[5]))
  feed(sid)
  return finish('ok')
end
local back = {}
for at = 4, #arg do
  local found = call('XRANGE', stream, arg[at], arg[at])[1]
  if found then
    call('XDEL', stream, arg[at])
    local packed = found[2][2]
    back[#back + 1] = {cmsgpack.unpack(packed), packed, found[2][4], found[2][6]}
  end
end
put_back(back)
return finish('ok')
