-- The end of sessions, and what owners hear of it.
local PAUSED = -2 ^ 50 -- as what a session would take, so that more never makes it a demand

local is_news = false -- whether a queue is read now that was not, or is not any more

-- A single-reader channel is somebody's for a moment: of those nobody asks.
local function is_for_all(name)
  return not string.find(name, '?', 1, true)
end

local function tell_readers()
  if state[OWNER] == '' then return end
  local names = {}
  for _, name in ipairs(call('HKEYS', B .. ':pins')) do
    if is_for_all(name) and call('EXISTS', B .. ':r:' .. name) == 1 then names[#names + 1] = name end
  end
  tell({'r', #names > 0 and cmsgpack.pack(names) or '\144'}, 0) -- an empty table would be packed as a map
end

local function turn_away(sid, names)
  for _, name in ipairs(names) do
    local readers = B .. ':r:' .. name
    if call('LREM', readers, 0, sid) > 0 and is_for_all(name) and call('EXISTS', readers) == 0 then is_news = true end
  end
end

-- The process that alone read this queue is gone: nobody will ever read what is in it.
local function abolish(name)
  local expires, packed, _, body = dequeue(name)
  while expires do
    count(HELD, -#body)
    abandon(cmsgpack.unpack(packed), 'lost')
    expires, packed, _, body = dequeue(name)
  end
  dismiss('w:' .. name)
  tell({'o', name}, 0)
end

-- What becomes of one delivery of a session that has ended; what may run again is noted in `back`.
local function lose(sid, entry, back)
  local fields = entry[2]
  local packed, kept, body, expires = fields[2], fields[4], fields[6], fields[8]
  local header = cmsgpack.unpack(packed)
  local is_begun = state[BEGUN] > 0 and call('SREM', B .. ':once', sid .. '/' .. entry[1]) == 1
  if is_begun then count(BEGUN, -1) end
  if is_begun or header[POLICY] == ONCE then
    count(HELD, -#body)
    abandon(header, 'lost')
  elseif header[ATTEMPT] >= header[ATTEMPTS] then
    count(HELD, -#body)
    bury(packed, kept, body, 'attempts')
  else
    header[ATTEMPT] = header[ATTEMPT] + 1
    back[#back + 1] = {header, cmsgpack.pack(header), kept, body, kept_expiry(header, expires)}
  end
end

-- End a session: what it held is delivered again, or a dead letter, or lost. Returns the prefixes that went with it.
local function end_session(sid)
  local names = call('LRANGE', B .. ':c:' .. sid, 0, -1)
  local leases = call('XRANGE', B .. ':s:' .. sid, '-', '+')
  turn_away(sid, names)
  call('HDEL', B .. ':sessions', sid)
  call('HDEL', B .. ':turns', sid)
  call('ZREM', B .. ':alive', sid)
  call('DEL', B .. ':s:' .. sid, B .. ':c:' .. sid)
  local back = {}
  for _, entry in ipairs(leases) do lose(sid, entry, back) end
  put_back(back)
  local prefixes = {}
  for _, name in ipairs(names) do
    if call('HINCRBY', B .. ':pins', name, -1) == 0 then
      call('HDEL', B .. ':pins', name)
      if is_prefix(name) then
        abolish(name)
        prefixes[#prefixes + 1] = name
      end
    end
  end
  return prefixes
end
