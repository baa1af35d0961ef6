import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";

/** ARGV: group, seat. Answer: how many lost messages it was told of, and how often of a number that is not known, then what the seat holds: ref, id, count … */
export const resyncScript: Script = script(
  "resync",
  seatPieces,
  `
local group, seat = ARGV[2], ARGV[3]
local G = B .. ':g:' .. group
if call('EXISTS', G) == 0 then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
local name, all = nameOf(G, group), refs(G, group)
local answer = {call('HGET', G .. ':told', seat) or '0', call('HGET', G .. ':told', seat .. ' ?') or '0'}
for i = 1, #all do
  local held = try('XPENDING', key(all[i]), name, '-', '+', 10000, seat)
  for j = 1, #held do
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = held[j][1]
    answer[#answer + 1] = tostring(held[j][4])
  end
end
return answer
`,
  true,
);
