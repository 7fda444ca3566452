-- Copies a neighbourhood auction from PostgreSQL, which decides it, for its viewers. Never goes back in time.
-- Returns 1 when written, 0 when Redis had this or something newer.
local auction, history, channel = KEYS[1], KEYS[2], KEYS[3]
local seq, history_length, keep_ms, field_count =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local first_record = 5 + field_count
local record_count = #ARGV - first_record + 1

local stored = tonumber(redis.call('HGET', auction, 'seq'))
if stored and stored >= seq then
  return 0
end

redis.call('HSET', auction, unpack(ARGV, 5, 4 + field_count))
-- A history with a gap would be replayed as if it had none; whoever missed something gets a snapshot instead.
if stored ~= seq - record_count then
  redis.call('DEL', history)
end
for i = first_record, #ARGV do
  redis.call('RPUSH', history, ARGV[i])
  redis.call('SPUBLISH', channel, ARGV[i])
end
redis.call('LTRIM', history, -history_length, -1)
if keep_ms > 0 then
  redis.call('PEXPIRE', auction, keep_ms)
  redis.call('PEXPIRE', history, keep_ms)
end
return 1
