"""A process that dies between a commit and what must follow it in Redis: for every such effect a sweep finds it."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from market.accounts import sessions
from market.accounts.sessions import Lifetime, RefreshToken
from market.audit import Actor
from market.bidding import paddles, publishing
from market.listings import listings
from market.listings.listings import Place
from market.places.neighbourhoods import Radius
from market.platform import settings
from store.database import SyncDatabase
from store.effects import CloseSockets, InRedis, LoadAuction, MirrorAuction, PutPaddle, PutSwitches
from store.models import Role
from store.redis import revocations, switches
from store.redis.auctions import read_auction
from store.redis.switches import Switches
from tasks.accounts.sessions import close_sockets
from tasks.app import Resources
from tasks.bidding import hot_state
from tasks.bidding.hot_state import load_missing, sweep_paddles
from tasks.bidding.neighbourhood import mirror_missing
from tasks.platform.settings import bring_switches
from tests.support.factories import a_draft, make_funded_user, make_neighbour, make_user
from tests.support.stage import Stage

pytestmark = pytest.mark.usefixtures("some_regions", "default_settings")


class Killed(BaseException):
    """The process was killed."""


class DyingDatabase(SyncDatabase):
    """A process that is killed after its next commit, before anything follows it."""

    def _carry_out(self, named: Any) -> None:
        assert [type(effect) for effect in named if isinstance(effect, InRedis)] == [self.expected]
        raise Killed

    expected: type[InRedis[Any]]


def publish_live(session: Session) -> Callable[[Resources], object]:
    seller = make_user(session)
    auction_id = publishing.publish(session, seller, listings.create(session, seller, a_draft()).id).id
    return lambda resources: resources.hot.run(read_auction(auction_id, 0)).state


def publish_among_neighbours(session: Session) -> Callable[[Resources], object]:
    seller, home = make_neighbour(session)
    draft = listings.create(session, seller, a_draft(place=Place(home, Radius.NEAR)))
    publishing.publish(session, seller, draft.id)
    return lambda resources: resources.hot.run(read_auction(draft.id, 0)).state


def end_sessions(session: Session) -> Callable[[Resources], object]:
    user = make_user(session)
    gone = sessions.open_session(session, user, RefreshToken.new(), Lifetime(60, 60))
    sessions.revoke_all(session, user)
    return lambda resources: resources.hot.run(revocations.revoked([gone]))


def switch_off(session: Session) -> Callable[[Resources], object]:
    admin = Actor(make_user(session, role=Role.ADMIN), Role.ADMIN)
    settings.put(session, admin, Switches(payments=False), 0, "A reason")
    return lambda resources: resources.hot.run(switches.read())


CASES: dict[type[InRedis[Any]], tuple[Callable[[Session], Callable[[Resources], object]], Any]] = {
    LoadAuction: (publish_live, load_missing),
    MirrorAuction: (publish_among_neighbours, mirror_missing),
    CloseSockets: (end_sessions, close_sockets),
    PutSwitches: (switch_off, bring_switches),
}


def test_every_effect_in_redis_has_its_case() -> None:
    assert {*CASES, PutPaddle} == set(InRedis.__subclasses__())


@pytest.mark.parametrize("effect", CASES, ids=lambda effect: effect.__name__)
def test_what_a_process_died_before_the_sweep_does(
    resources: Resources, database_url: str, effect: type[InRedis[Any]]
) -> None:
    cause, sweep = CASES[effect]
    dying = DyingDatabase(database_url, resources.hot)
    dying.expected = effect
    with pytest.raises(Killed), dying.transaction() as session:
        found = cause(session)
    dying.dispose()
    assert not found(resources)
    sweep(resources)
    assert found(resources)


def test_a_paddle_whose_process_died_reaches_redis_by_the_sweep(
    stage: Stage, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    auction_id = stage.auction()
    dying = DyingDatabase(database_url, stage.resources.hot)
    dying.expected = PutPaddle
    with stage.resources.database.transaction() as session:
        bidder = make_funded_user(session, 10_000)
    with pytest.raises(Killed), dying.transaction() as session:
        paddles.take(session, bidder, auction_id, 5_000)
    dying.dispose()
    assert stage.refused(auction_id, bidder, 2_000) == "no_paddle"
    monkeypatch.setattr(hot_state, "UNSYNCED_S", -1)
    sweep_paddles(stage.resources)
    assert stage.bid(auction_id, bidder, 2_000).paddle == 1
