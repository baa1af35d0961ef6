import { script, type Script } from "../script.ts";
import { notesPiece } from "./notes-piece.ts";
import { seatPieces } from "./seats.ts";

/**
 * ARGV: group, expected revision (0: new), definition, ordered (\`1\` or empty), live (the same), what Redis calls it
 * when it is new (empty: the same), then for each lane: lane, patterns, start
 * (\`$\`, an id, or one id for each partition; empty: as it stands). Lanes that are not named are read no more. Answer: the new
 * revision; or "", stored definition and revision when it was another one. \`NOSTREAM\`: a lane is not there.
 */
export const groupScript: Script = script(
  "group",
  [...seatPieces, notesPiece],
  `
local group, expected, text = ARGV[2], ARGV[3], ARGV[4]
local G = B .. ':g:' .. group
local rev = call('HGET', G, 'rev') or '0'
if rev ~= expected then return {'', call('HGET', B .. ':groups', group) or '', rev} end
for i = 8, #ARGV, 3 do
  if ARGV[i + 2] ~= '' and not lane(ARGV[i]).n then return redis.error_reply('NOSTREAM ' .. ARGV[i]) end
end
local name, t, named, q = rev == '0' and (ARGV[7] ~= '' and ARGV[7] or group) or nameOf(G, group), now(), {}, 'q:' .. group
if rev == '0' then
  local others = call('HKEYS', B .. ':groups')
  for i = 1, #others do
    if nameOf(B .. ':g:' .. others[i], others[i]) == name then return redis.error_reply('CONFLICT ' .. others[i]) end
  end
end
local function start(l, n, starts)
  local ids = {}
  for id in string.gmatch(starts, '[^ ]+') do ids[#ids + 1] = id end
  for p = 0, tonumber(n) - 1 do
    local k = key(l .. ':' .. p)
    if call('EXISTS', k) == 0 then vanished(l) end
    local made = try('XGROUP', 'CREATE', k, name, ids[p + 1] or ids[1] or '0', 'MKSTREAM')
    if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then return made end
  end
end
for i = 8, #ARGV, 3 do
  local l = ARGV[i]
  local refused = ARGV[i + 2] ~= '' and start(l, lane(l).n, ARGV[i + 2])
  if refused then return refused end
end
if rev == '0' then
  local refused = start(q, lane(q).n or 16, '0')
  if refused then return refused end
  call('HSETNX', B .. ':' .. q, 'n', 16)
  call('SADD', B .. ':' .. q .. ':g', group)
  call('HSET', G, 'left', t)
  if name ~= group then call('HSET', G, 'name', name) end
end
local next = tostring(call('HINCRBY', B, 'next', 1))
call('HSET', G, 'rev', next, 'ordered', ARGV[5], 'live', ARGV[6])
call('HSET', B .. ':groups', group, text)
for i = 8, #ARGV, 3 do
  local l = ARGV[i]
  named[l] = true
  call('SADD', B .. ':' .. l .. ':g', group)
  call('HSET', G .. ':pat', l, ARGV[i + 1])
end
local known = call('HKEYS', G .. ':pat')
for i = 1, #known do
  local l = known[i]
  if not named[l] then
    for p = 0, (tonumber(lane(l).n) or 0) - 1 do
      local ref = l .. ':' .. p
      forgetNotes(G, name, key(ref), ref)
      try('XGROUP', 'DESTROY', key(ref), name)
    end
    call('SREM', B .. ':' .. l .. ':g', group)
    call('HDEL', G .. ':pat', l)
  end
end
tell(group)
return {next}
`,
  true,
);
