"""Looking for signs of fraud, all kinds in turn."""

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from market.moderation import fraud_signals
from store.models import FraudSignalKind
from tasks.app import Resources
from tasks.moderation.fraud_signals import find_signals


def test_a_kind_that_cannot_be_looked_for_keeps_no_other_from_being_found(
    resources: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[FraudSignalKind] = []

    def find(session: Session, kind: FraudSignalKind) -> int:
        looked.append(kind)
        if kind == FraudSignalKind.SHARED_ADDRESS:
            raise OperationalError("it takes too long", None, Exception())
        return 0

    monkeypatch.setattr(fraud_signals, "find", find)
    with capture_logs() as logs:
        find_signals(resources)
    assert looked == list(FraudSignalKind)
    assert [entry["event"] for entry in logs] == ["signals_not_looked_for"]


def test_all_kinds_are_looked_for(resources: Resources) -> None:
    with capture_logs() as logs:
        find_signals(resources)
    assert logs == []
