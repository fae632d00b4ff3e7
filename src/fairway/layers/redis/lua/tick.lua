--@ base state
-- Do what is due here, and let sessions say that they live. 2: ms without a sign after which one is dead, then sessions.
-- Result: the sessions among them that are dead already, the prefixes whose processes are gone, and 1 when there is
-- neither an owner nor a message here, and nothing is due.
-- What is due is done in portions: where one was not enough, more is due after a short pause.
local PORTION, PAUSE, LONG_PAUSE = 200, 10, 1000 -- things, ms, ms
local unknown, prefixes = {}, {}

for at = 3, #arg do
  if call('ZSCORE', B .. ':alive', arg[at]) then
    call('ZADD', B .. ':alive', now() + arg[2], arg[at])
  else
    unknown[#unknown + 1] = arg[at]
  end
end

local function close()
  local is_empty = state[OWNER] == '' and state[HELD] + state[WORDS] + state[NEXT] == 0
  return finish({unknown, prefixes, is_empty and 1 or 0})
end

local dead = call('ZRANGEBYSCORE', B .. ':alive', '-inf', now())
if #dead == 0 and (state[NEXT] == 0 or state[NEXT] > now()) then return close() end

--@ limits answers inbox repeats queues crowd endings sessions departures
local function owner_died()
  for _, prefix in ipairs(call('SMEMBERS', B .. ':prefixes')) do prefixes[#prefixes + 1] = prefix end
  let_go()
  set(OWNER, '')
  call('ZREM', B .. ':alive', '!')
  due_at(now(), 'wills')
end

local function bury_the_dead()
  for _, sid in ipairs(dead) do
    if sid == '!' then
      owner_died()
    else
      for _, prefix in ipairs(end_session(sid)) do prefixes[#prefixes + 1] = prefix end
    end
  end
  if is_news then tell_readers() end
end

-- The last message of a connection whose owner has died. It has no owner, so its commit looks for it.
local function file_words(reply, will)
  local order, kept = -1, ''
  local noted = call('HGET', B .. ':orders', reply)
  if noted then order, kept = cmsgpack.unpack(noted) end
  order = order + 1
  local id = string.format('%s.%.0f', reply, order)
  local header = cmsgpack.pack({id, 'websocket.disconnect', reply, order, 1, AGAIN, 0, 5})
  count(WORDS, call('HSET', B .. ':words', reply, cmsgpack.pack(header, kept, will .. cmsgpack.pack(order))))
  call('HDEL', B .. ':wills', reply)
  call('HDEL', B .. ':orders', reply)
end

-- Each of these says when it has to be looked at again, or nil.

-- What the workers are told of connections whose owner has died; of each after what is under way.
local function carry_out()
  if state[OWNER] ~= '' then return nil end
  local busy = {}
  for _, reply in ipairs(call('HVALS', B .. ':busy')) do busy[reply] = true end
  local found = call('HSCAN', B .. ':wills', 0, 'COUNT', PORTION)[2]
  for at = 1, #found, 2 do
    file_words(found[at], found[at + 1])
    if not busy[found[at]] then speak(found[at]) end
  end
  return call('EXISTS', B .. ':wills') == 1 and now() or nil
end

local function drop(name, letter, packed, body)
  call('LREM', B .. ':q:' .. name, 1, letter)
  shrink(name, #body)
  expire(packed, body)
end

-- Messages expire in their order, but for those that came back to the front: those never expire.
local function sweep_queue(name)
  local letters, dropped = call('LRANGE', B .. ':q:' .. name, 0, PORTION - 1), 0
  for _, letter in ipairs(letters) do
    local expires, packed, _, body = cmsgpack.unpack(letter)
    if expires > now() then return expires end
    if expires > 0 then
      drop(name, letter, packed, body)
      dropped = dropped + 1
    end
  end
  if #letters < PORTION then return nil end
  return dropped > 0 and now() or now() + LONG_PAUSE
end

-- Of a single-reader channel that nobody reads all goes when its first message has expired.
local function sweep_stream(name)
  local first = call('LINDEX', B .. ':q:' .. name, 0)
  if not first then return nil end
  local expires, packed, _, body = cmsgpack.unpack(first)
  if expires > now() then return expires end
  if call('HEXISTS', B .. ':pins', name) == 1 then return now() + LONG_PAUSE end
  expires, packed, _, body = dequeue(name)
  while expires do
    expire(packed, body)
    expires, packed, _, body = dequeue(name)
  end
  return nil
end

local function sweep(name)
  local is_stream = string.find(name, '?', 1, true)
  local next_time = is_stream and sweep_stream(name) or not is_stream and sweep_queue(name) or nil
  admit('w:' .. name)
  return next_time
end

local function give_up(place)
  local first = nil
  for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
    local deadline, token, ticket = cmsgpack.unpack(waiting)
    if deadline <= now() then
      call('LREM', B .. ':' .. place, 1, waiting)
      local letter = leave(ticket)
      if token ~= '' then
        unsee(cmsgpack.unpack(letter[3])[ID])
        settle(token, 'at capacity')
      else
        bury(letter[3], letter[4], letter[5], 'full')
      end
    elseif not first or deadline < first then
      first = deadline
    end
  end
  if not first then call('SREM', B .. ':places', place) end
  return first
end

local function come_back()
  local back = {}
  for _, letter in ipairs(call('ZRANGEBYSCORE', B .. ':later', '-inf', now(), 'LIMIT', 0, PORTION)) do
    local expires, packed, kept, body = cmsgpack.unpack(letter)
    back[#back + 1] = {cmsgpack.unpack(packed), packed, kept, body, expires}
    call('ZREM', B .. ':later', letter)
  end
  put_back(back)
  return tonumber(call('ZRANGE', B .. ':later', 0, 0, 'WITHSCORES')[2])
end

local function do_what_is_due()
  for _, what in ipairs(call('ZRANGEBYSCORE', B .. ':due', '-inf', now(), 'LIMIT', 0, PORTION)) do
    call('ZREM', B .. ':due', what)
    local kind, next_time = string.sub(what, 1, 2), nil
    if what == 'wills' then
      next_time = carry_out()
    elseif what == 'later' then
      next_time = come_back()
    elseif kind == 'q:' then
      next_time = sweep(string.sub(what, 3))
    else
      next_time = give_up(what)
    end
    if next_time then due_at(next_time, what) end
  end
  local first = tonumber(call('ZRANGE', B .. ':due', 0, 0, 'WITHSCORES')[2])
  set(NEXT, first and math.max(first, now() + PAUSE) or 0)
end

bury_the_dead()
if state[NEXT] > 0 then do_what_is_due() end
admit_if_freed()
return close()
