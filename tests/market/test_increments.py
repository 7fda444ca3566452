"""Drafts that use a table of increments of the platform, and that what is published keeps its own."""

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from market.audit import Actor
from market.errors import Refusal
from market.listings import auction_views, listings
from market.listings.auction_views import AuctionView
from market.platform import settings
from market.platform.settings import IncrementTable, IncrementTables
from store.ids import new_id
from store.models import Role
from tests.support.bids import change
from tests.support.factories import MINUTE_MS, a_draft, make_published_auction, make_user

FINE, COARSE = IncrementTable("fine", [(0, 10), (1_000, 50)]), IncrementTable("coarse", [(0, 1_000)])
OWN = [(0, 77)]


def offer(session: Session, *tables: IncrementTable) -> None:
    """Let these be the tables of the platform."""
    admin = Actor(make_user(session, role=Role.ADMIN), Role.ADMIN)
    version = settings.get(session, IncrementTables).version
    settings.put_increment_tables(session, admin, IncrementTables(list(tables)), version, "A test")


def uses(view: AuctionView) -> tuple[str | None, list[tuple[int, int]]]:
    return view.increment_table, view.increments


def drafted(session: Session, **changes: Any) -> AuctionView:
    return listings.create(session, make_user(session), a_draft(**{"increments": None} | changes))


def edited(session: Session, auction: AuctionView, **changes: Any) -> AuctionView:
    return listings.edit(session, auction.seller_id, auction.id, auction.version, changes)


def no_such_table(session: Session, act: Any, *args: Any) -> bool:
    with pytest.raises(Refusal) as refused, session.begin_nested():
        act(session, *args)
    return (refused.value.code, refused.value.fields) == ("invalid_auction", {"field": "increment_table"})


def test_a_draft_uses_the_table_that_it_names_or_the_first(db_session: Session) -> None:
    offer(db_session, FINE, COARSE)
    assert uses(drafted(db_session)) == ("fine", FINE.increments)
    assert uses(drafted(db_session, increment_table="coarse")) == ("coarse", COARSE.increments)
    assert uses(drafted(db_session, increments=OWN)) == (None, OWN)


def test_a_draft_names_either_a_table_or_its_own_increments(db_session: Session) -> None:
    offer(db_session, FINE)
    seller = make_user(db_session)
    for wrong in ({"increment_table": "coarse"}, {"increment_table": "fine", "increments": OWN}):
        draft = a_draft(**{"increments": None} | wrong)
        assert no_such_table(db_session, listings.create, seller, draft)


def test_an_edit_goes_from_one_to_the_other(db_session: Session) -> None:
    offer(db_session, FINE, COARSE)
    draft = drafted(db_session, increment_table="coarse")
    draft = edited(db_session, draft, title="Another title")
    assert uses(draft) == ("coarse", COARSE.increments)
    draft = edited(db_session, draft, increments=OWN)
    assert uses(draft) == (None, OWN)
    draft = edited(db_session, draft, increment_table=None)
    assert uses(draft) == (None, OWN)
    draft = edited(db_session, draft, increment_table="coarse")
    assert uses(draft) == ("coarse", COARSE.increments)
    draft = edited(db_session, draft, increment_table=None)
    assert uses(draft) == ("fine", FINE.increments)
    changes = {"increments": OWN, "increment_table": "fine"}
    assert no_such_table(db_session, listings.edit, draft.seller_id, draft.id, draft.version, changes)


def test_publishing_takes_what_the_table_says_then_and_keeps_it(db_session: Session) -> None:
    later = a_draft().opens_at
    assert later is not None
    offer(db_session, FINE, COARSE)
    draft = drafted(db_session, increment_table="coarse", opens_at=later + 10 * MINUTE_MS)
    now = IncrementTable("coarse", [(0, 2_000)])
    offer(db_session, FINE, now)
    view = listings.publish(db_session, draft.seller_id, draft.id)
    assert uses(view) == (None, now.increments)

    offer(db_session, FINE, IncrementTable("coarse", [(0, 9_000)]))
    view = edited(db_session, view, title="Another title")
    assert uses(view) == (None, now.increments)
    offer(db_session, FINE)
    view = edited(db_session, view, title="A third title")
    assert uses(auction_views.get(db_session, view.id)) == (None, now.increments)


def test_a_draft_whose_table_is_gone_is_not_published_before_it_names_another(db_session: Session) -> None:
    offer(db_session, FINE, COARSE)
    draft = drafted(db_session, increment_table="coarse")
    offer(db_session, FINE)
    assert no_such_table(db_session, listings.publish, draft.seller_id, draft.id)
    draft = edited(db_session, draft, increment_table="fine")
    assert uses(listings.publish(db_session, draft.seller_id, draft.id)) == (None, FINE.increments)


def test_a_copy_of_a_draft_names_its_table_and_one_of_an_auction_has_its_increments(
    db_session: Session,
) -> None:
    offer(db_session, FINE, COARSE)
    draft = drafted(db_session, increment_table="coarse")
    seller = draft.seller_id
    assert uses(listings.duplicate(db_session, seller, draft.id, None, None)) == ("coarse", COARSE.increments)
    listings.publish(db_session, seller, draft.id)
    offer(db_session, FINE)
    assert uses(listings.duplicate(db_session, seller, draft.id, None, None)) == (None, COARSE.increments)


def test_what_is_published_names_no_table_in_the_database_either(db_session: Session) -> None:
    auction = make_published_auction(db_session, increments=None).id
    with pytest.raises(IntegrityError, match="increment_table"), db_session.begin_nested():
        change(db_session, auction, increment_table="standard")


def test_an_unknown_seller_or_auction_changes_nothing(db_session: Session) -> None:
    draft = drafted(db_session)
    for user, auction, code in (
        (make_user(db_session), draft.id, "forbidden"),
        (draft.seller_id, new_id(), "not_found"),
    ):
        with pytest.raises(Refusal, match=code):
            listings.edit(db_session, user, auction, draft.version, {"increment_table": "standard"})
