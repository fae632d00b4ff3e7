-- Queues, sessions and leases. A message is a header, a state and a body; the header is a MessagePack array:
-- {id, channel, reply channel, order, attempt, policy, retries, attempts allowed}.
local ID, CHANNEL, REPLY, ORDER, ATTEMPT, POLICY, RETRIES, ATTEMPTS = 1, 2, 3, 4, 5, 6, 7, 8
local AGAIN, ONCE = 0, 1

local function queue_name(channel)
  local cut = string.find(channel, '!', 1, true)
  return cut and string.sub(channel, 1, cut) or channel
end

local function has_memory()
  return state.held - state.crowd_bytes < TOTAL
end

-- A session that reads this queue and would take a message: one with an idle thread, else the one that holds the least.
local function idle_reader(name)
  local sids = call('LRANGE', B .. ':r:' .. name, 0, -1)
  if #sids == 0 then return nil end
  local places = call('HMGET', B .. ':sessions', unpack(sids))
  local found, most = nil, 0
  for turn = 0, #sids - 1 do
    local place = (state.delivered + turn) % #sids + 1
    local value = tonumber(places[place]) or 0
    local demand = math.floor(value / PLACE)
    if demand > value % PLACE then return sids[place] end
    if demand > most then found, most = sids[place], demand end
  end
  return found
end

local function lease(sid, header, kept, body)
  call('XADD', B .. ':s:' .. sid, '*', 'h', header, 's', kept, 'b', body)
  call('HINCRBY', B .. ':sessions', sid, -PLACE)
  count('delivered', 1)
end

-- `push` is RPUSH for the end, LPUSH for the front.
local function enqueue(push, name, expires, header, kept, body)
  call(push, B .. ':q:' .. name, cmsgpack.pack(expires, header, kept, body))
  call('SADD', B .. ':queues', name)
  call('HINCRBY', B .. ':sizes', name, #body)
  count('waiting', 1)
  if expires > 0 then due_at(expires, 'q:' .. name) end
end

local function dequeue(name)
  local letter = call('LPOP', B .. ':q:' .. name)
  if not letter then return nil end
  local expires, header, kept, body = cmsgpack.unpack(letter)
  call('HINCRBY', B .. ':sizes', name, -#body)
  count('waiting', -1)
  return expires, header, kept, body
end

-- Whether a process that alone reads this queue is gone.
local function is_gone(name)
  return string.sub(name, -1) == '!' and call('HEXISTS', B .. ':pins', name) == 0
end

local function is_awaited(name)
  return state.crowd > 0 and call('EXISTS', B .. ':w:' .. name) == 1
end

-- Give a message to an idle reader, or to its queue; return whether there was room.
local function offer(name, capacity, expiry, header, kept, body)
  if not has_memory() or is_awaited(name) then return false end
  local sid = idle_reader(name)
  if sid then
    lease(sid, header, kept, body)
  elseif call('LLEN', B .. ':q:' .. name) >= capacity then
    return false
  else
    enqueue('RPUSH', name, expiry >= 0 and now + expiry or 0, header, kept, body)
  end
  count('held', #body)
  return true
end

local function no_room()
  return has_memory() and 'at capacity' or 'the broker is full'
end

-- Let a message wait for room. `place` is w:<queue>, or i:<channel> for one connection.
local function wait(place, deadline, token, capacity, expiry, header, kept, body)
  call('RPUSH', B .. ':' .. place, cmsgpack.pack(deadline, token, capacity, expiry, header, kept, body))
  call('SADD', B .. ':queues', place)
  count('crowd', 1)
  count('crowd_bytes', #body)
  count('held', #body)
  due_at(deadline, place)
end

local function leave_crowd(body)
  count('crowd', -1)
  count('crowd_bytes', -#body)
  count('held', -#body)
end

local function frame(channel, body)
  tell({'f', channel, 'b', body}, #body)
end

local function is_slow(channel)
  return call('HGET', B .. ':marks', channel) == 'c' or state.in_bytes >= INBOX_BYTES
end

-- Move up what waits at a place, while there is room.
local function admit(place)
  local kind, name = string.sub(place, 1, 1), string.sub(place, 3)
  while has_memory() do
    local first = call('LINDEX', B .. ':' .. place, 0)
    if not first then
      call('SREM', B .. ':queues', place)
      return
    end
    local _, token, capacity, expiry, header, kept, body = cmsgpack.unpack(first)
    if kind == 'i' then
      if is_slow(name) then return end
      frame(name, body)
    else
      local sid = idle_reader(name)
      if sid then
        lease(sid, header, kept, body)
      elseif call('LLEN', B .. ':q:' .. name) < capacity then
        enqueue('RPUSH', name, expiry >= 0 and now + expiry or 0, header, kept, body)
      else
        return
      end
      count('held', #body)
    end
    leave_crowd(body)
    call('LPOP', B .. ':' .. place)
    settle(token, '')
  end
end

local function admit_all()
  if state.crowd == 0 then return end
  for _, place in ipairs(call('SMEMBERS', B .. ':queues')) do
    local kind = string.sub(place, 1, 2)
    if kind == 'w:' or kind == 'i:' then admit(place) end
  end
end
