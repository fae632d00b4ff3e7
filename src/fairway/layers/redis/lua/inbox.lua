-- An entry for the owner. Without an owner there is nobody to tell.
local function tell(fields, bytes)
  if state[OWNER] == '' then return end
  call('XADD', B .. ':in', '*', unpack(fields))
  if bytes > 0 then count(IN_BYTES, bytes) end
end
