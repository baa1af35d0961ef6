/** Lua that several scripts have in common; each piece is put in front of a script's body. */

/** `now()`: the server's time in ms. */
export const timePiece = `
local function now()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end`;

/**
 * `lane(l)`: the lane's hash as a table, read once a call; not there: without \`n\`. `split(ref)`: lane and partition. `key(ref)`:
 * the stream's key. `entry(l, fields)`: topic, key, headers, body of an entry, foreign ones included. `vanished(l)`: somebody deleted a
 * partition, which was made with the first group at the latest: what its groups had not handled of it nobody can count any more.
 */
export const lanePiece = `
local lanes = {}
local function lane(l)
  local found = lanes[l]
  if not found then
    found = {}
    local pairs = call('HGETALL', B .. ':' .. l)
    for i = 1, #pairs, 2 do found[pairs[i]] = pairs[i + 1] end
    lanes[l] = found
  end
  return found
end
local function vanished(l)
  local groups = call('SMEMBERS', B .. ':' .. l .. ':g')
  for i = 1, #groups do
    local G = B .. ':g:' .. groups[i]
    if call('HEXISTS', G, 'rev') == 1 then call('HSET', G, 'lost', '?') end
  end
end
local function split(ref)
  return string.match(ref, '^(.*):(%d+)$')
end
local function key(ref)
  local l = string.match(ref, '^(.*):%d+$')
  return lane(l).key or (B .. ':' .. ref)
end
local function foreign(l, fields)
  local named, count = {}, 0
  for i = 1, #fields, 2 do named[fields[i]] = fields[i + 1] count = count + 1 end
  local of = lane(l)
  local body = of.fbody and of.fbody ~= '' and named[of.fbody]
  if not body and count == 1 then body = fields[2] end
  local topic = of.ftopic and of.ftopic ~= '' and named[of.ftopic]
  if not topic or topic == '' then topic = of.fdefault or string.sub(l, 3) end
  return topic, named.k or '', named.h or '', body or cjson.encode(named)
end
-- what is too long for its field in a frame is nobody's of ours; cut off, it can still be given up as a letter
local function entry(l, f)
  local topic, k, h, b
  if #f == 8 and f[1] == 't' and f[3] == 'k' and f[5] == 'h' and f[7] == 'b' then topic, k, h, b = f[2], f[4], f[6], f[8]
  else topic, k, h, b = foreign(l, f) end
  return string.sub(topic, 1, 65535), string.sub(k, 1, 65535), h, b
end`;

/** `lt(a, b)`: whether the entry id a is lower than b. */
export const idPiece = `
local function lt(a, b)
  local am, as = string.match(a, '^(%d+)%-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)%-(%d+)$')
  if am ~= bm then return tonumber(am) < tonumber(bm) end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end`;

/** `short(s)`, `long(s)`: a field packed as >Hc0, as >I4c0. `fields(text, from)`: the fields >I4c0 of a frame as a table. */
export const framePiece = `
local function short(s) return struct.pack('>Hc0', #s, s) end
local function long(s) return struct.pack('>I4c0', #s, s) end
local function fields(text, from)
  local at, found = from or 1, {}
  while at <= #text do
    found[#found + 1], at = struct.unpack('>I4c0', text, at)
  end
  return found
end`;

/**
 * `wake(seat, text)`: a wake-up for the process of a seat. `wakeLane(l, parts, count)`: one for the owners of the partitions
 * (the keys of \`parts\`) that are idle, in groups without an order for as many idle seats as there are messages.
 */
export const wakePiece = `
local function wake(seat, text)
  try('SPUBLISH', B .. ':c:' .. string.match(seat, '~(.-)~'), 'w ' .. text)
end
local function wakeLane(l, parts, count)
  local groups = call('SMEMBERS', B .. ':' .. l .. ':g')
  for i = 1, #groups do
    local g = groups[i]
    local G = B .. ':g:' .. g
    if call('EXISTS', G .. ':idle') == 1 then
      if call('HGET', G, 'ordered') == '1' then
        for p in pairs(parts) do
          local ref = l .. ':' .. p
          if try('SREM', G .. ':idle', ref) == 1 then
            local seat = call('HGET', G .. ':own', ref)
            if seat then wake(seat, g .. ' ' .. ref) end
          end
        end
      else
        -- what is left of a deleted group must not fail a publish that is stored already
        local idle = try('ZPOPMIN', G .. ':idle', count)
        for j = 1, #idle, 2 do wake(idle[j], g .. ' ') end
      end
    end
  end
end`;
