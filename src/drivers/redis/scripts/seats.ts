import { script, type Script } from "../script.ts";
import { matchPiece } from "./match-piece.ts";
import { idPiece, lanePiece, timePiece, wakePiece } from "./pieces.ts";
import { roomPiece } from "./room.ts";
import { statePiece as endedPiece } from "./state-piece.ts";

/**
 * A group's keys begin with `G`. `nameOf(G, group)`: what Redis calls the consumer group. `refs(G, group)`: every partition it reads,
 * its queue's last. `lose(G, count)`: says so to the next who asks ("?" when the number is unknown); `said(G, seat)`: what is unsaid,
 * once; what a seat was told is kept, in case that the answer is lost. `heard(G, seat, numbers)`: what of it the seat heard so far;
 * `unheard(G, seat)`: the rest, of one that goes, is for others.
 */
const groupPiece = `
local function nameOf(G, group)
  return call('HGET', G, 'name') or group
end
local function refs(G, group)
  local ls, found = call('HKEYS', G .. ':pat'), {}
  table.sort(ls)
  ls[#ls + 1] = 'q:' .. group
  for i = 1, #ls do
    for p = 0, (tonumber(lane(ls[i]).n) or 0) - 1 do found[#found + 1] = ls[i] .. ':' .. p end
  end
  return found
end
local function lose(G, count)
  if count == '?' then call('HSET', G, 'lost', '?')
  elseif count > 0 and call('HGET', G, 'lost') ~= '?' then call('HINCRBY', G, 'lost', count) end
end
local function said(G, seat)
  local lost = call('HGET', G, 'lost')
  if not lost then return '' end
  call('HDEL', G, 'lost')
  call('HINCRBY', G .. ':told', lost == '?' and seat .. ' ?' or seat, lost == '?' and 1 or lost)
  return lost
end
local function heard(G, seat, numbers)
  if numbers ~= '0 0' then call('HSET', G .. ':told', seat .. ' heard', numbers) end
end
local function unheard(G, seat)
  local told = call('HMGET', G .. ':told', seat, seat .. ' ?', seat .. ' heard')
  local count, unknown = string.match(told[3] or '0 0', '^(%d+) (%d+)$')
  lose(G, (told[1] or 0) - count)
  if (told[2] or 0) - unknown > 0 then lose(G, '?') end
  call('HDEL', G .. ':told', seat, seat .. ' ?', seat .. ' heard')
end
local function tell(group)
  try('SPUBLISH', B .. ':e', 'm ' .. group)
end
local function wakeIdle(G, group, count, how)
  if call('HGET', G, 'ordered') == '1' then return end
  local idle = call('ZPOPMIN', G .. ':idle', count)
  for i = 1, #idle, 2 do wake(idle[i], group .. ' ' .. (how or '')) end
end
local function dueIn(G, t)
  local head = call('ZRANGE', G .. ':due', 0, 0, 'WITHSCORES')
  if not head[2] then return '' end
  return tostring(math.max(tonumber(head[2]) - t, 0))
end`;

/** `erase(G, group)`: nothing of the group is left, but its letters. Its queue goes with it. */
const erasePiece = `
local function erase(G, group)
  local name = nameOf(G, group)
  local all = refs(G, group)
  for i = 1, #all do try('XGROUP', 'DESTROY', key(all[i]), name) end
  local ls = call('HKEYS', G .. ':pat')
  for i = 1, #ls do call('SREM', B .. ':' .. ls[i] .. ':g', group) end
  local L = B .. ':q:' .. group
  for p = 0, (tonumber(lane('q:' .. group).n) or 0) - 1 do call('UNLINK', L .. ':' .. p) end
  call('UNLINK', L, L .. ':g', L .. ':id0', L .. ':id1', L .. ':due', L .. ':due:m', L .. ':due:i')
  call('HDEL', B .. ':groups', group)
  local parts = {'pat', 'm', 'beat', 'dead', 'own', 'idle', 'due', 'rel', 'rest', 'hop', 'note', 'told'}
  for i = 1, #parts do call('UNLINK', G .. ':' .. parts[i]) end
  call('UNLINK', G)
  tell(group)
end`;

