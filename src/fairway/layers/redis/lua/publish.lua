--@ base state limits inbox queues
-- One message for one channel, outside any commit.
-- 2: channel, 3: token of whoever waits for room ('': nobody), 4: how long it may wait (ms; -1: it is dropped and
-- counted when there is no room), 5: id to be remembered, or '',
-- 6: capacity, 7: expiry (ms, -1: none), 8: header, 9: state, 10: body, 11: session and 12: entry whose own connection
-- this answers, or '', 13: '1' when that delivery may not be repeated from then on
-- Result: 'ok', 'repeat', 'wait', {'full', reason}, 'dropped', 'lost', 'gone', or {'moved', shard}.
local channel, token, patience, known = arg[2], arg[3], tonumber(arg[4]), arg[5]
local capacity, header, kept, body = tonumber(arg[6]), arg[8], arg[9], arg[10]
local sid, entry = arg[11], arg[12]
local name = queue_name(channel)
local is_for_owner = is_owned(name)

local expires = expires_in(tonumber(arg[7]))

-- Most of what goes to a queue finds room, and needs none of the parts below.
local is_plain = sid == '' and known == '' and not is_for_owner
if is_plain and not is_gone(name) and offer(name, capacity, expires, header, kept, body) then return finish('ok') end

--@ answers repeats crowd
if sid ~= '' then
  if not call('XRANGE', B .. ':s:' .. sid, entry, entry)[1] then return finish('lost') end
  if not is_for_owner or call('HGET', B .. ':marks', channel) == 'd' then return finish('gone') end
end
if not is_for_owner and is_gone(name) then
  local elsewhere = call('GET', B .. ':alias')
  return finish(elsewhere and {'moved', elsewhere} or 'ok')
end
if known ~= '' and seen(known) then return finish('repeat') end

local function put_off(place, reason)
  if patience < 0 then
    count(DROPPED, 1)
    return 'dropped'
  end
  if patience == 0 or state[CROWD_BYTES] >= TOTAL then
    unsee(known)
    return {'full', reason}
  end
  wait(place, now() + patience, token, capacity, expires, header, kept, body)
  return 'wait'
end

local result = 'ok'
if is_for_owner then
  if is_slow(channel) or state[CROWD] > 0 and call('EXISTS', B .. ':i:' .. channel) == 1 then
    result = put_off('i:' .. channel, 'its client reads slowly')
  elseif not has_memory() then
    result = put_off('i:' .. channel, 'the broker is full')
  else
    frame(channel, body)
  end
elseif not offer(name, capacity, expires, header, kept, body) then
  result = put_off('w:' .. name, has_memory() and 'at capacity' or 'the broker is full')
end
if sid ~= '' and arg[13] == '1' and type(result) == 'string' then
  count(BEGUN, call('SADD', B .. ':once', sid .. '/' .. entry))
end
return finish(result)
