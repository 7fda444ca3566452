-- Ends an auction: whose time has come ("end"; nobody wins below the reserve), or, with no winner, which nobody has bid
-- on ("cancel") or whatever has happened ("force"). Idempotent: whatever is asked later, it returns the first seal.
-- Returns JSON: the seal record, "not_yet" with the end and the time now, or "rejected" for missing state or bids.
local auction, paddles, log, history, due, channel, ready =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
local auction_id, history_length, keep_ms, mode = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]

local state = redis.call('HMGET', auction, 'epoch', 'seq', 'ends_at', 'price', 'leader', 'leader_paddle', 'bids',
  'decided_at', 'seal', 'reserve')
local epoch, seq, ends_at, price = tonumber(state[1]), tonumber(state[2]), tonumber(state[3]), tonumber(state[4])
local leader, leader_paddle, bids = state[5], tonumber(state[6]), tonumber(state[7])
local decided_at, seal, reserve = tonumber(state[8]), state[9], tonumber(state[10])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function rejected(code)
  return string.format('{"type":"rejected","code":"%s","at":%.0f,"price":0,"next_minimum":0,"ends_at":0}', code, now)
end

if not epoch then
  return rejected(redis.call('EXISTS', ready) == 1 and 'unknown_auction' or 'unavailable')
end
if seal then
  return seal
end
now = math.max(now, decided_at)
local cancelled = mode ~= 'end'
if not cancelled and now < ends_at then
  return string.format('{"type":"not_yet","at":%.0f,"ends_at":%.0f}', now, ends_at)
end
if mode == 'cancel' and bids > 0 then
  return rejected('has_bids')
end

if cancelled or price < reserve then
  leader, leader_paddle = '', 0
end
seq = seq + 1
local record = string.format('{"type":"seal","auction":"%s","epoch":%.0f,"seq":%.0f,"at":%.0f,"ends_at":%.0f,'
  .. '"price":%.0f,"leader":"%s","leader_paddle":%.0f,"bids":%.0f,"cancelled":%s}',
  auction_id, epoch, seq, now, ends_at, price, leader, leader_paddle, bids, tostring(cancelled))

redis.call('HSET', auction, 'seq', seq, 'decided_at', now, 'seal', record)
redis.call('XADD', log, '*', 'r', record)
redis.call('RPUSH', history, record)
redis.call('LTRIM', history, -history_length, -1)
redis.call('ZREM', due, auction_id)
redis.call('SPUBLISH', channel, record)
-- Late viewers still find the result; PostgreSQL keeps it for good.
redis.call('PEXPIRE', auction, keep_ms)
redis.call('PEXPIRE', paddles, keep_ms)
redis.call('PEXPIRE', history, keep_ms)
return record
