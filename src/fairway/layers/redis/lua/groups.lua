--@ base
-- The directory of the groups of this shard. 2: verb, then what it takes:
-- 'add': group, member; returns the generation of the membership
-- 'remove': group, member, the generation that it must have, or ''; returns how many went
-- 'read': group; returns member, generation, member, generation, ...
-- 'forget': a prefix whose process is gone: all members that begin with it. O(members of all groups)
local verb, group = arg[2], arg[3]

local function finish(result) return {-1, result, {}} end

local function remove(name, member)
  call('HDEL', B .. ':g:' .. name, member)
  if call('EXISTS', B .. ':g:' .. name) == 0 then call('SREM', B .. ':groups', name) end
  call('SREM', B .. ':of:' .. member, name)
  if call('EXISTS', B .. ':of:' .. member) == 0 then call('SREM', B .. ':members', member) end
end

if verb == 'add' then
  local member = arg[4]
  -- Generations go on rising also when this memory is lost.
  local generation = math.max(now() * 1000, (tonumber(call('GET', B .. ':generation')) or 0) + 1)
  call('SET', B .. ':generation', generation)
  call('HSET', B .. ':g:' .. group, member, generation)
  call('SADD', B .. ':groups', group)
  call('SADD', B .. ':of:' .. member, group)
  call('SADD', B .. ':members', member)
  return finish(generation)
elseif verb == 'remove' then
  local generation = call('HGET', B .. ':g:' .. group, arg[4])
  if not generation or (arg[5] ~= '' and arg[5] ~= generation) then return finish(0) end
  remove(group, arg[4])
  return finish(1)
elseif verb == 'read' then
  return finish(call('HGETALL', B .. ':g:' .. group))
end
for _, member in ipairs(call('SMEMBERS', B .. ':members')) do
  if string.sub(member, 1, #group) == group then
    for _, name in ipairs(call('SMEMBERS', B .. ':of:' .. member)) do remove(name, member) end
  end
end
return finish('ok')
