"""What is sealed can only be opened with our keys and where it belongs."""

import os

import pytest
from cryptography.exceptions import InvalidTag

from store.vault import UnknownKey, Vault

OLD, NEW = os.urandom(32), os.urandom(32)
SECRET = "JBSWY3DPEHPK3PXP"


def test_what_is_sealed_opens_again_and_looks_different_each_time() -> None:
    vault = Vault({"old": OLD})
    kid, sealed = vault.seal(SECRET, b"here")
    assert vault.open(kid, sealed, b"here") == SECRET
    assert SECRET.encode() not in sealed
    assert vault.seal(SECRET, b"here") != (kid, sealed)


def test_the_first_key_seals_and_all_open() -> None:
    kid, sealed = Vault({"old": OLD}).seal(SECRET, b"here")
    both = Vault({"new": NEW, "old": OLD})
    assert both.open(kid, sealed, b"here") == SECRET
    assert both.seal(SECRET, b"here")[0] == "new"
    with pytest.raises(UnknownKey):
        Vault({"new": NEW}).open(kid, sealed, b"here")


def test_nothing_that_was_moved_or_changed_opens() -> None:
    vault = Vault({"old": OLD})
    kid, sealed = vault.seal(SECRET, b"here")
    for broken, place in ((sealed, b"there"), (sealed[:-1] + bytes([sealed[-1] ^ 1]), b"here")):
        with pytest.raises(InvalidTag):
            vault.open(kid, broken, place)
    with pytest.raises(InvalidTag):
        Vault({"old": NEW}).open(kid, sealed, b"here")
