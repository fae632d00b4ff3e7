--@ head queues endings
-- One message for one channel, outside any commit.
-- 2: channel, 3: token of whoever waits for room ('': nobody), 4: how long it may wait (ms; -1: it is dropped and
-- counted when there is no room), 5: id to be remembered, or '',
-- 6: capacity, 7: expiry, 8: header, 9: state, 10: body, 11: session and 12: entry whose own connection this answers,
-- or '', 13: '1' when that delivery may not be repeated from then on
-- Result: 'ok', 'repeat', 'wait', 'full' with a reason, 'dropped', 'lost', 'gone', or 'moved' with a shard.
local channel, token, known, body = arg[2], arg[3], arg[5], arg[10]
local sid, entry = arg[11], arg[12]
if sid ~= '' then
  if not call('XRANGE', B .. ':s:' .. sid, entry, entry)[1] then return finish('lost') end
  if not state.owner or call('HGET', B .. ':marks', channel) == 'd' then return finish('gone') end
end
if known ~= '' and seen(known) then return finish('repeat') end

local patience = tonumber(arg[4])
local name = queue_name(channel)

local function put_off(place, reason)
  if patience < 0 then
    count('dropped', 1)
    return 'dropped'
  end
  if patience == 0 or state.crowd_bytes >= TOTAL then
    unsee(known)
    return {'full', reason}
  end
  wait(place, now + patience, token, tonumber(arg[6]), tonumber(arg[7]), arg[8], arg[9], body)
  return 'wait'
end

local result = 'ok'
if state.owner and call('SISMEMBER', B .. ':prefixes', name) == 1 then
  local slow = is_slow(channel) or (state.crowd > 0 and call('EXISTS', B .. ':i:' .. channel) == 1)
  if slow then
    result = put_off('i:' .. channel, 'its client reads slowly')
  elseif not has_memory() then
    result = put_off('i:' .. channel, 'the broker is full')
  else
    frame(channel, body)
  end
elseif is_gone(name) then
  local elsewhere = call('GET', B .. ':alias')
  if elsewhere then
    unsee(known)
    return finish({'moved', elsewhere})
  end
elseif not offer(name, tonumber(arg[6]), tonumber(arg[7]), arg[8], arg[9], body) then
  result = put_off('w:' .. name, no_room())
end
if sid ~= '' and arg[13] == '1' and type(result) == 'string' then
  count('once', call('SADD', B .. ':once', sid .. '/' .. entry))
end
return finish(result)
