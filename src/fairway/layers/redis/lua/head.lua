-- Every script begins with this: the shard's state is read at once, and what has changed is written at once.
--
-- KEYS[1] is the base of the shard's keys, such as {mysite:s1!}; its braces keep them all in one slot of a cluster.
-- ARGV[1] is a MessagePack array of limits; what the rest means is said at the head of each script.
-- Each script returns {due, result, losses}: milliseconds until something is due here (-1: nothing), what it has to say,
-- and what the log should tell, three strings for each message that ended unconsumed: id, channel, reason.
local B, arg, call = KEYS[1], ARGV, redis.call
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local limits = cmsgpack.unpack(arg[1])
local TOTAL, INBOX_BYTES, INBOX_ITEMS, DEAD_COUNT, DEAD_BYTES = limits[1], limits[2], limits[3], limits[4], limits[5]
local COMMIT_WAIT, REPEAT_TIME, REPEAT_COUNT = limits[6], limits[7], limits[8]
local PLACE = 65536 -- a session's demand and reserve share a number: demand * PLACE + reserve
local ANSWER_TIME = 60000 -- how long an answer waits for whoever asked

local META = B .. ':meta'
local COUNTERS = {
  'held', 'waiting', 'crowd', 'crowd_bytes', 'in_count', 'in_bytes', 'delivered', 'committed', 'repeats', 'dropped',
  'expired', 'dead_bytes', 'once', 'words', 'seen', 'seen_since',
}
local state, changed, losses = {}, {}, {}
do
  local found = call('HMGET', META, 'owner', unpack(COUNTERS))
  state.owner = found[1]
  for place, name in ipairs(COUNTERS) do state[name] = tonumber(found[place + 1]) or 0 end
end

local function count(name, more)
  state[name] = state[name] + more
  changed[name] = true
end

local function due_at(time, what)
  call('ZADD', B .. ':due', 'LT', time, what)
end

local function finish(result)
  local fields = {}
  for name in pairs(changed) do
    fields[#fields + 1] = name
    fields[#fields + 1] = string.format('%.0f', state[name])
  end
  if #fields > 0 then call('HSET', META, unpack(fields)) end
  local first = call('ZRANGE', B .. ':due', 0, 0, 'WITHSCORES')
  local due = first[2] and math.max(0, tonumber(first[2]) - now) or -1
  return {due, result, losses}
end

-- An entry for the owner. Without an owner there is nobody to tell.
local function tell(fields, bytes)
  if not state.owner then return end
  call('XADD', B .. ':in', '*', unpack(fields))
  count('in_count', 1)
  count('in_bytes', bytes)
end

-- Answer whoever waits: the token is client/number, and each client reads its answers of a shard from one stream.
local function settle(token, error)
  if token == '' then return end
  local cut = string.find(token, '/', 1, true)
  local place = B .. ':a:' .. string.sub(token, 1, cut - 1)
  call('XADD', place, 'MAXLEN', '~', 10000, '*', string.sub(token, cut + 1), error)
  call('PEXPIRE', place, ANSWER_TIME)
end

-- Whether an id was seen before; noted from now on. The young generation becomes the old one when it is full or old.
local function seen(id)
  if state.seen >= REPEAT_COUNT or now - state.seen_since >= REPEAT_TIME then
    if state.seen > 0 then
      call('RENAME', B .. ':seen', B .. ':seen-before')
      call('PEXPIRE', B .. ':seen-before', REPEAT_TIME)
    end
    count('seen', -state.seen)
    count('seen_since', now - state.seen_since)
  end
  if call('SISMEMBER', B .. ':seen', id) == 1 or call('SISMEMBER', B .. ':seen-before', id) == 1 then
    count('repeats', 1)
    return true
  end
  call('SADD', B .. ':seen', id)
  count('seen', 1)
  return false
end

local function unsee(id)
  if id == '' then return end
  count('seen', -call('SREM', B .. ':seen', id))
  call('SREM', B .. ':seen-before', id)
end
