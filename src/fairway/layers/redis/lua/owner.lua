--@ base state limits
-- The owner of this shard. 2: verb, 3: its incarnation, then what the verb takes:
-- 'own': ms without a sign after which it is dead, and its prefixes: an owner that has owned this before, as its name
-- up to the last dot says, keeps what is in its inbox; 'resign'; 'sign': ms; 'ack': last entry that was
-- read, how many, their bytes; 'mark': channel, 'c' (congested), 'd' (departed) or ''; 'answer': token, answer;
-- 'will': channel, body without the value of its last key, order, state; no body takes it back
-- Result: 'ok', or 'gone' when somebody else, or nobody, owns this shard.
local verb, incarnation = arg[2], arg[3]
if verb ~= 'own' and state[OWNER] ~= incarnation then return finish('gone') end
local was_far_behind = state[IN_BYTES] >= INBOX_BYTES
local verbs = {}

function verbs.sign()
  call('ZADD', B .. ':alive', now() + arg[4], '!')
end

function verbs.ack()
  local dash = string.find(arg[4], '-', 1, true)
  local next_entry = string.sub(arg[4], 1, dash) .. string.format('%.0f', string.sub(arg[4], dash + 1) + 1)
  call('XTRIM', B .. ':in', 'MINID', next_entry)
  count(IN_BYTES, -arg[6])
end

function verbs.mark()
  if arg[5] == '' then call('HDEL', B .. ':marks', arg[4]) else call('HSET', B .. ':marks', arg[4], arg[5]) end
end

function verbs.will()
  local channel, body = arg[4], arg[5]
  if body == '' then
    call('HDEL', B .. ':wills', channel)
    call('HDEL', B .. ':orders', channel)
  elseif call('HLEN', B .. ':wills') < WILLS or call('HEXISTS', B .. ':wills', channel) == 1 then
    call('HSET', B .. ':wills', channel, body)
    call('HSET', B .. ':orders', channel, cmsgpack.pack(tonumber(arg[6]), arg[7]))
  end
end

if verbs[verb] then
  verbs[verb]()
  if state[CROWD] == 0 then return finish('ok') end
end

local function name_of(owner) return string.match(owner, '^(.+)%.') end

--@ answers inbox queues crowd endings sessions departures
if verb == 'mark' then
  admit('i:' .. arg[4])
elseif verb == 'ack' then
  if was_far_behind then admit_all() end
elseif verb == 'answer' then
  if call('SREM', B .. ':asked', arg[4]) == 1 then settle(arg[4], arg[5]) end
elseif verb == 'own' then
  -- Who owns again reads on where it was: it may never hear that this was done, and has to do it once more.
  let_go(name_of(incarnation) and name_of(incarnation) == name_of(state[OWNER]))
  -- What is here now ends under its eyes. It is dropped when it is sent again, even if it has ended by then.
  call('COPY', B .. ':busy', B .. ':known')
  call('DEL', B .. ':wills', B .. ':orders', B .. ':words')
  set(WORDS, 0)
  set(OWNER, incarnation)
  for at = 5, #arg do call('SADD', B .. ':prefixes', arg[at]) end
  call('ZADD', B .. ':alive', now() + arg[4], '!')
  tell_readers()
elseif verb == 'resign' then
  let_go()
  call('DEL', B .. ':wills', B .. ':orders')
  call('ZREM', B .. ':alive', '!')
  set(OWNER, '')
end
return finish('ok')
