import { script, type Script } from "../script.ts";
import { delayedPiece } from "./delayed.ts";
import { lanePiece, timePiece, wakePiece } from "./pieces.ts";

/** What is due goes into its partition, 128 a call, and not much above a megabyte. Answers the ms until the next is due, or nothing. */
export const moveScript: Script = script(
  "move",
  [timePiece, lanePiece, wakePiece, delayedPiece],
  `
local unpack, time, left, bytes = struct.unpack, now(), 128, 0
local function moveLane(l)
  local of, L = lane(l), B .. ':' .. l
  if not of.n then
    call('UNLINK', L .. ':due', L .. ':due:m', L .. ':due:i')
    return
  end
  local tname, bname = 't', 'b'
  if of.key then
    if of.ftopic ~= '' then tname = of.ftopic end
    if of.fbody ~= '' then bname = of.fbody end
  end
  local parts, stored = {}, 0
  local numbers = call('ZRANGEBYSCORE', L .. ':due', '-inf', time, 'LIMIT', 0, left)
  for i = 1, #numbers do
    if bytes > 1048576 then break end
    local frame = call('HGET', L .. ':due:m', numbers[i])
    bytes = bytes + (frame and #frame or 0)
    local added, id
    if frame then
      local topic, key_, headers, hash, _, body
      id, topic, key_, headers, hash, _, body = unpack('>Hc0Hc0Hc0I4c0I4dI4c0', frame)
      local p = hash % of.n
      local K = key(l .. ':' .. p)
      if call('EXISTS', K) == 0 then vanished(l) end
      added = try('XADD', K, '*', tname, topic, 'k', key_, 'h', headers, bname, body)
      if type(added) ~= 'table' then parts[p], stored = true, stored + 1 end
    end
    if type(added) == 'table' then
      -- somebody else's key stands in its place: not lost for that
      call('ZADD', L .. ':due', time + 60000, numbers[i])
    else
      call('ZREM', L .. ':due', numbers[i])
      call('HDEL', L .. ':due:m', numbers[i])
      if id then forget(L, id, numbers[i]) end
    end
  end
  left = left - #numbers
  if stored > 0 then wakeLane(l, parts, stored) end
end
local lanesDue = call('ZRANGEBYSCORE', B .. ':due', '-inf', time)
for i = 1, #lanesDue do
  local l = lanesDue[i]
  if left > 0 then
    moveLane(l)
    local head = call('ZRANGE', B .. ':' .. l .. ':due', 0, 0, 'WITHSCORES')
    if head[2] then call('ZADD', B .. ':due', head[2], l) else call('ZREM', B .. ':due', l) end
  end
end
local head = call('ZRANGE', B .. ':due', 0, 0, 'WITHSCORES')
if not head[2] then return '' end
return string.format('%.0f', math.max(tonumber(head[2]) - time, 0))`,
);
