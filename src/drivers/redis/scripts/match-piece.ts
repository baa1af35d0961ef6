/** `matcher(patterns)`: whether a topic matches one of them, which are blank-separated; undefined when every topic does. */
export const matchPiece = `
local function matcher(patterns)
  local exact, others, known = {}, {}, {}
  for pattern in string.gmatch(patterns, '[^ ]+') do
    if pattern == '>' then return nil end
    if string.find(pattern, '[*>]') then
      local text = string.gsub(pattern, '[^%w*>]', '%%%0')
      text = string.gsub(string.gsub(text, '%*', '[^.]+'), '>', '.+')
      others[#others + 1] = '^' .. text .. '$'
    else exact[pattern] = true end
  end
  return function(topic)
    local found = known[topic]
    if found == nil then
      found = exact[topic] or false
      for i = 1, #others do found = found or string.find(topic, others[i]) ~= nil end
      known[topic] = found
    end
    return found
  end
end`;
