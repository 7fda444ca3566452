"""The end of an account: what keeps it, what it leaves behind, and that nothing slips in at the same moment."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, inspect, select, text, update
from sqlalchemy.orm import Session

from market import account_deletion, idempotency
from market.accounts import accounts, sessions
from market.accounts.accounts import NewUser
from market.accounts.sessions import Lifetime, RefreshToken
from market.audit import Actor
from market.bidding import paddles
from market.errors import Refusal
from market.listings import auction_views, listings
from market.moderation import fraud_signals, reports
from market.money import wallet
from market.money.wallet import Wallet
from market.notifications import account_emails
from market.orders import chats, orders
from store import models
from store.database import SyncDatabase
from store.ids import new_id
from store.models import (
    AccountEmail,
    AccountEmailKind,
    Auction,
    AuctionStatus,
    EmailToken,
    EmailTokenPurpose,
    IdempotencyKey,
    Language,
    LogInTrace,
    Order,
    OrderState,
    PaddleStatus,
    RecoveryCode,
    ReportKind,
    ReportOutcome,
    ReportReason,
    Role,
    SearchWords,
    SecondFactor,
    User,
)
from store.vault import Vault
from tests.support.effects import ended
from tests.support.factories import NO_PASSWORD, a_draft, make_funded_user, make_published_auction, make_user
from tests.support.races import at_once
from tests.support.trade import Trade
from tests.support.waiting import until

LIFETIME = Lifetime(60, 60)
VAULT = Vault({"test": os.urandom(32)})
Act = Callable[[Session, UUID], Any]


def delete(session: Session, user_id: UUID) -> None:
    account_deletion.delete(session, user_id, NO_PASSWORD)


def register(session: Session, email: str, **fields: Any) -> UUID:
    new = NewUser(email=email, password_hash=NO_PASSWORD, display_name="Ann", **fields)
    made = accounts.register(session, new, verified=True)
    assert made is not None
    return made


def mail_of(session: Session, address: str) -> list[UUID]:
    return list(session.scalars(select(AccountEmail.id).where(AccountEmail.address == address)))


def test_everything_personal_is_overwritten_and_the_rest_stays(db_session: Session) -> None:
    email = f"{new_id()}@example.org"
    user = register(db_session, email, role=Role.ADMIN, language=Language.KOREAN)
    accounts.edit_profile(db_session, user, 1, {"bio": "Lives here."})
    account_emails.write(db_session, AccountEmailKind.RESET, email)
    db_session.add(
        EmailToken(user_id=user, purpose=EmailTokenPurpose.RESET, token_hash=b"x", expires_at=func.now())
    )
    db_session.add(SecondFactor(user_id=user, kid="k", sealed_secret=b"x"))
    db_session.flush()
    db_session.add(RecoveryCode(user_id=user, code_hash=b"x"))
    db_session.flush()
    draft = listings.create(db_session, user, a_draft(title="Ann's bicycle")).id
    claim = idempotency.IdempotencyClaim(user, "key", b"")
    idempotency.once(db_session, claim, 200, lambda session: auction_views.get(session, draft, user))
    opened = sessions.open_session(db_session, user, RefreshToken.new(), LIFETIME)
    fraud_signals.remember_log_in(db_session, user, b"address", b"device")
    other = make_user(db_session, role=Role.ADMIN)

    delete(db_session, user)
    assert ended(db_session) == [opened]

    row = db_session.scalars(select(User).where(User.id == user)).one()
    db_session.refresh(row)
    assert {name: getattr(row, name) for name in inspect(User).columns.keys()} == {  # noqa: SIM118
        "id": user,
        "email": f"deleted:{user}",
        "password_hash": "",
        "display_name": "Deleted user",
        "bio": "",
        "role": Role.USER,
        "created_at": row.created_at,
        "version": 3,
        "deleted_at": db_session.scalar(select(func.now())),
        "language": Language.ENGLISH,
        "email_verified_at": None,
        "banned_at": None,
        "suspended_until": None,
        # What others have to know to judge the orders and reviews that stay.
        "completed_orders": 0,
        "no_shows": 0,
        "reviews": 0,
        "stars": 0,
        "trust": row.trust,
    }
    assert mail_of(db_session, email) == []
    view = auction_views.get(db_session, draft, user)
    assert (view.title, view.description, view.seller_name) == ("Deleted", "", "Deleted user")
    assert db_session.scalar(select(SearchWords.words).where(SearchWords.auction_id == draft)) == ""
    assert db_session.get(IdempotencyKey, (user, "key")) is None
    assert db_session.scalar(select(LogInTrace.id).where(LogInTrace.user_id == user)) is None
    assert sessions.authenticate(db_session, opened, user) is None
    assert accounts.login_data(db_session, email) is None
    for table in (EmailToken, SecondFactor, RecoveryCode):
        assert db_session.scalars(select(table.user_id).where(table.user_id == user)).all() == []
    assert register(db_session, email) != user
    assert accounts.profile(db_session, other).display_name == "Somebody"


@pytest.fixture
def over(trade: Trade) -> Trade:
    """An order with a chat, that was over 29 days ago. The buyer's account is deleted."""
    for side in (trade.buyer, trade.seller):
        trade.do(chats.send, side, trade.order_id, "Meet me at home.")
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    trade.do(delete, trade.buyer)
    trade.pass_time(timedelta(days=29))
    return trade


