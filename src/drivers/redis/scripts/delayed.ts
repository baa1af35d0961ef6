import { script, type Script } from "../script.ts";
import { lanePiece } from "./pieces.ts";

/**
 * What is published for later: `L:due` number → time, `L:due:m` number → frame, `L:due:i` id of the message for the broker → numbers with
 * commas between. `note(L, id, number)`, `forget(L, id, number)`: keep the last of them.
 */
export const delayedPiece = `
local function note(L, id, number)
  local others = call('HGET', L .. ':due:i', id)
  call('HSET', L .. ':due:i', id, others and others .. ',' .. number or number)
end
local function forget(L, id, number)
  local left = {}
  for other in string.gmatch(call('HGET', L .. ':due:i', id) or '', '%d+') do
    if other ~= tostring(number) then left[#left + 1] = other end
  end
  if #left == 0 then call('HDEL', L .. ':due:i', id)
  else call('HSET', L .. ':due:i', id, table.concat(left, ',')) end
end`;

/** time, number (empty: from the first), limit → number, time, id, topic of what stands behind that place, soonest first; of one time by the text of the number. */
export const delayedPageScript: Script = script(
  "delayed",
  [],
  `
local time, after, limit, unpack = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), struct.unpack
local rows = {}
local function laneRows(l)
  local key, count = B .. ':' .. l .. ':due', 0
  local at = call('ZCOUNT', key, '-inf', string.format('(%.0f', time))
  while count < limit do
    local some = call('ZRANGE', key, at, at + limit - 1, 'WITHSCORES')
    if #some == 0 then return end
    at = at + limit
    for i = 1, #some, 2 do
      local due = tonumber(some[i + 1])
      if count < limit and (due > time or some[i] > after) then
        rows[#rows + 1] = { l, some[i], due }
        count = count + 1
      end
    end
  end
end
local lanes = call('ZRANGE', B .. ':due', 0, -1)
for i = 1, #lanes do laneRows(lanes[i]) end
table.sort(rows, function(a, b)
  if a[3] ~= b[3] then return a[3] < b[3] end
  return a[2] < b[2]
end)
local found, bytes = {}, 0
for i = 1, math.min(#rows, limit) do
  local frame = call('HGET', B .. ':' .. rows[i][1] .. ':due:m', rows[i][2])
  if frame then
    if bytes > 0 and bytes + #frame > 1048576 then break end
    bytes = bytes + #frame
    local id, topic = unpack('>Hc0Hc0', frame)
    local n = #found
    found[n + 1], found[n + 2], found[n + 3], found[n + 4] = rows[i][2], string.format('%.0f', rows[i][3]), id, topic
  end
end
return found`,
  true,
);

/** ids … → those of which something waited, which is gone; its room is free. */
export const cancelDelayedScript: Script = script(
  "cancel",
  [lanePiece, delayedPiece],
  `
local lanes, cancelled = call('ZRANGE', B .. ':due', 0, -1), {}
local function cancel(l, id)
  local L, found = B .. ':' .. l, false
  for number in string.gmatch(call('HGET', L .. ':due:i', id) or '', '%d+') do
    local frame = call('HGET', L .. ':due:m', number)
    if call('ZREM', L .. ':due', number) == 1 and frame then
      local _, topic, key_, headers, _, _, body = struct.unpack('>Hc0Hc0Hc0I4c0I4dI4c0', frame)
      local of = lane(l)
      if of.maxBytes or of.maxMessages then
        call('HINCRBY', L, 'count', -1)
        call('HINCRBY', L, 'bytes', -(#body + #topic + #key_ + #headers + 32))
      end
      found = true
    end
    call('HDEL', L .. ':due:m', number)
  end
  call('HDEL', L .. ':due:i', id)
  return found
end
for i = 2, #ARGV do
  local any = false
  for j = 1, #lanes do any = cancel(lanes[j], ARGV[i]) or any end
  if any then cancelled[#cancelled + 1] = ARGV[i] end
end
for j = 1, #lanes do
  local head = call('ZRANGE', B .. ':' .. lanes[j] .. ':due', 0, 0, 'WITHSCORES')
  if head[2] then call('ZADD', B .. ':due', head[2], lanes[j]) else call('ZREM', B .. ':due', lanes[j]) end
end
return cancelled`,
  true,
);
