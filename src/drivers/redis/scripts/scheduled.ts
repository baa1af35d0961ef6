import { script, type Script } from "../script.ts";
import { timePiece } from "./pieces.ts";

/**
 * Messages due later: `B:t` id → time from which it may be had, by the server's clock; `B:t:m` id → frame; `B:t:i` all ids in
 * lexical order. Arguments: ms from now (empty: at once), id, frame …
 */
export const scheduleScript: Script = script(
  "schedule",
  [timePiece],
  `
local time = now()
for i = 2, #ARGV, 3 do
  call('ZADD', B .. ':t', ARGV[i] == '' and 0 or time + tonumber(ARGV[i]), ARGV[i + 1])
  call('ZADD', B .. ':t:i', 0, ARGV[i + 1])
  call('HSET', B .. ':t:m', ARGV[i + 1], ARGV[i + 2])
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
  found[#found + 1] = call('HGET', B .. ':t:m', ids[i])
end
return found`,
  true,
);

/** after (empty: from the first), limit → frames by id. */
export const scheduledScript: Script = script(
  "scheduled",
  [],
  `
local from = ARGV[2] == '' and '-' or '(' .. ARGV[2]
local ids = call('ZRANGEBYLEX', B .. ':t:i', from, '+', 'LIMIT', 0, ARGV[3])
local found, bytes = {}, 0
for i = 1, #ids do
  local size = call('HSTRLEN', B .. ':t:m', ids[i])
  if bytes > 0 and bytes + size > 1048576 then break end
  bytes = bytes + size
  found[#found + 1] = call('HGET', B .. ':t:m', ids[i])
end
return found`,
  true,
);

/** ids … → those that were there. */
export const unscheduleScript: Script = script(
  "unschedule",
  [],
  `
local removed = {}
for i = 2, #ARGV do
  if call('HDEL', B .. ':t:m', ARGV[i]) == 1 then removed[#removed + 1] = ARGV[i] end
  call('ZREM', B .. ':t', ARGV[i])
  call('ZREM', B .. ':t:i', ARGV[i])
end
return removed`,
  true,
);

/** list (escaped), frames … */
export const parkScript: Script = script(
  "park",
  [],
  `
for i = 3, #ARGV do call('RPUSH', B .. ':p:' .. ARGV[2], ARGV[i]) end
return #ARGV`,
);

/** list (escaped), limit → the oldest, which are taken. */
export const unparkScript: Script = script(
  "unpark",
  [],
  `
local list, found, bytes = B .. ':p:' .. ARGV[2], {}, 0
while #found < tonumber(ARGV[3]) and bytes < 1048576 do
  local frame = call('LPOP', list)
  if not frame then break end
  bytes = bytes + #frame
  found[#found + 1] = frame
end
return found`,
  true,
);
