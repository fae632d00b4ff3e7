-- What becomes of a message that is not consumed, or not yet.
local ID, CHANNEL, REPLY, ORDER, ATTEMPT, POLICY, RETRIES, ATTEMPTS = 1, 2, 3, 4, 5, 6, 7, 8
local AGAIN, ONCE = 0, 1

-- The last message of a connection whose owner has died goes out when nothing else of it is under way.
local function speak(reply)
  if state[WORDS] == 0 then return end
  local letter = call('HGET', B .. ':words', reply)
  if not letter then return end
  call('HDEL', B .. ':words', reply)
  count(WORDS, -1)
  local header, kept, body = cmsgpack.unpack(letter)
  local name = 'websocket.disconnect'
  local sid = idle_reader(name)
  if sid then lease(sid, 0, header, kept, body) else enqueue('RPUSH', name, 0, header, kept, body) end
  count(HELD, #body)
end

-- A message that nobody has seen: whoever sent it is told, and no consumer is told of its connection's end.
local function forget_connection(reply)
  call('HDEL', B .. ':wills', reply)
  call('HDEL', B .. ':orders', reply)
  if state[WORDS] > 0 then count(WORDS, -call('HDEL', B .. ':words', reply)) end
end

local function tell_abandoned(header, reason)
  if header[ORDER] < 0 then return end
  call('HDEL', B .. ':busy', header[ID])
  tell({'a', cmsgpack.pack({header[REPLY], header[ORDER], reason, header[ATTEMPT]})}, 0)
  if reason == 'expired' then forget_connection(header[REPLY]) else speak(header[REPLY]) end
end

local function abandon(header, reason)
  losses[#losses + 1] = header[ID]
  losses[#losses + 1] = header[CHANNEL]
  losses[#losses + 1] = reason
  tell_abandoned(header, reason)
end

-- Keep a dead letter; the oldest go when there are too many.
local function keep_dead(letter, size)
  call('RPUSH', B .. ':dead', letter)
  count(DEAD_BYTES, size)
  while state[DEAD_BYTES] > DEAD_BYTES_KEPT or call('LLEN', B .. ':dead') > DEAD_COUNT do
    local _, _, _, _, gone = cmsgpack.unpack(call('LPOP', B .. ':dead'))
    count(DEAD_BYTES, -#gone)
  end
end

-- Its bytes are no part of HELD any more.
local function bury(packed, kept, body, reason)
  keep_dead(cmsgpack.pack(reason, now(), packed, kept, body), #body)
  abandon(cmsgpack.unpack(packed), reason)
end

local function expire(packed, body)
  count(HELD, -#body)
  count(EXPIRED, 1)
  tell_abandoned(cmsgpack.unpack(packed), 'expired')
end

-- A single-reader channel that is read loses nothing: a stream with a hole would be worse than a late one.
local function is_late(name, expires)
  return expires > 0 and expires <= now() and not string.find(name, '?', 1, true)
end

-- Give the first message of a queue to a session, or drop it when it is late. Returns whether the session got it.
local function serve(sid, name, expires, header, kept, body)
  local is_given = not is_late(name, expires)
  if is_given then lease(sid, expires, header, kept, body) else expire(header, body) end
  if is_awaited(name) then admit('w:' .. name) end
  return is_given
end

-- Give what waits in a queue to idle readers.
local function hand_out(name)
  while state[WAITING] > 0 and call('EXISTS', B .. ':q:' .. name) == 1 do
    local sid = idle_reader(name)
    if not sid then return end
    serve(sid, name, dequeue(name))
  end
end

-- Give a session what it would take, from its queues in turn. O(its queues) for each message.
local function feed(sid, value)
  local demand = math.floor(value / PLACE)
  if demand <= 0 or state[WAITING] == 0 then return end
  local names = call('LRANGE', B .. ':c:' .. sid, 0, -1)
  if #names == 0 then return end
  local has_any = call('SMISMEMBER', B .. ':queues', unpack(names))
  local turn = tonumber(call('HGET', B .. ':turns', sid)) or 0
  local missed = 0
  while demand > 0 and missed < #names do
    local at = turn % #names + 1
    local name, expires, header, kept, body = names[at], nil, nil, nil, nil
    if has_any[at] == 1 then expires, header, kept, body = dequeue(name) end
    turn = turn + 1
    if expires then
      missed = 0
      call('HSET', B .. ':turns', sid, turn % #names)
      if serve(sid, name, expires, header, kept, body) then demand = demand - 1 end
    else
      missed = missed + 1
    end
  end
end

-- Return messages to the front of their queues, the first of them foremost, and hand them out again.
local function put_back(messages)
  local names, is_noted = {}, {}
  for at = #messages, 1, -1 do
    local header, packed, kept, body, expires = unpack(messages[at])
    local name = queue_name(header[CHANNEL])
    if is_gone(name) then
      count(HELD, -#body)
      abandon(header, 'lost')
    else
      enqueue('LPUSH', name, expires, packed, kept, body)
      if not is_noted[name] then names[#names + 1] = name end
      is_noted[name] = true
    end
  end
  for _, name in ipairs(names) do hand_out(name) end
end

-- What has been begun expires no more; only a single-reader channel keeps its time: it goes as a whole.
local function kept_expiry(header, expires)
  return string.find(header[CHANNEL], '?', 1, true) and tonumber(expires) or 0
end
