import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";

/**
 * ARGV: group, expected revision (0: new), definition, ordered (\`1\` or empty), live (the same), then for each lane: lane, patterns, start
 * (\`$\`, an id, or one id for each partition; empty: as it stands). Lanes that are not named are read no more. Answer: the new
 * revision; or "", stored definition and revision when it was another one. \`NOSTREAM\`: a lane is not there.
 */
export const groupScript: Script = script(
  "group",
  seatPieces,
  `
local group, expected, text = ARGV[2], ARGV[3], ARGV[4]
local G = B .. ':g:' .. group
local rev = call('HGET', G, 'rev') or '0'
if rev ~= expected then return {'', call('HGET', B .. ':groups', group) or '', rev} end
for i = 7, #ARGV, 3 do
  if ARGV[i + 2] ~= '' and not lane(ARGV[i]).n then return redis.error_reply('NOSTREAM ' .. ARGV[i]) end
end
local name, t, named, q = nameOf(G, group), now(), {}, 'q:' .. group
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
for i = 7, #ARGV, 3 do
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
end
local next = tostring(call('HINCRBY', B, 'next', 1))
call('HSET', G, 'rev', next, 'ordered', ARGV[5], 'live', ARGV[6])
call('HSET', B .. ':groups', group, text)
for i = 7, #ARGV, 3 do
  local l = ARGV[i]
  named[l] = true
  call('SADD', B .. ':' .. l .. ':g', group)
  call('HSET', G .. ':pat', l, ARGV[i + 1])
end
local known = call('HKEYS', G .. ':pat')
for i = 1, #known do
  local l = known[i]
  if not named[l] then
    for p = 0, (tonumber(lane(l).n) or 0) - 1 do try('XGROUP', 'DESTROY', key(l .. ':' .. p), name) end
    call('SREM', B .. ':' .. l .. ':g', group)
    call('HDEL', G .. ':pat', l)
  end
end
tell(group)
return {next}
`,
  true,
);
