-- Queues and leases. A message is a header, a state and a body; the header is a MessagePack array:
-- {id, channel, reply channel, order, attempt, policy, retries, attempts allowed}.
-- `expires` is when a message that nobody has begun is dropped, in ms since 1970; 0 for never.
local PLACE = 65536 -- a session's demand and reserve share a number: demand * PLACE + reserve

local function queue_name(channel)
  local cut = string.find(channel, '!', 1, true)
  return cut and string.sub(channel, 1, cut) or channel
end

local function is_prefix(name)
  return string.sub(name, -1) == '!'
end

-- Whether what is sent there goes into the inbox of this shard's owner.
local function is_owned(name)
  return state[OWNER] ~= '' and is_prefix(name) and call('SISMEMBER', B .. ':prefixes', name) == 1
end

-- Whether a process that alone reads this queue is gone.
local function is_gone(name)
  return is_prefix(name) and call('HEXISTS', B .. ':pins', name) == 0
end

local function is_awaited(name)
  return state[CROWD] > 0 and call('EXISTS', B .. ':w:' .. name) == 1
end

-- Of several sessions, one with an idle thread, else the one that holds the least ahead. O(its readers), of which so many
-- are looked at as Lua can pass on.
local function choose(readers)
  local sids = call('LRANGE', readers, 0, 4999)
  local values = call('HMGET', B .. ':sessions', unpack(sids))
  local found, most = nil, nil
  for place, sid in ipairs(sids) do
    local value = tonumber(values[place]) or 0
    local demand, reserve = math.floor(value / PLACE), value % PLACE
    if demand > 0 and (not found or demand - reserve > most) then
      found, most = sid, demand - reserve
      if most > 0 then break end
    end
  end
  if found then
    call('LREM', readers, 1, found)
    call('RPUSH', readers, found)
  end
  return found
end

-- A session that reads this queue and would take a message; the next call begins with another one.
local function idle_reader(name)
  local readers = B .. ':r:' .. name
  local sids = call('LRANGE', readers, 0, 1)
  if not sids[1] then return nil end
  local value = tonumber(call('HGET', B .. ':sessions', sids[1])) or 0
  if math.floor(value / PLACE) > value % PLACE then
    if sids[2] then call('LMOVE', readers, readers, 'LEFT', 'RIGHT') end
    return sids[1]
  elseif sids[2] then
    return choose(readers)
  end
  return value >= PLACE and sids[1] or nil
end

-- Give a message to a session. The id of its entry is the receipt.
local function lease(sid, expires, header, kept, body)
  local stream = B .. ':s:' .. sid
  if expires > 0 then
    call('XADD', stream, '*', 'h', header, 's', kept, 'b', body, 'x', expires)
  else
    call('XADD', stream, '*', 'h', header, 's', kept, 'b', body)
  end
  call('HINCRBY', B .. ':sessions', sid, -PLACE)
  count(DELIVERED, 1)
end

-- `push` is RPUSH for the end, LPUSH for the front.
local function enqueue(push, name, expires, header, kept, body)
  if call(push, B .. ':q:' .. name, cmsgpack.pack(expires, header, kept, body)) == 1 then
    call('SADD', B .. ':queues', name)
  end
  call('HINCRBY', B .. ':sizes', name, #body)
  count(WAITING, 1)
  if expires > 0 then due_at(expires, 'q:' .. name) end
end

-- A message has left its queue; an empty queue leaves no trace.
local function shrink(name, size)
  count(WAITING, -1)
  -- 0 - size: Redis does not take the -0 that -size is for an empty body.
  if call('HINCRBY', B .. ':sizes', name, 0 - size) <= 0 and call('EXISTS', B .. ':q:' .. name) == 0 then
    call('HDEL', B .. ':sizes', name)
    call('SREM', B .. ':queues', name)
  end
end

local function dequeue(name)
  local letter = call('LPOP', B .. ':q:' .. name)
  if not letter then return nil end
  local expires, header, kept, body = cmsgpack.unpack(letter)
  shrink(name, #body)
  return expires, header, kept, body
end

-- Give a message to an idle reader, or to its queue; return whether there was room. Where something stands in the
-- queue nobody is idle.
local function take_in(name, capacity, expires, header, kept, body)
  local length = state[WAITING] > 0 and call('LLEN', B .. ':q:' .. name) or 0
  local sid = length == 0 and idle_reader(name)
  if sid then
    lease(sid, expires, header, kept, body)
  elseif length < capacity then
    enqueue('RPUSH', name, expires, header, kept, body)
  else
    return false
  end
  count(HELD, #body)
  return true
end

-- The same for a message that comes from outside: those who wait already go first.
local function offer(name, capacity, expires, header, kept, body)
  return has_memory() and not is_awaited(name) and take_in(name, capacity, expires, header, kept, body)
end

local function expires_in(expiry)
  return expiry >= 0 and now() + expiry or 0
end