def words(trade: Trade) -> list[str]:
    """What the seller, then what the buyer has written, after the sweep."""
    trade.do(account_deletion.forget_messages)
    messages = trade.do(chats.page, trade.seller, trade.order_id, None, 10).items
    assert [message.by for message in messages] == ["seller", "buyer"]
    return [message.text for message in messages]


def test_the_words_in_a_chat_are_forgotten_when_they_are_no_evidence_any_more(over: Trade) -> None:
    assert words(over) == ["Meet me at home."] * 2
    over.pass_time(timedelta(days=1))
    assert words(over) == ["Meet me at home.", ""]
    assert over.do(account_deletion.forget_messages) == 0


def test_the_words_of_the_user_who_stays_are_kept(trade: Trade) -> None:
    trade.do(chats.send, trade.seller, trade.order_id, "Hello.")
    trade.do(chats.send, trade.buyer, trade.order_id, "Hello.")
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    trade.pass_time(timedelta(days=365))
    trade.do(account_deletion.forget_messages)
    assert [m.text for m in trade.do(chats.page, trade.buyer, trade.order_id, None, 10).items] == [
        "Hello."
    ] * 2


@pytest.mark.parametrize("about", ["the message", "the answer", "the writer", "the other"])
def test_the_words_in_a_chat_are_kept_while_a_report_is_open(over: Trade, about: str) -> None:
    answer, message = (one.id for one in over.do(chats.page, over.seller, over.order_id, None, 10).items)
    kind, subject, reporter = {
        "the message": (ReportKind.MESSAGE, message, over.seller),
        "the answer": (ReportKind.MESSAGE, answer, over.buyer),
        "the writer": (ReportKind.USER, over.buyer, over.seller),
        "the other": (ReportKind.USER, over.seller, over.buyer),
    }[about]
    report = over.do(reports.make, reporter, kind, subject, ReportReason.FRAUD, "")
    over.pass_time(timedelta(days=300))
    assert words(over) == ["Meet me at home."] * 2
    with over.database.transaction() as session:
        moderator = Actor(make_user(session, role=Role.MODERATOR), Role.MODERATOR)
    over.do(reports.resolve, moderator, report.id, ReportOutcome.DISMISSED, "Nothing")
    assert words(over) == ["Meet me at home.", ""]


def test_without_the_current_password_nothing_is_deleted(db_session: Session) -> None:
    user = make_user(db_session)
    accounts.change_password(db_session, user, NO_PASSWORD, "another", keep=new_id())
    with pytest.raises(Refusal, match="invalid_credentials"):
        delete(db_session, user)
    account_deletion.delete(db_session, user, "another")
    with pytest.raises(Refusal, match="invalid_credentials"):
        account_deletion.delete(db_session, user, "another")


def refusal(session: Session, user_id: UUID) -> tuple[str, dict[str, object]]:
    with pytest.raises(Refusal) as refused:
        delete(session, user_id)
    return refused.value.code, refused.value.fields


def change(session: Session, auction_id: UUID, **values: Any) -> None:
    session.execute(update(Auction).where(Auction.id == auction_id).values(**values))


