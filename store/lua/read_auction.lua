-- Reads an auction for its viewers, with the records after a sequence number as far as they are still kept.
-- Returns {time in ms, state as a flat list of names and values, records}; the state is "unknown_auction" or
-- "unavailable" when there is none.
local auction, history, ready, mirrored = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local after = tonumber(ARGV[1])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local state = redis.call('HGETALL', auction)
if #state == 0 then
  -- It may be of either kind: only when all of both are there does it not exist.
  return { now, redis.call('EXISTS', ready, mirrored) == 2 and 'unknown_auction' or 'unavailable', {} }
end
local missed = tonumber(redis.call('HGET', auction, 'seq')) - after
if missed <= 0 then
  return { now, state, {} }
end
return { now, state, redis.call('LRANGE', history, -missed, -1) }
