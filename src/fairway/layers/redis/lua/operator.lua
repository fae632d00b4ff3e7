--@ head queues endings
-- What operators and tests ask of a shard. 2: verb, then what it takes:
-- 'statistics'; 'dead': how many; 'requeue': capacity, ids; 'drop': ids; 'flush'; 'withdraw': channel, token
-- 'pinned': queue; returns whether a session reads it
-- 'register': shard; 'unregister': shard; 'shards' (these three of the root shard only)
-- 'erase': forget this shard, if it has no owner, no sessions and no messages
local verb = arg[2]

local function is_wanted(id)
  for at = verb == 'requeue' and 4 or 3, #arg do
    if arg[at] == id then return true end
  end
  return false
end

local function remove_dead(may_go)
  local gone = 0
  for _, letter in ipairs(call('LRANGE', B .. ':dead', 0, -1)) do
    local _, _, packed, kept, body = cmsgpack.unpack(letter)
    local header = cmsgpack.unpack(packed)
    if is_wanted(header[ID]) and may_go(header, kept, body) then
      call('LREM', B .. ':dead', 1, letter)
      count('dead_bytes', -#body)
      gone = gone + 1
    end
  end
  return gone
end

-- Its connection was told long ago that it is abandoned: the gate must hear nothing of it.
local function revive(header, kept, body)
  local name = queue_name(header[CHANNEL])
  if is_gone(name) then return false end
  header[ORDER], header[ATTEMPT], header[RETRIES] = -1, 1, 0
  return offer(name, tonumber(arg[3]), -1, cmsgpack.pack(header), kept, body)
end

local verbs = {}

function verbs.statistics()
  local leased = {}
  local sids = call('ZRANGE', B .. ':alive', 0, -1)
  local sessions = 0
  for _, sid in ipairs(sids) do
    if sid ~= '!' then
      sessions = sessions + 1
      for _, entry in ipairs(call('XRANGE', B .. ':s:' .. sid, '-', '+')) do
        local name = queue_name(cmsgpack.unpack(entry[2][2])[CHANNEL])
        leased[name] = (leased[name] or 0) + 1
      end
    end
  end
  local names, channels = {}, {}
  for _, name in ipairs(call('HKEYS', B .. ':pins')) do names[name] = true end
  for _, place in ipairs(call('SMEMBERS', B .. ':queues')) do
    local kind = string.sub(place, 1, 2)
    if kind == 'w:' then names[string.sub(place, 3)] = true elseif kind ~= 'i:' then names[place] = true end
  end
  for name in pairs(leased) do names[name] = true end
  for name in pairs(names) do
    local waiting = call('LLEN', B .. ':q:' .. name)
    local readers = tonumber(call('HGET', B .. ':pins', name)) or 0
    local bytes = tonumber(call('HGET', B .. ':sizes', name)) or 0
    local crowded = call('LRANGE', B .. ':w:' .. name, 0, -1)
    for _, letter in ipairs(crowded) do
      local _, _, _, _, _, _, body = cmsgpack.unpack(letter)
      bytes = bytes + #body
    end
    if waiting + readers + #crowded + (leased[name] or 0) > 0 then
      channels[#channels + 1] = {name, waiting, bytes, leased[name] or 0, readers}
    else
      call('SREM', B .. ':queues', name)
    end
  end
  return {
    channels, call('SCARD', B .. ':groups'), sessions, state.owner and 1 or 0, state.held, call('LLEN', B .. ':dead'),
    state.delivered, state.committed, state.repeats, state.dropped, state.expired,
  }
end

function verbs.dead()
  local found = {}
  for _, letter in ipairs(call('LRANGE', B .. ':dead', -tonumber(arg[3]), -1)) do
    local reason, since, packed, _, body = cmsgpack.unpack(letter)
    found[#found + 1] = {reason, now - since, packed, body}
  end
  return found
end

function verbs.requeue() return remove_dead(revive) end

function verbs.drop()
  return remove_dead(function() return true end)
end

function verbs.withdraw()
  local channel, token = arg[3], arg[4]
  for _, place in ipairs({'i:' .. channel, 'w:' .. queue_name(channel)}) do
    for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
      local _, waits, _, _, header, _, body = cmsgpack.unpack(waiting)
      if waits == token then
        call('LREM', B .. ':' .. place, 1, waiting)
        leave_crowd(body)
        unsee(cmsgpack.unpack(header)[ID])
        admit_all()
        return 1
      end
    end
  end
  return 0
end

function verbs.pinned() return call('HEXISTS', B .. ':pins', arg[3]) end

function verbs.flush()
  for _, place in ipairs(call('SMEMBERS', B .. ':queues')) do
    local kind = string.sub(place, 1, 2)
    if kind == 'w:' or kind == 'i:' then
      for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
        local _, token = cmsgpack.unpack(waiting)
        settle(token, '')
      end
      call('DEL', B .. ':' .. place)
    else
      call('DEL', B .. ':q:' .. place)
    end
  end
  for _, group in ipairs(call('SMEMBERS', B .. ':groups')) do call('DEL', B .. ':g:' .. group) end
  for _, member in ipairs(call('SMEMBERS', B .. ':members')) do call('DEL', B .. ':of:' .. member) end
  for _, sid in ipairs(call('ZRANGE', B .. ':alive', 0, -1)) do call('XTRIM', B .. ':s:' .. sid, 'MAXLEN', 0) end
  for _, token in ipairs(call('SMEMBERS', B .. ':asked')) do settle(token, '') end
  call('XTRIM', B .. ':in', 'MAXLEN', 0)
  for _, name in ipairs({
    'queues', 'sizes', 'due', 'later', 'once', 'seen', 'seen-before', 'busy', 'words', 'dead', 'groups', 'members',
    'asked',
  }) do
    call('DEL', B .. ':' .. name)
  end
  for _, name in ipairs({'held', 'waiting', 'crowd', 'crowd_bytes', 'in_count', 'in_bytes', 'dead_bytes', 'once',
    'words', 'seen'}) do
    count(name, -state[name])
  end
  return 'ok'
end

function verbs.register()
  call('ZADD', B .. ':servers', now, arg[3])
  call('XADD', B .. ':news', 'MAXLEN', '~', 1000, '*', 'shard', arg[3])
  return 'ok'
end

function verbs.unregister() return call('ZREM', B .. ':servers', arg[3]) end

function verbs.shards() return call('ZRANGE', B .. ':servers', 0, -1) end

function verbs.erase()
  if state.owner or state.held > 0 or state.words > 0 or call('ZCARD', B .. ':alive') > 0 then return 0 end
  for _, name in ipairs({
    'meta', 'in', 'queues', 'sizes', 'due', 'later', 'once', 'seen', 'seen-before', 'busy', 'words', 'dead', 'asked',
    'marks', 'wills', 'orders', 'prefixes', 'pins', 'sessions', 'alive',
  }) do
    call('DEL', B .. ':' .. name)
  end
  return 1
end

local result = verbs[verb]()
if verb == 'erase' and result == 1 then return {-1, 1, {}} end
return finish(result)
