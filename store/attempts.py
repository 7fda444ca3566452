"""Counts attempts to log in, per account and address, and makes whoever keeps failing wait longer and longer.

Another address has a count of its own, so nobody can lock the owner out. Everything raises `redis.RedisError`.
"""

import hashlib

from store.hot import Hot

FREE = 5
"""Attempts without any delay."""
FIRST_DELAY_MS = 1_000
LONGEST_DELAY_MS = 15 * 60 * 1000
FORGET_MS = 60 * 60 * 1000
"""After so long without an attempt all is forgotten."""

# It counts before the password is checked: many attempts at the same moment are no way around the delay.
_BEGIN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local wait = tonumber(redis.call('HGET', KEYS[1], 'until') or 0) - now
if wait > 0 then return wait end
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if count >= tonumber(ARGV[1]) then
    local delay = math.min(tonumber(ARGV[2]) * 2 ^ math.min(count - ARGV[1], 30), tonumber(ARGV[3]))
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + delay))
end
return 0
"""


async def begin(hot: Hot, account: str, address: str) -> int:
    """Count an attempt: 0 if it may be made, else how many ms it is too early; then it does not count."""
    arguments = (FREE, FIRST_DELAY_MS, LONGEST_DELAY_MS, FORGET_MS)
    return int(await hot.client.eval(_BEGIN, 1, _key(account, address), *arguments))


async def forget(hot: Hot, account: str, address: str) -> None:
    """The attempt was successful: the next failures start from the beginning."""
    await hot.client.delete(_key(account, address))


def _key(account: str, address: str) -> str:
    # Neither who logs in nor from where can be read in Redis.
    return f"attempts:{hashlib.sha256(f'{account.lower()} {address}'.encode()).hexdigest()}"
