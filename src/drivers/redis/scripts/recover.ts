import { script, type Script } from "../script.ts";
import { seatPieces } from "./seats.ts";

/**
 * group (escaped), process, ms that a seat of another process was not seen for, the lease of seats that don't say theirs → how many messages an ordered group's
 * dead seats hold, which their next owners read.
 */
export const recoverScript: Script = script(
  "recover",
  seatPieces,
  `
local group, process, idle, lease = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local G = B .. ':g:' .. group
local ordered = call('HGET', G, 'ordered')
if not ordered then return redis.error_reply('GONE group') end
local t, buried = now(), {}
bury(G, group, t, t)
local all = call('HGETALL', G .. ':m')
for i = 1, #all, 2 do
  local seat, own = all[i], tonumber(cjson.decode(all[i + 1]).leaseMs)
  local seen = (tonumber(call('ZSCORE', G .. ':beat', seat) or '') or 0) - (own or lease)
  if string.match(seat, '~(.-)~') ~= process and (idle <= 0 or seen <= t - idle) then buried[#buried + 1] = seat end
end
unseat(G, group, buried, t)
if ordered ~= '1' or call('EXISTS', G) == 0 then return 0 end
local name, held = nameOf(G, group), 0
for _, ref in ipairs(refs(G, group)) do
  local found = try('XPENDING', key(ref), name)
  if not found.err and found[1] > 0 then
    for i = 1, #found[4] do
      if call('SISMEMBER', G .. ':dead', found[4][i][1]) == 1 then held = held + found[4][i][2] end
    end
  end
end
return held`,
  true,
);

/**
 * group (escaped), idle ms, limit → how many were moved: what dead seats left, then what consumers that never were a seat of ours
 * have held for so long.
 */
export const sweepScript: Script = script(
  "sweep",
  seatPieces,
  `
local group, idle, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
local G = B .. ':g:' .. group
if call('EXISTS', G) == 0 then return 0 end
local moved = sweep(G, group, limit)
if call('HGET', G, 'ordered') == '1' then return moved end
local name = nameOf(G, group)
for _, ref in ipairs(refs(G, group)) do
  local K = key(ref)
  local consumers = try('XINFO', 'CONSUMERS', K, name)
  if consumers.err then consumers = {} end
  for i = 1, #consumers do
    local one = {}
    for j = 1, #consumers[i], 2 do one[consumers[i][j]] = consumers[i][j + 1] end
    local ours = one.name == '-' or alive(G, one.name) or call('SISMEMBER', G .. ':dead', one.name) == 1
    if not ours and one.pending > 0 and moved < limit then
      local held = call('XPENDING', K, name, 'IDLE', idle, '-', '+', limit - moved, one.name)
      for j = 1, #held do
        if #call('XCLAIM', K, name, '-', 0, held[j][1], 'JUSTID') > 0 then
          call('ZADD', G .. ':due', 0, ref .. ' ' .. held[j][1])
          moved = moved + 1
        else
          lose(G, 1)
        end
      end
    end
  end
end
if moved > 0 then wakeIdle(G, group, math.min(moved, 16)) end
return moved`,
  true,
);
