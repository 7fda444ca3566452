"""The keys of the REST application under test."""

import os

from handlers.http.tokens import AccessTokens
from store.vault import Vault

KEYS = {"new": os.urandom(32), "old": os.urandom(32)}

TOKENS = AccessTokens(KEYS)

VAULT = Vault(KEYS)

UNSUBSCRIBE_KEY = b"a key of the tests"
