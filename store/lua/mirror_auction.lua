-- Mirrors a neighbourhood auction of PostgreSQL, which decides it, for its viewers. Never goes back in time.
-- The records, without gaps, end with number `seq`; of those that Redis has in this epoch, none is published again.
-- Returns 1 when written, 0 when Redis had this or something newer.
local auction, history, channel = KEYS[1], KEYS[2], KEYS[3]
local epoch, seq, history_length, keep_ms, field_count =
  tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local first_record = 6 + field_count
local seq_before = seq - (#ARGV - first_record + 1)

local stored = redis.call('HMGET', auction, 'epoch', 'seq')
local stored_epoch, stored_seq = tonumber(stored[1]), tonumber(stored[2])
if stored_epoch and (stored_epoch > epoch or stored_epoch == epoch and stored_seq >= seq) then
  return 0
end

-- What an older epoch says, such as a seal, may never have been. And a history with a gap would be replayed as if it had
-- none; viewers that missed something get a snapshot instead.
if stored_epoch ~= epoch then
  redis.call('DEL', auction, history)
  stored_seq = seq_before
elseif stored_seq < seq_before then
  redis.call('DEL', history)
  stored_seq = seq_before
end
redis.call('HSET', auction, unpack(ARGV, 6, 5 + field_count))
for i = first_record + stored_seq - seq_before, #ARGV do
  redis.call('RPUSH', history, ARGV[i])
  redis.call('SPUBLISH', channel, ARGV[i])
end
redis.call('LTRIM', history, -history_length, -1)
if keep_ms > 0 then
  redis.call('PEXPIRE', auction, keep_ms)
  redis.call('PEXPIRE', history, keep_ms)
end
return 1
