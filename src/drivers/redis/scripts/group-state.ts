import { script, type Script } from "../script.ts";
import { matchPiece } from "./match-piece.ts";
import { idPiece } from "./pieces.ts";
import { seatPieces } from "./seats.ts";

/**
 * group (escaped), lane, then partition, where to go on … (none: all from their beginning) → waiting, in flight, the lowest id that
 * waits (empty: none), then partition, id … of those that were not counted to their end. What its patterns leave out is not
 * counted, as far as this looks.
 */
export const laneStateScript: Script = script(
  "lane-state",
  [idPiece, matchPiece, ...seatPieces],
  `
local group, l = ARGV[2], ARGV[3]
local G = B .. ':g:' .. group
local n, name = tonumber(lane(l).n or '0'), nameOf(G, group)
local match, budget, queue = matcher(call('HGET', G .. ':pat', l) or '>'), 1000, string.sub(l, 1, 2) == 'q:'
local waiting, inFlight, oldest, rest = 0, 0, '', {}
local function waits(id, count)
  waiting = waiting + count
  if oldest == '' or lt(id, oldest) then oldest = id end
end
local function fresh(p, K, from)
  while budget > 0 do
    local entries = call('XRANGE', K, '(' .. from, '+', 'COUNT', math.min(budget, 200))
    for i = 1, #entries do
      local id, fields = entries[i][1], entries[i][2]
      if not match or match((entry(l, fields))) then waits(id, 1) end
      from = id
    end
    budget = budget - #entries
    if #entries == 0 then return end
  end
  rest[#rest + 1] = p
  rest[#rest + 1] = from
end
local function held(K, of)
  local consumers = call('XPENDING', K, name)[4]
  for i = 1, #consumers do
    local seat, count = consumers[i][1], tonumber(consumers[i][2])
    if alive(G, seat) then inFlight = inFlight + count
    else waits(call('XPENDING', K, name, '-', '+', 1, seat)[1][1], count) end
  end
end
local function begin(p)
  local K = key(l .. ':' .. p)
  local groups, of = try('XINFO', 'GROUPS', K), nil
  if groups.err then return end
  for i = 1, #groups do
    local one = {}
    for j = 1, #groups[i], 2 do one[groups[i][j]] = groups[i][j + 1] end
    if one.name == name then of = one end
  end
  local info, flat = {}, call('XINFO', 'STREAM', K)
  for i = 1, #flat, 2 do info[flat[i]] = flat[i + 1] end
  local first = info['first-entry']
  if not first then return end
  local last = of and of['last-delivered-id'] or '0-0'
  if of and of.pending > 0 then held(K, of) end
  if not lt(last, info['last-generated-id']) then return end
  if match then return fresh(p, K, last) end
  -- the lag is not to be believed of a stream that lost what was not delivered
  local next = call('XRANGE', K, '(' .. last, '+', 'COUNT', 1)[1]
  if not next then return end
  if lt(last, first[1]) then return waits(next[1], info.length) end
  if queue then return waits(next[1], info.length - of.pending) end
  if of.lag then return waits(next[1], math.min(of.lag, info.length)) end
  fresh(p, K, last)
end
if ARGV[4] then
  for i = 4, #ARGV, 2 do
    if budget > 0 then fresh(ARGV[i], key(l .. ':' .. ARGV[i]), ARGV[i + 1])
    else
      rest[#rest + 1] = ARGV[i]
      rest[#rest + 1] = ARGV[i + 1]
    end
  end
else
  for p = 0, n - 1 do begin(p) end
end
local answer = { waiting, inFlight, oldest }
for i = 1, #rest do answer[3 + i] = tostring(rest[i]) end
return answer`,
  true,
);

/**
 * group (escaped) → messages that were given back and are due later, then how many that were published for later it will read, of
 * its streams and of its queue, and the server's time in ms.
 */
export const laterScript: Script = script(
  "later",
  [matchPiece, ...seatPieces],
  `
local group = ARGV[2]
local G = B .. ':g:' .. group
local later, t = 0, now()
local function count(l, patterns)
  local due = B .. ':' .. l .. ':due'
  local match = matcher(patterns)
  if not match then
    later = later + call('ZCARD', due)
    return
  end
  local numbers = call('ZRANGE', due, 0, 4999)
  for i = 1, #numbers do
    local frame = call('HGET', due .. ':m', numbers[i])
    if frame then
      local _, topic = struct.unpack('>Hc0Hc0', frame)
      if match(topic) then later = later + 1 end
    end
  end
end
local patterns = call('HGETALL', G .. ':pat')
for i = 1, #patterns, 2 do count(patterns[i], patterns[i + 1]) end
count('q:' .. group, '>')
return { call('ZCOUNT', G .. ':due', string.format('(%.0f', t), '+inf'), later, string.format('%.0f', t) }`,
  true,
);

/** group (escaped) → whether it is ordered (1), a list of seat, what it says of itself, ms until its lease ends …, a list of ref, owner … */
export const membersScript: Script = script(
  "members",
  seatPieces,
  `
local G = B .. ':g:' .. ARGV[2]
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
local t, seats, all = now(), {}, call('HGETALL', G .. ':m')
for i = 1, #all, 2 do
  local till = tonumber(call('ZSCORE', G .. ':beat', all[i]) or '0')
  if till > t then
    seats[#seats + 1] = all[i]
    seats[#seats + 1] = all[i + 1]
    seats[#seats + 1] = string.format('%.0f', till - t)
  end
end
return { ordered, seats, call('HGETALL', G .. ':own') }`,
  true,
);
