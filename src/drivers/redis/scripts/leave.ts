import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";
import { holdsPiece } from "./settle.ts";

/**
 * ARGV: group, seat, quit (empty, or what it heard of losses, as in a beat), k, k refs to give up, then runs: ref, n, then id, count to leave …; 1,000 ids at most. Who
 * quits leaves what is not named with its counts, as the dead do.
 */
export const leaveScript: Script = script(
  "leave",
  [...seatPieces, holdsPiece],
  `
local group, seat, quit, k = ARGV[2], ARGV[3], ARGV[4] ~= '', tonumber(ARGV[5])
local G = B .. ':g:' .. group
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
ordered = ordered == '1'
local name, at, back = nameOf(G, group), 6 + k, 0
while at <= #ARGV do
  local ref, n = ARGV[at], tonumber(ARGV[at + 1])
  for i = at + 2, at + n * 2, 2 do
    local id = ARGV[i]
    if holds(G, name, ref, id, seat, ordered) and giveBack(G, name, ref, id, ARGV[i + 1]) and not ordered then
      call('ZADD', G .. ':due', place(id, now()), ref .. ' ' .. id)
      back = back + 1
    end
  end
  at = at + 2 + n * 2
end
for i = 6, 5 + k do
  if call('HGET', G .. ':own', ARGV[i]) == seat then
    call('HDEL', G .. ':own', ARGV[i])
    call('SREM', G .. ':idle', ARGV[i])
  end
end
if quit then
  heard(G, seat, ARGV[4])
  unseat(G, group, {seat}, now())
  if call('EXISTS', G) == 1 then sweep(G, group, 1000) end
elseif k > 0 then tell(group) end
if back > 0 then wakeIdle(G, group, math.min(back, 32)) end
return back
`,
  true,
);