def test_money_must_be_taken_out_first(db_session: Session) -> None:
    user = make_funded_user(db_session, 1)
    assert refusal(db_session, user) == ("balance_not_zero", {"available": 1, "held": 0})


def test_a_paddle_must_be_given_back_first(db_session: Session) -> None:
    user, auction = make_funded_user(db_session, 1_000), make_published_auction(db_session).id
    paddles.take(db_session, user, auction, 1_000)
    named = {"paddles": [auction], "auctions": [], "orders": []}
    assert refusal(db_session, user) == ("unsettled_business", named)
    returning = paddles.begin_return(db_session, user, auction)
    assert refusal(db_session, user) == ("unsettled_business", named)
    paddles.finish_return(db_session, auction, user, returning.version)
    assert refusal(db_session, user) == ("balance_not_zero", {"available": 1_000, "held": 0})


def test_an_auction_must_be_settled_first(db_session: Session) -> None:
    seller = make_user(db_session)
    auction = make_published_auction(db_session, seller).id
    named = {"paddles": [], "auctions": [auction], "orders": []}
    assert refusal(db_session, seller) == ("unsettled_business", named)
    change(db_session, auction, status=AuctionStatus.SEALED)
    assert refusal(db_session, seller) == ("unsettled_business", named)
    change(db_session, auction, status=AuctionStatus.UNSOLD)
    delete(db_session, seller)


def test_an_order_must_be_done_first(db_session: Session) -> None:
    seller, buyer = make_user(db_session), make_user(db_session)
    auction = make_published_auction(db_session, seller).id
    change(db_session, auction, status=AuctionStatus.SOLD)
    order = Order(
        auction_id=auction,
        seller_id=seller,
        buyer_id=buyer,
        hammer_price=1_000,
        state=OrderState.IN_ESCROW,
    )
    db_session.add(order)
    db_session.flush()
    for user in (seller, buyer):
        named = {"paddles": [], "auctions": [], "orders": [order.id]}
        assert refusal(db_session, user) == ("unsettled_business", named)


def test_a_refusal_names_a_bounded_number(db_session: Session) -> None:
    seller = make_user(db_session)
    for _ in range(account_deletion.MAX_NAMED + 1):
        make_published_auction(db_session, seller)
    _, named = refusal(db_session, seller)
    assert len(named["auctions"]) == account_deletion.MAX_NAMED  # type: ignore[arg-type]


def publish(session: Session, user_id: UUID) -> None:
    draft = session.scalars(select(Auction.id).where(Auction.seller_id == user_id)).one()
    listings.publish(session, user_id, draft)


def write_draft(session: Session, user_id: UUID) -> None:
    listings.create(session, user_id, a_draft(title="Mine"))


def log_in(session: Session, user_id: UUID) -> None:
    sessions.log_in(session, VAULT, user_id, NO_PASSWORD, None, RefreshToken.new(), LIFETIME)


def refresh(session: Session, user_id: UUID) -> None:
    """Exchange the refresh token of the session that `Race` opened."""
    sessions.refresh(session, RefreshToken(user_id.bytes, user_id.bytes), 60)


def top_up(session: Session, user_id: UUID) -> None:
    wallet.top_up(session, user_id, 1_000, new_id())


