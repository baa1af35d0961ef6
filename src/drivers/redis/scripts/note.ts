import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";
import { holdsPiece } from "./settle.ts";

/** ARGV: group, seat, then ref, id, note, ms until it may be handled or nothing … Answer: `+` or `-` (no longer the seat's) for each. */
export const noteScript: Script = script(
  "note",
  [...seatPieces, holdsPiece],
  `
local group, seat = ARGV[2], ARGV[3]
local G = B .. ':g:' .. group
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
local name, answer = nameOf(G, group), {}
for i = 4, #ARGV, 4 do
  if holds(G, name, ARGV[i], ARGV[i + 1], seat, ordered == '1') then
    local at = ARGV[i + 3] ~= '' and string.format('%.0f', now() + ARGV[i + 3]) or ''
    call('HSET', G .. ':note', ARGV[i] .. ' ' .. ARGV[i + 1], at .. ' ' .. ARGV[i + 2])
    answer[#answer + 1] = '+'
  else answer[#answer + 1] = '-' end
end
return answer
`,
  true,
);
