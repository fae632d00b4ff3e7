-- An owner that goes: whoever waits for it need wait no more. What it has not read stays, or goes, too.
local function let_go(is_inbox_kept)
  for _, token in ipairs(call('SMEMBERS', B .. ':asked')) do settle(token, '') end
  for _, place in ipairs(call('SMEMBERS', B .. ':places')) do
    if string.sub(place, 1, 2) == 'i:' then dismiss(place) end
  end
  call('DEL', B .. ':asked', B .. ':marks', B .. ':prefixes', B .. ':known')
  if is_inbox_kept then return end
  call('XTRIM', B .. ':in', 'MAXLEN', 0) -- not removed: its ids go on rising, whoever reads it next
  set(IN_BYTES, 0)
end
