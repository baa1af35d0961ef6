import { script, type Script } from "../script.ts";
import { timePiece } from "./pieces.ts";

/**
 * the presence revision by which the receivers were chosen (`-`: whatever it is), then process, its frames … → a list when it
 * is another one by now, and nothing was sent: the revision, then process, JSON … of those whose lease runs; else for each whether
 * it was there, -1 where that is not allowed.
 */
export const directScript: Script = script(
  "direct",
  [timePiece],
  `
local d = B .. ':d'
if ARGV[2] ~= '-' then
  local rev = call('HGET', d, 'rev') or '0'
  if rev ~= ARGV[2] then
    local answer, time, all = { rev }, now(), call('HGETALL', d)
    for i = 1, #all, 2 do
      if tonumber(call('ZSCORE', d .. ':beat', all[i]) or '0') > time then
        answer[#answer + 1] = all[i]
        answer[#answer + 1] = all[i + 1]
      end
    end
    return answer
  end
end
local counts = {}
for i = 3, #ARGV, 2 do
  local got = try('SPUBLISH', B .. ':c:' .. ARGV[i], 'f' .. ARGV[i + 1])
  counts[#counts + 1] = type(got) == 'number' and got or -1
end
return table.concat(counts, ' ')`,
  true,
);

/** process, lease, what it listens to as JSON (empty: nothing any more) → the revision of who listens to what. */
export const listenScript: Script = script(
  "listen",
  [timePiece],
  `
local d, process, time, moved = B .. ':d', ARGV[2], now(), false
if ARGV[4] == '' then
  moved = call('HDEL', d, process) == 1
  call('ZREM', d .. ':beat', process)
else
  moved = call('HGET', d, process) ~= ARGV[4]
  if moved then call('HSET', d, process, ARGV[4]) end
  call('ZADD', d .. ':beat', time + tonumber(ARGV[3]), process)
end
local late = call('ZRANGEBYSCORE', d .. ':beat', '-inf', time, 'LIMIT', 0, 100)
for i = 1, #late do
  call('ZREM', d .. ':beat', late[i])
  call('HDEL', d, late[i])
  moved = true
end
if moved then call('HSET', d, 'rev', call('HINCRBY', B, 'next', 1)) end
return call('HGET', d, 'rev') or '0'`,
  true,
);
