import { script, type Script } from "../script.ts";
import { timePiece } from "./pieces.ts";
import { statePiece } from "./state-piece.ts";

const pieces = [timePiece, statePiece];

/**
 * bucket, key → a list: revision, ms until it ends (empty: never), value; of what is not there: the highest revision so far alone,
 * so that whoever was told of an older one knows that it is gone.
 */
export const getScript: Script = script(
  "state-get",
  pieces,
  `
local revision, till, value = stateOf(ARGV[2], ARGV[3])
if not revision then return { call('HGET', B, 'next') or '0' } end
return { revision, till > 0 and string.format('%.0f', till - now()) or '', value }`,
  true,
);

/** bucket, key, value, ms to live (empty: for ever), expected (`*` any, `-` not there, or a revision) → revision, or nothing. */
export const putScript: Script = script(
  "state-put",
  pieces,
  `
local bucket, key, ends = ARGV[2], ARGV[3], B .. ':ends'
local revision = stateOf(bucket, key)
if ARGV[6] ~= '*' and ARGV[6] ~= (revision or '-') then return false end
sweepState(10)
local next, till = call('HINCRBY', B, 'next', 1), 0
local member = struct.pack('>Hc0', #bucket, bucket) .. key
if ARGV[5] ~= '' then
  till = now() + tonumber(ARGV[5])
  call('ZADD', ends, till, member)
else
  call('ZREM', ends, member)
end
call('HSET', B .. ':b:' .. bucket, key, struct.pack('>dd', next, till) .. ARGV[4])
call('ZADD', B .. ':b:' .. bucket .. ':k', 0, key)
stateSaid(bucket, key)
return string.format('%.0f', next)`,
);

/** bucket, key, expected (`*` any, or a revision) → 1 when it was there, and that one. */
export const deleteScript: Script = script(
  "state-delete",
  pieces,
  `
local revision = stateOf(ARGV[2], ARGV[3])
if not revision or (ARGV[4] ~= '*' and ARGV[4] ~= revision) then return 0 end
call('HINCRBY', B, 'next', 1)
stateGone(ARGV[2], ARGV[3])
return 1`,
  true,
);

/** bucket, prefix, after (empty: from the first), how many are looked at → the last of them (empty: there are no more), then those that have not ended. */
export const keysScript: Script = script(
  "state-keys",
  pieces,
  `
local from = ARGV[4] == '' and '[' .. ARGV[3] or '(' .. ARGV[4]
local names = call('ZRANGEBYLEX', B .. ':b:' .. ARGV[2] .. ':k', from, '(' .. ARGV[3] .. '\\255', 'LIMIT', 0, ARGV[5])
local answer = { #names < tonumber(ARGV[5]) and '' or names[#names] }
for i = 1, #names do
  if stateOf(ARGV[2], names[i]) then answer[#answer + 1] = names[i] end
end
return answer`,
  true,
);
