"""The tree of regions: the shipped file, loading and looking things up."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h3
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from market.audit import Actor
from market.errors import Refusal
from market.places import regions
from market.places.regions import InvalidRegions, Level
from server import shipped_data
from store.database import SyncDatabase
from store.migrations.run import upgrade
from store.models import AuditEntry, Region, Role
from tests.support.database import REGIONS, fresh_database
from tests.support.factories import make_user

Write = Callable[[str], Path]

GANGNAM = "11680"
YEOKSAM = "11680101"
HEADER = "code,name,name_en,latitude,longitude\n"
SEOUL = "11,서울특별시,Seoul,37.5519,126.9918\n"

pytestmark = pytest.mark.usefixtures("some_regions")


def codes(session: Session, **wanted: Any) -> list[str]:
    query = {"parent": None, "search": None, "cursor": None, "limit": 100} | wanted
    return [region.code for region in regions.page(session, **query).items]


def test_without_a_parent_the_largest_are_listed(db_session: Session) -> None:
    assert codes(db_session) == ["11", "26", "36", "47"]


def test_the_children_of_a_region_are_listed(db_session: Session) -> None:
    assert codes(db_session, parent="11") == ["11650", "11680"]
    assert codes(db_session, parent=GANGNAM) == ["11680101", "11680106", "11680110"]
    assert codes(db_session, parent=YEOKSAM) == []


def test_an_unknown_parent_is_refused(db_session: Session) -> None:
    with pytest.raises(Refusal) as refused:
        codes(db_session, parent="99")
    assert refused.value.code == "not_found"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("역삼동", [YEOKSAM]),
        ("역삼", [YEOKSAM]),
        ("삼동", [YEOKSAM]),
        ("yeok", [YEOKSAM]),
        ("YEOKSAM", [YEOKSAM]),
        ("seo", ["11", "11650", "11650108"]),
        ("강남구 역삼", [YEOKSAM]),
        ("서울 강남구  동", ["11680101", "11680106", "11680110"]),
        ("Gangnam dong", ["11680101", "11680106", "11680110"]),
        ("부산 역삼", []),
        ("%", []),
        ("_", []),
        ("\\", []),
        # As the file systems and keyboards of some makers write it.
        ("\u110b\u1167\u11a8\u1109\u1161\u11b7", [YEOKSAM]),
    ],
)
def test_a_name_finds_regions(db_session: Session, search: str, found: list[str]) -> None:
    assert codes(db_session, search=search) == found


def test_a_search_in_a_region_finds_what_is_below_it(db_session: Session) -> None:
    assert codes(db_session, search="동") == [
        "11650108",
        "11680101",
        "11680106",
        "11680110",
        "26350105",
        "36110101",
    ]
    assert codes(db_session, search="동", parent="26") == ["26350105"]
    assert codes(db_session, search="강남", parent=GANGNAM) == []


@pytest.mark.parametrize(
    "wanted", [{"parent": None}, {"parent": GANGNAM}, {"search": "seo"}, {"search": "동"}]
)
def test_pages_together_are_the_whole_list(db_session: Session, wanted: dict[str, str | None]) -> None:
    found: list[str] = []
    cursor = None
    while found == [] or cursor is not None:
        page = regions.page(db_session, wanted.get("parent"), wanted.get("search"), cursor, 1)
        found += [region.code for region in page.items]
        cursor = page.next_cursor
    assert found == codes(db_session, **wanted)


def test_a_region_comes_with_its_ancestors(db_session: Session) -> None:
    path = regions.get(db_session, YEOKSAM)
    assert path.region.full_name == "서울특별시 강남구 역삼동"
    assert path.region.level == Level.EUPMYEONDONG
    assert [(region.code, region.level) for region in path.ancestors] == [
        ("11", "sido"),
        ("11680", "sigungu"),
    ]
    assert regions.get(db_session, "11").ancestors == []


@pytest.mark.parametrize("code", ["99", "116801", "11680199"])
def test_an_unknown_region_is_refused(db_session: Session, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        regions.get(db_session, code)
    assert refused.value.code == "not_found"


@pytest.mark.parametrize(
    ("position", "code"),
    [
        ((37.5006, 127.0364), YEOKSAM),
        ((37.5272, 127.0286), "11680110"),
        ((35.1631, 129.1635), "26350105"),
        # An island, and the sea around it.
        ((37.4813, 130.9051), "47940250"),
        ((37.4, 131.3), None),
        ((35.6762, 139.6503), None),
        ((0.0, 0.0), None),
        ((90.0, 0.0), None),
        ((-90.0, -180.0), None),
        ((37.5006, -127.0364), None),
    ],
)
def test_the_nearest_region_is_found(
    db_session: Session, position: tuple[float, float], code: str | None
) -> None:
    region = regions.nearest(db_session, *position)
    assert (region and region.code) == code


def test_whatever_is_near_enough_lies_in_the_cells_searched() -> None:
    """From the corners of a cell, where it is worst, what is searched reaches farther than what counts."""
    for latitude, longitude in [(33.2, 126.3), (35.1, 129.0), (37.5, 127.0), (38.5, 128.4), (37.5, 130.9)]:
        cell = h3.latlng_to_cell(latitude, longitude, regions.SEARCH_RESOLUTION)
        beyond = h3.grid_ring(cell, regions.SEARCH_RINGS + 1)
        rim = [corner for other in beyond for corner in h3.cell_to_boundary(other)]
        for corner in h3.cell_to_boundary(cell):
            nearest = min(h3.great_circle_distance(corner, point, unit="km") for point in rim)
            assert nearest > 15 > regions.MAX_DISTANCE_KM


def test_loading_again_changes_nothing_and_a_new_name_is_taken_over(
    sync_database: SyncDatabase, db_session: Session, tmp_path: Path
) -> None:
    everything = select(func.count(), func.min(Region.full_name), func.max(Region.full_name))
    before = db_session.execute(everything).one()
    assert regions.load(db_session, REGIONS) == 16
    assert db_session.execute(everything).one() == before
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(REGIONS.read_text().replace("강남구,Gangnam-gu", "새강남구,Saegangnam-gu"))
    regions.load(db_session, renamed)
    assert regions.get(db_session, YEOKSAM).region.full_name == "서울특별시 새강남구 역삼동"
    assert codes(db_session, search="Saegangnam") == [GANGNAM]


@pytest.fixture
def admin(db_session: Session) -> Actor:
    return Actor(make_user(db_session, role=Role.ADMIN), Role.ADMIN)


def test_a_region_is_renamed_in_all_that_lies_in_it(db_session: Session, admin: Actor) -> None:
    row = regions.change(db_session, admin, GANGNAM, "새강남구", "Saegangnam-gu", False, "Reformed")
    assert (row.full_name, row.retired) == ("서울특별시 새강남구", False)
    assert regions.get(db_session, YEOKSAM).region.full_name == "서울특별시 새강남구 역삼동"
    assert codes(db_session, search="Saegangnam Yeoksam") == [YEOKSAM]
    assert regions.get(db_session, "11650108").region.full_name.startswith("서울특별시 서초구")
    [entry] = db_session.scalars(select(AuditEntry).where(AuditEntry.actor_id == admin.user_id))
    assert entry.before is not None
    assert entry.after is not None
    assert (entry.before["name"], entry.after["name"]) == ("강남구", "새강남구")
    for code in ("99", "116", "other"):
        with pytest.raises(Refusal, match="not_found"):
            regions.change(db_session, admin, code, "a", "b", False, "A test")


def test_a_retired_region_is_offered_to_nobody(db_session: Session, admin: Actor) -> None:
    here = (37.500613, 127.036431)
    nearest = regions.nearest(db_session, *here)
    assert nearest is not None
    assert nearest.code == YEOKSAM
    regions.change(db_session, admin, GANGNAM, "강남구", "Gangnam-gu", True, "Merged")
    regions.load(db_session, REGIONS)
    assert GANGNAM not in codes(db_session, parent="11")
    assert codes(db_session, search="yeoksam") == []
    other = regions.nearest(db_session, *here)
    assert other is None or not other.code.startswith(GANGNAM)
    assert regions.get(db_session, YEOKSAM).region.code == YEOKSAM
    regions.change(db_session, admin, GANGNAM, "강남구", "Gangnam-gu", False, "Not merged")
    assert regions.nearest(db_session, *here) == nearest


def test_regions_that_a_file_does_not_have_stay(db_session: Session, tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text(HEADER + SEOUL)
    assert regions.load(db_session, file) == 1
    assert len(codes(db_session)) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "first line"),
        (HEADER, "no regions"),
        ("code,name\n11,서울\n", "first line"),
        (HEADER + SEOUL + SEOUL, "twice"),
        (HEADER + SEOUL + "11680101,역삼동,Yeoksam-dong,37.5,127.0\n", "lies in is missing"),
        (HEADER + "1,a,a,37.5,127.0\n", "2, 5 or 8 digits"),
        (HEADER + "１１,a,a,37.5,127.0\n", "2, 5 or 8 digits"),
        (HEADER + "11,a,a,37.5\n", "5 fields"),
        (HEADER + "11,a,a,37.5,127.0,1\n", "5 fields"),
        (HEADER + "11,,a,37.5,127.0\n", "name is missing"),
        (HEADER + "11,a,a,north,127.0\n", "two numbers"),
        (HEADER + "11,a,a,nan,127.0\n", "no such position"),
        (HEADER + "11,a,a,127.0,37.5\n", "no such position"),
        (HEADER + '11,"a,a,37.5,127.0\n', "no"),
    ],
)
def test_a_bad_file_is_refused_and_changes_nothing(
    db_session: Session, tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    before = db_session.scalar(select(func.count()).select_from(Region))
    with pytest.raises(InvalidRegions, match=problem):
        regions.load(db_session, file)
    assert db_session.scalar(select(func.count()).select_from(Region)) == before


def test_a_file_in_another_encoding_is_refused(db_session: Session, tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes((HEADER + SEOUL).encode("cp949"))
    with pytest.raises(InvalidRegions, match="UTF-8"):
        regions.load(db_session, file)


def shipped() -> list[dict[str, str]]:
    with shipped_data.REGIONS.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_shipped_tree_is_consistent() -> None:
    rows = shipped()
    known = [row["code"] for row in rows]
    assert known == sorted(set(known))
    lengths = [len(code) for code in known]
    assert [lengths.count(length) for length in regions.CODE_LENGTHS] == [17, 252, 5066]
    assert len(lengths) == 17 + 252 + 5066
    parents = {code[:2] for code in known if len(code) == 5} | {code[:5] for code in known if len(code) == 8}
    # Every parent is there, and nothing but the smallest regions is without children.
    assert parents == {code for code in known if len(code) < 8}


def test_the_shipped_names_and_positions_are_korean() -> None:
    for row in shipped():
        assert all("가" <= char <= "힣" or char in " 0123456789" for char in row["name"]), row
        assert row["name"][-1] in "시도군구읍면동가로", row
        assert row["name_en"].isascii(), row
        assert row["name_en"].replace("-", "").replace(" ", "").isalnum(), row
        latitude, longitude = float(row["latitude"]), float(row["longitude"])
        assert 33.0 < latitude < 38.7, row
        assert 124.5 < longitude < 131.9, row


def test_the_shipped_middle_of_a_region_is_near_those_of_its_children() -> None:
    position = {row["code"]: (float(row["latitude"]), float(row["longitude"])) for row in shipped()}
    for code, point in position.items():
        if len(code) == 8:
            # 옹진군 and 신안군 are made of far islands.
            assert h3.great_circle_distance(point, position[code[:5]], unit="km") < 160, code


def test_the_shipped_regions_are_loaded_into_an_empty_database() -> None:
    with fresh_database() as url:
        upgrade(url)
        database = SyncDatabase(url)
        try:
            with database.transaction() as session:
                assert regions.is_empty(session)
                assert regions.load(session, shipped_data.REGIONS) == 5335
                assert not regions.is_empty(session)
            with database.transaction() as session:
                assert len(codes(session)) == 17
                assert regions.nearest(session, 37.5006, 127.0364) is not None
                session.execute(update(Region).values(name="x"))
                session.rollback()
        finally:
            database.dispose()
