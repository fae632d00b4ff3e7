-- What becomes of a message that is not consumed, or not yet.
local function lost(header, reason)
  losses[#losses + 1] = header[ID]
  losses[#losses + 1] = header[CHANNEL]
  losses[#losses + 1] = reason
end

-- The last message of a connection whose owner has died goes out when nothing else of it is under way.
local function speak(reply)
  if state.words == 0 then return end
  local letter = call('HGET', B .. ':words', reply)
  if not letter then return end
  call('HDEL', B .. ':words', reply)
  count('words', -1)
  local header, kept, body = cmsgpack.unpack(letter)
  local name = 'websocket.disconnect'
  local sid = idle_reader(name)
  if sid then lease(sid, header, kept, body) else enqueue('RPUSH', name, 0, header, kept, body) end
  count('held', #body)
end

local function tell_abandoned(header, reason)
  if header[ORDER] < 0 then return end
  call('HDEL', B .. ':busy', header[ID])
  if state.owner then
    tell({'a', cmsgpack.pack({header[REPLY], header[ORDER], reason, header[ATTEMPT]})}, 0)
    if reason == 'expired' then call('HDEL', B .. ':wills', header[REPLY]) end
  elseif reason == 'expired' then
    count('words', -call('HDEL', B .. ':words', header[REPLY]))
  else
    speak(header[REPLY])
  end
end

local function abandon(header, reason)
  lost(header, reason)
  tell_abandoned(header, reason)
end

-- Its bytes are no part of `held` any more.
local function bury(packed, kept, body, reason)
  call('RPUSH', B .. ':dead', cmsgpack.pack(reason, now, packed, kept, body))
  count('dead_bytes', #body)
  while state.dead_bytes > DEAD_BYTES or call('LLEN', B .. ':dead') > DEAD_COUNT do
    local _, _, _, _, gone = cmsgpack.unpack(call('LPOP', B .. ':dead'))
    count('dead_bytes', -#gone)
  end
  abandon(cmsgpack.unpack(packed), reason)
end

local function expire(packed, body)
  count('held', -#body)
  count('expired', 1)
  tell_abandoned(cmsgpack.unpack(packed), 'expired')
end

-- Give what waits in a queue to idle readers.
local function hand_out(name)
  while state.waiting > 0 do
    local sid = idle_reader(name)
    if not sid then return end
    local expires, header, kept, body = dequeue(name)
    if not expires then return end
    if expires > 0 and expires <= now and not string.find(name, '?', 1, true) then
      expire(header, body)
    else
      lease(sid, header, kept, body)
    end
    if is_awaited(name) then admit('w:' .. name) end
  end
end

-- Give a session what it would take, from its queues in turn.
local function feed(sid)
  local value = tonumber(call('HGET', B .. ':sessions', sid))
  if not value or state.waiting == 0 then return end
  local demand = math.floor(value / PLACE)
  local names = call('LRANGE', B .. ':c:' .. sid, 0, -1)
  local found = true
  while found and demand > 0 and state.waiting > 0 do
    found = false
    local turn = state.delivered
    for place = 0, #names - 1 do
      local name = names[(turn + place) % #names + 1]
      local expires, header, kept, body = dequeue(name)
      if expires then
        found = true
        if expires > 0 and expires <= now and not string.find(name, '?', 1, true) then
          expire(header, body)
        else
          lease(sid, header, kept, body)
          demand = demand - 1
        end
        if is_awaited(name) then admit('w:' .. name) end
        if demand == 0 then break end
      end
    end
  end
end

-- Return messages to the front of their queues, the first of them foremost, and hand them out again.
local function put_back(messages)
  local names = {}
  for place = #messages, 1, -1 do
    local header, packed, kept, body = unpack(messages[place])
    local name = queue_name(header[CHANNEL])
    if is_gone(name) then
      count('held', -#body)
      abandon(header, 'lost')
    else
      enqueue('LPUSH', name, 0, packed, kept, body)
      names[name] = true
    end
  end
  for name in pairs(names) do hand_out(name) end
end

local function tell_readers()
  if not state.owner then return end
  local names = {}
  for _, name in ipairs(call('HKEYS', B .. ':pins')) do
    if call('EXISTS', B .. ':r:' .. name) == 1 then names[#names + 1] = name end
  end
  tell({'r', #names > 0 and cmsgpack.pack(names) or '\144'}, 0)
end

local function turn_away(sid, names)
  call('HDEL', B .. ':sessions', sid)
  for _, name in ipairs(names) do call('LREM', B .. ':r:' .. name, 0, sid) end
end

-- The process that alone read this queue is gone: nobody will ever read what is in it.
local function abolish(name)
  local expires, packed, kept, body = dequeue(name)
  while expires do
    count('held', -#body)
    abandon(cmsgpack.unpack(packed), 'lost')
    expires, packed, kept, body = dequeue(name)
  end
  for _, waiting in ipairs(call('LRANGE', B .. ':w:' .. name, 0, -1)) do
    local _, token, _, _, _, _, crowded = cmsgpack.unpack(waiting)
    leave_crowd(crowded)
    settle(token, '')
  end
  call('DEL', B .. ':w:' .. name)
  tell({'o', name}, 0)
end

-- End a session: what it held is delivered again, or a dead letter, or lost. Returns the prefixes that went with it.
local function end_session(sid)
  local names = call('LRANGE', B .. ':c:' .. sid, 0, -1)
  local leases = call('XRANGE', B .. ':s:' .. sid, '-', '+')
  turn_away(sid, names)
  call('ZREM', B .. ':alive', sid)
  call('DEL', B .. ':s:' .. sid, B .. ':c:' .. sid)
  local back = {}
  for _, entry in ipairs(leases) do
    local packed, kept, body = entry[2][2], entry[2][4], entry[2][6]
    local header = cmsgpack.unpack(packed)
    local is_begun = state.once > 0 and call('SREM', B .. ':once', sid .. '/' .. entry[1]) == 1
    if is_begun then count('once', -1) end
    if is_begun or header[POLICY] == ONCE then
      count('held', -#body)
      abandon(header, 'lost')
    elseif header[ATTEMPT] >= header[ATTEMPTS] then
      count('held', -#body)
      bury(packed, kept, body, 'attempts')
    else
      header[ATTEMPT] = header[ATTEMPT] + 1
      back[#back + 1] = {header, cmsgpack.pack(header), kept, body}
    end
  end
  put_back(back)
  local prefixes = {}
  for _, name in ipairs(names) do
    if call('HINCRBY', B .. ':pins', name, -1) == 0 then
      call('HDEL', B .. ':pins', name)
      if string.sub(name, -1) == '!' then
        abolish(name)
        prefixes[#prefixes + 1] = name
      end
    end
  end
  admit_all()
  return prefixes
end
