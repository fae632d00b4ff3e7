-- Who waits for room. A place is w:<queue>, or i:<channel> for one connection; there stand {deadline, token, ticket} in a
-- list. The messages lie apart under their tickets, so that looking through a list costs little.
local was_full = not has_memory()

local function wait(place, deadline, token, capacity, expires, header, kept, body)
  count(TICKET, 1)
  call('HSET', B .. ':crowd', state[TICKET], cmsgpack.pack(capacity, expires, header, kept, body))
  call('RPUSH', B .. ':' .. place, cmsgpack.pack(deadline, token, state[TICKET]))
  call('SADD', B .. ':places', place)
  count(CROWD, 1)
  count(CROWD_BYTES, #body)
  count(HELD, #body)
  due_at(deadline, place)
  was_full = was_full or not has_memory()
end

-- Take the message of one who waits no more: {capacity, expires, header, state, body}.
local function leave(ticket)
  local letter = {cmsgpack.unpack(call('HGET', B .. ':crowd', ticket))}
  call('HDEL', B .. ':crowd', ticket)
  count(CROWD, -1)
  count(CROWD_BYTES, -#letter[5])
  count(HELD, -#letter[5])
  return letter
end

-- Those who wait at a place need not any more.
local function dismiss(place)
  for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
    local _, token, ticket = cmsgpack.unpack(waiting)
    leave(ticket)
    settle(token, '')
  end
  call('DEL', B .. ':' .. place)
  call('SREM', B .. ':places', place)
end

local function frame(channel, body)
  tell({'f', channel, 'b', body}, #body)
end

local function is_slow(channel)
  return state[IN_BYTES] >= INBOX_BYTES or call('HGET', B .. ':marks', channel) == 'c'
end

local function move_up(kind, name, ticket)
  local capacity, expires, header, kept, body = cmsgpack.unpack(call('HGET', B .. ':crowd', ticket))
  if kind == 'w' then return take_in(name, capacity, expires, header, kept, body) end
  if is_slow(name) then return false end
  frame(name, body)
  return true
end

-- Move up what waits at a place, while there is room.
local function admit(place)
  local kind, name = string.sub(place, 1, 1), string.sub(place, 3)
  while has_memory() do
    local first = call('LINDEX', B .. ':' .. place, 0)
    if not first then
      call('SREM', B .. ':places', place)
      return
    end
    local _, token, ticket = cmsgpack.unpack(first)
    if not move_up(kind, name, ticket) then return end
    leave(ticket)
    call('LPOP', B .. ':' .. place)
    settle(token, '')
  end
end

-- O(places): only when something has come free that all of them may have waited for.
local function admit_all()
  if state[CROWD] == 0 then return end
  for _, place in ipairs(call('SMEMBERS', B .. ':places')) do admit(place) end
end

-- Memory may have come free.
local function admit_if_freed()
  if was_full then admit_all() end
end
