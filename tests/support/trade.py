"""An order to play with, in transactions that are committed."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self
from uuid import UUID

from sqlalchemy import func, select, text, update

from market.money import ledger
from market.orders import handovers, orders
from market.orders.orders import OrderView
from market.times import to_ms
from store.database import SyncDatabase
from store.models import AccountKind, Handover, LedgerAccount, Order, OrderEvent, Review, User
from tests.support.factories import make_order
from tests.support.use_cases import UseCases

KEYS = [b"a key of the tests"]
DAY = timedelta(days=1)
PRICE = 1_500


@dataclass
class Trade(UseCases):
    """A paid order, and what both parties can do."""

    order_id: UUID
    seller: UUID
    buyer: UUID

    @classmethod
    def begin(cls, database: SyncDatabase) -> Self:
        with database.transaction() as session:
            order = make_order(session, hammer_price=PRICE)
        return cls(database, order.id, order.seller_id, order.buyer_id)

    def view(self) -> OrderView:
        return self.do(orders.get, self.buyer, self.order_id)

    def row(self) -> Order:
        with self.database.transaction() as session:
            return session.get_one(Order, self.order_id)

    def in_ms(self, **delta: int) -> int:
        """A time from now (PostgreSQL's clock), in ms."""
        with self.database.transaction() as session:
            now = session.scalars(select(func.now())).one()
        return to_ms(now + timedelta(**delta))

    def agree(self) -> OrderView:
        """The seller proposes, the buyer accepts."""
        proposed = self.do(handovers.propose, self.seller, self.order_id, "The fountain", self.in_ms(hours=1))
        assert proposed.proposal is not None
        return self.do(handovers.accept, self.buyer, self.order_id, proposed.proposal.number)

    def ship(self) -> OrderView:
        return self.do(orders.ship, self.seller, self.order_id, "A carrier", "1234")

    def code(self) -> str:
        return self.do(handovers.code, self.buyer, self.order_id, KEYS)

    def pass_time(self, delta: timedelta) -> None:
        """Everything that has a time is so much older."""
        with self.database.transaction() as session:
            # The application may not change what was proposed; the owner of the tables may.
            session.execute(text("SET LOCAL ROLE NONE"))
            session.execute(
                update(Handover)
                .where(Handover.order_id == self.order_id)
                .values(meet_at=Handover.meet_at - delta)
            )
            for column in (Order.due_at, Order.finished_at, Order.code_tried_at):
                session.execute(
                    update(Order).where(Order.id == self.order_id).values({column.key: column - delta})
                )
            session.execute(
                update(Review)
                .where(Review.order_id == self.order_id)
                .values(visible_at=Review.visible_at - delta)
            )

    def sweep(self) -> None:
        """What the sweep does with this order."""
        with self.database.transaction() as session:
            orders.time_out(session, self.order_id)

    def balance(self, kind: AccountKind, owner: UUID) -> int:
        with self.database.transaction() as session:
            return (
                session.scalar(
                    select(LedgerAccount.balance).where(
                        LedgerAccount.kind == kind, LedgerAccount.owner_id == owner
                    )
                )
                or 0
            )

    @property
    def money(self) -> tuple[int, int, int]:
        """In escrow, with the seller, with the buyer."""
        return (
            self.balance(AccountKind.ESCROW, self.order_id),
            self.balance(AccountKind.AVAILABLE, self.seller),
            self.balance(AccountKind.AVAILABLE, self.buyer),
        )

    def user(self, user_id: UUID) -> User:
        with self.database.transaction() as session:
            return session.get_one(User, user_id)

    def events(self) -> list[tuple[str, str, str, UUID | None]]:
        with self.database.transaction() as session:
            rows = session.scalars(
                select(OrderEvent).where(OrderEvent.order_id == self.order_id).order_by(OrderEvent.at)
            )
            return [(event.action, event.from_state, event.to_state, event.actor_id) for event in rows]

    def check_ledger(self) -> None:
        with self.database.transaction() as session:
            assert ledger.trial_balance(session) == 0
            assert ledger.verify(session) == []
