/**
 * State: in `B:b:<bucket>` key → `>dd` revision, end (0: none), then the value; names by lexical order in `…:k`; ends of all
 * buckets in `B:ends`, whose members are `>Hc0` bucket, then key. Needs `now()`. `stateOf(bucket, key)`: revision, end, value of
 * what has not ended; `stateGone(bucket, key)` removes; `sweepState(limit)` removes what has ended, as `beat` does.
 */
export const statePiece = `
local function stateOf(bucket, key)
  local kept = call('HGET', B .. ':b:' .. bucket, key)
  if not kept then return nil end
  local revision, till = struct.unpack('>dd', kept)
  if till > 0 and till <= now() then return nil end
  return string.format('%.0f', revision), till, string.sub(kept, 17)
end

local function stateSaid(bucket, key)
  try('SPUBLISH', B .. ':e', 's ' .. bucket .. ' ' .. key)
end

local function stateGone(bucket, key)
  call('HDEL', B .. ':b:' .. bucket, key)
  call('ZREM', B .. ':b:' .. bucket .. ':k', key)
  call('ZREM', B .. ':ends', struct.pack('>Hc0', #bucket, bucket) .. key)
  stateSaid(bucket, key)
end

local function sweepState(limit)
  local ended = call('ZRANGEBYSCORE', B .. ':ends', '-inf', now(), 'LIMIT', 0, limit)
  for i = 1, #ended do
    local bucket, at = struct.unpack('>Hc0', ended[i])
    stateGone(bucket, string.sub(ended[i], at))
  end
  return #ended
end`;
