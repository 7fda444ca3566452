-- Whether one more request fits (GCRA, the generic cell rate algorithm). The key holds the moment, by Redis's clock,
-- at which everything that was let in so far will have been paid for at the steady pace.
-- ARGV: interval (µs per request), quota (requests at once). Returns {1 if it fits, how many more fit now,
-- µs until the next one fits, µs until the whole quota is there again}.
local interval, quota = tonumber(ARGV[1]), tonumber(ARGV[2])

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local most = interval * quota
-- Bounded, in case the clock went back.
local debt = math.min(math.max((redis.call('GET', KEYS[1]) or 0) - now, 0), most)
local fits = debt + interval <= most
if fits then
  debt = debt + interval
  redis.call('SET', KEYS[1], string.format('%.0f', now + debt), 'PX', math.ceil(debt / 1000))
end
local remaining = math.floor((most - debt) / interval)
return {fits and 1 or 0, remaining, remaining > 0 and 0 or debt + interval - most, debt}
