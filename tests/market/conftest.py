"""An order to play with."""

import pytest

from store.database import SyncDatabase
from tests.support.trade import Trade


@pytest.fixture
def trade(sync_database: SyncDatabase) -> Trade:
    """A paid order of two new users."""
    return Trade.begin(sync_database)
