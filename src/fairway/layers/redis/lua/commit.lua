--@ base state inbox
-- Acknowledge a delivery and publish what of its outbox belongs to this shard, in one step.
-- 2: session, 3: entry, 4: id if the message has an order, else '', 5: reply channel, 6: bytes of its body,
-- 7: how many deliveries more the session takes, 8: 'done', 'later' or 'dead', 9: pause (ms) or reason, 10: header and
-- 11: state of the next run, 12: bytes of the inbox entry, 13: how many fields and values it has, then these;
-- then 6 for each send: channel, capacity, expiry (ms), header, state, body
-- Result: 'ok', or 'lost' when the session does not hold it: then nothing has happened.
local sid, entry, id, size, more, ending = arg[2], arg[3], arg[4], tonumber(arg[6]), tonumber(arg[7]), arg[8]
local stream = B .. ':s:' .. sid
local held = ending ~= 'done' and call('XRANGE', stream, entry, entry)[1]
if call('XDEL', stream, entry) == 0 then return finish('lost') end
count(COMMITTED, 1)

local last = 13 + arg[13]
local fields, in_bytes = {}, tonumber(arg[12])
for at = 14, last do
  fields[#fields + 1] = arg[at]
  if #fields >= 1000 and #fields % 2 == 0 and arg[at + 1] ~= 'b' then -- what belongs to a body stays beside it
    tell(fields, in_bytes)
    fields, in_bytes = {}, 0
  end
end
if #fields > 0 then tell(fields, in_bytes) end

local function be_done()
  count(HELD, -size)
  if id ~= '' then call('HDEL', B .. ':busy', id) end
end

-- Most commits have nothing more to do, and need none of the parts below.
local is_short = ending == 'done' and last == #arg and state[WORDS] + state[CROWD] + state[BEGUN] == 0
if is_short and (more == 0 or state[WAITING] == 0) then
  be_done()
  if more > 0 then call('HINCRBY', B .. ':sessions', sid, more * 65536) end
  return finish('ok')
end

--@ limits answers queues crowd endings
local is_begun = state[BEGUN] > 0 and call('SREM', B .. ':once', sid .. '/' .. entry) == 1
if is_begun then count(BEGUN, -1) end

for at = last + 1, #arg, 6 do
  local channel, capacity, expires = arg[at], tonumber(arg[at + 1]), expires_in(tonumber(arg[at + 2]))
  local header, kept, body = arg[at + 3], arg[at + 4], arg[at + 5]
  local name = queue_name(channel)
  if is_owned(name) then
    frame(channel, body)
  elseif not is_gone(name) and not offer(name, capacity, expires, header, kept, body) then
    if state[CROWD_BYTES] >= TOTAL then
      bury(header, kept, body, 'full')
    else
      wait('w:' .. name, now() + COMMIT_WAIT, '', capacity, expires, header, kept, body)
    end
  end
end

local function come_later()
  local header, body = cmsgpack.unpack(arg[10]), held[2][6]
  if is_begun then header[POLICY] = ONCE end
  local packed = cmsgpack.pack(header)
  if ending == 'dead' then
    count(HELD, -size)
    bury(packed, arg[11], body, arg[9])
  else
    local at = now() + tonumber(arg[9])
    call('ZADD', B .. ':later', at, cmsgpack.pack(kept_expiry(header, held[2][8]), packed, arg[11], body))
    due_at(at, 'later')
  end
end

if ending == 'done' then
  be_done()
  if state[OWNER] == '' then speak(arg[5]) end
else
  come_later()
end
if more > 0 then feed(sid, call('HINCRBY', B .. ':sessions', sid, more * PLACE)) end
admit_if_freed()
return finish('ok')
