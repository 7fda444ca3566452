"""Counts attempts to log in, per account and address, and makes clients that keep failing wait longer and longer.

Another address has a count of its own, so only clients that share the owner's address can make the owner wait.
"""

import hashlib

from store.redis.calls import Batch, Call, nothing
from store.redis.scripts import Script

ATTEMPTS = Script("attempts")

FREE = 5
"""Attempts without any delay."""
FIRST_DELAY_MS = 1_000
LONGEST_DELAY_MS = 60_000
"""One guess a minute is slow enough, and an owner behind the guesser's address can wait for it."""
FORGET_MS = 60 * 60 * 1000
"""After so long without an attempt all is forgotten."""


def begin(account: str, address: str, *, script: Script = ATTEMPTS) -> Call[int]:
    """Count an attempt: 0 if it may be made, else how many ms it is too early; then it does not count."""
    arguments = [FREE, FIRST_DELAY_MS, LONGEST_DELAY_MS, FORGET_MS]
    return Call(script, [_key(account, address)], arguments, int)


def forget(account: str, address: str) -> Batch[None]:
    """The attempt was successful: the next failures start from the beginning."""
    return Batch(lambda pipe: pipe.delete(_key(account, address)), nothing)


def _key(account: str, address: str) -> str:
    # Neither who logs in nor from where can be read in Redis.
    return f"attempts:{hashlib.sha256(f'{account.lower()} {address}'.encode()).hexdigest()}"
