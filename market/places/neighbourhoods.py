"""Neighbourhoods: where users have been, so that neighbours trade with neighbours.

A user shows a position now and then. It is rounded at once to a region and a coarse H3 cell, and forgotten: neither a
table nor a log ever has it. Others only learn how near somebody is, in steps.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

import h3
import msgspec
from sqlalchemy import ColumnElement, ScalarSelect, Select, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from market.errors import GeneralRefusal, Refusal
from market.places import regions
from market.places.refusals import PlaceRefusal
from market.places.regions import RegionView
from market.times import to_ms
from store.ids import new_id
from store.models import Neighbourhood, Region, User

MAX_NEIGHBOURHOODS = 2
LIFETIME = timedelta(days=30)
MAX_ACCURACY_M = 1000.0
"""A position that may be farther off than this says nothing about a neighbourhood."""

RESOLUTION = 7
"""Of the H3 cells: in Korea 3.5 km² or more each, and 2 km from the middle of one to that of the next."""

CLOCK: ColumnElement[datetime] = func.now()
"""PostgreSQL's."""


class Radius(StrEnum):
    """How far away, in rings of cells around the seller's own, a buyer may live."""

    NEAR = "near"
    """About 2 km: the cells that touch the seller's."""
    AROUND = "around"
    """About 4 km."""
    WIDE = "wide"
    """About 6 km."""


STEPS = {Radius.NEAR: 1, Radius.AROUND: 2, Radius.WIDE: 3}


class Distance(StrEnum):
    """How far away something is, as others may know it."""

    SAME = "same"
    """In the same cell."""
    NEAR = "near"
    """In a cell that touches it."""
    FURTHER = "further"


class NeighbourhoodView(msgspec.Struct, frozen=True):
    """A neighbourhood as its user sees it, times in ms. An `expired` one does not count until it is renewed."""

    id: UUID
    region: RegionView
    verified_at: int
    expires_at: int
    expired: bool


class Neighbourhoods(msgspec.Struct, frozen=True):
    """All neighbourhoods of a user."""

    items: list[NeighbourhoodView]


def verify(
    session: Session,
    user_id: UUID,
    latitude: float,
    longitude: float,
    accuracy_m: float,
    clock: ColumnElement[datetime] = CLOCK,
) -> NeighbourhoodView:
    """Make the region around a position (degrees, WGS 84) a neighbourhood of the user for `LIFETIME`, or renew it.

    Expired ones make room. Refuses with `position_too_vague`, `outside_regions` or `too_many_neighbourhoods`.
    """
    if accuracy_m > MAX_ACCURACY_M:
        raise Refusal(
            PlaceRefusal.POSITION_TOO_VAGUE,
        )
    region = regions.nearest(session, latitude, longitude)
    if region is None:
        raise Refusal(PlaceRefusal.OUTSIDE_REGIONS)
    # One verification of a user at a time: two at once could make a third neighbourhood.
    session.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    others = [Neighbourhood.user_id == user_id, Neighbourhood.region_code != region.code]
    session.execute(delete(Neighbourhood).where(*others, Neighbourhood.expires_at <= clock))
    count = session.scalars(select(func.count()).select_from(Neighbourhood).where(*others)).one()
    if count >= MAX_NEIGHBOURHOODS:
        raise Refusal(PlaceRefusal.TOO_MANY_NEIGHBOURHOODS)
    seen = {
        "cell": h3.latlng_to_cell(latitude, longitude, RESOLUTION),
        "verified_at": clock,
        "expires_at": clock + LIFETIME,
    }
    neighbourhood_id = session.scalars(
        insert(Neighbourhood)
        .values(id=new_id(), user_id=user_id, region_code=region.code, **seen)
        .on_conflict_do_update(index_elements=[Neighbourhood.user_id, Neighbourhood.region_code], set_=seen)
        .returning(Neighbourhood.id)
    ).one()
    [view] = _views(session, _own(user_id, clock).where(Neighbourhood.id == neighbourhood_id))
    return view


def of_user(session: Session, user_id: UUID, clock: ColumnElement[datetime] = CLOCK) -> Neighbourhoods:
    """The user's neighbourhoods, the oldest first, with those that have expired and were not replaced."""
    return Neighbourhoods(_views(session, _own(user_id, clock).order_by(Neighbourhood.id)))


