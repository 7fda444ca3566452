"""Signs of fraud over HTTP, and the traces of log-ins that some are found by."""

from uuid import UUID

from argon2 import PasswordHasher
from sqlalchemy import select, update

from market.moderation import fraud_signals
from store.database import SyncDatabase
from store.models import FraudSignalKind, LogInTrace, Role, User
from tests.support.bids import take_paddle
from tests.support.client import Client, People
from tests.support.factories import make_funded_user, make_user

PASSWORD = "a long password"


async def test_a_moderator_reviews_a_signal(person: People, sync_database: SyncDatabase) -> None:
    moderator = person(role=Role.MODERATOR)
    with sync_database.transaction() as session:
        bidder, seller = make_funded_user(session), make_user(session)
        for _ in range(fraud_signals.MIN_AUCTIONS):
            take_paddle(session, bidder, seller)
        fraud_signals.find(session, FraudSignalKind.ONE_SELLER)
    listed = await moderator.items("/admin/fraud-signals?kind=one_seller", 50)
    [signal] = [item for item in listed if item["user_id"] == str(bidder)]
    assert signal["why"] == {"auctions": fraud_signals.MIN_AUCTIONS, "won": 0}
    body = {"reason": "A fan"}
    reviewed = await moderator.post(f"/admin/fraud-signals/{signal['id']}/review", body)
    assert reviewed["reviewer_id"] == str(moderator.user_id)
    assert (
        await moderator.refused("POST", f"/admin/fraud-signals/{signal['id']}/review", body) == "wrong_state"
    )
    assert reviewed in await moderator.items("/admin/fraud-signals?state=reviewed", 50)
    assert await moderator.refused("GET", "/admin/fraud-signals?state=closed") == "invalid_query"


async def test_a_log_in_leaves_hashes_only(guest: Client, sync_database: SyncDatabase) -> None:
    with sync_database.transaction() as session:
        users = [make_user(session) for _ in range(2)]
        hashed = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash(PASSWORD)
        session.execute(update(User).where(User.id.in_(users)).values(password_hash=hashed))
        emails = session.scalars(select(User.email).where(User.id.in_(users)).order_by(User.id)).all()
    agents = ("Firefox", "Chrome")
    for email, agent in zip(emails, agents, strict=True):
        body = {"email": email, "password": PASSWORD}
        answer = await guest.call("POST", "/auth/login", body, headers={"User-Agent": agent})
        assert answer.status == 201

    def trace(user_id: UUID) -> LogInTrace:
        with sync_database.transaction() as session:
            return session.scalars(select(LogInTrace).where(LogInTrace.user_id == user_id)).one()

    one, other = (trace(user_id) for user_id in sorted(users))
    assert one.address_hash == other.address_hash
    assert one.device_hash != other.device_hash
    assert {len(one.address_hash), len(one.device_hash)} == {32}
