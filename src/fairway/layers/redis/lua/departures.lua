-- An owner that goes: whoever waits for it need wait no more.
local function let_go()
  for _, token in ipairs(call('SMEMBERS', B .. ':asked')) do settle(token, '') end
  for _, place in ipairs(call('SMEMBERS', B .. ':places')) do
    if string.sub(place, 1, 2) == 'i:' then dismiss(place) end
  end
  call('DEL', B .. ':in', B .. ':asked', B .. ':marks', B .. ':prefixes')
  set(IN_BYTES, 0)
end
