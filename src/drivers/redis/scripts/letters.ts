import { script, type Script } from "../script.ts";
import { letterPiece } from "./letter-piece.ts";
import { timePiece } from "./pieces.ts";

/**
 * group (escaped; empty: all), cursor, limit → the next cursor, then frames. A cursor is a letter's id behind `=`, or the place
 * where the last answer ended; empty: the oldest is first. Ends early when there is enough for one answer.
 */
export const lettersScript: Script = script(
  "letters",
  [],
  `
local letters, limit = B .. ':l', tonumber(ARGV[4])
local index, from = letters .. ':i', ARGV[3]
if ARGV[2] ~= '' then index = letters .. ':g:' .. ARGV[2] end
if string.sub(from, 1, 1) == '=' then
  local id = string.sub(from, 2)
  from = call('ZSCORE', letters .. ':i', id) or call('ZSCORE', letters .. ':gone', id) or ''
end
local first = from == '' and '-inf' or '(' .. from
local found = call('ZRANGEBYSCORE', index, first, '+inf', 'WITHSCORES', 'LIMIT', 0, math.min(limit, 256))
local answer, bytes = { '' }, 0
for i = 1, #found, 2 do
  local size = call('HSTRLEN', letters, found[i])
  if bytes > 0 and bytes + size > 1048576 then break end
  bytes = bytes + size
  answer[1] = found[i + 1]
  if size > 0 then answer[#answer + 1] = call('HGET', letters, found[i]) end
end
return answer`,
  true,
);

/** id → its frame, or nothing. */
export const letterScript: Script = script("letter", [], "return call('HGET', B .. ':l', ARGV[2])", true);

/** group (escaped; empty: all) → how many. */
export const countLettersScript: Script = script(
  "count-letters",
  [],
  "return call('ZCARD', ARGV[2] == '' and B .. ':l:i' or B .. ':l:g:' .. ARGV[2])",
  true,
);

/** token, lease (0: given up), ids … → those that were free or the token's already. */
export const claimScript: Script = script(
  "claim",
  [timePiece],
  `
local letters, time, lease = B .. ':l', now(), tonumber(ARGV[3])
local claimed = {}
for i = 4, #ARGV do
  local id = ARGV[i]
  if call('HEXISTS', letters, id) == 1 then
    local till, holder = string.match(call('HGET', letters .. ':c', id) or '', '^(%d+) (.*)$')
    if not till or holder == ARGV[2] or tonumber(till) <= time then
      claimed[#claimed + 1] = id
      if lease > 0 then
        call('HSET', letters .. ':c', id, string.format('%.0f %s', time + lease, ARGV[2]))
      else
        call('HDEL', letters .. ':c', id)
      end
    end
  end
end
return claimed`,
  true,
);

/** token, ids … → those that went. A lease that ran out does no harm as long as nobody else claimed. */
export const removeScript: Script = script(
  "remove",
  [letterPiece],
  `
local letters, removed = B .. ':l', {}
for i = 3, #ARGV do
  local _, holder = string.match(call('HGET', letters .. ':c', ARGV[i]) or '', '^(%d+) (.*)$')
  if holder == ARGV[2] and dropLetter(ARGV[i]) then removed[#removed + 1] = ARGV[i] end
end
return removed`,
  true,
);
