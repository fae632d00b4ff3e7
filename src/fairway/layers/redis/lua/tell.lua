--@ base state limits inbox repeats
-- An item for the owner of this shard.
-- 2: 'must' (always goes in), 'drop' (dropped and counted when its owner is far behind), or 'refuse',
-- 3: id to be remembered or '', 4: token of a question or '', 5: bytes, then the fields and values of the entry
-- Result: 'ok', 'repeat', 'full', 'gone' (no owner), or {'moved', shard}.
if state[OWNER] == '' then
  local elsewhere = call('GET', B .. ':alias')
  return finish(elsewhere and {'moved', elsewhere} or 'gone')
end
if arg[2] ~= 'must' and (state[IN_BYTES] >= INBOX_BYTES or call('XLEN', B .. ':in') >= INBOX_ITEMS) then
  if arg[2] == 'drop' then count(DROPPED, 1) end
  return finish('full')
end
if arg[3] ~= '' and seen(arg[3]) then return finish('repeat') end
if arg[4] ~= '' then call('SADD', B .. ':asked', arg[4]) end
tell({unpack(arg, 6)}, tonumber(arg[5]))
return finish('ok')
