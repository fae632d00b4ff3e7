--@ head queues endings
-- Messages of an owner's connections, for the workers.
-- 2: incarnation; then 11 for each message: queue, capacity, expiry (ms, -1: none), reply channel, order, source channel,
-- whether it is sent again ('1'), what to do about its will ('n': note, 'e': end it, ''), header, state, body
if state.owner ~= arg[2] then return finish('gone') end

local function refuse(reply, order, source, reason)
  tell({'x', cmsgpack.pack({reply, order, source, reason})}, 0)
  if order == 0 then call('HDEL', B .. ':wills', reply) end
end

for at = 3, #arg, 11 do
  local name, reply, order, again, will = arg[at], arg[at + 3], tonumber(arg[at + 4]), arg[at + 6], arg[at + 7]
  local header, kept, body = arg[at + 8], arg[at + 9], arg[at + 10]
  local id = order >= 0 and cmsgpack.unpack(header)[ID] or nil
  if again == '1' and id and call('HEXISTS', B .. ':busy', id) == 1 then
    count('repeats', 1)
  else
    if will == 'e' then
      call('HDEL', B .. ':wills', reply)
      call('HDEL', B .. ':orders', reply)
    elseif will == 'n' then
      call('HSET', B .. ':orders', reply, cmsgpack.pack(order, kept))
    end
    if is_gone(name) then
      refuse(reply, order, arg[at + 5], 'gone')
    elseif offer(name, tonumber(arg[at + 1]), tonumber(arg[at + 2]), header, kept, body) then
      if id then call('HSET', B .. ':busy', id, reply) end
    else
      refuse(reply, order, arg[at + 5], 'capacity')
    end
  end
end
return finish('ok')
