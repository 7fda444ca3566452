-- Moves the end of an auction that is not sealed, and the latest end, by as many ms for each action once.
-- Returns JSON: the record, or "rejected": "already_extended", "closed", or for missing state.
local auction, log, history, due, channel, ready = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local auction_id, action, by_ms, history_length = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local mark = 'extended:' .. action

local state = redis.call('HMGET', auction, 'epoch', 'seq', 'ends_at', 'latest_end', 'decided_at', 'seal', mark)
local epoch, seq, ends_at, latest_end = tonumber(state[1]), tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
local decided_at, seal, extended = tonumber(state[5]), state[6], state[7]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function rejected(code)
  return string.format('{"type":"rejected","code":"%s","at":%.0f,"price":0,"next_minimum":0,"ends_at":0}', code, now)
end

if not epoch then
  return rejected(redis.call('EXISTS', ready) == 1 and 'unknown_auction' or 'unavailable')
end
now = math.max(now, decided_at)
if extended then
  return rejected('already_extended')
end
if seal then
  return rejected('closed')
end

seq, ends_at, latest_end = seq + 1, ends_at + by_ms, latest_end + by_ms
local record = string.format('{"type":"extension","auction":"%s","epoch":%.0f,"seq":%.0f,"at":%.0f,"action":"%s",'
  .. '"ends_at":%.0f,"latest_end":%.0f}', auction_id, epoch, seq, now, action, ends_at, latest_end)

redis.call('HSET', auction, 'seq', seq, 'ends_at', ends_at, 'latest_end', latest_end, 'decided_at', now, mark, 1)
redis.call('XADD', log, '*', 'r', record)
redis.call('RPUSH', history, record)
redis.call('LTRIM', history, -history_length, -1)
redis.call('ZADD', due, ends_at, auction_id)
redis.call('SPUBLISH', channel, record)
return record
