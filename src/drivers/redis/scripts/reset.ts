import { script, type Script } from "../script.ts";
import { idPiece } from "./pieces.ts";
import { seatPieces } from "./seats.ts";

/** group (escaped), mark → its refs in streams. Nobody joins while the mark stands; an older one's work is given up. */
export const resetScript: Script = script(
  "reset",
  seatPieces,
  `
local group = ARGV[2]
local G = B .. ':g:' .. group
local t = now()
bury(G, group, t, t)
if call('HEXISTS', G, 'rev') == 0 then return redis.error_reply('GONE group') end
if call('HLEN', G .. ':m') > 0 then return redis.error_reply('CONFLICT the group has active members') end
call('HSET', G, 'reset', ARGV[3])
local found = {}
for _, ref in ipairs(refs(G, group)) do
  if string.sub(ref, 1, 2) == 's:' then found[#found + 1] = ref end
end
return found`,
  true,
);

/**
 * group (escaped), mark, ref, where it starts (\`$\`: at the end; one that the partition has not reached is of another stream: \`0\`)
 * → 1 when there is more that was in somebody's hands.
 */
export const resetPartScript: Script = script(
  "reset-part",
  [idPiece, ...seatPieces],
  `
local group, ref, id = ARGV[2], ARGV[4], ARGV[5]
local G = B .. ':g:' .. group
if call('HGET', G, 'reset') ~= ARGV[3] then return redis.error_reply('CONFLICT the group was reset by somebody else meanwhile') end
local K, name = key(ref), nameOf(G, group)
try('XGROUP', 'CREATE', K, name, '0', 'MKSTREAM')
if id ~= '$' then
  local info = call('XINFO', 'STREAM', K)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' and string.find(id, '-', 1, true) and lt(info[i + 1], id) then id = '0' end
  end
end
call('XGROUP', 'SETID', K, name, id)
local held = call('XPENDING', K, name, '-', '+', 1000)
for i = 1, #held do
  local mark = ref .. ' ' .. held[i][1]
  call('XACK', K, name, held[i][1])
  call('HDEL', G .. ':note', mark)
  call('HDEL', G .. ':hop', mark)
  call('ZREM', G .. ':due', mark)
  call('ZREM', G .. ':rel', mark)
  call('SREM', G .. ':rest', mark)
end
return #held == 1000 and 1 or 0`,
  true,
);

/** group (escaped), mark → nothing: it may be joined again. */
export const resetDoneScript: Script = script(
  "reset-done",
  [],
  `
local G = B .. ':g:' .. ARGV[2]
if call('HGET', G, 'reset') == ARGV[3] then call('HDEL', G, 'reset', 'lost') end
return 1`,
  true,
);
