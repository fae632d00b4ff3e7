--@ head
-- An item for the owner of this shard.
-- 2: 'must' (always goes in), 'drop' (dropped and counted when its owner is far behind), or 'refuse',
-- 3: id to be remembered or '', 4: token of a question or '', 5: bytes, then the fields and values of the entry
-- Result: 'ok', 'repeat', 'full', 'gone' (no owner), or 'moved' with a shard.
if not state.owner then
  local elsewhere = call('GET', B .. ':alias')
  if elsewhere then return finish({'moved', elsewhere}) end
  return finish('gone')
end
if arg[2] ~= 'must' and (state.in_bytes >= INBOX_BYTES or state.in_count >= INBOX_ITEMS) then
  if arg[2] == 'drop' then count('dropped', 1) end
  return finish('full')
end
if arg[3] ~= '' and seen(arg[3]) then return finish('repeat') end
if arg[4] ~= '' then call('SADD', B .. ':asked', arg[4]) end
local fields = {}
for at = 6, #arg do fields[#fields + 1] = arg[at] end
tell(fields, tonumber(arg[5]))
return finish('ok')
