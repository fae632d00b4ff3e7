-- Every script begins with this. KEYS[1] is the base of the shard's keys, such as {mysite:s1!}; its braces keep them all
-- in one slot of a cluster. What ARGV means is said at the head of each script.
local B, arg, call = KEYS[1], ARGV, redis.call
local clock = nil

-- Milliseconds since 1970, the same for the whole script.
local function now()
  if not clock then
    local time = call('TIME')
    clock = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return clock
end
