-- Keeps the switches, unless a later version is known.
-- ARGV: version, value (JSON). Returns 1, or 0 if there is a later one.
local switches = KEYS[1]  -- hash: version, value
local version = tonumber(ARGV[1])
local value = ARGV[2]

if version < tonumber(redis.call('HGET', switches, 'version') or 0) then
  return 0
end
redis.call('HSET', switches, 'version', version, 'value', value)
return 1
