-- Gives, raises, lowers or (limit 0) takes back a paddle. Older versions of a paddle never overwrite newer ones.
-- Returns "written", "stale", "leading" (its owner leads with more than the new limit) or "unavailable".
local auction, paddles = KEYS[1], KEYS[2]
local bidder, number, limit, version = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local state = redis.call('HMGET', auction, 'epoch', 'leader', 'leader_maximum')
if not state[1] then
  return 'unavailable'
end
local stored = string.match(redis.call('HGET', paddles, bidder) or '', ':(%d+)$')
if stored and tonumber(stored) >= version then
  return tonumber(stored) == version and 'written' or 'stale'
end
if state[2] == bidder and limit < tonumber(state[3]) then
  return 'leading'
end
redis.call('HSET', paddles, bidder, number .. ':' .. ARGV[3] .. ':' .. ARGV[4])
-- The paddles of a sealed auction go when its state goes.
local ttl = redis.call('PTTL', auction)
if ttl ~= -1 then
  redis.call('PEXPIRE', paddles, ttl)
end
return 'written'
