-- The ids seen lately, in two generations: the young one becomes the old one when it is full or old.
local function rotate()
  if state[SEEN] > 0 and now() - state[SEEN_SINCE] < 2 * REPEAT_TIME then
    call('RENAME', B .. ':seen', B .. ':seen-before')
    call('PEXPIRE', B .. ':seen-before', REPEAT_TIME)
  else
    call('DEL', B .. ':seen', B .. ':seen-before')
  end
  set(SEEN, 0)
  set(SEEN_SINCE, now())
end

-- Whether an id was seen before; noted from now on.
local function seen(id)
  if state[SEEN] >= REPEAT_COUNT or now() - state[SEEN_SINCE] >= REPEAT_TIME then rotate() end
  if call('SISMEMBER', B .. ':seen-before', id) == 1 or call('SADD', B .. ':seen', id) == 0 then
    count(REPEATS, 1)
    return true
  end
  count(SEEN, 1)
  return false
end

-- Its message was not published after all, so sending it again is no repeat.
local function unsee(id)
  if id == '' then return end
  count(SEEN, -call('SREM', B .. ':seen', id))
  call('SREM', B .. ':seen-before', id)
end
