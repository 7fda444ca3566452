"""The neighbourhoods of the user."""

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from msgspec import Meta

from handlers.http.base import UUID_PATTERN, ApiHandler
from handlers.http.operations import operation
from handlers.http.parsing import Body
from market.places import neighbourhoods
from market.places.neighbourhoods import Neighbourhoods, NeighbourhoodView
from market.places.refusals import PlaceRefusal


class ShownPosition(Body, frozen=True, kw_only=True):
    """Where the device says it is (degrees, WGS 84), and how far off that may be (metres)."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    accuracy_m: Annotated[float, Meta(ge=0)]


class NeighbourhoodsHandler(ApiHandler):
    """GET: your neighbourhoods, including expired ones. POST: verify the place where you are as a neighbourhood, or
    renew it."""

    @operation()
    async def get(self) -> Neighbourhoods:
        return await self.use(neighbourhoods.of_user, self.principal.user_id)

    # No idempotency key: what is kept under one would be made from the position, and verifying again does no harm.
    @operation(
        PlaceRefusal.POSITION_TOO_VAGUE,
        PlaceRefusal.OUTSIDE_REGIONS,
        PlaceRefusal.TOO_MANY_NEIGHBOURHOODS,
        statuses=(HTTPStatus.CREATED,),
    )
    async def post(self, body: ShownPosition) -> NeighbourhoodView:
        return await self.use(
            neighbourhoods.verify, self.principal.user_id, body.latitude, body.longitude, body.accuracy_m
        )


class NeighbourhoodHandler(ApiHandler):
    """DELETE: give up a neighbourhood."""

    @operation(statuses=(HTTPStatus.NO_CONTENT,))
    async def delete(self, neighbourhood_id: UUID) -> None:
        await self.use(neighbourhoods.give_up, self.principal.user_id, neighbourhood_id)


routes = [
    (r"/api/v1/me/neighbourhoods", NeighbourhoodsHandler),
    (rf"/api/v1/me/neighbourhoods/{UUID_PATTERN}", NeighbourhoodHandler),
]
