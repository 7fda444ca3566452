from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from market import idempotency
from market.errors import Refusal
from market.idempotency import KEPT_S, IdempotencyClaim, Replayed
from market.money.wallet import Wallet
from store.models import IdempotencyKey
from tests.support.factories import make_user

ANSWER = Wallet(1, 2)


def do(session: Session, claim: IdempotencyClaim) -> Wallet:
    return idempotency.once(session, claim, 201, lambda _: ANSWER)


def test_the_first_time_it_is_done_and_then_replayed(db_session: Session) -> None:
    claim = IdempotencyClaim(make_user(db_session), "k", b"f")
    assert do(db_session, claim) == ANSWER
    with pytest.raises(Replayed) as replayed:
        do(db_session, claim)
    assert (replayed.value.status, replayed.value.body) == (201, b'{"available":1,"held":2}')


def test_another_request_under_the_same_key_is_refused(db_session: Session) -> None:
    user_id = make_user(db_session)
    do(db_session, IdempotencyClaim(user_id, "k", b"f"))
    with pytest.raises(Refusal, match="idempotency_key_reused"):
        do(db_session, IdempotencyClaim(user_id, "k", b"g"))
    do(db_session, IdempotencyClaim(user_id, "l", b"g"))
    do(db_session, IdempotencyClaim(make_user(db_session), "k", b"g"))


def test_what_is_old_is_forgotten(db_session: Session) -> None:
    user_id = make_user(db_session)
    for key, age_s in (("new", KEPT_S - 60), ("old", KEPT_S + 60)):
        created_at = func.now() - timedelta(seconds=age_s)
        db_session.add(
            IdempotencyKey(
                user_id=user_id, key=key, fingerprint=b"f", status=201, body=b"{}", created_at=created_at
            )
        )
    db_session.flush()
    idempotency.forget_old(db_session)
    kept = select(IdempotencyKey.key).where(IdempotencyKey.user_id == user_id)
    assert db_session.scalars(kept).all() == ["new"]
