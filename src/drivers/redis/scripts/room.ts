/**
 * Room in a lane, and what goes for it. `handled(l, p)`: the lowest id of a partition that somebody still needs. `drop(l, p, id,
 * known, exact)`: what is below goes, a step of it, and what a group (of `known`, else of all) has not handled of it is counted as
 * lost to it; how many went, and whether there is more. `expire(l, force)`: what is too old goes, looked at once a second. `room(l, bytes, count)`: whether there is, or can be
 * made. Needs timePiece, lanePiece, idPiece and matchPiece.
 */
export const roomPiece = `
local function after(id)
  local ms, seq = string.match(id, '^(%d+)%-(%d+)$')
  if #seq < 15 then return ms .. '-' .. string.format('%.0f', seq + 1) end
  return string.format('%.0f', ms + 1) .. '-0'
end

local groupsOf = {}
local function readers(l, p)
  local groups = groupsOf[l]
  if not groups then
    groups = {}
    local names = call('SMEMBERS', B .. ':' .. l .. ':g')
    local idle = tonumber(lane(l).idle or '') or math.huge
    for i = 1, #names do
      local G = B .. ':g:' .. names[i]
      local own = call('HMGET', G, 'name', 'left', 'live')
      local left, most = tonumber(own[2] or ''), own[3] == '1' and 0 or idle
      -- nobody buries the last member of a group when it dies
      if not left then left = tonumber(call('ZREVRANGE', G .. ':beat', 0, 0, 'WITHSCORES')[2] or '') end
      groups[i] = { G = G, name = own[1] or names[i], idle = left ~= nil and now() - left > most }
    end
    groupsOf[l] = groups
  end
  local found = {}
  if #groups == 0 then return found end
  local K = key(l .. ':' .. p)
  local info = try('XINFO', 'GROUPS', K)
  if info.err then return found end
  local of = {}
  for i = 1, #info do
    local one = {}
    for j = 1, #info[i], 2 do one[info[i][j]] = info[i][j + 1] end
    of[one.name] = one
  end
  for i = 1, #groups do
    local g = groups[i]
    local one = of[g.name]
    if not one then
      -- somebody destroyed it at the server: it is made again, and then has nothing behind it
      found[#found + 1] = { G = g.G, name = g.name, idle = g.idle, last = '0-0', pending = false, from = '0-0' }
    else
      local last = one['last-delivered-id']
      local reader = { G = g.G, name = g.name, idle = g.idle, last = last, pending = one.pending > 0, from = after(last) }
      if reader.pending then reader.from = call('XPENDING', K, g.name)[2] or reader.from end
      found[#found + 1] = reader
    end
  end
  return found
end

local function handled(l, p)
  local lowest
  for _, reader in ipairs(readers(l, p)) do
    if not reader.idle and (not lowest or lt(reader.from, lowest)) then lowest = reader.from end
  end
  if lowest then return lowest end
  local info = try('XINFO', 'STREAM', key(l .. ':' .. p))
  if info.err then return '0-0' end
  for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return after(info[i + 1]) end end
end

local function cut(l, removed)
  if removed == 0 then return end
  local of = lane(l)
  local count, bytes = tonumber(of.count or '') or 0, tonumber(of.bytes or '') or 0
  local share = count > 0 and math.min(removed / count, 1) or 1
  of.count, of.bytes = math.max(count - removed, 0), math.floor(bytes * (1 - share))
  call('HSET', B .. ':' .. l, 'count', of.count, 'bytes', of.bytes)
end

local function loseTo(reader, l, ref, entries, id)
  local match, lost, K = matcher(call('HGET', reader.G .. ':pat', l) or '>'), 0, key(ref)
  for i = 1, #entries do
    local eid = entries[i][1]
    if lt(reader.last, eid) and (not match or match((entry(l, entries[i][2])))) then lost = lost + 1 end
  end
  if reader.pending then
    local pending = call('XPENDING', K, reader.name, '-', '(' .. id, 1000)
    for i = 1, #pending do
      local eid, seat = pending[i][1], pending[i][2]
      -- in the hands of somebody who lives it is not lost: he has it all
      if call('HEXISTS', reader.G .. ':m', seat) == 0 then
        local member = ref .. ' ' .. eid
        call('XACK', K, reader.name, eid)
        call('HDEL', reader.G .. ':note', member)
        call('HDEL', reader.G .. ':hop', member)
        call('ZREM', reader.G .. ':due', member)
        call('ZREM', reader.G .. ':rel', member)
        call('SREM', reader.G .. ':rest', member)
        lost = lost + 1
      end
    end
  end
  if lost > 0 then try('HINCRBY', reader.G, 'lost', lost) end
end

-- What a script may read of the entries that it drops.
local function range(K, id)
  local entries, size, from = {}, 0, '-'
  repeat
    local some = call('XRANGE', K, from, '(' .. id, 'COUNT', 16)
    for i = 1, #some do
      entries[#entries + 1] = some[i]
      for j = 2, #some[i][2], 2 do size = size + #some[i][2][j] end
    end
    if #some < 16 then return entries, false end
    from = '(' .. some[16][1]
  until #entries >= 512 or size >= 1048576
  return entries, true
end

local function drop(l, p, id, known, exact)
  local ref, more, removed = l .. ':' .. p, false, 0
  local K = key(ref)
  local behind = {}
  for _, reader in ipairs(known or readers(l, p)) do
    if lt(reader.from, id) then behind[#behind + 1] = reader end
  end
  if #behind > 0 then
    local entries
    entries, more = range(K, id)
    if more then id = after(entries[#entries][1]) end
    for _, reader in ipairs(behind) do loseTo(reader, l, ref, entries, id) end
  elseif not exact then
    -- whole nodes first, so that a step stays short
    removed = try('XTRIM', K, 'MINID', '~', id, 'LIMIT', 2000)
    if type(removed) == 'table' then removed = 0 end
    more = removed > 0
  end
  if removed == 0 then
    removed = try('XTRIM', K, 'MINID', id)
    if type(removed) == 'table' then removed = 0 end
  end
  cut(l, removed)
  return removed, more
end

local function expire(l, force)
  local of, time = lane(l), now()
  local age = tonumber(of.maxAge or '')
  if not age or of.key or not of.n or (not force and time - (tonumber(of.aged or '') or 0) < 1000) then return false end
  local rest = false
  local id = string.format('%.0f', math.max(time - age, 0)) .. '-0'
  for p = 0, of.n - 1 do
    -- where somebody else's key stands in the place of a partition there is nothing to do
    if not rest and #try('XRANGE', key(l .. ':' .. p), '-', '(' .. id, 'COUNT', 1) > 0 then
      local _, more = drop(l, p, id)
      rest = more
    end
  end
  of.aged = rest and time - 950 or time
  call('HSET', B .. ':' .. l, 'aged', of.aged)
  return rest
end

local function head(l, p)
  local first = try('XRANGE', key(l .. ':' .. p), '-', '+', 'COUNT', 1)[1]
  return first and first[1]
end

-- The oldest of what \`bounds\` lets go, until there is room and a little more: a stream keeps what it can of its past.
local function shrink(l, fits, bounds)
  local of, heads, known = lane(l), {}, {}
  local count = tonumber(of.count or '') or 0
  local extra = math.floor(count / 64)
  if count > 100 * 64 * of.n then
    for p = 0, of.n - 1 do
      if bounds then
        local removed = try('XTRIM', key(l .. ':' .. p), 'MINID', '~', bounds[p], 'LIMIT', 200)
        if type(removed) ~= 'table' then cut(l, removed) end
      end
    end
    if fits() then return end
  end
  for p = 0, of.n - 1 do heads[p] = head(l, p) end
  local left = 512
  while left > 0 and (not fits() or extra > 0) do
    local part
    for p, id in pairs(heads) do
      if (not bounds or lt(id, bounds[p])) and (not part or lt(id, heads[part])) then part = p end
    end
    if not part then return end
    -- nobody needs what is below the bounds
    if not known[part] then known[part] = bounds and {} or readers(l, part) end
    drop(l, part, after(heads[part]), known[part], true)
    heads[part] = head(l, part)
    left, extra = left - 1, extra - 1
  end
end

-- Somebody deleted or trimmed at the server what was counted here.
local function recount(l)
  local of = lane(l)
  local there = call('ZCARD', B .. ':' .. l .. ':due')
  for p = 0, of.n - 1 do
    local length = try('XLEN', key(l .. ':' .. p))
    if type(length) ~= 'table' then there = there + length end
  end
  cut(l, math.max((tonumber(of.count or '') or 0) - there, 0))
end

local function room(l, bytes, count)
  local of = lane(l)
  local maxBytes, maxMessages = tonumber(of.maxBytes or '') or math.huge, tonumber(of.maxMessages or '') or math.huge
  local function fits()
    return (tonumber(of.bytes or '') or 0) + bytes <= maxBytes and (tonumber(of.count or '') or 0) + count <= maxMessages
  end
  if fits() then return true end
  if bytes > maxBytes or count > maxMessages then return false end
  local time = now()
  if time >= (tonumber(of.look or '') or 0) then
    recount(l)
    if fits() then return true end
    local bounds = {}
    for p = 0, of.n - 1 do bounds[p] = handled(l, p) end
    shrink(l, fits, bounds)
    if fits() then return true end
    -- whoever is refused asks again: not each time in vain
    of.look = time + 10
    call('HSET', B .. ':' .. l, 'look', of.look)
  end
  if of.full ~= 'drop-oldest' then return false end
  shrink(l, fits, nil)
  return fits()
end`;
