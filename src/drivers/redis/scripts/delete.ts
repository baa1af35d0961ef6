import { script, type Script } from "../script.ts";
import { letterPiece } from "./letter-piece.ts";
import { matchPiece } from "./match-piece.ts";
import { notesPiece } from "./notes-piece.ts";
import { idPiece, lanePiece } from "./pieces.ts";
import { seatPieces } from "./seats.ts";

/**
 * name (escaped), process → 1 when there was such a stream, then the partitions that are laid aside, by an earlier call as well: in
 * one step it takes no more and is no route, and its partitions are called `B:x:…`, so that one of its name that is made later has
 * nothing of it. Of an attached stream, which is somebody else's, only our groups go.
 */
export const dropStreamScript: Script = script(
  "drop-stream",
  [lanePiece],
  `
local l = 's:' .. ARGV[2]
local L, n = B .. ':' .. l, tonumber(lane(l).n or '0')
local there = call('HDEL', B .. ':streams', ARGV[2]) == 1 or n > 0
local groups, attached = call('SMEMBERS', L .. ':g'), lane(l).key
for p = 0, n - 1 do
  if attached then
    for i = 1, #groups do try('XGROUP', 'DESTROY', attached, call('HGET', B .. ':g:' .. groups[i], 'name') or groups[i]) end
  elseif call('EXISTS', L .. ':' .. p) == 1 then
    call('RENAME', L .. ':' .. p, B .. ':x:' .. l .. ':' .. p)
  end
end
if there then
  call('UNLINK', L, L .. ':g', L .. ':id0', L .. ':id1', L .. ':due', L .. ':due:m', L .. ':due:i')
  call('ZREM', B .. ':due', l)
  call('HINCRBY', B, 'rev', 1)
  try('SPUBLISH', B .. ':e', 'r ' .. ARGV[3])
end
local answer = { there and 1 or 0 }
for p = 0, 255 do
  if call('EXISTS', B .. ':x:' .. l .. ':' .. p) == 1 then answer[#answer + 1] = p end
end
return answer`,
  true,
);

/**
 * lane, partition (of those laid aside), where to go on (empty: at the beginning) → where to go on, or empty: all is counted, and it
 * is gone. What its groups had not handled is lost to them, and they are told.
 */
export const dropPartitionScript: Script = script(
  "drop-partition",
  [idPiece, matchPiece, ...seatPieces, notesPiece],
  `
local l, ref, from = ARGV[2], ARGV[2] .. ':' .. ARGV[3], ARGV[4]
local K = B .. ':x:' .. ref
local info = try('XINFO', 'GROUPS', K)
if info.err then return '' end
local readers, lowest, ours = {}, nil, {}
local groups = call('HKEYS', B .. ':groups')
for i = 1, #groups do ours[nameOf(B .. ':g:' .. groups[i], groups[i])] = groups[i] end
for i = 1, #info do
  local one = {}
  for j = 1, #info[i], 2 do one[info[i][j]] = info[i][j + 1] end
  local G = B .. ':g:' .. (ours[one.name] or one.name)
  if call('HEXISTS', G, 'rev') == 1 then
    local last = one['last-delivered-id']
    readers[#readers + 1] = { G = G, last = last, match = matcher(call('HGET', G .. ':pat', l) or '>') }
    if not lowest or lt(last, lowest) then lowest = last end
    if from == '' and one.pending > 0 then
      forgetNotes(G, one.name, K, ref)
      -- in the hands of somebody who lives it is not lost: he has it all
      local consumers = call('XPENDING', K, one.name)[4]
      for j = 1, #consumers do
        if not alive(G, consumers[j][1]) then lose(G, tonumber(consumers[j][2])) end
      end
    end
  end
end
local entries = {}
if lowest then
  entries = call('XRANGE', K, '(' .. (from == '' and lowest or from), '+', 'COUNT', 500)
  for i = 1, #readers do
    local reader, lost = readers[i], 0
    for j = 1, #entries do
      if lt(reader.last, entries[j][1]) and (not reader.match or reader.match((entry(l, entries[j][2])))) then lost = lost + 1 end
    end
    lose(reader.G, lost)
  end
end
if #entries == 500 then return entries[500][1] end
call('UNLINK', K)
return ''`,
  true,
);

/** group (escaped) → 1 when there was one, or a queue of its name. Whoever asks for it after this is told that it is gone. */
export const dropGroupScript: Script = script(
  "drop-group",
  seatPieces,
  `
local group = ARGV[2]
local G = B .. ':g:' .. group
local there = call('HEXISTS', B .. ':groups', group) + call('EXISTS', G, B .. ':q:' .. group)
if there == 0 then return 0 end
-- it would go on without its consumer groups otherwise
local may = try('XGROUP', 'DESTROY', B .. ':none', group)
if may.err and string.find(may.err, 'can.t run') then return redis.error_reply('NOPERM this user may not run XGROUP') end
-- those who wait are woken, and find out
local seats = call('HKEYS', G .. ':m')
call('ZREM', B .. ':due', 'q:' .. group)
erase(G, group)
for i = 1, #seats do wake(seats[i], group .. ' ') end
return 1`,
  true,
);

/** group (escaped) → how many letters went; below 500: none is left. */
export const dropLettersScript: Script = script(
  "drop-letters",
  [letterPiece],
  `
local index = B .. ':l:g:' .. ARGV[2]
local ids = call('ZRANGE', index, 0, 499)
for i = 1, #ids do if not dropLetter(ids[i]) then call('ZREM', index, ids[i]) end end
return #ids`,
  true,
);
