import { script, type Script } from "../script.ts";

/**
 * Makes or changes a stream. \`ARGV\`: name, the revision of the routes that was read, dry or empty, the process, JSON, then the
 * fields of the lane's hash. A group that reads it already, since it was there once before, reads it from its oldest.
 */
export const streamScript: Script = script(
  "stream",
  [],
  `
local name, expected, dry, process, json = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local l = 's:' .. name
local L = B .. ':' .. l
local stored = call('HGET', B .. ':streams', name)
if stored == json then return 'unchanged' end
if (call('HGET', B, 'rev') or '0') ~= expected then return redis.error_reply('CONFLICT the routes changed meanwhile') end
if dry == '1' then return stored and 'updated' or 'created' end
call('HSET', B .. ':streams', name, json)
for i = 7, #ARGV, 2 do call('HSET', L, ARGV[i], ARGV[i + 1]) end
call('HINCRBY', B, 'rev', 1)
if not stored then
  local groups = call('HKEYS', B .. ':groups')
  local n, own = call('HGET', L, 'n'), call('HGET', L, 'key')
  for i = 1, #groups do
    local G = B .. ':g:' .. groups[i]
    if call('HEXISTS', G .. ':pat', l) == 1 then
      local called = call('HGET', G, 'name') or groups[i]
      for p = 0, n - 1 do try('XGROUP', 'CREATE', own or (L .. ':' .. p), called, '0', 'MKSTREAM') end
      call('SADD', L .. ':g', groups[i])
    end
  end
end
try('SPUBLISH', B .. ':e', 'r ' .. process)
return stored and 'updated' or 'created'`,
);
