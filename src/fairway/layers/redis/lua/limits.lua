-- What a shard may hold, in ARGV[1] of each script: a MessagePack array.
local limits = cmsgpack.unpack(arg[1])
local TOTAL, INBOX_BYTES, INBOX_ITEMS, DEAD_COUNT, DEAD_BYTES_KEPT = limits[1], limits[2], limits[3], limits[4], limits[5]
local COMMIT_WAIT, REPEAT_TIME, REPEAT_COUNT, WILLS = limits[6], limits[7], limits[8], limits[9]

-- Whether one more body may come in. What waits for room does not count, or it would wait for itself.
local function has_memory()
  return state[HELD] - state[CROWD_BYTES] < TOTAL
end
