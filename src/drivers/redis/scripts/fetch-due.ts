/**
 * `take(G, name, ref, id, seat)`: an entry that is in the group's hands goes to the seat, counted: its fields and its count; nil when
 * it is settled, with somebody else, or gone (then it is lost, and said). `fetchDue`: what was given back and is due, or released
 * and not yet seen by this member; of paused partitions, too, since it is what holds their floor.
 */
export const fetchDuePiece = `
local function forget(G, mark)
  call('ZREM', G .. ':due', mark)
  call('ZREM', G .. ':rel', mark)
  call('SREM', G .. ':rest', mark)
end
local function take(G, name, ref, id, seat)
  local k = key(ref)
  local held = try('XPENDING', k, name, id, id, 1)
  if held.err or not held[1] or held[1][2] ~= '-' then return nil end
  local found = call('XCLAIM', k, name, seat, 0, id)
  if found[1] then return found[1][2], held[1][4] + 1 end
  call('HDEL', G .. ':note', ref .. ' ' .. id)
  call('HDEL', G .. ':hop', ref .. ' ' .. id)
  lose(G, 1)
end
local function has(list, one)
  return list and string.find(' ' .. list .. ' ', ' ' .. one .. ' ', 1, true) ~= nil
end
local function fetchDue(G, name, seat, member, t, full, deliver)
  local marks, looked = call('ZRANGEBYSCORE', G .. ':due', '-inf', t, 'LIMIT', 0, 256), 0
  local released = call('ZRANGE', G .. ':rel', 0, 255)
  if #released > 0 then
    local hops = call('HMGET', G .. ':hop', unpack(released))
    for i = 1, #released do
      if not has(hops[i], member) then marks[#marks + 1] = released[i] end
    end
  end
  for i = 1, #marks do
    if full() then return true end
    local ref, id = string.match(marks[i], '^(.*) (.-)$')
    local f, count = take(G, name, ref, id, seat)
    forget(G, marks[i])
    -- again after all others had it: the next round begins
    if f and has(call('HGET', G .. ':hop', marks[i]), member) then call('HDEL', G .. ':hop', marks[i]) end
    if f then deliver(ref, id, count, f) end
  end
  return #marks >= 256
end`;
