import { cancelledMs } from "../../../internal/cancelled-ms.ts";
import { script, type Script } from "../script.ts";
import { timePiece } from "./pieces.ts";

/**
 * Messages due later: `B:t` id → time from which it may be had, by the server's clock; `B:t:m` id → frame; `B:t:i` the same
 * as `B:t` of what was given to nobody yet; `B:t:c` id → until when one that was taken back is not free again. Arguments: ms from now (empty: at once), id, frame …
 */
export const scheduleScript: Script = script(
  "schedule",
  [timePiece],
  `
local time = now()
for i = 2, #ARGV, 3 do
  local due = ARGV[i] == '' and 0 or math.max(time + tonumber(ARGV[i]), 0)
  local cancelled = call('ZSCORE', B .. ':t:c', ARGV[i + 1])
  -- what was given to somebody stays as it is
  if (not cancelled or tonumber(cancelled) <= time)
      and (call('HEXISTS', B .. ':t:m', ARGV[i + 1]) == 0 or call('ZSCORE', B .. ':t:i', ARGV[i + 1])) then
    call('ZADD', B .. ':t', due, ARGV[i + 1])
    call('ZADD', B .. ':t:i', due, ARGV[i + 1])
    call('HSET', B .. ':t:m', ARGV[i + 1], ARGV[i + 2])
  end
end
return #ARGV`,
);

/** looked at as of so many ms from now, limit, lease → frames; until the lease is over nobody else gets them. */
export const dueScript: Script = script(
  "due",
  [timePiece],
  `
local time, lease = now(), tonumber(ARGV[4])
local ids = call('ZRANGEBYSCORE', B .. ':t', '-inf', time + tonumber(ARGV[2]), 'LIMIT', 0, ARGV[3])
local found, bytes = {}, 0
for i = 1, #ids do
  local size = call('HSTRLEN', B .. ':t:m', ids[i])
  if bytes > 0 and bytes + size > 1048576 then break end
  bytes = bytes + size
  call('ZADD', B .. ':t', time + lease, ids[i])
  call('ZREM', B .. ':t:i', ids[i])
  found[#found + 1] = call('HGET', B .. ':t:m', ids[i])
end
return found`,
  true,
);

/** time, id (empty: from the first), limit → time, frame of what stands behind that place and was given to nobody. */
export const scheduledScript: Script = script(
  "scheduled",
  [],
  `
local time, after, limit = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
-- as the server sorts them: byte by byte, whatever the locale
local function above(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end
local found, bytes, at = {}, 0, call('ZCOUNT', B .. ':t:i', '-inf', string.format('(%.0f', time))
while #found < 2 * limit do
  local some = call('ZRANGE', B .. ':t:i', at, at + limit - 1, 'WITHSCORES')
  if #some == 0 then break end
  at = at + limit
  for i = 1, #some, 2 do
    if #found < 2 * limit and (tonumber(some[i + 1]) > time or above(some[i], after)) then
      local frame = call('HGET', B .. ':t:m', some[i])
      if frame then
        if bytes > 0 and bytes + #frame > 1048576 then return found end
        bytes = bytes + #frame
        found[#found + 1], found[#found + 2] = some[i + 1], frame
      end
    end
  end
end
return found`,
  true,
);

/** only what was given to nobody (`1` or empty), ids … → those that went. */
export const unscheduleScript: Script = script(
  "unschedule",
  [timePiece],
  `
local removed, time = {}, now()
if ARGV[2] ~= '' then
  local over = call('ZRANGEBYSCORE', B .. ':t:c', '-inf', time, 'LIMIT', 0, 500)
  for i = 1, #over do call('ZREM', B .. ':t:c', over[i]) end
end
for i = 3, #ARGV do
  if call('ZREM', B .. ':t:i', ARGV[i]) == 1 or ARGV[2] == '' then
    if call('HDEL', B .. ':t:m', ARGV[i]) == 1 then
      removed[#removed + 1] = ARGV[i]
      if ARGV[2] ~= '' then call('ZADD', B .. ':t:c', time + ${cancelledMs}, ARGV[i]) end
    end
    call('ZREM', B .. ':t', ARGV[i])
  end
end
return removed`,
  true,
);
