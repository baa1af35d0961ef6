/**
 * Dead letters: `letter(id, group, frame)` keeps one, a second one of an id takes the first one's place; `dropLetter(id)` is true
 * when it was there. Groups are escaped; the group stands before the frame (`>Hc0`), so that an id is enough to remove it.
 */
export const letterPiece = `
local function letter(id, group, frame)
  local letters = B .. ':l'
  local place = call('ZSCORE', letters .. ':i', id)
  if not place then
    place = call('HINCRBY', B, 'next', 1)
    call('ZADD', letters .. ':i', place, id)
  end
  call('ZADD', letters .. ':g:' .. group, place, id)
  call('HSET', letters, id, struct.pack('>Hc0', #group, group) .. frame)
  call('HDEL', letters .. ':c', id)
end

local function dropLetter(id)
  local letters = B .. ':l'
  local place, kept = call('ZSCORE', letters .. ':i', id), call('HGET', letters, id)
  if not place or not kept then return false end
  call('ZADD', letters .. ':gone', place, id)
  call('ZREMRANGEBYRANK', letters .. ':gone', 0, -10001)
  call('ZREM', letters .. ':i', id)
  call('ZREM', letters .. ':g:' .. struct.unpack('>Hc0', kept), id)
  call('HDEL', letters, id)
  call('HDEL', letters .. ':c', id)
  return true
end`;
