import { script, type Script } from "../script.ts";
import { lanePiece } from "./pieces.ts";

/**
 * lane (a stream's or a queue's) → its hash as a flat list, then for each partition a list: length, first id (empty: none), last
 * id, entries added so far. A partition that nobody has written to yet is empty.
 */
export const streamInfoScript: Script = script(
  "stream-info",
  [lanePiece],
  `
local l = ARGV[2]
if not lane(l).n then return redis.error_reply('NOSTREAM ' .. l) end
local answer = { call('HGETALL', B .. ':' .. l) }
for p = 0, lane(l).n - 1 do
  local info, said = { length = 0, ['last-generated-id'] = '0-0', ['entries-added'] = 0 }, key(l .. ':' .. p)
  if call('EXISTS', said) == 1 then
    local flat = call('XINFO', 'STREAM', said)
    for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  end
  local first = info['first-entry']
  answer[#answer + 1] = {
    info.length,
    first and first[1] or '',
    info['last-generated-id'],
    info['entries-added'],
  }
end
return answer`,
  true,
);

/** ref, id, limit → how many entries come after it, up to the limit. */
export const countAfterScript: Script = script(
  "count-after",
  [lanePiece],
  "return #call('XRANGE', key(ARGV[2]), '(' .. ARGV[3], '+', 'COUNT', ARGV[4])",
  true,
);
