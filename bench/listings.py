"""Listings with Korean and English texts, as many as one likes, to measure and test the search with.

    ./neighborbid exec python -m bench.listings --database neighborbid_listings

makes a database of its own beside that of the running system. The same count makes the same listings, but for the time.
"""

import argparse
import csv
import os
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import h3
import psycopg
from sqlalchemy import make_url

from market.listings import categories, search_index
from market.places import regions
from market.places.neighbourhoods import RESOLUTION, Radius
from market.times import from_ms, to_ms
from server import settings
from store.database import SyncDatabase
from store.ids import shard_of
from store.migrations.run import upgrade
from store.models import Condition

DATA = Path(__file__).parents[1] / "store" / "data"
SEED = 20261121
LISTINGS_PER_SELLER = 40
RUNNING, SCHEDULED = 0.30, 0.05
"""Shares; the rest is over."""
LOCAL = 0.6
"""The share of neighbourhood auctions."""
SEOUL, SEOUL_SHARE = "11", 0.4
SPAN = timedelta(days=180)
"""How old the oldest is."""

NOUNS = {
    "phones": "아이폰 15 프로|iPhone 15 Pro|갤럭시 S24|Galaxy S24",
    "computers": "맥북 에어|MacBook Air|게이밍 노트북|Gaming laptop",
    "cameras": "미러리스 카메라|Mirrorless camera|필름카메라|Film camera",
    "audio": "무선 이어폰|Wireless earphones|블루투스 스피커|Bluetooth speaker",
    "games": "닌텐도 스위치|Nintendo Switch|플레이스테이션 5|PlayStation 5",
    "kitchen-appliances": "에어프라이어|Air fryer|전기밥솥|Rice cooker",
    "cleaning-appliances": "로봇청소기|Robot vacuum|드럼세탁기|Washing machine",
    "climate": "벽걸이 에어컨|Air conditioner|서큘레이터|Fan",
    "desks": "원목 책상|Wooden desk|사무용 의자|Office chair",
    "sofas": "패브릭 소파|Fabric sofa|리클라이너|Recliner",
    "beds": "퀸사이즈 침대|Queen bed|라텍스 매트리스|Latex mattress",
    "lighting": "장스탠드 조명|Floor lamp|무드등|Night light",
    "kitchenware": "스테인리스 냄비|Steel pot|도자기 그릇|Ceramic bowls",
    "tools": "전동드릴|Cordless drill|공구함|Tool box",
    "plants": "몬스테라 화분|Monstera plant|다육식물|Succulents",
    "women-clothes": "캐시미어 코트|Cashmere coat|원피스|Summer dress",
    "women-bags": "가죽 숄더백|Leather shoulder bag|에코백|Canvas bag",
    "men-shoes": "러닝화|Running shoes|첼시부츠|Chelsea boots",
    "watches": "자동 손목시계|Automatic watch|빈티지 시계|Vintage watch",
    "strollers": "휴대용 유모차|Light stroller|카시트|Car seat",
    "toys": "레고 세트|Lego set|원목 블록|Wooden blocks",
    "bicycles": "접이식 자전거|Folding bicycle|로드자전거|Road bike",
    "camping": "4인용 텐트|Family tent|캠핑의자|Camping chair",
    "golf": "골프 드라이버|Golf driver|퍼터|Putter",
    "fitness": "요가매트|Yoga mat|조절식 덤벨|Adjustable dumbbells",
    "novels": "장편소설 전집|Novel collection|에세이|Essays",
    "study-books": "토익 문제집|TOEIC workbook|전공서적|Textbook",
    "records": "재즈 LP|Jazz vinyl|클래식 음반|Classical records",
    "figures": "건담 프라모델|Gundam model kit|한정판 피규어|Limited figure",
    "instruments": "통기타|Acoustic guitar|디지털피아노|Digital piano",
    "art": "유화 그림|Oil painting|조선 백자|Porcelain vase",
    "cosmetics": "수분크림|Moisturizer|립스틱 세트|Lipstick set",
    "pet-supplies": "고양이 캣타워|Cat tower|강아지 유모차|Dog stroller",
    "car-supplies": "블랙박스|Dash camera|겨울용 타이어|Winter tyres",
    "other": "이것저것 묶음|Assorted bundle|미개봉 선물|Unopened gift",
}
"""By category: Korean, English, Korean, English. The first category is the most frequent one."""
_SHARES = [1 / rank for rank in range(1, len(NOUNS) + 1)]
WORDS = [
    {
        "adjectives": "급처,미개봉,상태좋은,거의새것,깨끗한,한정판,정품,인기,저렴한,이사정리",
        "colours": "검정,흰색,은색,파랑,빨강,초록,베이지",
        "sentences": "몇 번 사용하지 않았습니다.,구입한 지 반년 되었어요.,생활기스가 조금 있습니다.,직거래 선호합니다.,"
        "박스와 설명서 모두 있어요.,엘리베이터 있습니다.,택배 거래도 가능합니다.,쿨거래 환영합니다.",
    },
    {
        "adjectives": "mint,boxed,rare,nearly new,clean,limited,genuine,popular,cheap,moving out",
        "colours": "black,white,silver,blue,red,green,beige",
        "sentences": "Only used a few times.,Bought half a year ago.,Some light scratches.,Pick-up preferred.,"
        "Box and manual are there.,No smoking and no pets.,Can be shipped.,Questions are welcome.",
    },
]
"""In Korean, in English."""

