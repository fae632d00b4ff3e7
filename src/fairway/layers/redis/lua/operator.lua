--@ base state limits answers inbox repeats queues crowd endings
-- What operators and tests ask of a shard. 2: verb, then what it takes:
-- 'statistics'; 'dead': how many; 'requeue': capacity, ids; 'drop': ids; 'flush'; 'withdraw': channel, token
-- 'letters': how many of the oldest dead letters, as they are kept; 'inter': such letters of another shard; 'exhume': these
-- 'pinned': queue; returns whether a session reads it
-- 'register': shard; 'unregister': shard; 'shards' (these three of the root shard only)
-- 'erase': forget this shard, if it has no owner, no sessions, no messages and no dead letters
local verb = arg[2]

local function remove_dead(first_id, may_go)
  local gone, wanted = 0, {}
  for at = first_id, #arg do wanted[arg[at]] = true end
  for _, letter in ipairs(call('LRANGE', B .. ':dead', 0, -1)) do
    local _, _, packed, kept, body = cmsgpack.unpack(letter)
    local header = cmsgpack.unpack(packed)
    if wanted[header[ID]] and may_go(header, kept, body) then
      call('LREM', B .. ':dead', 1, letter)
      count(DEAD_BYTES, -#body)
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
  return offer(name, tonumber(arg[3]), 0, cmsgpack.pack(header), kept, body)
end

local verbs = {}

-- Queue -> messages that sessions hold of it, and how many sessions there are.
local function count_leased()
  local leased, sessions = {}, 0
  for _, sid in ipairs(call('ZRANGE', B .. ':alive', 0, -1)) do
    if sid ~= '!' then
      sessions = sessions + 1
      for _, entry in ipairs(call('XRANGE', B .. ':s:' .. sid, '-', '+')) do
        local name = queue_name(cmsgpack.unpack(entry[2][2])[CHANNEL])
        leased[name] = (leased[name] or 0) + 1
      end
    end
  end
  return leased, sessions
end

-- Queue -> bytes of what waits for room there.
local function count_crowds()
  local bytes = {}
  for _, place in ipairs(call('SMEMBERS', B .. ':places')) do
    if string.sub(place, 1, 2) == 'w:' then
      local name = string.sub(place, 3)
      for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
        local _, _, ticket = cmsgpack.unpack(waiting)
        local _, _, _, _, body = cmsgpack.unpack(call('HGET', B .. ':crowd', ticket))
        bytes[name] = (bytes[name] or 0) + #body
      end
    end
  end
  return bytes
end

function verbs.statistics()
  local leased, sessions = count_leased()
  local crowds = count_crowds()
  local names, channels = {}, {}
  for _, found in ipairs({call('HKEYS', B .. ':pins'), call('SMEMBERS', B .. ':queues')}) do
    for _, name in ipairs(found) do names[name] = true end
  end
  for name in pairs(leased) do names[name] = true end
  for name in pairs(crowds) do names[name] = true end
  for name in pairs(names) do
    local bytes = (tonumber(call('HGET', B .. ':sizes', name)) or 0) + (crowds[name] or 0)
    local readers = tonumber(call('HGET', B .. ':pins', name)) or 0
    channels[#channels + 1] = {name, call('LLEN', B .. ':q:' .. name), bytes, leased[name] or 0, readers}
  end
  return {
    channels, call('SCARD', B .. ':groups'), sessions, state[OWNER] ~= '' and 1 or 0, state[HELD],
    call('LLEN', B .. ':dead'), state[DELIVERED], state[COMMITTED], state[REPEATS], state[DROPPED], state[EXPIRED],
  }
end

function verbs.dead()
  local found = {}
  if tonumber(arg[3]) <= 0 then return found end
  for _, letter in ipairs(call('LRANGE', B .. ':dead', -arg[3], -1)) do
    local reason, since, packed, _, body = cmsgpack.unpack(letter)
    found[#found + 1] = {reason, now() - since, packed, body}
  end
  return found
end

function verbs.letters() return call('LRANGE', B .. ':dead', 0, arg[3] - 1) end

function verbs.inter()
  for at = 3, #arg do
    local _, _, _, _, body = cmsgpack.unpack(arg[at])
    if not call('LPOS', B .. ':dead', arg[at]) then keep_dead(arg[at], #body) end
  end
  return 'ok'
end

function verbs.exhume()
  for at = 3, #arg do
    local _, _, _, _, body = cmsgpack.unpack(arg[at])
    count(DEAD_BYTES, -#body * call('LREM', B .. ':dead', 1, arg[at]))
  end
  return 'ok'
end

function verbs.requeue() return remove_dead(4, revive) end

function verbs.drop()
  return remove_dead(3, function() return true end)
end

function verbs.withdraw()
  local channel, token = arg[3], arg[4]
  for _, place in ipairs({'i:' .. channel, 'w:' .. queue_name(channel)}) do
    for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
      local _, waits, ticket = cmsgpack.unpack(waiting)
      if waits == token then
        call('LREM', B .. ':' .. place, 1, waiting)
        unsee(cmsgpack.unpack(leave(ticket)[3])[ID])
        admit(place)
        return 1
      end
    end
  end
  return 0
end

function verbs.pinned() return call('HEXISTS', B .. ':pins', arg[3]) end

function verbs.flush()
  for _, place in ipairs(call('SMEMBERS', B .. ':places')) do dismiss(place) end
  for _, token in ipairs(call('SMEMBERS', B .. ':asked')) do settle(token, '') end
  for _, name in ipairs(call('SMEMBERS', B .. ':queues')) do call('DEL', B .. ':q:' .. name) end
  for _, group in ipairs(call('SMEMBERS', B .. ':groups')) do call('DEL', B .. ':g:' .. group) end
  for _, member in ipairs(call('SMEMBERS', B .. ':members')) do call('DEL', B .. ':of:' .. member) end
  for _, sid in ipairs(call('ZRANGE', B .. ':alive', 0, -1)) do call('XTRIM', B .. ':s:' .. sid, 'MAXLEN', 0) end
  call('XTRIM', B .. ':in', 'MAXLEN', 0)
  for _, name in ipairs({
    'queues', 'sizes', 'due', 'later', 'once', 'seen', 'seen-before', 'busy', 'known', 'words', 'dead', 'groups',
    'members', 'asked',
  }) do
    call('DEL', B .. ':' .. name)
  end
  for _, number in ipairs({NEXT, HELD, WAITING, IN_BYTES, DEAD_BYTES, BEGUN, WORDS, SEEN}) do set(number, 0) end
  return 'ok'
end

function verbs.register()
  call('ZADD', B .. ':servers', now(), arg[3])
  call('XADD', B .. ':news', 'MAXLEN', '~', 1000, '*', 'shard', arg[3])
  return 'ok'
end

function verbs.unregister() return call('ZREM', B .. ':servers', arg[3]) end

function verbs.shards() return call('ZRANGE', B .. ':servers', 0, -1) end

function verbs.erase()
  local is_empty = state[OWNER] == '' and state[HELD] + state[WORDS] == 0
  if not is_empty or call('EXISTS', B .. ':alive', B .. ':wills', B .. ':dead') > 0 then return 0 end
  for _, name in ipairs({
    'state', 'in', 'queues', 'sizes', 'places', 'crowd', 'due', 'later', 'once', 'seen', 'seen-before', 'busy', 'known',
    'words', 'asked', 'marks', 'wills', 'orders', 'prefixes', 'pins', 'sessions', 'turns', 'alive',
  }) do
    call('DEL', B .. ':' .. name)
  end
  is_changed = false
  return 1
end

return finish(verbs[verb]())
