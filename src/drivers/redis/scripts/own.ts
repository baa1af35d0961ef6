import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";

/** ARGV: group, seat, then refs that nobody owns. Answer: for each its owner afterwards. */
export const ownScript: Script = script(
  "own",
  seatPieces,
  `
local group, seat = ARGV[2], ARGV[3]
local G = B .. ':g:' .. group
if call('EXISTS', G) == 0 then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
local answer = {}
for i = 4, #ARGV do
  if call('HSETNX', G .. ':own', ARGV[i], seat) == 1 then call('SREM', G .. ':idle', ARGV[i]) end
  answer[#answer + 1] = call('HGET', G .. ':own', ARGV[i])
end
return answer
`,
  true,
);
