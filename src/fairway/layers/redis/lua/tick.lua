--@ head queues endings
-- Do what is due here, and let sessions say that they live. 2: ms without a sign after which one is dead, then sessions.
-- Result: the sessions among them that are dead already, and the prefixes whose processes are gone.
local unknown, prefixes = {}, {}
for at = 3, #arg do
  if call('ZSCORE', B .. ':alive', arg[at]) then
    call('ZADD', B .. ':alive', now + arg[2], arg[at])
  else
    unknown[#unknown + 1] = arg[at]
  end
end

-- What the workers are told of connections whose server has died; of each after what is under way.
local function carry_out()
  local busy = {}
  for _, reply in ipairs(call('HVALS', B .. ':busy')) do busy[reply] = true end
  local wills = call('HGETALL', B .. ':wills')
  for at = 1, #wills, 2 do
    local reply = wills[at]
    local order, kept = -1, ''
    local noted = call('HGET', B .. ':orders', reply)
    if noted then order, kept = cmsgpack.unpack(noted) end
    order = order + 1
    local id = string.format('%s.%d', reply, order)
    local header = cmsgpack.pack({id, 'websocket.disconnect', reply, order, 1, AGAIN, 0, 5})
    call('HSET', B .. ':words', reply, cmsgpack.pack(header, kept, wills[at + 1] .. cmsgpack.pack(order)))
    count('words', 1)
    if not busy[reply] then speak(reply) end
  end
end

local function owner_died()
  for _, prefix in ipairs(call('SMEMBERS', B .. ':prefixes')) do prefixes[#prefixes + 1] = prefix end
  call('HDEL', META, 'owner')
  state.owner = false
  carry_out()
  for _, token in ipairs(call('SMEMBERS', B .. ':asked')) do settle(token, '') end
  call('DEL', B .. ':in', B .. ':asked', B .. ':marks', B .. ':wills', B .. ':orders', B .. ':prefixes')
  count('in_count', -state.in_count)
  count('in_bytes', -state.in_bytes)
  call('ZREM', B .. ':alive', '!')
end

local has_ended = false
for _, sid in ipairs(call('ZRANGEBYSCORE', B .. ':alive', '-inf', now)) do
  if sid == '!' then
    owner_died()
  else
    has_ended = true
    for _, prefix in ipairs(end_session(sid)) do prefixes[#prefixes + 1] = prefix end
  end
end
if has_ended then tell_readers() end

-- Each of these says when it has to be looked at again, or nil.
local function sweep(name)
  local letters = call('LRANGE', B .. ':q:' .. name, 0, -1)
  local first = nil
  local is_stream = string.find(name, '?', 1, true) ~= nil
  if is_stream and call('HEXISTS', B .. ':pins', name) == 1 then return now + 1000 end
  local has_expired = false
  for _, letter in ipairs(letters) do
    local expires, packed, _, body = cmsgpack.unpack(letter)
    if expires > 0 and expires <= now or is_stream and has_expired then
      has_expired = true
      call('LREM', B .. ':q:' .. name, 1, letter)
      call('HINCRBY', B .. ':sizes', name, -#body)
      count('waiting', -1)
      expire(packed, body)
    elseif expires > 0 and (not first or expires < first) then
      first = expires
    end
  end
  admit('w:' .. name)
  return first
end

local function give_up(place)
  local first = nil
  for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
    local deadline, token, _, _, header, kept, body = cmsgpack.unpack(waiting)
    if deadline <= now then
      call('LREM', B .. ':' .. place, 1, waiting)
      leave_crowd(body)
      if token ~= '' then
        unsee(cmsgpack.unpack(header)[ID])
        settle(token, 'at capacity')
      else
        bury(header, kept, body, 'full')
      end
    elseif not first or deadline < first then
      first = deadline
    end
  end
  return first
end

local function come_back()
  local back = {}
  for _, letter in ipairs(call('ZRANGEBYSCORE', B .. ':later', '-inf', now)) do
    local packed, kept, body = cmsgpack.unpack(letter)
    back[#back + 1] = {cmsgpack.unpack(packed), packed, kept, body}
    call('ZREM', B .. ':later', letter)
  end
  put_back(back)
  return tonumber(call('ZRANGE', B .. ':later', 0, 0, 'WITHSCORES')[2])
end

for _, what in ipairs(call('ZRANGEBYSCORE', B .. ':due', '-inf', now)) do
  call('ZREM', B .. ':due', what)
  local kind, name, next_time = string.sub(what, 1, 2), string.sub(what, 3), nil
  if kind == 'q:' then
    next_time = sweep(name)
  elseif what == 'later' then
    next_time = come_back()
  else
    next_time = give_up(what)
  end
  if next_time then due_at(next_time, what) end
end
admit_all()
return finish({unknown, prefixes})
