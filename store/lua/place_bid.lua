-- Decides one offer, atomically and under this server's clock: a bid (its maximum) or a purchase ("buy_now"), which
-- also ends the auction. The rules are market/rules.py; both must agree.
-- Returns a record (JSON): of the accepted offer, now or when the same ref was accepted before, or of the refusal.
local auction, paddles, answers, log, history, due, channel, ready =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local auction_id, bidder, ref, offer, epoch_seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local history_length, answer_ttl_s, keep_ms = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local MAX_AMOUNT = 9007199254740991

local state = redis.call('HMGET', auction, 'epoch', 'seq', 'seller', 'opens_at', 'ends_at', 'start_price', 'steps',
  'window_ms', 'extension_ms', 'latest_end', 'price', 'leader', 'leader_paddle', 'leader_maximum', 'bids',
  'decided_at', 'seal', 'reserve', 'buy_now_price', 'buy_now_until', 'copy')
local epoch, seq, seller = tonumber(state[1]), tonumber(state[2]), state[3]
local opens_at, ends_at, start_price = tonumber(state[4]), tonumber(state[5]), tonumber(state[6])
local steps, window_ms, extension_ms, latest_end =
  state[7], tonumber(state[8]), tonumber(state[9]), tonumber(state[10])
local price, leader, leader_paddle, leader_maximum =
  tonumber(state[11]), state[12], tonumber(state[13]), tonumber(state[14])
local bids, decided_at, seal = tonumber(state[15]), tonumber(state[16]), state[17]
local reserve, buy_now_price, buy_now_until, copy = tonumber(state[18]), tonumber(state[19]), state[20], state[21]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Without its marker the shard was never loaded or has lost its data: nobody knows, so nobody decides.
if not epoch then
  local code = redis.call('EXISTS', ready) == 1 and 'unknown_auction' or 'unavailable'
  return string.format('{"type":"rejected","code":"%s","at":%.0f,"price":0,"next_minimum":0,"ends_at":0}', code, now)
end

-- A clock that steps back must not reorder the log.
now = math.max(now, decided_at)

local function increment_at(amount)
  local increment
  for from, step in string.gmatch(steps, '(%d+):(%d+)') do
    if tonumber(from) <= amount then
      increment = tonumber(step)
    end
  end
  return increment
end

local function next_minimum()
  if leader == '' then
    return start_price
  end
  return math.min(price + increment_at(price), MAX_AMOUNT)
end

local function reserve_met()
  return price >= reserve
end

local function buy_now()
  local gone = buy_now_until == 'first_bid' and leader ~= '' or buy_now_until == 'reserve_met' and reserve_met()
  if gone or next_minimum() > buy_now_price then
    return 0
  end
  return buy_now_price
end

local function rejected(code)
  return string.format('{"type":"rejected","code":"%s","at":%.0f,"price":%.0f,"next_minimum":%.0f,"ends_at":%.0f}',
    code, now, price, next_minimum(), ends_at)
end

-- PostgreSQL decides what is only mirrored here.
if copy then
  return rejected('wrong_kind')
end
local earlier = redis.call('HGET', answers, ref)
if earlier then
  local accepted = string.find(earlier, '"bought":true') and 'buy_now' or string.match(earlier, '"maximum":(%d+)')
  if offer == accepted then
    return earlier
  end
  return rejected('ref_reused')
end
if seal and string.find(seal, '"cancelled":true') then
  return rejected('cancelled')
end
if seal or now >= ends_at then
  return rejected('closed')
end
if epoch_seen ~= 0 and epoch_seen ~= epoch then
  return rejected('stale_epoch')
end
if now < opens_at then
  return rejected('not_open')
end
if bidder == seller then
  return rejected('own_auction')
end
local number, limit = string.match(redis.call('HGET', paddles, bidder) or '', '^(%d+):(%d+):')
number, limit = tonumber(number), tonumber(limit)
if not limit or limit == 0 then
  return rejected('no_paddle')
end
local buying = offer == 'buy_now'
local maximum = buying and buy_now() or tonumber(offer)
if maximum > limit then
  return rejected('over_limit')
end
if buying then
  if maximum == 0 then
    return rejected('no_buy_now')
  end
elseif bidder == leader then
  if maximum <= leader_maximum then
    return rejected('not_above_own_maximum')
  end
elseif maximum < next_minimum() then
  return rejected('below_minimum')
end

local outbid = ''
if buying then
  if leader ~= bidder then
    outbid = leader
  end
  price, leader, leader_paddle, leader_maximum = maximum, bidder, number, maximum
elseif leader == '' then
  price, leader, leader_paddle, leader_maximum = start_price, bidder, number, maximum
elseif leader == bidder then
  leader_maximum = maximum
elseif maximum > leader_maximum then
  outbid = leader
  price = math.min(leader_maximum + increment_at(price), maximum)
  leader, leader_paddle, leader_maximum = bidder, number, maximum
else
  price = math.min(maximum + increment_at(price), leader_maximum)
end
if leader_maximum >= reserve then
  price = math.max(price, reserve)
end

local extended = false
if buying then
  ends_at = now
elseif ends_at - now <= window_ms then
  local extended_end = math.min(now + extension_ms, latest_end)
  if extended_end > ends_at then
    ends_at, extended = extended_end, true
  end
end
seq, bids = seq + 1, bids + 1

local record = string.format('{"type":"bid","auction":"%s","epoch":%.0f,"seq":%.0f,"at":%.0f,"bidder":"%s",'
  .. '"paddle":%.0f,"ref":"%s","maximum":%.0f,"price":%.0f,"leader":"%s","leader_paddle":%.0f,'
  .. '"leader_maximum":%.0f,"outbid":"%s","next_minimum":%.0f,"ends_at":%.0f,"extended":%s,"bids":%.0f,'
  .. '"bought":%s,"reserve_met":%s,"buy_now":%.0f}',
  auction_id, epoch, seq, now, bidder, number, ref, maximum, price, leader, leader_paddle, leader_maximum, outbid,
  next_minimum(), ends_at, tostring(extended), bids, tostring(buying), tostring(reserve_met()), buy_now())

redis.call('HSET', auction, 'seq', seq, 'price', price, 'leader', leader, 'leader_paddle', leader_paddle,
  'leader_maximum', leader_maximum, 'bids', bids, 'ends_at', ends_at, 'decided_at', now)
redis.call('XADD', log, '*', 'r', record)
redis.call('RPUSH', history, record)
redis.call('LTRIM', history, -history_length, -1)
redis.call('HSET', answers, ref, record)
redis.call('EXPIRE', answers, answer_ttl_s)
if extended then
  redis.call('ZADD', due, ends_at, auction_id)
end
redis.call('SPUBLISH', channel, record)
if ends_at == now then
  -- seal_auction.lua, which store/redis/scripts.py has put before this script as a function.
  seal_auction({ auction, paddles, log, history, due, channel, ready }, { auction_id, history_length, keep_ms, 'end' })
end
return record
