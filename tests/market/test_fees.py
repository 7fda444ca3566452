"""The seller's fee: what it is, and that it goes to the platform when the seller is paid."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from market import fees
from market.audit import Actor
from market.bidding import neighbourhood
from market.fees import SellerFee
from market.listings import listings
from market.money import ledger
from market.orders import orders
from market.platform import settings
from market.rules import MAX_AMOUNT, BuyNowUntil
from store.models import AccountKind, Auction, LedgerAccount, Order, Role
from tests.support.factories import (
    a_draft,
    make_neighbour,
    make_neighbourhood_auction,
    make_published_auction,
    make_user,
)

FEE = SellerFee(basis_points=333, floor=20, cap=500)


@pytest.mark.parametrize(
    ("fee", "price", "wanted"),
    [
        (SellerFee(), 1_000, 0),
        (SellerFee(basis_points=333), 1_000, 33),
        (SellerFee(basis_points=5_000), 1, 0),
        (SellerFee(basis_points=100, floor=50), 1_000, 50),
        (SellerFee(basis_points=100, floor=50), 30, 30),
        (SellerFee(basis_points=1_000, cap=80), 1_000, 80),
        (SellerFee(basis_points=1_000, floor=50, cap=20), 1_000, 20),
        (SellerFee(basis_points=5_000), MAX_AMOUNT, MAX_AMOUNT // 2),
    ],
)
def test_a_fee_is_a_part_rounded_down_between_floor_and_cap(fee: SellerFee, price: int, wanted: int) -> None:
    assert fees.of(fee, price) == wanted


AMOUNT = st.integers(0, MAX_AMOUNT)


@given(st.integers(0, fees.MAX_BASIS_POINTS), AMOUNT, AMOUNT | st.none(), st.integers(1, MAX_AMOUNT))
def test_nobody_pays_more_than_the_price(basis_points: int, floor: int, cap: int | None, price: int) -> None:
    assert 0 <= fees.of(SellerFee(basis_points, floor, cap), price) <= price


def set_fee(session: Session, fee: SellerFee) -> None:
    version = settings.get(session, SellerFee).version
    settings.put(session, Actor(make_user(session, role=Role.ADMIN), Role.ADMIN), fee, version, "A test")


def test_the_fee_of_an_auction_is_that_of_the_moment_when_it_was_published(db_session: Session) -> None:
    seller = make_user(db_session)
    draft = listings.create(db_session, seller, a_draft()).id
    free = make_published_auction(db_session, seller).id
    set_fee(db_session, FEE)
    listings.publish(db_session, seller, draft)
    set_fee(db_session, SellerFee(basis_points=1))
    for auction_id, fee in ((draft, (333, 20, 500)), (free, (0, 0, None))):
        auction = db_session.get_one(Auction, auction_id, populate_existing=True)
        assert (auction.fee_basis_points, auction.fee_floor, auction.fee_cap) == fee


def buy(session: Session, price: int) -> Order:
    """Publish, buy at once for `price`: the order."""
    auction_id = make_neighbourhood_auction(
        session, start_price=price - 1, buy_now=price, buy_now_until=BuyNowUntil.ALWAYS
    ).id
    buyer, _ = make_neighbour(session, price)
    neighbourhood.place(session, buyer, auction_id, "r1", None)
    return session.scalars(select(Order).where(Order.auction_id == auction_id)).one()


def balance(session: Session, kind: AccountKind, owner: UUID | None) -> int:
    account = ledger.account(session, kind, owner)
    return session.scalars(select(LedgerAccount.balance).where(LedgerAccount.id == account)).one()


@pytest.mark.usefixtures("some_regions")
def test_the_platform_keeps_the_fee_when_the_seller_is_paid(db_session: Session) -> None:
    set_fee(db_session, FEE)
    order = buy(db_session, 1_000)
    set_fee(db_session, SellerFee())
    before = balance(db_session, AccountKind.FEES, None)
    seen = orders.get(db_session, order.seller_id, order.id)
    assert (seen.fee, seen.payout) == (33, 967)
    seen = orders.get(db_session, order.buyer_id, order.id)
    assert (seen.fee, seen.payout) == (None, None)

    orders.ship(db_session, order.seller_id, order.id, "A carrier", "1234")
    orders.confirm(db_session, order.buyer_id, order.id)

    assert balance(db_session, AccountKind.FEES, None) == before + 33
    assert balance(db_session, AccountKind.AVAILABLE, order.seller_id) == 967
    assert balance(db_session, AccountKind.ESCROW, order.id) == 0
    assert ledger.trial_balance(db_session) == 0
    assert ledger.verify(db_session) == []


@pytest.mark.usefixtures("some_regions")
def test_a_refund_is_whole(db_session: Session) -> None:
    set_fee(db_session, FEE)
    order = buy(db_session, 1_000)
    before = balance(db_session, AccountKind.FEES, None)
    refunded = orders.refund(db_session, order.seller_id, order.id)
    assert (refunded.fee, refunded.payout) == (None, None)
    assert balance(db_session, AccountKind.AVAILABLE, order.buyer_id) == 1_000
    assert balance(db_session, AccountKind.FEES, None) == before


@pytest.mark.usefixtures("some_regions")
def test_a_fee_may_take_all(db_session: Session) -> None:
    set_fee(db_session, SellerFee(floor=5_000))
    order = buy(db_session, 1_000)
    orders.ship(db_session, order.seller_id, order.id, "A carrier", "1234")
    orders.confirm(db_session, order.buyer_id, order.id)
    assert balance(db_session, AccountKind.AVAILABLE, order.seller_id) == 0
    assert ledger.verify(db_session) == []
