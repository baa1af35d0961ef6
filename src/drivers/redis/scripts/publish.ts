import { script, type Script } from "../script.ts";
import { delayedPiece } from "./delayed.ts";
import { matchPiece } from "./match-piece.ts";
import { idPiece, lanePiece, timePiece, wakePiece } from "./pieces.ts";
import { roomPiece } from "./room.ts";

/**
 * `rotate(l, window, time)`: the two sets of ids that were stored lately, for the longest window of those who publish. A set as a whole
 * is let go off the main thread. `known(L, ids, old)`: for each of a call's ids whether it was there. What the call took is noted when
 * it has it, all at once, since a command for each costs the server as much as a fifth of the publish: a script that ends half way
 * may store twice what is sent again, and never says of what it did not store that it did.
 */
const dedupePiece = `
local function rotate(l, window, time)
  local of, L = lane(l), B .. ':' .. l
  local age, longest = time - (tonumber(of.gen or '') or 0), tonumber(of.window or '') or 0
  if window > longest then
    call('HSET', L, 'window', window)
    longest = window
  end
  if age >= longest then
    -- whoever wanted it longer says so again
    if longest > window then call('HSET', L, 'window', window) end
    window = longest
    call('UNLINK', L .. ':id1')
    if age >= 2 * window then call('UNLINK', L .. ':id0')
    elseif call('EXISTS', L .. ':id0') == 1 then
      call('RENAME', L .. ':id0', L .. ':id1')
      call('PEXPIRE', L .. ':id1', 2 * window)
    end
    of.gen = time
    call('HSET', L, 'gen', time)
  end
  return call('EXISTS', L .. ':id1') == 1
end
local function known(L, ids, old)
  local found = call('SMISMEMBER', L .. ':id0', unpack(ids))
  local older = old and call('SMISMEMBER', L .. ':id1', unpack(ids))
  for i = 1, #ids do found[i] = found[i] == 1 or (older and older[i] == 1) or false end
  return found
end`;

/** One lane's messages of one turn. \`ARGV\`: the window in ms, and the frame. A line for each message in the answer. */
export const publishScript: Script = script(
  "publish",
  [timePiece, lanePiece, idPiece, matchPiece, wakePiece, roomPiece, dedupePiece, delayedPiece],
  `
local window, frame = tonumber(ARGV[2]), ARGV[3]
local l, at = struct.unpack('>Hc0', frame)
local of, L, time = lane(l), B .. ':' .. l, now()
if not of.n then
  if string.sub(l, 1, 2) ~= 'q:' then return redis.error_reply('NOSTREAM no such stream') end
  call('HSET', L, 'n', 16)
  of.n = '16'
end
local n, limited = tonumber(of.n), of.maxBytes ~= nil or of.maxMessages ~= nil
local maxBytes, maxMessages = tonumber(of.maxBytes or '') or math.huge, tonumber(of.maxMessages or '') or math.huge
of.bytes, of.count = tonumber(of.bytes or '') or 0, tonumber(of.count or '') or 0
local tname, bname = 't', 'b'
if of.key then
  if of.ftopic ~= '' then tname = of.ftopic end
  if of.fbody ~= '' then bname = of.fbody end
end
if time - (tonumber(of.aged or '') or 0) >= 1000 then expire(l) end
local old = window > 0 and rotate(l, window, time)
local ids, froms, topics, keyTexts, headerTexts, hashes, delays, bodies = {}, {}, {}, {}, {}, {}, {}, {}
do
  local i, unpack = 0, struct.unpack
  while at <= #frame do
    i = i + 1
    froms[i] = at
    ids[i], topics[i], keyTexts[i], headerTexts[i], hashes[i], delays[i], bodies[i], at = unpack('>Hc0Hc0Hc0I4c0I4dI4c0', frame, at)
  end
  froms[i + 1] = at
end
-- here: ids that this call took
local lines, stored, delayed, parts, keys, begins, here, taken = {}, 0, 0, {}, {}, {}, {}, {}
local known = window > 0 and known(L, ids, old)
for count = 1, #ids do
  local id, topic, key_, headers, hash, delay, body = ids[count], topics[count], keyTexts[count], headerTexts[count], hashes[count], delays[count], bodies[count]
  if known and (known[count] or here[id]) then lines[count] = '='
  else
    local size = #body + #topic + #key_ + #headers + 32
    local p = hash % n
    local refused, took
    if (of.bytes + size > maxBytes or of.count + 1 > maxMessages) and not room(l, size, 1) then refused = 'FULL the stream is full'
    elseif delay > 0 then
      local number, due = call('HINCRBY', B, 'next', 1), math.floor(time + delay)
      call('HSET', L .. ':due:m', number, string.sub(frame, froms[count], froms[count + 1] - 1))
      note(L, id, number)
      call('ZADD', L .. ':due', due, number)
      local head = call('ZSCORE', B .. ':due', l)
      if not head or tonumber(head) > due then
        call('ZADD', B .. ':due', due, l)
        try('SPUBLISH', B .. ':e', 'd ' .. string.format('%.0f', delay))
      end
      lines[count], delayed, took = '@', delayed + 1, size
    else
      local K = keys[p]
      if not K then
        K = key(l .. ':' .. p)
        keys[p], begins[p] = K, '+' .. p .. ' '
      end
      local added = try('XADD', K, 'NOMKSTREAM', '*', tname, topic, 'k', key_, 'h', headers, bname, body)
      if not added then
        vanished(l)
        added = try('XADD', K, '*', tname, topic, 'k', key_, 'h', headers, bname, body)
      end
      if type(added) == 'table' then refused = added.err
      else
        lines[count], stored, took, parts[p] = begins[p] .. added, stored + 1, size, true
      end
    end
    if took then
      here[id] = true
      taken[#taken + 1] = id
    end
    if took and limited then of.count, of.bytes = of.count + 1, of.bytes + took end
    if refused then lines[count] = '!' .. string.gsub(refused, '[\\r\\n]', ' ') end
  end
end
if known and #taken > 0 then
  local fresh = call('EXISTS', L .. ':id0') == 0
  call('SADD', L .. ':id0', unpack(taken))
  if fresh then call('PEXPIRE', L .. ':id0', 3 * math.max(window, tonumber(of.window or '') or 0)) end
end
if limited and stored + delayed > 0 then call('HSET', L, 'count', of.count, 'bytes', of.bytes) end
if stored > 0 then wakeLane(l, parts, stored) end
return table.concat(lines, '\\n')`,
);
