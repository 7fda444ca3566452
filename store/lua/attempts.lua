-- Counts an attempt to log in. After too many failures each further one doubles the wait.
-- It counts before the password is checked: many attempts at the same moment are no way around the delay.
-- Returns 0 if the attempt may be made, else how many ms it is too early; then it does not count.
local attempts = KEYS[1]  -- hash: count, until (ms, Redis's clock)
local free = tonumber(ARGV[1])
local first_delay_ms = tonumber(ARGV[2])
local longest_delay_ms = tonumber(ARGV[3])
local forget_ms = tonumber(ARGV[4])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = tonumber(redis.call('HGET', attempts, 'until') or 0) - now
if wait > 0 then
  -- Bounded, in case the clock went back.
  return math.min(wait, longest_delay_ms)
end
local count = redis.call('HINCRBY', attempts, 'count', 1)
if count >= free then
  -- Bounded, because from 2^53 on not every integer is one.
  local delay = math.min(first_delay_ms * 2 ^ math.min(count - free, 30), longest_delay_ms)
  redis.call('HSET', attempts, 'until', string.format('%.0f', now + delay))
end
redis.call('PEXPIRE', attempts, forget_ms)
return 0
