import { script, type Script } from "../script.ts";
import { donePiece } from "./ack.ts";
import { letterPiece } from "./letter-piece.ts";
import { seatPieces } from "./seats.ts";

/**
 * `holds(G, name, ref, id, seat, ordered)`: whether the entry is this seat's to settle. `giveBack(G, name, ref, id, count)`: it is
 * nobody's; false when the stream dropped it meanwhile, by which it is lost.
 */
export const holdsPiece = `
local function holds(G, name, ref, id, seat, ordered)
  if ordered and call('HGET', G .. ':own', ref) ~= seat then return nil end
  local held = try('XPENDING', key(ref), name, id, id, 1, seat)
  if held.err or not held[1] then return nil end
  return held[1][4]
end
local function giveBack(G, name, ref, id, count)
  if call('XCLAIM', key(ref), name, '-', 0, id, 'RETRYCOUNT', count, 'JUSTID')[1] then return true end
  call('HDEL', G .. ':note', ref .. ' ' .. id)
  call('HDEL', G .. ':hop', ref .. ' ' .. id)
  lose(G, 1)
  return false
end`;

/** Somebody else, who has no room now, is to have what was released: sooner than this who released it does not get it again. */
const preferOthersMs = 10_000;

/**
 * ARGV: group, seat, member id, then settlements of seven: how (\`t\` retry, \`l\` release, \`d\` dead), ref, id, delay, note, letter id,
 * letter. Answer: \`+\` or \`-\` (no longer the seat's) for each.
 */
export const settleScript: Script = script(
  "settle",
  [...seatPieces, donePiece, letterPiece, holdsPiece],
  `
local group, seat, member = ARGV[2], ARGV[3], ARGV[4]
local G = B .. ':g:' .. group
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
ordered = ordered == '1'
local name, t, answer, back, members = nameOf(G, group), now(), {}, 0, nil
local function hop(mark)
  local hops, left = call('HGET', G .. ':hop', mark), false
  local all = ' ' .. (hops or '') .. ' ' .. member .. ' '
  if not members then
    members = {}
    local texts = call('HGETALL', G .. ':m')
    for i = 1, #texts, 2 do members[#members + 1] = {seat = texts[i], id = cjson.decode(texts[i + 1]).id} end
  end
  local woken = false
  for i = 1, #members do
    if not string.find(all, ' ' .. members[i].id .. ' ', 1, true) then
      left = true
      if not woken and call('ZREM', G .. ':idle', members[i].seat) == 1 then
        woken = true
        wake(members[i].seat, group .. ' ')
      end
    end
  end
  call('HSET', G .. ':hop', mark, hops and hops .. ' ' .. member or member)
  if left then call('ZADD', G .. ':rel', t, mark) else call('SADD', G .. ':rest', mark) end
  return left
end
for i = 5, #ARGV, 7 do
  local how, ref, id, note = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 4]
  local count, mark = holds(G, name, ref, id, seat, ordered), ref .. ' ' .. id
  if not count then answer[#answer + 1] = '-'
  else
    answer[#answer + 1] = '+'
    if how == 'd' then
      letter(ARGV[i + 5], group, ARGV[i + 6])
      done(G, name, ref, {id}, 1, 1)
      call('HDEL', G .. ':note', mark)
      call('HDEL', G .. ':hop', mark)
    else
      if giveBack(G, name, ref, id, how == 't' and 0 or count - 1) then
        call('HSET', G .. ':note', mark, ' ' .. note)
        local offered, delay = how == 'l' and hop(mark), tonumber(ARGV[i + 3])
        call('ZADD', G .. ':due', t + (offered and math.max(delay, ${preferOthersMs}) or delay), mark)
        if not offered and delay <= 0 then back = back + 1 end
      end
    end
  end
end
if back > 0 then wakeIdle(G, group, math.min(back, 32)) end
return answer
`,
  true,
);