class Race:
    """A user with a draft, and transactions of that user that run in threads."""

    def __init__(self, database: SyncDatabase) -> None:
        self.database = database
        with database.transaction() as session:
            self.user = make_user(session)
            listings.create(session, self.user, a_draft())
            sessions.open_session(
                session, self.user, RefreshToken(self.user.bytes, self.user.bytes), LIFETIME
            )

    def run(self, act: Act) -> str:
        """ "done", or the code of the refusal."""
        try:
            with self.database.transaction() as session:
                act(session, self.user)
        except Refusal as refused:
            return refused.code
        return "done"

    async def second_waits(self, first: Act, second: Act) -> str:
        """What becomes of `second`, begun while `first` is not committed yet."""
        with ThreadPoolExecutor(1) as threads, self.database.transaction() as session:
            first(session, self.user)
            running = threads.submit(self.run, second)
            await until(lambda: running.done() or self._waiting())
            assert not running.done(), running.result()
            session.commit()
            return running.result(30)

    def _waiting(self) -> bool:
        with self.database.transaction() as session:
            return bool(session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    def left(self) -> tuple[int, list[str], Wallet]:
        """How many auctions are published, the titles of all, and the money."""
        with self.database.transaction() as session:
            rows = session.execute(
                select(Auction.title, Auction.status).where(Auction.seller_id == self.user)
            ).all()
            published = sum(row.status != AuctionStatus.DRAFT for row in rows)
            return published, [row.title for row in rows], wallet.view(session, self.user)


GONE = (0, ["Deleted"], Wallet(0, 0))


@pytest.mark.parametrize("act", [publish, write_draft, top_up])
async def test_what_begins_during_a_deletion_is_refused(sync_database: SyncDatabase, act: Act) -> None:
    race = Race(sync_database)
    assert await race.second_waits(delete, act) == "unauthenticated"
    assert race.left() == GONE


@pytest.mark.parametrize(
    ("act", "code"),
    [(publish, "unsettled_business"), (write_draft, "done"), (top_up, "balance_not_zero")],
)
async def test_a_deletion_sees_what_has_begun(sync_database: SyncDatabase, act: Act, code: str) -> None:
    race = Race(sync_database)
    assert await race.second_waits(act, delete) == code
    if act is write_draft:
        assert race.left() == (0, ["Deleted", "Deleted"], Wallet(0, 0))


@pytest.mark.parametrize("written_first", [True, False])
async def test_no_message_is_forgotten_to_be_forgotten(trade: Trade, written_first: bool) -> None:
    trade.ship()
    trade.do(orders.confirm, trade.buyer, trade.order_id)
    race = Race(trade.database)
    race.user = trade.buyer

    def write(session: Session, user_id: UUID) -> None:
        chats.send(session, user_id, trade.order_id, "Bye.")

    if written_first:
        assert await race.second_waits(write, delete) == "done"
    else:
        assert await race.second_waits(delete, write) == "unauthenticated"
    trade.pass_time(account_deletion.MESSAGES_KEPT)
    trade.do(account_deletion.forget_messages)
    left = trade.do(chats.page, trade.seller, trade.order_id, None, 10).items
    assert [message.text for message in left] == [""] * written_first


def test_a_user_who_takes_a_paddle_at_the_same_moment_keeps_the_account(sync_database: SyncDatabase) -> None:
    for _ in range(5):
        with sync_database.transaction() as session:
            user, auction = make_funded_user(session, 1_000), make_published_auction(session).id

        def take(session: Session, auction: UUID = auction, user: UUID = user) -> object:
            return paddles.take(session, user, auction, 1_000).status

        def give_back(session: Session, auction: UUID = auction, user: UUID = user) -> object:
            version = paddles.begin_return(session, user, auction).version
            return paddles.finish_return(session, auction, user, version).status

        calls: list[Callable[[Session], object]] = [take, give_back, *[partial(delete, user_id=user)] * 3]

        def run(call: Callable[[Session], object]) -> object:
            with sync_database.transaction() as session:
                return call(session)

        results = at_once([partial(run, call) for call in calls])
        assert set(results) <= {
            PaddleStatus.ACTIVE,
            PaddleStatus.RETURNED,
            "no_paddle",
            "unsettled_business",
            "balance_not_zero",
        }


@pytest.mark.parametrize(
    ("act", "code"), [(log_in, "invalid_credentials"), (refresh, "invalid_refresh_token")]
)
async def test_no_session_survives_that_is_opened_or_refreshed_at_the_same_moment(
    sync_database: SyncDatabase, act: Act, code: str
) -> None:
    during, before = Race(sync_database), Race(sync_database)
    assert await during.second_waits(delete, act) == code
    assert await before.second_waits(act, delete) == "done"
    with sync_database.transaction() as session:
        still_open = select(models.Session.id).where(
            models.Session.user_id.in_([during.user, before.user]), models.Session.revoked_at.is_(None)
        )
        assert list(session.scalars(still_open)) == []


def test_of_many_deletions_at_once_one_deletes(sync_database: SyncDatabase) -> None:
    race = Race(sync_database)
    results = at_once([partial(race.run, delete)] * 6)
    assert sorted(results) == ["done"] + ["invalid_credentials"] * 5
    assert race.left() == GONE
