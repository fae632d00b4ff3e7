-- What a shard counts is one MessagePack array, read at once, and written at once when something has changed.
-- OWNER is its incarnation or '', NEXT is when something is due (0: nothing); the rest are numbers of messages, or bytes.
local OWNER, NEXT, HELD, WAITING, CROWD, CROWD_BYTES, IN_BYTES, TICKET = 1, 2, 3, 4, 5, 6, 7, 8
local DELIVERED, COMMITTED, REPEATS, DROPPED, EXPIRED = 9, 10, 11, 12, 13
local DEAD_BYTES, BEGUN, WORDS, SEEN, SEEN_SINCE = 14, 15, 16, 17, 18

local state = call('GET', B .. ':state')
state = state and cmsgpack.unpack(state) or {'', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
local is_changed, losses = false, {}

local function set(place, value)
  state[place] = value
  is_changed = true
end

local function count(place, more)
  state[place] = state[place] + more
  is_changed = true
end

local function due_at(time, what)
  call('ZADD', B .. ':due', 'LT', time, what)
  if state[NEXT] == 0 or time < state[NEXT] then set(NEXT, time) end
end

-- Each script returns {due, result, losses}: milliseconds until something is due here (-1: nothing), what it has to say,
-- and what the log should tell, three strings for each message that ended unconsumed: id, channel, reason.
local function finish(result)
  if is_changed then call('SET', B .. ':state', cmsgpack.pack(state)) end
  return {state[NEXT] > 0 and math.max(0, state[NEXT] - now()) or -1, result, losses}
end
