import { script, type Script } from "../script.ts";
import { fetchDuePiece } from "./fetch-due.ts";
import { matchPiece } from "./match-piece.ts";
import { framePiece } from "./pieces.ts";
import { seatPieces } from "./seats.ts";

/** A window's bytes are passed by no more messages than this. */
const atOnce = 16;

/**
 * ARGV: group, seat, member id, messages, bytes, step, flags, then of an unordered group the partitions to leave out, of an ordered
 * one ref, cursor … (cursor "": the backlog was read). Flags: `i` be woken when nothing is left, `w` it was woken
 * for what it asks for: what of that lies in partitions that it leaves out is for the others. With 0 messages it passes a
 * wake-up on to somebody who has room. Answer: one frame of fields: flags (`m`: there is more), next due, lost, number of cursors,
 * ref, cursor …, then deliveries in runs. Of an ordered group the refs in the answer are those that may have more.
 */
export const fetchScript: Script = script(
  "fetch",
  [...seatPieces, framePiece, matchPiece, fetchDuePiece],
  `
local group, seat, member, flags = ARGV[2], ARGV[3], ARGV[4], ARGV[8]
local left, room, step = tonumber(ARGV[5]), math.min(tonumber(ARGV[6]), 1048576), tonumber(ARGV[7])
local G = B .. ':g:' .. group
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
if not alive(G, seat) then return redis.error_reply('STALE seat') end
ordered = ordered == '1'
local name, t, pack = nameOf(G, group), now(), struct.pack
local looked, gone, largest, atOnce = 0, false, 0, ${atOnce}
local run, runs, out, o, size = nil, {}, {}, 0, 0
local patterns, matchers = {}, {}
do
  local pairs = call('HGETALL', G .. ':pat')
  for i = 1, #pairs, 2 do patterns[pairs[i]] = pairs[i + 1] end
end
local function matching(l)
  local found = matchers[l]
  if found == nil then
    found = patterns[l] and matcher(patterns[l]) or false
    matchers[l] = found
  end
  return found
end
local function open(ref)
  if run and run.ref == ref then return end
  o = o + 1
  run = {ref = ref, count = 0, at = o}
  out[o] = ''
  runs[#runs + 1] = run
end
local function put(ref, id, count, topic, k, h, b, note)
  open(ref)
  run.count = run.count + 1
  out[o + 1] = pack('>Hc0I4Hc0Hc0I4c0I4', #id, id, count, #topic, topic, #k, k, #h, h, #b)
  out[o + 2] = b
  out[o + 3] = note == '' and '\\0\\0\\0\\0' or long(note)
  o = o + 3
  left = left - 1
  size = size + #topic + #k + #h + #b
end
local function full()
  return left <= 0 or size >= room or looked >= 512
end
local function drop(ref, id)
  call('XACK', key(ref), name, id)
  call('HDEL', G .. ':note', ref .. ' ' .. id)
  call('HDEL', G .. ':hop', ref .. ' ' .. id)
end
-- its time by the server's clock, handed out as ms from now
local function noteOf(mark)
  local at, text = string.match(call('HGET', G .. ':note', mark) or '', '^(%d*) (.*)$')
  if not at then return '' end
  return (at ~= '' and string.format('%.0f', at - t) or '') .. ' ' .. text
end
local function deliver(ref, id, count, f)
  looked = looked + 1
  local l = split(ref)
  local topic, k, h, b = entry(l, f)
  local wanted = matching(l)
  largest = math.max(largest, #topic + #k + #h + #b)
  if wanted and not wanted(topic) then return drop(ref, id) end
  put(ref, id, count, topic, k, h, b, noteOf(ref .. ' ' .. id))
end
local function fresh(ref, k, es)
  local l = split(ref)
  local wanted, passed, sum, at, n = matching(l), {}, 0, o, #es
  open(ref)
  if o > at then at = o end
  for i = 1, n do
    local e = es[i]
    local id, f = e[1], e[2]
    local topic, ky, h, b
    if f[1] == 't' and f[7] == 'b' and f[3] == 'k' and f[5] == 'h' and not f[9] and #f[2] + #f[4] < 65536 then
      topic, ky, h, b = f[2], f[4], f[6], f[8]
    else topic, ky, h, b = entry(l, f) end
    local bytes = #topic + #ky + #h + #b
    if bytes > largest then largest = bytes end
    if wanted and not wanted(topic) then passed[#passed + 1] = id
    else
      out[at + 1] = pack('>Hc0I4Hc0Hc0I4c0I4', #id, id, 1, #topic, topic, #ky, ky, #h, h, #b)
      out[at + 2] = b
      out[at + 3] = '\\0\\0\\0\\0'
      at = at + 3
      sum = sum + bytes
    end
  end
  o = at
  run.count = run.count + n - #passed
  left = left - n + #passed
  size = size + sum
  looked = looked + n
  if #passed > 0 then call('XACK', k, name, unpack(passed)) end
end
local function read(ks, names, count)
  local args = {'XREADGROUP', 'GROUP', name, seat, 'COUNT', count, 'STREAMS'}
  for i = 1, #ks do args[7 + i] = ks[i] end
  for i = 1, #ks do args[#args + 1] = '>' end
  local found = try(unpack(args))
  if not found then return {} end
  if found.err then gone = found.err return {} end
  local again = {}
  for i = 1, #found do
    local k, es = found[i][1], found[i][2]
    fresh(names[k], k, es)
    if #es >= count then again[#again + 1] = k end
  end
  return again
end
-- what is read is delivered, whatever it weighs: so first one, then no more than fits by the largest so far, and never many
local function most()
  local fit = largest > 0 and math.floor((room - size) / largest) or 1
  return math.max(math.min(left, step, fit, atOnce), 1)
end
local function readAll(ks, names)
  local first = math.min(left, step) >= #ks
  while #ks > 0 and not full() and not gone do
    local rest = {}
    if first then
      -- many of them in a few calls
      for i = 1, #ks, atOnce do
        local some = {}
        for j = i, math.min(i + atOnce - 1, #ks) do some[#some + 1] = ks[j] end
        local again = (full() or gone) and some or read(some, names, 1)
        for j = 1, #again do rest[#rest + 1] = again[j] end
      end
      first = false
    else
      for i = 1, #ks do
        if full() or gone then rest[#rest + 1] = ks[i]
        else
          local again = read({ks[i]}, names, most())
          if #again > 0 then rest[#rest + 1] = ks[i] end
        end
      end
    end
    ks = rest
  end
  return ks
end
local cursors, more = {}, false
if ordered then
  local ks, names, cursorOf, wanted = {}, {}, {}, {}
  for i = 9, #ARGV, 2 do wanted[#wanted + 1] = ARGV[i] cursorOf[ARGV[i]] = ARGV[i + 1] end
  local owners = #wanted > 0 and call('HMGET', G .. ':own', unpack(wanted)) or {}
  for i = 1, #wanted do
    local ref = wanted[i]
    if owners[i] == seat and lane(split(ref)).n then
      local k, cursor = key(ref), cursorOf[ref]
      while cursor ~= '' and not full() do
        local count = most()
        local held = try('XPENDING', k, name, '(' .. cursor, '+', count)
        if held.err then gone = held.err break end
        local ids, counts = {}, {}
        for j = 1, #held do
          local id, consumer = held[j][1], held[j][2]
          -- others may work in this group, too: what is theirs is left to them
          if consumer == '-' or string.find(consumer, '~%x+~%d+$') then
            ids[#ids + 1] = id
            counts[id] = held[j][4] + 1
          end
        end
        if #ids > 0 then
          local args = {'XCLAIM', k, name, seat, 0}
          for j = 1, #ids do args[5 + j] = ids[j] end
          local found, there = call(unpack(args)), {}
          for j = 1, #found do
            there[found[j][1]] = true
            deliver(ref, found[j][1], counts[found[j][1]], found[j][2])
          end
          for j = 1, #ids do
            if not there[ids[j]] then call('HDEL', G .. ':note', ref .. ' ' .. ids[j]) end
          end
          lose(G, #ids - #found)
          looked = looked - #found
        end
        looked = looked + #held
        if #held < count then cursor = '' else cursor = held[#held][1] end
      end
      if cursor == '' then ks[#ks + 1] = k names[k] = ref
      else cursors[#cursors + 1] = ref cursors[#cursors + 1] = cursor end
    end
  end
  local rest = readAll(ks, names)
  local open = {}
  for i = 1, #rest do
    open[rest[i]] = true
    cursors[#cursors + 1] = names[rest[i]]
    cursors[#cursors + 1] = ''
  end
  more = #cursors > 0
  if string.find(flags, 'i', 1, true) then
    for i = 1, #ks do
      if not open[ks[i]] then call('SADD', G .. ':idle', names[ks[i]]) end
    end
  end
elseif left > 0 then
  local paused, ks, names, skipped = {}, {}, {}, false
  for i = 9, #ARGV do paused[ARGV[i]] = true end
  more = fetchDue(G, name, seat, member, t, full, deliver)
  local all = refs(G, group)
  local first = #all > 0 and t % #all or 0
  for i = 0, #all - 1 do
    local ref = all[(first + i) % #all + 1]
    if not paused[ref] then
      local k = key(ref)
      ks[#ks + 1] = k
      names[k] = ref
    end
  end
  more = #readAll(ks, names) > 0 or more
end
if gone then return redis.error_reply((string.find(gone, 'NOGROUP', 1, true) and 'GONE ' or '') .. gone) end
if not ordered then
  if #runs == 0 and ARGV[9] and string.find(flags, 'w', 1, true) then wakeIdle(G, group, 1000, '+') end
  if not more and left > 0 and string.find(flags, 'i', 1, true) then call('ZADD', G .. ':idle', t, seat)
  else
    call('ZREM', G .. ':idle', seat)
    if more or ARGV[5] == '0' then wakeIdle(G, group, 1) end
  end
end
for i = 1, #runs do out[runs[i].at] = pack('>Hc0I4', #runs[i].ref, runs[i].ref, runs[i].count) end
local head = {long(more and 'm' or ''), long(dueIn(G, t)), long(ARGV[5] == '0' and '' or said(G, seat)), long(tostring(#cursors / 2))}
for i = 1, #cursors do head[#head + 1] = long(cursors[i]) end
return table.concat(head) .. table.concat(out)
`,
  true,
);