Row = tuple[Any, ...]


def fill(url: str, count: int) -> None:
    """Put `count` listings, with sellers and photos, into an empty database, of which `url` is the owner's."""
    upgrade(url)
    database = SyncDatabase(url)
    with database.transaction() as session:
        regions.load(session, DATA / "regions.csv")
        categories.load(session, DATA / "categories.csv")
    database.dispose()
    random = Random(SEED)
    with psycopg.connect(url) as connection:
        [now] = connection.execute("SELECT now()").fetchone() or ()
        sellers = [_id(random, now - 2 * SPAN) for _ in range(max(2, count // LISTINGS_PER_SELLER))]
        people = ((seller, f"{seller}@example.org", "", f"판매자 {n}") for n, seller in enumerate(sellers))
        _copy(connection, "users", "id email password_hash display_name", people)
        made = [_listing(random, now, n / count, sellers) for n in range(count)]
        _copy(connection, "auctions", " ".join(made[0]), (tuple(listing.values()) for listing in made))
        found_by = ((m["id"], search_index.vector(f"{m['title']}\n{m['description']}")) for m in made)
        _copy(connection, "search_words", "auction_id words", found_by)
        photos = (
            (
                _id(random, now),
                m["id"],
                m["seller_id"],
                f"{random.getrandbits(128):032x}",
                "ready",
                0,
                9,
                64,
                48,
            )
            for m in made
        )
        names = "id auction_id owner_id token status position size width height"
        _copy(connection, "photos", names, photos)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


def _copy(connection: psycopg.Connection[Any], table: str, columns: str, rows: Iterable[Row]) -> None:
    statement = f"COPY {table} ({', '.join(columns.split())}) FROM STDIN"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _id(random: Random, at: datetime) -> UUID:
    """A UUIDv7 of this time."""
    high = to_ms(at) << 16 | 7 << 12 | random.getrandbits(12)
    return UUID(int=high << 64 | 2 << 62 | random.getrandbits(62))


def _towns() -> tuple[list[Row], list[Row]]:
    """(code, cell) of the towns in Seoul, and elsewhere."""
    with (DATA / "regions.csv").open(encoding="utf-8", newline="") as lines:
        towns = [
            (row["code"], h3.latlng_to_cell(float(row["latitude"]), float(row["longitude"]), RESOLUTION))
            for row in csv.DictReader(lines)
            if len(row["code"]) == max(regions.CODE_LENGTHS)
        ]
    return [t for t in towns if t[0].startswith(SEOUL)], [t for t in towns if not t[0].startswith(SEOUL)]


_SEOUL, _ELSEWHERE = _towns()


def _text(random: Random) -> tuple[str, str, str]:
    """Category, title and description."""
    [category] = random.choices(list(NOUNS), _SHARES)
    noun = random.randrange(4)
    own = {name: text.split(",") for name, text in WORDS[noun % 2].items()}
    title = [
        random.choice(own["adjectives"]),
        random.choice(own["colours"]),
        NOUNS[category].split("|")[noun],
    ]
    sentences = random.sample(own["sentences"], random.randint(2, 6))
    return category, " ".join(title), " ".join(sentences)


def _listing(random: Random, now: datetime, age: float, sellers: list[UUID]) -> dict[str, Any]:
    """A row of `auctions`; the first has the age 0 and is the oldest."""
    made = now - SPAN * (1 - age)
    listing_id = _id(random, made)
    fate = random.random()
    day = timedelta(days=1)
    if fate < RUNNING:
        opens, ends, status = (
            now - random.random() * 7 * day,
            now + (0.05 + random.random()) * 10 * day,
            "published",
        )
    elif fate < RUNNING + SCHEDULED:
        opens, ends, status = now + (0.05 + random.random()) * 5 * day, now + 9 * day, "published"
    else:
        opens, ends = made - 7 * day, made - random.random() * day
        status = random.choice(["sold", "unsold"])
    ends = from_ms(to_ms(ends))
    local = random.random() < LOCAL
    code, cell = random.choice(_SEOUL if random.random() < SEOUL_SHARE else _ELSEWHERE)
    category, title, description = _text(random)
    start = random.randint(1, 500) * 1_000
    bids = 0 if status != "sold" and random.random() < 0.5 else int(random.expovariate(0.15)) + 1
    bids = 0 if opens > now else bids
    price = start + (bids - 1) * random.randint(1, 20) * 1_000 if bids else 0
    return {
        "id": listing_id,
        "shard": shard_of(listing_id),
        "seller_id": random.choice(sellers),
        "kind": "neighbourhood" if local else "live",
        "status": status,
        "region_code": code if local else None,
        "cell": cell if local else None,
        "radius": random.choice(list(Radius)).value if local else None,
        "category_code": category,
        "condition": random.choice([None, *(condition.value for condition in Condition)]),
        "title": title,
        "description": description,
        "start_price": start,
        "increments": "[[0, 1000]]",
        "opens_at": opens,
        "ends_at": ends,
        "latest_end": ends,
        "soft_close_window_ms": 0,
        "soft_close_extension_ms": 0,
        "created_at": made,
        "published_at": made,
        "epoch": 1,
        "seq": bids,
        "mirrored_seq": bids,
        "price": price,
        "bids": bids,
        "leader_id": random.choice(sellers) if bids else None,
        "leader_paddle": min(bids, 1),
        "leader_maximum": price,
        "hammer_price": price if status == "sold" else None,
        "deliveries": random.choice([["handover"], ["shipping"], ["handover", "shipping"]]),
    }


def own_database(beside: str, name: str, count: int) -> str:
    """The owner's URL of the database `name` with `count` listings, beside that of the URL. It is made anew."""
    server = make_url(beside)
    with psycopg.connect(beside, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    url = server.set(database=name).render_as_string(hide_password=False)
    fill(url, count)
    return url


def main() -> None:
    """Make the database."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", default="neighborbid_listings")
    parser.add_argument("--count", type=int, default=100_000)
    options = parser.parse_args()
    print(own_database(settings.load(os.environ).postgres.owner_url, options.database, options.count))


if __name__ == "__main__":
    main()
