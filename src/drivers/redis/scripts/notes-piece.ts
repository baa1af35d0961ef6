/** `forgetNotes(G, name, k, ref)`: of what the group holds in a partition that it is to read no more nothing is kept beside. */
export const notesPiece = `
local function forgetNotes(G, name, k, ref)
  local from = '-'
  while call('EXISTS', G .. ':note', G .. ':hop') > 0 do
    local held = try('XPENDING', k, name, from, '+', 1000)
    if held.err or #held == 0 then return end
    local marks = {}
    for i = 1, #held do marks[i] = ref .. ' ' .. held[i][1] end
    call('HDEL', G .. ':note', unpack(marks))
    call('HDEL', G .. ':hop', unpack(marks))
    from = '(' .. held[#held][1]
  end
end`;
