"""What operators do by `./neighborbid admin` holds in every process of the running system."""

import asyncio
import sys
import time
from uuid import UUID, uuid4

from sqlalchemy import func, select

from server.client import LiveSocket, Message
from server.settings import REPO
from store.models import AccountKind, Auction, AuctionStatus, Bid, LedgerAccount
from tests.support.system import Person, System, Viewer, bidding_socket
from tests.support.waiting import until


async def admin(*arguments: str) -> float:
    """Runs the command, which succeeds; when it was done, by the monotonic clock."""
    command = [sys.executable, "-m", "server.cli", "admin", *arguments, "A reason"]
    running = await asyncio.create_subprocess_exec(*command, cwd=REPO)
    assert await running.wait() == 0
    return time.monotonic()


async def test_under_fire_of_bids_a_command_cancels_a_live_auction_and_no_hold_is_left(
    system: System,
) -> None:
    people = [system.person(funds=1_000_000) for _ in range(4)]
    auction = await system.auction(system.person())
    for person in people:
        await person.api.post(f"/auctions/{auction}/paddle", {"limit": 1_000_000})
    sockets = [await bidding_socket(system, person) for person in people]
    viewers = [await Viewer().watch(url, auction) for url in system.realtime_urls]
    accepted: list[Message] = []

    async def bid_until_cancelled(socket: LiveSocket) -> None:
        maximum = 1_000
        while True:
            maximum += 200
            reply = await socket.request("bid", ref=uuid4().hex, auction=auction, maximum=maximum)
            if reply["type"] == "accepted":
                accepted.append(reply)
            elif reply["code"] == "cancelled":
                return
            await asyncio.sleep(0.02)

    firing = asyncio.gather(*map(bid_until_cancelled, sockets))
    await until(lambda: len(accepted) >= 5)

    await admin("cancel", auction)

    async with asyncio.timeout(10):
        await firing
    await until(lambda: all(viewer.replica.cancelled for viewer in viewers))

    def is_settled() -> bool:
        with system.database.transaction() as session:
            return session.get_one(Auction, UUID(auction)).status == AuctionStatus.CANCELLED

    await until(is_settled)
    with system.database.transaction() as session:
        row = session.get_one(Auction, UUID(auction))
        bids = session.scalar(select(func.count()).where(Bid.auction_id == row.id))
        held = session.scalar(
            select(func.sum(LedgerAccount.balance)).where(
                LedgerAccount.kind == AccountKind.HELD,
                LedgerAccount.owner_id.in_([person.id for person in people]),
            )
        )
    assert row.sealed_seq == len(accepted) + 1
    assert (bids, held, row.hammer_price) == (len(accepted), 0, None)
    assert (await people[0].api.get(f"/auctions/{auction}"))["cancel_reason"] == "A reason"
    await asyncio.gather(*(socket.close() for socket in [*sockets, *(viewer.socket for viewer in viewers)]))


async def test_what_a_command_switches_holds_in_every_process_within_a_second(system: System) -> None:
    person = system.person(funds=1_000_000)
    auction = await system.auction(system.person())
    await person.api.post(f"/auctions/{auction}/paddle", {"limit": 1_000_000})
    sockets = [await socket_of(person, url) for url in system.realtime_urls]
    maxima = iter(range(1_000, 1_000_000, 200))

    async def is_off(socket: LiveSocket) -> bool:
        reply = await socket.request("bid", ref=uuid4().hex, auction=auction, maximum=next(maxima))
        return reply.get("code") == "switched_off"

    try:
        for position in ("off", "on"):
            done_at = await admin("switch", "live_bidding", position)
            for socket in sockets:

                async def obeys(socket: LiveSocket = socket, expected: bool = position == "off") -> bool:
                    return await is_off(socket) is expected

                await until(obeys, deadline_s=done_at + 1 - time.monotonic())
    finally:
        await admin("switch", "live_bidding", "on")
    await asyncio.gather(*(socket.close() for socket in sockets))


async def socket_of(person: Person, url: str) -> LiveSocket:
    """A socket of this process, past the gateway, on which the person may bid."""
    socket = await LiveSocket.open(url, lambda message: None)
    ticket = (await person.api.post("/ws-tickets"))["ticket"]
    assert (await socket.request("authenticate", ticket=ticket))["type"] == "authenticated"
    return socket
