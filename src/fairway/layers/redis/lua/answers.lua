-- Answer whoever waits: the token is client/number, and each client reads its answers of a shard from one stream.
local ANSWER_TIME, ANSWERS = 60000, 10000

local function settle(token, answer)
  if token == '' then return end
  local cut = string.find(token, '/', 1, true)
  local place = B .. ':a:' .. string.sub(token, 1, cut - 1)
  call('XADD', place, 'MAXLEN', '~', ANSWERS, '*', string.sub(token, cut + 1), answer)
  call('PEXPIRE', place, ANSWER_TIME)
end
