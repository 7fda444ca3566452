"""What each request does: a table from its type to a function."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from market.rules import Code
from realtime.clock import Clock
from realtime.hub import Hub
from realtime.limits import Limits
from realtime.metrics import BID_S, BIDS
from realtime.pipe import OutcomeUnknown, Pipe, Unavailable
from realtime.protocol import (
    Accepted,
    Authenticate,
    Authenticated,
    Bid,
    BuyNow,
    Error,
    ErrorCode,
    Ping,
    Pong,
    Rejected,
    Request,
    Subscribe,
    Unsubscribe,
)
from realtime.teller import Teller
from realtime.viewer import Viewer
from store.redis import revocations
from store.redis.auctions import buy_now, place_bid
from store.redis.calls import Call
from store.redis.clients import Hot
from store.redis.pushes import outbid_by
from store.redis.records import BidRecord, Rejection
from store.redis.switches import Switches
from store.redis.tickets import take_ticket

log = structlog.get_logger()


@dataclass(slots=True)
class Live:
    """What a request works with."""

    hot: Hot
    pipe: Pipe
    hub: Hub
    teller: Teller
    clock: Clock
    limits: Limits
    allowed_origins: frozenset[str]
    draining: bool = False
    switches: Switches | None = None
    """As Redis knew them a moment ago; None until it has known them."""
    late_rejections: int = 0
    """Bids that came after the end, since Redis was last told how many."""


def dispatch(live: Live, viewer: Viewer, request: Request) -> Awaitable[None] | None:
    """Do what the request asks. What it returns is to be awaited before the next request of the same socket."""
    return _TABLE[type(request)](live, viewer, request)


async def _authenticate(live: Live, viewer: Viewer, request: Authenticate) -> None:
    try:
        ticket = await live.hot.run(take_ticket(request.ticket))
    except RedisError as failure:
        log.warning("ticket_not_taken", error=str(failure))
        detail = "We cannot check tickets at the moment. Get a new one and try again."
        viewer.send(Error(ref=request.ref, code=ErrorCode.UNAVAILABLE, detail=detail))
        return
    if ticket is None:
        detail = "This ticket is unknown, expired or already used. Get a new one."
        viewer.send(Error(ref=request.ref, code=ErrorCode.INVALID_TICKET, detail=detail))
        return
    if not live.hub.has_room(ticket.user, viewer):
        detail = (
            f"You are signed in on {live.limits.account_sockets} sockets. Close one, then get a new ticket."
        )
        viewer.send(Error(ref=request.ref, code=ErrorCode.TOO_MANY_SOCKETS, detail=detail))
        return
    # In this order: a revocation from now on is heard, and one before is found.
    live.hub.identify(viewer, ticket.user, ticket.session)
    try:
        revoked = await live.hot.run(revocations.revoked([ticket.session]))
    except RedisError as failure:
        log.warning("session_not_checked", error=str(failure))
        live.hub.identify(viewer, None, None)
        detail = "We cannot check tickets at the moment. Get a new one and try again."
        viewer.send(Error(ref=request.ref, code=ErrorCode.UNAVAILABLE, detail=detail))
        return
    if revoked:
        live.hub.end_session(ticket.session)
        return
    viewer.send(Authenticated(ref=request.ref, user=ticket.user))


def _subscribe(live: Live, viewer: Viewer, request: Subscribe) -> None:
    live.hub.subscribe(viewer, request.ref, request.auction, request.epoch, request.seq)


def _unsubscribe(live: Live, viewer: Viewer, request: Unsubscribe) -> None:
    live.hub.unsubscribe(viewer, request.ref, request.auction)


def _ping(live: Live, viewer: Viewer, request: Ping) -> None:
    viewer.send(Pong(ref=request.ref, server_time=live.clock.now()))


def _bid(live: Live, viewer: Viewer, request: Bid | BuyNow) -> None:
    account = viewer.account
    if account is None:
        detail = "You are not logged in on this socket. Send a ticket before you bid."
        viewer.send(Error(ref=request.ref, code=ErrorCode.AUTHENTICATION_REQUIRED, detail=detail))
        return
    if live.switches is None:
        BIDS.labels("unavailable").inc()
        detail = "Your bid was not placed, because we are still starting. Try again in a moment."
        viewer.send(Error(ref=request.ref, code=ErrorCode.UNAVAILABLE, detail=detail))
        return
    if not live.switches.live_bidding:
        BIDS.labels("switched_off").inc()
        detail = "Your bid was not placed, because live bidding is switched off. Try again later."
        viewer.send(Error(ref=request.ref, code=ErrorCode.SWITCHED_OFF, detail=detail))
        return
    if wait_ms := account.bids.take():
        BIDS.labels("rate_limited").inc()
        detail = "Your bid was not placed, because you bid too often. Wait a moment and try again."
        viewer.send(
            Error(ref=request.ref, code=ErrorCode.RATE_LIMITED, detail=detail, retry_after_ms=wait_ms)
        )
        return
    try:
        future = live.pipe.run(_call(account.user, request))
    except Unavailable:
        BIDS.labels("unavailable").inc()
        detail = "Your bid was not placed, because the auction cannot be reached now. Try again."
        viewer.send(Error(ref=request.ref, code=ErrorCode.UNAVAILABLE, detail=detail))
        return
    # By callback, so that the socket's next message does not wait for Redis.
    future.add_done_callback(partial(_decided, live, viewer, request, live.clock.now(), time.perf_counter()))


def _call(user: UUID, request: Bid | BuyNow) -> Call[BidRecord | Rejection]:
    if isinstance(request, BuyNow):
        return buy_now(request.auction, user, request.ref, request.epoch)
    return place_bid(request.auction, user, request.ref, request.most, request.epoch)


def _decided(
    live: Live, viewer: Viewer, request: Bid | BuyNow, received_at: int, started: float, future: Any
) -> None:
    BID_S.observe(time.perf_counter() - started)
    try:
        answer: BidRecord | Rejection = future.result()
    except (Unavailable, OutcomeUnknown):
        BIDS.labels("unknown").inc()
        detail = "The answer to your bid was lost. Send it again with the same ref to get it."
        viewer.send(Error(ref=request.ref, code=ErrorCode.UNAVAILABLE, detail=detail))
    except Exception:
        BIDS.labels("failed").inc()
        log.exception("bid_failed", auction=str(request.auction))
        viewer.send(
            Error(
                ref=request.ref,
                code=ErrorCode.INTERNAL_ERROR,
                detail="Something went wrong on our side. Check whether your bid was placed.",
            )
        )
    else:
        BIDS.labels(answer.code if isinstance(answer, Rejection) else "accepted").inc()
        live.late_rejections += isinstance(answer, Rejection) and answer.code == Code.CLOSED
        viewer.send(_bid_reply(request, answer, received_at, live.clock.now()))
        if isinstance(answer, BidRecord):
            live.teller.tell(outbid_by(answer))


def _bid_reply(
    request: Bid | BuyNow, answer: BidRecord | Rejection, received_at: int, now: int
) -> Accepted | Rejected:
    if isinstance(answer, Rejection):
        return Rejected(
            ref=request.ref,
            auction=request.auction,
            code=answer.code,
            price=answer.price,
            next_minimum=answer.next_minimum,
            ends_at=answer.ends_at,
            received_at=received_at,
            decided_at=answer.at,
            server_time=now,
        )
    return Accepted(
        ref=request.ref,
        auction=request.auction,
        epoch=answer.epoch,
        seq=answer.seq,
        paddle=answer.paddle,
        maximum=answer.maximum,
        price=answer.price,
        leading=answer.leader == answer.bidder,
        next_minimum=answer.next_minimum,
        ends_at=answer.ends_at,
        received_at=received_at,
        decided_at=answer.at,
        server_time=now,
    )


_TABLE: dict[type[Request], Callable[[Live, Viewer, Any], Awaitable[None] | None]] = {
    Authenticate: _authenticate,
    Subscribe: _subscribe,
    Unsubscribe: _unsubscribe,
    Bid: _bid,
    BuyNow: _bid,
    Ping: _ping,
}