def give_up(session: Session, user_id: UUID, neighbourhood_id: UUID) -> None:
    """Forget a neighbourhood of the user. Refuses with `not_found`, also when it is somebody else's."""
    gone = session.scalar(
        delete(Neighbourhood)
        .where(Neighbourhood.id == neighbourhood_id, Neighbourhood.user_id == user_id)
        .returning(Neighbourhood.id)
    )
    if gone is None:
        raise Refusal(GeneralRefusal.NOT_FOUND)


def cells_of(session: Session, user_id: UUID, clock: ColumnElement[datetime] = CLOCK) -> list[str]:
    """The cells of the user's neighbourhoods that have not expired: none, one or two."""
    query = select(Neighbourhood.cell).where(
        Neighbourhood.user_id == user_id, Neighbourhood.expires_at > clock
    )
    return list(session.scalars(query.order_by(Neighbourhood.id)))


def place_of(
    session: Session, user_id: UUID, neighbourhood_id: UUID, clock: ColumnElement[datetime] = CLOCK
) -> tuple[str, str]:
    """Region code and cell of a neighbourhood of the user. Refuses with `not_a_neighbour` if there is none, or it has
    expired."""
    row = session.execute(
        select(Neighbourhood.region_code, Neighbourhood.cell).where(
            Neighbourhood.id == neighbourhood_id,
            Neighbourhood.user_id == user_id,
            Neighbourhood.expires_at > clock,
        )
    ).one_or_none()
    if row is None:
        raise Refusal(PlaceRefusal.NOT_A_NEIGHBOUR)
    return row.region_code, row.cell


def is_within(
    session: Session,
    user_id: UUID,
    seller_cell: str,
    radius: Radius,
    clock: ColumnElement[datetime] = CLOCK,
) -> bool:
    """Whether the user has a neighbourhood, not expired, within the radius around the seller's cell."""
    query = select(Neighbourhood.id).where(
        Neighbourhood.user_id == user_id,
        Neighbourhood.expires_at > clock,
        Neighbourhood.cell.in_(cells_around([seller_cell], radius)),
    )
    return session.scalar(query.limit(1)) is not None


def cells_around(cells: Iterable[str], radius: Radius) -> list[str]:
    """All cells within the radius of any of `cells`, sorted: for `cell = ANY(…)`. At most 37 for one cell."""
    return sorted({near for cell in cells for near in h3.grid_disk(cell, STEPS[radius])})


def distance(cells: Iterable[str], cell: str | None) -> Distance | None:
    """How far `cell`, of an auction, is from the nearest of the viewer's `cells`; None if either has none."""
    own = set(cells)
    if cell is None or not own:
        return None
    if cell in own:
        return Distance.SAME
    if own & set(h3.grid_disk(cell, 1)):
        return Distance.NEAR
    return Distance.FURTHER


def cells(user_id: UUID | None, clock: ColumnElement[datetime] = CLOCK) -> ScalarSelect[list[str] | None]:
    """For a query: the cells of the user's neighbourhoods that have not expired; NULL if there are none."""
    return (
        select(func.array_agg(Neighbourhood.cell))
        .where(Neighbourhood.user_id == user_id, Neighbourhood.expires_at > clock)
        .scalar_subquery()
    )


def _own(user_id: UUID, clock: ColumnElement[datetime]) -> Select[Neighbourhood, Region, bool]:
    expired = Neighbourhood.expires_at <= clock
    return (
        select(Neighbourhood, Region, expired.label("expired"))
        .join(Region, Region.code == Neighbourhood.region_code)
        .where(Neighbourhood.user_id == user_id)
        .execution_options(populate_existing=True)
    )


def _views(session: Session, query: Select[Neighbourhood, Region, bool]) -> list[NeighbourhoodView]:
    return [
        NeighbourhoodView(
            id=neighbourhood.id,
            region=regions.view(region),
            verified_at=to_ms(neighbourhood.verified_at),
            expires_at=to_ms(neighbourhood.expires_at),
            expired=expired,
        )
        for neighbourhood, region, expired in session.execute(query)
    ]


def forget_user(session: Session, user_id: UUID) -> None:
    """Delete the neighbourhoods of a user, whose account is deleted."""
    session.execute(
        delete(Neighbourhood).where(Neighbourhood.user_id == user_id),
        execution_options={"synchronize_session": False},
    )
