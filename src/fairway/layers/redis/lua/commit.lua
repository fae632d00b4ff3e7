--@ head queues endings
-- Acknowledge a delivery and publish what of its outbox belongs to this shard, in one step.
-- 2: session, 3: entry, 4: id if the message has an order, else '', 5: reply channel, 6: bytes of its body,
-- 7: how many deliveries more the session takes, 8: 'done', 'later' or 'retries', 9: pause (ms), 10: header and
-- 11: state of the next run, 12: bytes of the inbox entry, 13: how many fields and values it has, then these;
-- then 6 for each send: channel, capacity, expiry, header, state, body
local sid, entry, id, reply = arg[2], arg[3], arg[4], arg[5]
local stream = B .. ':s:' .. sid
local ending, body = arg[8], ''
if ending ~= 'done' then
  local found = call('XRANGE', stream, entry, entry)
  if not found[1] then return finish('lost') end
  body = found[1][2][6]
end
if call('XDEL', stream, entry) == 0 then return finish('lost') end
count('committed', 1)
if state.once > 0 then count('once', -call('SREM', B .. ':once', sid .. '/' .. entry)) end

local fields = tonumber(arg[13])
if fields > 0 then
  local few = {}
  for at = 14, 13 + fields do
    few[#few + 1] = arg[at]
    if #few >= 1000 and #few % 2 == 0 and arg[at + 1] ~= 'b' then -- what belongs to a body stays beside it
      tell(few, 0)
      few = {}
    end
  end
  if #few > 0 then tell(few, tonumber(arg[12])) end
end

for at = 14 + fields, #arg, 6 do
  local channel, capacity, expiry = arg[at], tonumber(arg[at + 1]), tonumber(arg[at + 2])
  local header, kept, sent = arg[at + 3], arg[at + 4], arg[at + 5]
  local name = queue_name(channel)
  if not is_gone(name) and not offer(name, capacity, expiry, header, kept, sent) then
    if state.crowd_bytes >= TOTAL then
      bury(header, kept, sent, 'full')
    else
      wait('w:' .. name, now + COMMIT_WAIT, '', capacity, expiry, header, kept, sent)
    end
  end
end

if ending == 'later' then
  local at = now + tonumber(arg[9])
  call('ZADD', B .. ':later', at, cmsgpack.pack(arg[10], arg[11], body))
  due_at(at, 'later')
else
  count('held', -tonumber(arg[6]))
  if ending == 'retries' then
    bury(arg[10], arg[11], body, 'retries')
  elseif id ~= '' then
    call('HDEL', B .. ':busy', id)
    if not state.owner then speak(reply) end
  end
end
admit_all()
if arg[7] ~= '0' and call('HEXISTS', B .. ':sessions', sid) == 1 then
  call('HINCRBY', B .. ':sessions', sid, arg[7] * PLACE)
  feed(sid)
end
return finish('ok')
