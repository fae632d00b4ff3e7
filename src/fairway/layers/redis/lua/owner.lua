--@ head queues endings
-- The owner of this shard. 2: verb, 3: its incarnation, then what the verb takes:
-- 'own': ms without a sign after which it is dead, and its prefixes; 'resign'; 'sign': ms; 'ack': last entry that was
-- read, how many, their bytes; 'mark': channel, 'c' (congested), 'd' (departed) or ''; 'answer': token, answer;
-- 'will': channel, body without the value of its last key, order, state; no body takes it back
-- Result: 'ok', or 'gone' when somebody else, or nobody, owns this shard.
local verb, incarnation = arg[2], arg[3]

local function let_go()
  for _, token in ipairs(call('SMEMBERS', B .. ':asked')) do settle(token, '') end
  for _, place in ipairs(call('SMEMBERS', B .. ':queues')) do
    if string.sub(place, 1, 2) == 'i:' then
      for _, waiting in ipairs(call('LRANGE', B .. ':' .. place, 0, -1)) do
        local _, token, _, _, _, _, body = cmsgpack.unpack(waiting)
        leave_crowd(body)
        settle(token, '')
      end
      call('DEL', B .. ':' .. place)
      call('SREM', B .. ':queues', place)
      call('ZREM', B .. ':due', place)
    end
  end
  call('DEL', B .. ':in', B .. ':asked', B .. ':marks', B .. ':wills', B .. ':orders', B .. ':prefixes')
  count('in_count', -state.in_count)
  count('in_bytes', -state.in_bytes)
end

if verb == 'own' then
  let_go()
  call('DEL', B .. ':words')
  count('words', -state.words)
  state.owner = incarnation
  call('HSET', META, 'owner', incarnation)
  for at = 5, #arg do call('SADD', B .. ':prefixes', arg[at]) end
  call('ZADD', B .. ':alive', now + arg[4], '!')
  tell_readers()
  return finish('ok')
end
if state.owner ~= incarnation then return finish('gone') end
if verb == 'resign' then
  let_go()
  call('ZREM', B .. ':alive', '!')
  call('HDEL', META, 'owner')
  state.owner = false
  admit_all()
elseif verb == 'sign' then
  call('ZADD', B .. ':alive', now + arg[4], '!')
elseif verb == 'ack' then
  local entry = arg[4]
  local dash = string.find(entry, '-', 1, true)
  local next_entry = string.sub(entry, 1, dash) .. string.format('%.0f', string.sub(entry, dash + 1) + 1)
  call('XTRIM', B .. ':in', 'MINID', next_entry)
  count('in_count', -arg[5])
  count('in_bytes', -arg[6])
  admit_all()
elseif verb == 'mark' then
  if arg[5] == '' then call('HDEL', B .. ':marks', arg[4]) else call('HSET', B .. ':marks', arg[4], arg[5]) end
  if state.crowd > 0 then admit('i:' .. arg[4]) end
elseif verb == 'answer' then
  if call('SREM', B .. ':asked', arg[4]) == 1 then settle(arg[4], arg[5]) end
elseif verb == 'will' then
  if arg[5] == '' then
    call('HDEL', B .. ':wills', arg[4])
    call('HDEL', B .. ':orders', arg[4])
  else
    call('HSET', B .. ':wills', arg[4], arg[5])
    call('HSET', B .. ':orders', arg[4], cmsgpack.pack(tonumber(arg[6]), arg[7]))
  end
end
return finish('ok')
