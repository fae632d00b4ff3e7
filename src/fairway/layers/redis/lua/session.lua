--@ base state
-- Sessions. 2: verb, 3: session, then what the verb takes:
-- 'open': ms without a sign after which it is dead, demand, reserve, and the queues that it reads
-- 'demand': how many more (negative takes back), and how many of them are no places of an idle thread
-- 'release': entries that were not begun, in the order in which they shall come back; 'pause'; 'close'; 'held': an entry
-- 'recall': the entry that was read last, and then as 'release'; what stands after that one comes back behind these, since
-- it would overtake them, and the session takes as much instead
-- Result: 'ok'; 'gone' when there is no such session; for 'close' the prefixes that went with it; for 'pause' the entries
-- that it holds, of which some may be on their way still; for 'held' 'ok' or 'lost'; for 'recall' the entries that were
-- not read.
local verb, sid = arg[2], arg[3]
local stream = B .. ':s:' .. sid

if verb == 'held' then
  return finish(call('XRANGE', stream, arg[4], arg[4])[1] and 'ok' or 'lost')
end
local value = verb == 'demand' and tonumber(call('HGET', B .. ':sessions', sid))
if verb == 'demand' then
  if not value then return finish('gone') end
  if value < 0 then return finish('ok') end -- it is paused
  local demand = math.max(0, math.floor(value / 65536) + arg[4]) -- what was delivered meanwhile is not taken back
  value = demand * 65536 + math.max(0, value % 65536 + arg[5])
  call('HSET', B .. ':sessions', sid, value)
  if state[WAITING] == 0 then return finish('ok') end
end

--@ limits answers inbox queues crowd endings sessions
local verbs = {}

function verbs.open()
  for at = 7, #arg do
    local name = arg[at]
    call('RPUSH', B .. ':c:' .. sid, name)
    if call('RPUSH', B .. ':r:' .. name, sid) == 1 and is_for_all(name) then is_news = true end
    call('HINCRBY', B .. ':pins', name, 1)
  end
  value = arg[5] * PLACE + arg[6]
  call('HSET', B .. ':sessions', sid, value)
  call('ZADD', B .. ':alive', now() + arg[4], sid)
  if is_news then tell_readers() end
  feed(sid, value)
  return 'ok'
end

function verbs.close()
  local prefixes = end_session(sid)
  if is_news then tell_readers() end
  return prefixes
end

function verbs.pause()
  turn_away(sid, call('LRANGE', B .. ':c:' .. sid, 0, -1))
  if call('HEXISTS', B .. ':sessions', sid) == 1 then call('HSET', B .. ':sessions', sid, PAUSED) end
  if is_news then tell_readers() end
  local held = {}
  for at, entry in ipairs(call('XRANGE', stream, '-', '+')) do held[at] = entry[1] end
  return held
end

function verbs.demand()
  feed(sid, value)
  return 'ok'
end

local function take_back(entries, back)
  for _, entry in ipairs(entries) do
    local found = call('XRANGE', stream, entry, entry)[1]
    if found then
      call('XDEL', stream, entry)
      local packed, expires = found[2][2], tonumber(found[2][8]) or 0
      local header = cmsgpack.unpack(packed)
      if state[BEGUN] > 0 and call('SREM', B .. ':once', sid .. '/' .. entry) == 1 then
        count(BEGUN, -1)
        header[POLICY] = ONCE
        packed = cmsgpack.pack(header)
      end
      back[#back + 1] = {header, packed, found[2][4], found[2][6], expires}
    end
  end
  return back
end

function verbs.release()
  put_back(take_back({unpack(arg, 4)}, {}))
  return 'ok'
end

function verbs.recall()
  local unread = {}
  for at, entry in ipairs(call('XRANGE', stream, '(' .. arg[4], '+')) do unread[at] = entry[1] end
  local back = take_back(unread, take_back({unpack(arg, 5)}, {}))
  if #unread > 0 and tonumber(call('HGET', B .. ':sessions', sid) or -1) >= 0 then
    call('HINCRBY', B .. ':sessions', sid, #unread * PLACE)
  end
  put_back(back)
  return unread
end

local result = verbs[verb]()
admit_if_freed()
return finish(result)
