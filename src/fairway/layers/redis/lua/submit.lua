--@ base state limits inbox queues
-- Messages of an owner's connections, for the workers.
-- 2: incarnation; then 12 for each message: queue, capacity, expiry (ms, -1: none), reply channel, order, its id if it has
-- an order, else '', source channel, whether it is sent again ('1'), what to do about its will ('n': note, 'e': end it,
-- ''), header, state, body
-- Result: 'ok', or 'gone' when somebody else, or nobody, owns this shard.
if state[OWNER] ~= arg[2] then return finish('gone') end

local function end_will(reply)
  call('HDEL', B .. ':wills', reply)
  call('HDEL', B .. ':orders', reply)
end

local function refuse(reply, order, source, reason)
  tell({'x', cmsgpack.pack({reply, tonumber(order), source, reason})}, 0)
  if order == '0' and reason == 'capacity' then end_will(reply) end -- nobody will hear of this connection
end

for at = 3, #arg, 12 do
  local name, reply, order, id, will = arg[at], arg[at + 3], arg[at + 4], arg[at + 5], arg[at + 8]
  local is_again = id ~= '' and arg[at + 7] == '1'
  if is_again and call('HEXISTS', B .. ':known', id) + call('HEXISTS', B .. ':busy', id) > 0 then
    count(REPEATS, 1)
  else
    if will == 'e' then
      end_will(reply)
    elseif will == 'n' then
      call('HSET', B .. ':orders', reply, cmsgpack.pack(tonumber(order), arg[at + 10]))
    end
    if is_gone(name) then
      refuse(reply, order, arg[at + 6], 'gone')
    elseif offer(name, tonumber(arg[at + 1]), expires_in(tonumber(arg[at + 2])), arg[at + 9], arg[at + 10], arg[at + 11]) then
      if id ~= '' then call('HSET', B .. ':busy', id, reply) end
    else
      refuse(reply, order, arg[at + 6], 'capacity')
    end
  end
end
return finish('ok')
