"""Users, auctions and orders to test with, written through the use-cases."""

import os
from time import time
from typing import Any
from uuid import UUID

from argon2 import PasswordHasher
from sqlalchemy import select
from sqlalchemy.orm import Session

from market.accounts import accounts
from market.accounts.accounts import NewUser
from market.listings import listings
from market.listings.auction_views import AuctionView
from market.listings.listings import Draft, Place, SoftCloseTerms
from market.money import ledger, wallet
from market.money.ledger import Posting
from market.notifications import notifications
from market.notifications.notifications import NewNotification
from market.places import neighbourhoods
from market.places.neighbourhoods import Radius
from store.ids import new_id
from store.models import AccountKind, Event, Notification, Order, OrderState, Role, TransferKind

MINUTE_MS = 60_000

NO_PASSWORD = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1).hash(os.urandom(16).hex())
"""The hash of a password that nobody knows, as cheap to check as can be."""

NOBODYS_ID = "5a0e1f6c-5b3a-4c3e-9d6e-3f2b1c0d9e8f"
"""Nothing has this id, which tests may name: processes that share the tests must know each by the same name."""


def make_user(
    session: Session, display_name: str = "Somebody", role: Role = Role.USER, verified: bool = True
) -> UUID:
    """A user without money."""
    new = NewUser(
        email=f"{new_id()}@example.org", password_hash=NO_PASSWORD, display_name=display_name, role=role
    )
    user_id = accounts.register(session, new, verified=verified)
    assert user_id is not None
    return user_id


def make_funded_user(session: Session, amount: int = 1_000_000, display_name: str = "Somebody") -> UUID:
    """A user with `amount` available."""
    user_id = make_user(session, display_name)
    wallet.top_up(session, user_id, amount, new_id())
    return user_id


def a_draft(**changes: Any) -> Draft:
    """An auction that is open and runs for an hour, unless `changes` say otherwise."""
    now = int(time() * 1000)
    fields: dict[str, Any] = {
        "title": "A bicycle",
        "description": "Ridden twice.",
        "start_price": 1_000,
        "increments": [(0, 100), (10_000, 500)],
        "opens_at": now - MINUTE_MS,
        "ends_at": now + 60 * MINUTE_MS,
        "soft_close": SoftCloseTerms(window_ms=MINUTE_MS, extension_ms=MINUTE_MS, cap_ms=10 * MINUTE_MS),
    }
    return Draft(**fields | changes)


def make_published_auction(session: Session, seller_id: UUID | None = None, **changes: Any) -> AuctionView:
    """A published auction, by default of a new seller; `changes` as in `a_draft`."""
    seller_id = seller_id or make_user(session, "A seller")
    draft = listings.create(session, seller_id, a_draft(**changes))
    return listings.publish(session, seller_id, draft.id)


def make_order(
    session: Session,
    seller_id: UUID | None = None,
    buyer_id: UUID | None = None,
    hammer_price: int = 1_500,
    **changes: Any,
) -> Order:
    """A paid order, of new users unless said; `changes` as in `a_draft`."""
    seller_id = seller_id or make_user(session, "A seller")
    order = Order(
        id=new_id(),
        auction_id=make_published_auction(session, seller_id, **changes).id,
        seller_id=seller_id,
        buyer_id=buyer_id or make_user(session, "A buyer"),
        hammer_price=hammer_price,
        state=OrderState.IN_ESCROW,
    )
    session.add(order)
    session.flush()
    provider = ledger.account(session, AccountKind.PROVIDER, None)
    escrow = ledger.account(session, AccountKind.ESCROW, order.id)
    ledger.post(session, [Posting(new_id(), TransferKind.TOP_UP, provider, escrow, hammer_price)])
    return order


def make_notification(session: Session, user_id: UUID, event: Event = Event.REVIEW) -> UUID:
    """A notification of a user; its id."""
    cause = str(new_id())
    notifications.notify(session, [NewNotification(user_id, event, cause, {"title": "A bicycle"})])
    return session.scalars(select(Notification.id).where(Notification.key == f"{event}:{cause}")).one()


YEOKSAM = (37.500613, 127.036431)
"""Latitude and longitude of a place in `some_regions`."""


def make_neighbour(
    session: Session, funds: int = 0, position: tuple[float, float] = YEOKSAM
) -> tuple[UUID, UUID]:
    """A user with `funds` who lives at `position`, and the id of the neighbourhood. Needs `some_regions`."""
    user_id = make_funded_user(session, funds) if funds else make_user(session)
    return user_id, neighbourhoods.verify(session, user_id, *position, accuracy_m=10).id


def make_neighbourhood_auction(session: Session, **changes: Any) -> AuctionView:
    """A published auction among the neighbours of a new seller at `YEOKSAM`; `changes` as in `a_draft`."""
    seller_id, home = make_neighbour(session)
    return make_published_auction(session, seller_id, place=Place(home, Radius.NEAR), **changes)
