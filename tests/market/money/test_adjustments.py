"""Money that two admins move: never by one alone, never twice, never more than there is."""

from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError, ProgrammingError

from market import audit
from market.audit import Actor
from market.bidding import paddles
from market.moderation import sanctions
from market.money import adjustments, ledger, wallet
from market.money.adjustments import AdjustmentView
from market.money.wallet import Wallet
from market.rules import MAX_AMOUNT
from store.database import SyncDatabase
from store.ids import new_id
from store.models import Adjustment, AdjustmentState, Direction, Role, Transfer, User
from tests.support.factories import make_funded_user, make_published_auction, make_user
from tests.support.races import at_once
from tests.support.use_cases import UseCases

WHY = "A reason"


@dataclass
class Office(UseCases):
    """Two admins, and a user with 1,000."""

    ann: UUID
    ben: UUID
    user: UUID

    def propose(
        self, amount: int = 300, direction: Direction = Direction.CREDIT, by: UUID | None = None
    ) -> AdjustmentView:
        return self.do(adjustments.propose, by or self.ann, self.user, direction, amount, WHY)

    def transfers(self, adjustment_id: UUID) -> int:
        return self.do(
            lambda session: session.scalars(
                select(func.count(Transfer.id)).where(Transfer.id == adjustment_id)
            ).one()
        )

    @property
    def money(self) -> Wallet:
        return self.do(wallet.view, self.user)

    def noted(self) -> list[tuple[str, UUID | None, Any, Any]]:
        """What the log says: action, actor, and the states before and after."""
        entries = self.do(audit.page, None, str(self.user), None, None, 100).items
        return [
            (
                entry.action,
                entry.actor_id,
                entry.before and entry.before["state"],
                entry.after and entry.after["state"],
            )
            for entry in reversed(entries)
        ]


@pytest.fixture
def office(sync_database: SyncDatabase) -> Office:
    with sync_database.transaction() as session:
        ann, ben = (make_user(session, name, Role.ADMIN) for name in ("Ann", "Ben"))
        return Office(sync_database, ann, ben, make_funded_user(session, 1_000))


def test_what_one_admin_proposes_and_another_confirms_moves_once(office: Office) -> None:
    proposed = office.propose()
    assert (proposed.state, proposed.amount, proposed.direction) == ("pending", 300, "credit")
    assert (proposed.user_name, proposed.proposer_name) == ("Somebody", "Ann")
    assert proposed.expires_at == proposed.created_at + 7 * 24 * 3_600_000
    assert office.money == Wallet(1_000, 0)

    for _ in range(2):
        confirmed = office.do(adjustments.confirm, office.ben, proposed.id, WHY)
        assert (confirmed.state, confirmed.decider_id) == ("confirmed", office.ben)

    assert office.money == Wallet(1_300, 0)
    assert office.transfers(proposed.id) == 1
    assert office.noted() == [
        ("propose_adjustment", office.ann, None, "pending"),
        ("confirm_adjustment", office.ben, "pending", "confirmed"),
    ]
    with office.database.transaction() as session:
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []


def test_money_is_taken_out_as_far_as_it_is_available(office: Office) -> None:
    with office.database.transaction() as session:
        auction = make_published_auction(session).id
        paddles.take(session, office.user, auction, 600)
    taken = office.propose(400, Direction.DEBIT)
    office.do(adjustments.confirm, office.ben, taken.id, WHY)
    assert office.money == Wallet(0, 600)
    more = office.propose(1, Direction.DEBIT)
    refusal = office.refusal(adjustments.confirm, office.ben, more.id, WHY)
    # How much is missing would tell how much is held.
    assert (refusal.code, refusal.fields) == ("insufficient_funds", {})
    [still, _] = office.do(adjustments.page, None, None, 2).items
    assert (still.id, still.state) == (more.id, "pending")
    assert len(office.noted()) == 3


def test_a_wallet_gets_no_more_than_it_may_hold(office: Office) -> None:
    with office.database.transaction() as session:
        auction = make_published_auction(session).id
        paddles.take(session, office.user, auction, 600)
    too_much = office.propose(MAX_AMOUNT - 999)
    assert office.refused(adjustments.confirm, office.ben, too_much.id, WHY) == "balance_too_large"
    assert office.money == Wallet(400, 600)


def test_nobody_confirms_their_own_proposal_or_moves_their_own_money(office: Office) -> None:
    proposed = office.propose()
    assert office.refused(adjustments.confirm, office.ann, proposed.id, WHY) == "own_proposal"
    for_ben = office.do(adjustments.propose, office.ann, office.ben, Direction.CREDIT, 1, WHY)
    assert office.refused(adjustments.confirm, office.ben, for_ben.id, WHY) == "forbidden"
    own = (office.ann, office.ann, Direction.CREDIT, 1, WHY)
    assert office.refused(adjustments.propose, *own) == "forbidden"


