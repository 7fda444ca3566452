"""A live auction through Nginx, the realtime processes, Redis, Celery and PostgreSQL."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select

from market.money import ledger
from server.client import Disconnected, LiveSocket
from store.models import AccountKind, Auction, Bid, LedgerAccount, Order, Paddle, PaddleStatus
from tests.support.system import Person, System, Viewer, bidding_socket, database_now_ms
from tests.support.waiting import until

BIDDERS = 200


async def test_a_bid_is_acknowledged_seen_on_every_process_and_written_back(system: System) -> None:
    seller, buyer = system.person(), system.person(funds=100_000)
    auction = await system.auction(seller)
    await buyer.api.post(f"/auctions/{auction}/paddle", {"limit": 50_000})
    viewers = [await Viewer().watch(url, auction) for url in [*system.realtime_urls, system.url]]
    socket = await bidding_socket(system, buyer)

    reply = await socket.request("bid", ref="first", auction=auction, maximum=30_000)

    assert (reply["type"], reply["price"], reply["leading"]) == ("accepted", 1_000, True)
    await until(lambda: all(viewer.replica.bids == 1 for viewer in viewers))
    for viewer in viewers:
        assert viewer.replica.price == 1_000
        assert "30000" not in str(viewer.messages), "a maximum is secret"

    def written() -> Bid | None:
        with system.database.transaction() as session:
            return session.scalar(select(Bid).where(Bid.auction_id == UUID(auction)))

    bid = await until(written)
    assert (bid.ref, bid.maximum, bid.seq, bid.bidder_id) == ("first", 30_000, reply["seq"], buyer.id)
    for viewer in viewers:
        await viewer.socket.close()
    await socket.close()


async def test_two_hundred_bidders_at_the_closing_moment(system: System) -> None:
    seller = system.person()
    people = [system.person(funds=10_000_000) for _ in range(BIDDERS)]
    with system.database.transaction() as session:
        now = database_now_ms(session)
    auction = await system.auction(seller, ends_at=now + 25_000)
    for person in people:
        await person.api.post(f"/auctions/{auction}/paddle", {"limit": 10_000_000})
    sockets = [await bidding_socket(system, person) for person in people]
    viewer = await Viewer().watch(system.url, auction)
    accepted: list[tuple[str, str]] = []
    refused: set[str] = set()

    async def bid_until_closed(number: int, person: Person, socket: LiveSocket) -> None:
        await until(lambda: viewer.replica.remaining_ms() < 1_500, deadline_s=60)
        raised = 0
        while True:
            raised += 1
            ref = uuid4().hex
            # Everybody's maxima rise, and many of them meet at the same amounts.
            maximum = (viewer.replica.next_minimum or 1_000) + 100 * ((number + raised) % 7)
            reply = await socket.request("bid", ref=ref, auction=auction, maximum=maximum)
            if reply["type"] == "accepted":
                accepted.append((str(person.id), ref))
            else:
                refused.add(reply["code"])
                if reply["code"] == "closed":
                    return
            if reply.get("code") == "rate_limited":
                await asyncio.sleep(0.2)

    await asyncio.gather(
        *(bid_until_closed(n, *pair) for n, pair in enumerate(zip(people, sockets, strict=True)))
    )
    detail = await system.settled(auction)
    await until(lambda: viewer.replica.closed)

    with system.database.transaction() as session:
        row = session.get_one(Auction, UUID(auction))
        bids = session.scalars(select(Bid).where(Bid.auction_id == row.id).order_by(Bid.seq)).all()
        order = session.scalars(select(Order).where(Order.auction_id == row.id)).one()
        statuses = session.scalars(select(Paddle.status).where(Paddle.auction_id == row.id)).all()
        escrow = session.scalar(
            select(LedgerAccount.balance).where(
                LedgerAccount.kind == AccountKind.ESCROW, LedgerAccount.owner_id == order.id
            )
        )
        held = session.scalar(
            select(func.sum(LedgerAccount.balance)).where(
                LedgerAccount.kind == AccountKind.HELD,
                LedgerAccount.owner_id.in_([person.id for person in people]),
            )
        )
        assert ledger.trial_balance(session) == 0
        assert ledger.verify(session) == []

    assert "closed" in refused
    assert len(accepted) > BIDDERS / 10
    assert [bid.seq for bid in bids] == list(range(1, len(bids) + 1))
    assert row.sealed_seq == len(bids) + 1
    assert all(bid.at < bid.ends_at for bid in bids), "no bid is accepted at or after the end"
    assert {(str(bid.bidder_id), bid.ref) for bid in bids} == set(accepted)
    winner = max(bids, key=lambda bid: (bid.maximum, -bid.seq))
    assert (order.buyer_id, order.hammer_price) == (winner.bidder_id, bids[-1].price)
    assert escrow == order.hammer_price == detail["hammer_price"] == viewer.replica.hammer_price
    assert sorted(statuses) == [PaddleStatus.CAPTURED] + [PaddleStatus.RELEASED] * (BIDDERS - 1)
    assert held == 0
    await asyncio.gather(*(socket.close() for socket in [*sockets, viewer.socket]))


async def test_an_auction_without_bids_ends_unsold_and_gives_the_money_back(system: System) -> None:
    seller, buyer = system.person(), system.person(funds=5_000)
    with system.database.transaction() as session:
        now = database_now_ms(session)
    auction = await system.auction(seller, ends_at=now + 2_000)
    await buyer.api.post(f"/auctions/{auction}/paddle", {"limit": 5_000})
    assert await buyer.api.get("/wallet") == {"available": 0, "held": 5_000}

    assert (await system.settled(auction))["state"] == "unsold"

    assert await buyer.api.get("/wallet") == {"available": 5_000, "held": 0}


@pytest.mark.parametrize(
    "path", ["/metrics", "/healthz", "/readyz", "/api/metrics", "/ws/metrics", "/../metrics"]
)
async def test_nothing_internal_is_reachable_through_the_gateway(system: System, path: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", system.settings.gateway.http_port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.split(b" ", 2)[1] in (b"400", b"404")
    assert b"# HELP" not in answer


async def test_a_foreign_page_may_not_open_a_socket(system: System) -> None:
    with pytest.raises(Disconnected):
        await LiveSocket.open(system.url, lambda message: None, origin="https://evil.example")
