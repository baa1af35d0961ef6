import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";

/** `done(G, name, ref, ids, first, last)`: these of a list of ids are settled; in a queue they go. */
export const donePiece = `
local function done(G, name, ref, list, first, last)
  local k = key(ref)
  call('XACK', k, name, unpack(list, first, last))
  if string.sub(ref, 1, 2) == 'q:' then call('XDEL', k, unpack(list, first, last)) end
end`;

/**
 * ARGV: group, seat, \`f\` when floors are asked for, then runs: ref, n, n ids, m, m ids of those that have notes; 1,000 ids at most.
 * Answer: ref, lowest that is pending or "" …
 */
export const ackScript: Script = script(
  "ack",
  [...seatPieces, donePiece],
  `
local group, seat, floors = ARGV[2], ARGV[3], ARGV[4] == 'f'
local G = B .. ':g:' .. group
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
local name, at, answer = nameOf(G, group), 5, {}
while at <= #ARGV do
  local ref, n = ARGV[at], tonumber(ARGV[at + 1])
  local first = at + 2
  local m = tonumber(ARGV[first + n])
  at = first + n + 1
  if ordered ~= '1' or call('HGET', G .. ':own', ref) == seat then
    if n > 0 then done(G, name, ref, ARGV, first, first + n - 1) end
    for i = at, at + m - 1 do
      call('HDEL', G .. ':note', ref .. ' ' .. ARGV[i])
      call('HDEL', G .. ':hop', ref .. ' ' .. ARGV[i])
    end
    if floors then
      local held = try('XPENDING', key(ref), name)
      if not held.err then
        answer[#answer + 1] = ref
        answer[#answer + 1] = held[2] or ''
      end
    end
  end
  at = at + m
end
return answer
`,
  true,
);
