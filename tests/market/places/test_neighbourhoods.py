"""Where users live, and how near to each other."""

from datetime import datetime, timedelta
from uuid import UUID

import h3
import pytest
from sqlalchemy import ColumnElement, event, func, select, text
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from market.errors import Refusal
from market.places import neighbourhoods
from market.places.neighbourhoods import (
    CLOCK,
    LIFETIME,
    MAX_ACCURACY_M,
    Distance,
    Radius,
)
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Neighbourhood
from tests.support.factories import make_user
from tests.support.races import at_once

Position = tuple[float, float]

YEOKSAM: Position = (37.500613, 127.036431)
APGUJEONG: Position = (37.527201, 127.028619)
HAEUNDAE: Position = (35.163127, 129.163561)
SEJONG: Position = (36.491933, 127.311577)
TOKYO: Position = (35.676211, 139.650327)

DAY = timedelta(days=1)

pytestmark = pytest.mark.usefixtures("some_regions")


def verify(
    session: Session, user_id: UUID, position: Position, clock: ColumnElement[datetime] = CLOCK
) -> neighbourhoods.NeighbourhoodView:
    return neighbourhoods.verify(session, user_id, *position, accuracy_m=20.0, clock=clock)


def names(session: Session, user_id: UUID) -> list[str]:
    return [item.region.name for item in neighbourhoods.of_user(session, user_id).items]


def test_a_position_makes_a_neighbourhood_for_30_days(db_session: Session) -> None:
    ann = make_user(db_session)
    home = verify(db_session, ann, YEOKSAM)
    assert home.region.full_name == "서울특별시 강남구 역삼동"
    assert home.expires_at - home.verified_at == 30 * 24 * 3600 * 1000
    assert not home.expired
    assert neighbourhoods.of_user(db_session, ann).items == [home]


def test_it_counts_until_it_expires(db_session: Session) -> None:
    ann = make_user(db_session)
    verify(db_session, ann, YEOKSAM)
    cell = h3.latlng_to_cell(*YEOKSAM, neighbourhoods.RESOLUTION)
    for clock, good in [(CLOCK, True), (CLOCK + LIFETIME - DAY, True), (CLOCK + LIFETIME, False)]:
        assert neighbourhoods.cells_of(db_session, ann, clock) == ([cell] if good else [])
        assert neighbourhoods.is_within(db_session, ann, cell, Radius.NEAR, clock) is good
        [item] = neighbourhoods.of_user(db_session, ann, clock).items
        assert item.expired is not good


def test_verifying_again_in_the_same_region_renews(db_session: Session) -> None:
    ann = make_user(db_session)
    first = verify(db_session, ann, YEOKSAM, CLOCK - 29 * DAY)
    verify(db_session, ann, HAEUNDAE)
    again = verify(db_session, ann, YEOKSAM)
    assert again.id == first.id
    assert again.expires_at - first.expires_at == 29 * 24 * 3600 * 1000
    assert names(db_session, ann) == ["역삼동", "우동"]


def test_an_expired_one_can_be_renewed(db_session: Session) -> None:
    ann = make_user(db_session)
    first = verify(db_session, ann, YEOKSAM, CLOCK - 31 * DAY)
    assert first.id == verify(db_session, ann, YEOKSAM).id
    [item] = neighbourhoods.of_user(db_session, ann).items
    assert not item.expired


def test_a_third_is_refused_until_one_is_given_up(db_session: Session) -> None:
    ann = make_user(db_session)
    first = verify(db_session, ann, YEOKSAM)
    verify(db_session, ann, HAEUNDAE)
    with pytest.raises(Refusal) as refused:
        verify(db_session, ann, SEJONG)
    assert refused.value.code == "too_many_neighbourhoods"
    assert names(db_session, ann) == ["역삼동", "우동"]
    neighbourhoods.give_up(db_session, ann, first.id)
    verify(db_session, ann, SEJONG)
    assert names(db_session, ann) == ["우동", "반곡동"]


def test_an_expired_one_makes_room(db_session: Session) -> None:
    ann = make_user(db_session)
    verify(db_session, ann, YEOKSAM, CLOCK - 31 * DAY)
    verify(db_session, ann, HAEUNDAE)
    verify(db_session, ann, SEJONG)
    assert names(db_session, ann) == ["우동", "반곡동"]


@pytest.mark.parametrize(
    ("position", "accuracy_m", "code"),
    [
        (YEOKSAM, MAX_ACCURACY_M + 1, "position_too_vague"),
        (YEOKSAM, 1e300, "position_too_vague"),
        (TOKYO, 20.0, "outside_regions"),
        ((37.4, 131.3), 20.0, "outside_regions"),
    ],
)
def test_a_position_that_says_nothing_is_refused(
    db_session: Session, position: Position, accuracy_m: float, code: str
) -> None:
    ann = make_user(db_session)
    with pytest.raises(Refusal) as refused:
        neighbourhoods.verify(db_session, ann, *position, accuracy_m)
    assert refused.value.code == code
    assert names(db_session, ann) == []


def test_nobody_gives_up_the_neighbourhood_of_somebody_else(db_session: Session) -> None:
    ann, ben = make_user(db_session), make_user(db_session)
    home = verify(db_session, ann, YEOKSAM)
    for user_id, neighbourhood_id in [(ben, home.id), (ann, new_id())]:
        with pytest.raises(Refusal) as refused:
            neighbourhoods.give_up(db_session, user_id, neighbourhood_id)
        assert refused.value.code == "not_found"
    assert names(db_session, ann) == ["역삼동"]
    assert names(db_session, ben) == []


