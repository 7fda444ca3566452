"""Settings that hold at once and everywhere, without a restart."""

from typing import Annotated

import msgspec
from msgspec import Meta

from handlers.http.admin import AdminHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market import fees, increments
from market.fees import SellerFee
from market.fields import ONE_LINE, Reason
from market.platform import settings
from market.platform.refusals import PlatformRefusal
from market.platform.settings import IncrementTables, Setting
from market.rules import MAX_AMOUNT
from store.models import Role
from store.redis.switches import Switches

MAX_TABLES = 20


class NewSellerFee(Body, frozen=True, kw_only=True):
    """As in `market.fees.SellerFee`, with nothing left out."""

    basis_points: Annotated[int, Meta(ge=0, le=fees.MAX_BASIS_POINTS)]
    floor: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
    cap: Annotated[int, Meta(ge=0, le=MAX_AMOUNT)] | None


class SellerFeeChange(Body, frozen=True, kw_only=True):
    """A new fee."""

    value: NewSellerFee
    reason: Reason


class NewSwitches(Body, frozen=True, kw_only=True):
    """As in `store.redis.switches.Switches`, with nothing left out."""

    registrations: bool
    publishing: bool
    live_bidding: bool
    neighbourhood_bidding: bool
    payments: bool


class SwitchesChange(Body, frozen=True, kw_only=True):
    """New positions of all switches."""

    value: NewSwitches
    reason: Reason


class NewIncrementTable(Body, frozen=True, kw_only=True):
    """A table of increments: (from price, increment), and its name."""

    name: Annotated[str, Meta(max_length=increments.MAX_NAME, pattern=ONE_LINE)]
    increments: list[tuple[int, int]]


class NewIncrementTables(Body, frozen=True, kw_only=True):
    """All tables to offer to sellers."""

    items: Annotated[list[NewIncrementTable], Meta(max_length=MAX_TABLES)]


class IncrementTablesChange(Body, frozen=True, kw_only=True):
    """New tables that replace all present ones."""

    value: NewIncrementTables
    reason: Reason


class SellerFeeHandler(AdminHandler):
    """GET: what the platform keeps of a sale. PUT: change it, for what is published from now on."""

    @operation(role=Role.ADMIN)
    async def get(self) -> Setting[SellerFee]:
        return await self.use(settings.get, SellerFee)

    @operation(edits=True, role=Role.ADMIN)
    async def put(self, body: SellerFeeChange, version: int) -> Setting[SellerFee]:
        value = msgspec.convert(body.value, SellerFee, from_attributes=True)
        return await self.use(settings.put, self.actor, value, version, body.reason)


class SwitchesHandler(AdminHandler):
    """GET: which functions are on. PUT: switch functions on and off."""

    @operation(role=Role.ADMIN)
    async def get(self) -> Setting[Switches]:
        return await self.use(settings.get, Switches)

    @operation(edits=True, role=Role.ADMIN)
    async def put(self, body: SwitchesChange, version: int) -> Setting[Switches]:
        value = msgspec.convert(body.value, Switches, from_attributes=True)
        return await self.use(settings.put, self.actor, value, version, body.reason)


class IncrementTablesHandler(AdminHandler):
    """GET: the increment tables offered to sellers. PUT: replace them."""

    @operation(role=Role.ADMIN)
    async def get(self) -> Setting[IncrementTables]:
        return await self.use(settings.get, IncrementTables)

    @operation(PlatformRefusal.INVALID_INCREMENTS, edits=True, role=Role.ADMIN)
    async def put(self, body: IncrementTablesChange, version: int) -> Setting[IncrementTables]:
        value = msgspec.convert(body.value, IncrementTables, from_attributes=True)
        return await self.use(settings.put_increment_tables, self.actor, value, version, body.reason)


routes = [
    (r"/api/v1/admin/seller-fee", SellerFeeHandler),
    (r"/api/v1/admin/switches", SwitchesHandler),
    (r"/api/v1/admin/increment-tables", IncrementTablesHandler),
]