def test_nobody_confirms_with_an_account_that_was_made_an_admin_for_it(office: Office) -> None:
    """Whether it was made so by the proposer, made the proposer so, or was made so by a third one of the same."""
    operator = Actor(None, Role.ADMIN, "root")

    def made_by(giver: UUID | None) -> UUID:
        actor = operator if giver is None else Actor(giver, Role.ADMIN)
        with office.database.transaction() as session:
            made = make_user(session)
            sanctions.set_role(session, actor, made, Role.ADMIN, WHY)
            return made

    second, sibling = made_by(office.ann), made_by(office.ann)
    third, other = made_by(second), made_by(None)
    friend = made_by(other)
    for proposer, confirmer in ((office.ann, third), (third, office.ann), (second, sibling)):
        proposed = office.propose(by=proposer)
        assert office.refused(adjustments.confirm, confirmer, proposed.id, WHY) == "own_proposal"
        assert office.do(adjustments.confirm, friend, proposed.id, WHY).state == "confirmed"
    # What is given to somebody who has it changes nothing, and nobody gets another line by a detour.
    office.do(sanctions.set_role, Actor(office.ann, Role.ADMIN), friend, Role.ADMIN, WHY)
    for role in (Role.USER, Role.ADMIN):
        office.do(sanctions.set_role, Actor(second, Role.ADMIN), office.ann, role, WHY)
    proposed = office.propose()
    assert office.refused(adjustments.confirm, second, proposed.id, WHY) == "own_proposal"
    assert office.do(adjustments.confirm, friend, proposed.id, WHY).state == "confirmed"


def test_what_is_rejected_never_moves(office: Office) -> None:
    for admin in (office.ann, office.ben):
        proposed = office.propose()
        assert office.do(adjustments.reject, admin, proposed.id, WHY).state == "rejected"
        for use_case in (adjustments.confirm, adjustments.reject):
            refusal = office.refusal(use_case, office.ben, proposed.id, WHY)
            assert (refusal.code, refusal.fields["state"]) == ("wrong_state", "rejected")
        assert office.transfers(proposed.id) == 0
    confirmed = office.propose()
    office.do(adjustments.confirm, office.ben, confirmed.id, WHY)
    assert office.refused(adjustments.reject, office.ben, confirmed.id, WHY) == "wrong_state"
    assert office.money == Wallet(1_300, 0)


def test_after_seven_days_it_has_expired(office: Office) -> None:
    proposed = office.propose()
    with office.database.transaction() as session:
        # The application may not change what was proposed; the owner of the tables may.
        session.execute(text("SET LOCAL ROLE NONE"))
        earlier = {"expires_at": func.now(), "created_at": Adjustment.created_at - text("interval '7 days'")}
        session.execute(update(Adjustment).where(Adjustment.id == proposed.id).values(earlier))
    for use_case in (adjustments.confirm, adjustments.reject):
        refusal = office.refusal(use_case, office.ben, proposed.id, WHY)
        assert (refusal.code, refusal.fields["state"]) == ("wrong_state", "expired")
    shown = office.do(adjustments.page, AdjustmentState.PENDING, None, 100).items
    assert [view.state for view in shown if view.id == proposed.id] == ["expired"]


def test_of_many_confirmations_and_rejections_at_once_one_counts(office: Office) -> None:
    proposed = office.propose()
    calls = [
        partial(office.do, use_case, office.ben, proposed.id, WHY)
        for use_case in (adjustments.confirm, adjustments.reject) * 4
    ]
    at_once(calls)
    [(_, _, before, after)] = office.noted()[1:]
    assert before == "pending"
    moved = 300 if after == "confirmed" else 0
    assert office.money == Wallet(1_000 + moved, 0)
    assert office.transfers(proposed.id) == bool(moved)


def test_an_unknown_or_deleted_user_gets_nothing(office: Office) -> None:
    unknown = (office.ann, new_id(), Direction.CREDIT, 1, WHY)
    assert office.refused(adjustments.propose, *unknown) == "not_found"
    assert office.refused(adjustments.confirm, office.ben, new_id(), WHY) == "not_found"
    assert office.refused(adjustments.reject, office.ben, new_id(), WHY) == "not_found"
    proposed = office.propose()
    with office.database.transaction() as session:
        session.execute(update(User).where(User.id == office.user).values(deleted_at=func.now()))
    assert office.refused(adjustments.confirm, office.ben, proposed.id, WHY) == "not_found"


def test_the_list_is_by_state_and_page(office: Office) -> None:
    made = [office.propose().id for _ in range(3)]
    office.do(adjustments.reject, office.ann, made[0], WHY)
    first = office.do(adjustments.page, AdjustmentState.PENDING, None, 1)
    rest = office.do(adjustments.page, AdjustmentState.PENDING, first.next_cursor, 1)
    assert [view.id for view in first.items + rest.items] == made[:0:-1]
    assert office.do(adjustments.page, AdjustmentState.REJECTED, None, 1).items[0].id == made[0]
    assert office.refused(adjustments.page, None, "x", 1) == "invalid_cursor"


@pytest.mark.parametrize(
    "change", ["amount = 1", "direction = 'debit'", "user_id = proposer_id", "reason = ''"]
)
def test_the_application_cannot_change_what_was_proposed(office: Office, change: str) -> None:
    office.propose()
    with pytest.raises(ProgrammingError, match="permission denied"), office.database.transaction() as session:
        session.execute(text(f"UPDATE adjustments SET {change}"))


def test_postgresql_itself_wants_two_admins(office: Office) -> None:
    proposed = office.propose()
    decided = {"state": "confirmed", "decider_id": office.ann, "decided_at": func.now()}
    with pytest.raises(IntegrityError, match="two_admins"), office.database.transaction() as session:
        session.execute(update(Adjustment).where(Adjustment.id == proposed.id).values(decided))