def test_verifications_at_once_never_make_a_third(sync_database: SyncDatabase) -> None:
    for _ in range(5):
        with sync_database.transaction() as session:
            ann = make_user(session)

        def run(position: Position, user_id: UUID = ann) -> str:
            with sync_database.transaction() as session:
                return verify(session, user_id, position).region.name

        positions = [YEOKSAM, APGUJEONG, HAEUNDAE, SEJONG] * 2
        results = at_once([lambda position=position: run(position) for position in positions])  # type: ignore[misc]
        with sync_database.transaction() as session:
            kept = names(session, ann)
        assert len(kept) == 2
        assert {result for result in results if result != "too_many_neighbourhoods"} == set(kept)
        # Each of the two was verified twice, the second time as a renewal.
        assert results.count("too_many_neighbourhoods") == 4


def test_the_position_is_in_no_row_and_no_log(sync_database: SyncDatabase) -> None:
    statements: list[str] = []

    with capture_logs() as logs, sync_database.transaction() as session:

        def note(
            _connection: object, _cursor: object, statement: str, parameters: object, *_: object
        ) -> None:
            statements.append(f"{statement} {parameters}")

        event.listen(session.get_bind(), "before_cursor_execute", note)
        ann = make_user(session)
        verify(session, ann, YEOKSAM)
        event.remove(session.get_bind(), "before_cursor_execute", note)
        row = session.execute(text("SELECT * FROM neighbourhoods WHERE user_id = :id"), {"id": ann}).one()
    assert logs == []
    # Nor is the database told, which may log statements: the cells are all it gets.
    told = "\n".join(statements)
    assert h3.latlng_to_cell(*YEOKSAM, neighbourhoods.RESOLUTION) in told
    for number in YEOKSAM:
        assert str(number)[:8] not in told
    assert set(row._mapping) == {"id", "user_id", "region_code", "cell", "verified_at", "expires_at"}
    assert h3.get_resolution(row.cell) == 7


def test_the_cell_kept_is_too_coarse_to_find_a_house() -> None:
    for position in (YEOKSAM, HAEUNDAE, SEJONG):
        cell = h3.latlng_to_cell(*position, neighbourhoods.RESOLUTION)
        assert 3.0 < h3.cell_area(cell, unit="km^2") < 5.0
        middles = [h3.cell_to_latlng(other) for other in (cell, ring(cell, 1))]
        assert 1.8 < h3.great_circle_distance(*middles, unit="km") < 2.4


def ring(cell: str, steps: int) -> str:
    """A cell exactly so many steps away."""
    found: str = min(h3.grid_ring(cell, steps))
    return found


@pytest.mark.parametrize(("radius", "steps"), [(Radius.NEAR, 1), (Radius.AROUND, 2), (Radius.WIDE, 3)])
def test_neighbours_are_within_the_radius_and_others_are_not(
    db_session: Session, radius: Radius, steps: int
) -> None:
    ann = make_user(db_session)
    verify(db_session, ann, YEOKSAM)
    [own] = neighbourhoods.cells_of(db_session, ann)
    for distance in range(6):
        seller_cell = ring(own, distance) if distance else own
        assert neighbourhoods.is_within(db_session, ann, seller_cell, radius) is (distance <= steps)
    assert not neighbourhoods.is_within(db_session, make_user(db_session), own, radius)


def test_either_of_two_neighbourhoods_counts(db_session: Session) -> None:
    ann = make_user(db_session)
    verify(db_session, ann, YEOKSAM)
    verify(db_session, ann, HAEUNDAE)
    for cell in neighbourhoods.cells_of(db_session, ann):
        assert neighbourhoods.is_within(db_session, ann, cell, Radius.NEAR)


def test_the_cells_of_a_radius_are_those_that_are_within() -> None:
    cell = h3.latlng_to_cell(*YEOKSAM, neighbourhoods.RESOLUTION)
    for radius, count in [(Radius.NEAR, 7), (Radius.AROUND, 19), (Radius.WIDE, 37)]:
        cells = neighbourhoods.cells_around([cell], radius)
        assert len(cells) == len(set(cells)) == count
        assert all(cell in neighbourhoods.cells_around([other], radius) for other in cells)
    beside = ring(cell, 1)
    assert len(neighbourhoods.cells_around([cell, beside], Radius.NEAR)) == 10
    assert neighbourhoods.cells_around([], Radius.WIDE) == []


def test_others_learn_a_distance_in_steps_only() -> None:
    cell = h3.latlng_to_cell(*YEOKSAM, neighbourhoods.RESOLUTION)
    far = h3.latlng_to_cell(*HAEUNDAE, neighbourhoods.RESOLUTION)
    assert neighbourhoods.distance([cell], cell) == Distance.SAME
    assert neighbourhoods.distance([cell], ring(cell, 1)) == Distance.NEAR
    assert neighbourhoods.distance([cell], ring(cell, 2)) == Distance.FURTHER
    assert neighbourhoods.distance([cell], far) == Distance.FURTHER
    assert neighbourhoods.distance([far, cell], ring(cell, 1)) == Distance.NEAR
    assert neighbourhoods.distance([], cell) is neighbourhoods.distance([cell], None) is None


def test_the_clock_is_that_of_postgresql(db_session: Session) -> None:
    home = verify(db_session, make_user(db_session), YEOKSAM)
    [stored] = db_session.scalars(select(Neighbourhood.verified_at).where(Neighbourhood.id == home.id))
    assert stored == db_session.scalar(select(func.now()))