/**
 * `alive(G, seat)`. `unseat(G, group, seats, t)`: from here on nothing of these seats counts any more; a live group goes with its last.
 * `bury(G, group, before, t)`: the same with all whose lease ended then. `sweep(G, group, limit)`: what dead seats held waits for
 * others, with its counts; in an ordered group it stays where it is, since the next owner reads it by its cursor. How many moved.
 * `place(id, t)`: when it is due, at once, and yet in the order of ids.
 */
const seatPiece = `
local function alive(G, seat)
  return call('HEXISTS', G .. ':m', seat) == 1
end
local function unseat(G, group, seats, t)
  if #seats == 0 then return end
  local ordered, dead = call('HGET', G, 'ordered') == '1', {}
  for i = 1, #seats do
    dead[seats[i]] = true
    call('HDEL', G .. ':m', seats[i])
    call('ZREM', G .. ':beat', seats[i])
    call('SADD', G .. ':dead', seats[i])
    unheard(G, seats[i])
    if not ordered then call('ZREM', G .. ':idle', seats[i]) end
  end
  if ordered then
    local own = call('HGETALL', G .. ':own')
    for i = 1, #own, 2 do
      if dead[own[i + 1]] then
        call('HDEL', G .. ':own', own[i])
        call('SREM', G .. ':idle', own[i])
      end
    end
  end
  if call('HLEN', G .. ':m') == 0 then
    call('HSET', G, 'left', t)
    if call('HGET', G, 'live') == '1' then return erase(G, group) end
  end
  tell(group)
end
local function bury(G, group, before, t)
  unseat(G, group, call('ZRANGEBYSCORE', G .. ':beat', '-inf', before), t)
end
local function buryAbandoned(group, t)
  local G = B .. ':g:' .. group
  bury(G, group, t, t)
  local of = call('HMGET', G, 'live', 'left')
  -- one that was made and never joined
  if of[1] == '1' and of[2] and t - of[2] > 60000 and call('HLEN', G .. ':m') == 0 then erase(G, group) end
end
local function place(id, t)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  return math.min(ms + math.min(seq, 4095) / 4096, t)
end
local function orphan(G, ref, name, seat, limit)
  local k = key(ref)
  local held = try('XPENDING', k, name, '-', '+', limit, seat)
  if held.err or #held == 0 then return 0 end
  local ids = {}
  for i = 1, #held do ids[i] = held[i][1] end
  local args = {'XCLAIM', k, name, '-', 0}
  for i = 1, #ids do args[5 + i] = ids[i] end
  args[#args + 1] = 'JUSTID'
  local kept, there = call(unpack(args)), {}
  for i = 1, #kept do
    there[kept[i]] = true
    call('ZADD', G .. ':due', place(kept[i], now()), ref .. ' ' .. kept[i])
  end
  for i = 1, #ids do
    if not there[ids[i]] then
      call('HDEL', G .. ':note', ref .. ' ' .. ids[i])
      call('HDEL', G .. ':hop', ref .. ' ' .. ids[i])
    end
  end
  lose(G, #ids - #kept)
  return #ids
end
local function sweep(G, group, limit)
  local seats = call('SRANDMEMBER', G .. ':dead', 8)
  if #seats == 0 then return 0 end
  local name, ordered, all, moved = nameOf(G, group), call('HGET', G, 'ordered') == '1', refs(G, group), 0
  for i = 1, #seats do
    local empty = true
    for j = 1, #all do
      if not ordered and moved < limit then moved = moved + orphan(G, all[j], name, seats[i], limit - moved) end
      local held = try('XPENDING', key(all[j]), name, '-', '+', 1, seats[i])
      if not held.err and #held > 0 then empty = false break end
    end
    if empty then
      for j = 1, #all do try('XGROUP', 'DELCONSUMER', key(all[j]), name, seats[i]) end
      call('SREM', G .. ':dead', seats[i])
    end
  end
  if moved > 0 then wakeIdle(G, group, math.min(moved, 16)) end
  return moved
end`;

/** What a script of seats needs, in their order. */
export const seatPieces: readonly string[] = [timePiece, lanePiece, wakePiece, groupPiece, erasePiece, seatPiece];

/**
 * What a seat has to know: members by seat, owners, the lanes with their numbers of partitions, when something is due next, what
 * was lost and nobody heard of yet (whoever is not seated yet does not hear it).
 */
