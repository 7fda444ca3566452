-- Puts an auction into the hot state, with its paddles, as PostgreSQL knows it. Never replaces what is there.
-- Returns 1 when loaded, 0 when the auction already had hot state.
local auction, paddles, history, log, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local auction_id, ends_at, log_position, field_count = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])

if redis.call('EXISTS', auction) == 1 then
  return 0
end
redis.call('DEL', paddles, history)
redis.call('HSET', auction, unpack(ARGV, 5, 4 + field_count))
for i = 5 + field_count, #ARGV, 2 do
  redis.call('HSET', paddles, ARGV[i], ARGV[i + 1])
end
redis.call('ZADD', due, ends_at, auction_id)
-- A log that was lost starts again behind what PostgreSQL has already read, even if the clock stepped back.
if redis.call('EXISTS', log) == 0 and log_position ~= '0-0' then
  redis.call('XADD', log, log_position, 'r', '')
  redis.call('XDEL', log, log_position)
end
return 1
