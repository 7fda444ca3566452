"""Schemathesis calls every operation with what the OpenAPI document allows and with what it does not.

No answer may be a server error, have a status, media type or body that is not in the document, take what the document
forbids, or be given without the authentication that the document demands.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from handlers.http.openapi import document
from handlers.routes import ROUTES
from market.bidding import hot_state
from market.listings import listings, questions
from market.orders import orders
from market.places import neighbourhoods
from store.database import SyncDatabase
from store.models import Role
from store.redis.auctions import load_auction
from store.redis.clients import SyncHot
from tests.support.api import People, User
from tests.support.factories import (
    YEOKSAM,
    a_draft,
    make_neighbourhood_auction,
    make_order,
    make_published_auction,
)

EXAMPLES = 10
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.ignored_auth,
    checks.unsupported_method,
]
DOCUMENT = json.loads(document(ROUTES))
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = {
    f"{method.upper()} {path}": SCHEMA[path][method.upper()]
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
}
TAKE_NOTHING = {
    "GET /api/v1/categories",
    "GET /api/v1/platform",
    "GET /api/openapi.json",
    "GET /api/asyncapi.json",
    "GET /api/docs",
}
"""What takes nothing cannot be called wrongly."""
MODES = [
    (label, mode)
    for label in OPERATIONS
    for mode in GenerationMode
    if mode.is_positive or label not in TAKE_NOTHING
]


@dataclass
class Callers:
    """Two users, an administrator, and the ids of auctions, of orders between the two users, and of their questions."""

    seller: User
    other: User
    admin: User
    auctions: list[UUID]
    orders: list[UUID]
    questions: list[UUID]

    def ids(self, name: str) -> list[UUID]:
        """What a parameter of this name may be, so that something is found."""
        known = {
            "auction_id": self.auctions,
            "order_id": self.orders,
            "question_id": self.questions,
            "user_id": [self.seller.id, self.other.id],
        }
        return known.get(name, [])

    def headers(self, name: str) -> dict[str, str]:
        """What says who calls."""
        users = {"seller": self.seller, "other": self.other, "admin": self.admin}
        return {"Authorization": f"Bearer {users[name].token}"} if name in users else {}


@pytest.fixture
def callers(sync_database: SyncDatabase, sync_hot: SyncHot, some_regions: None, person: People) -> Callers:
    seller, other, admin = person(), person(), person(Role.ADMIN)
    with sync_database.transaction() as session:
        draft = listings.create(session, seller.id, a_draft()).id
        live = [make_published_auction(session, user.id).id for user in (seller, other)]
        states = [hot_state.hot_state(session, auction_id) for auction_id in live]
        asked = [
            questions.ask(session, user.id, auction_id, "New?").id
            for user, auction_id in ((other, live[0]), (seller, live[1]))
        ]
        local = make_neighbourhood_auction(session).id
        neighbourhoods.verify(session, other.id, *YEOKSAM, accuracy_m=10)
        paid, sent = (make_order(session, seller.id, other.id).id for _ in range(2))
        orders.ship(session, seller.id, sent, "A carrier", "1")
    for state in states:
        assert state is not None
        sync_hot.run(load_auction(state))
    return Callers(seller, other, admin, [draft, local, *live], [paid, sent], asked)


@pytest.mark.usefixtures("default_settings")
@pytest.mark.parametrize("caller", ["anonymous", "seller", "other", "admin"])
@pytest.mark.parametrize(("label", "mode"), MODES)
def test_the_api_does_what_its_document_says(
    base_url: str, callers: Callers, label: str, caller: str, mode: GenerationMode
) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=OPERATIONS[label].as_strategy(mode), choice=st.integers(0, len(callers.auctions)))
    def call(case: schemathesis.Case[Any], choice: int) -> None:
        for name in case.path_parameters:
            if choice < len(callers.ids(name)) and mode.is_positive:
                case.path_parameters[name] = str(callers.ids(name)[choice])
        case.call_and_validate(base_url=base_url, headers=callers.headers(caller), checks=CHECKS)

    call()