const statePiece = `
local function state(G, group, t, seat)
  local ls = call('HKEYS', G .. ':pat')
  ls[#ls + 1] = 'q:' .. group
  local known = {}
  for i = 1, #ls do
    local n = lane(ls[i]).n
    if n then known[#known + 1] = ls[i] known[#known + 1] = n end
  end
  return call('HKEYS', G .. ':m'), call('HGETALL', G .. ':own'), known, dueIn(G, t), seat and said(G, seat) or ''
end`;

/**
 * ARGV: group, consumer, process, member as JSON, lease, then ref, id … of \`resume\`. Answer: seat, revision, definition, seats,
 * owners, lanes, next due, lost, floors (ref, lowest pending or "", last delivered …). What is missing of the group in the streams
 * is made again from \`resume\`, else from the oldest.
 */
export const joinScript: Script = script(
  "join",
  [idPiece, ...seatPieces, statePiece],
  `
local group, consumer, process, member, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local G = B .. ':g:' .. group
local rev = call('HGET', G, 'rev')
if not rev then return redis.error_reply('GONE group') end
if call('HGET', G, 'reset') then return redis.error_reply('CONFLICT the group is being reset') end
local t, name = now(), nameOf(G, group)
bury(G, group, t, t)
if call('EXISTS', G) == 0 then return redis.error_reply('GONE group') end
local resume = {}
for i = 7, #ARGV, 2 do resume[ARGV[i]] = ARGV[i + 1] end
local first = not call('HGET', G, 'joined')
local all, floors = refs(G, group), {}
for i = 1, #all do
  local ref, k = all[i], key(all[i])
  local from, last = resume[ref], nil
  local info = try('XINFO', 'GROUPS', k)
  for j = 1, #info do
    local f = {}
    for m = 1, #info[j], 2 do f[info[j][m]] = info[j][m + 1] end
    if f.name == name then last = f['last-delivered-id'] end
  end
  if not last then
    last = from or '0-0'
    local top = try('XINFO', 'STREAM', k)
    if top.err then vanished((split(ref))) last = '0-0' end
    for j = 1, #top, 2 do
      -- what the partition has not reached is a place in another one, of which nothing came to be here
      if top[j] == 'last-generated-id' and lt(top[j + 1], last) then last = '0-0' end
    end
    local made = try('XGROUP', 'CREATE', k, name, last, 'MKSTREAM')
    if made.err then return made end
  elseif first and from and lt(from, last) then
    call('XGROUP', 'SETID', k, name, from)
    last = from
  end
  local held = try('XPENDING', k, name)
  floors[#floors + 1] = ref
  floors[#floors + 1] = not held.err and held[2] or ''
  floors[#floors + 1] = last
end
local seat = consumer .. '~' .. process .. '~' .. call('HINCRBY', B, 'next', 1)
call('HSET', G .. ':m', seat, member)
call('ZADD', G .. ':beat', t + lease, seat)
call('HSET', G, 'joined', t)
call('HDEL', G, 'left')
local rest = call('SMEMBERS', G .. ':rest')
for i = 1, #rest do call('ZADD', G .. ':rel', t, rest[i]) end
call('DEL', G .. ':rest')
sweep(G, group, 1000)
tell(group)
local seats, owners, known, due, lost = state(G, group, t)
return {seat, rev, call('HGET', B .. ':groups', group), seats, owners, known, due, lost, floors}
`,
  true,
);

/** ARGV: group, seat, lease, known revision, what it heard of losses: a number, a blank, how often of an unknown one. Answer: revision, definition (known: ""), seats, owners, lanes, next due, lost. */
export const beatScript: Script = script(
  "beat",
  [...seatPieces, idPiece, matchPiece, roomPiece, endedPiece, statePiece],
  `
local group, seat, lease, known = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local G = B .. ':g:' .. group
local rev = call('HGET', G, 'rev')
if not rev then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
local t = now()
call('ZADD', G .. ':beat', t + lease, seat)
heard(G, seat, ARGV[6])
bury(G, group, t, t)
sweep(G, group, 1000)
-- whose last member died is buried by others
local other = call('HRANDFIELD', B .. ':groups')
if other and other ~= group then buryAbandoned(other, t) end
local ls = call('HKEYS', G .. ':pat')
for i = 1, #ls do
  expire(ls[i])
end
sweepState(100)
local seats, owners, of, due, lost = state(G, group, t, seat)
local text = ''
if rev ~= known then text = call('HGET', B .. ':groups', group) end
return {rev, text, seats, owners, of, due, lost}
`,
  true,
);
