"""What an account may send and how many sockets it may have, over all its sockets on a process."""

from uuid import UUID

from realtime.bucket import Bucket
from realtime.limits import Limits
from store.ids import new_id
from store.redis.clients import Hot
from store.redis.keys import keys_of
from store.redis.tickets import put_ticket
from tests.support.live_client import Client, load
from tests.support.realtime import Connect, Launch, Process
from tests.support.waiting import until

NEVER = 0.001
"""A second of these tests refills nothing."""


def test_a_bucket_lets_its_burst_through_and_fills_steadily() -> None:
    bucket = Bucket(3, 10)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0]
    assert 0 < bucket.take() <= 101
    assert not bucket.full
    bucket._filled_at -= 0.1
    assert bucket.take() == 0
    assert bucket.take() > 0
    bucket._filled_at -= 3600
    assert bucket.full
    assert [bucket.take() == 0 for _ in range(4)] == [True, True, True, False]


async def test_all_sockets_of_an_account_share_one_allowance(launch: Launch, connect: Connect) -> None:
    process = await launch("one", Limits(messages_per_s=NEVER, message_burst=4))
    anna, bert = new_id(), new_id()
    annas = [await connect(process.url, anna) for _ in range(2)]
    other, guest = await connect(process.url, bert), await connect(process.url)

    replies = [await client.request("ping") for client in annas * 3]

    assert [reply["type"] for reply in replies] == ["pong"] * 4 + ["error"] * 2
    assert {reply["code"] for reply in replies[4:]} == {"rate_limited"}
    assert all(reply["retry_after_ms"] > 0 for reply in replies[4:])
    for client in (other, guest):
        assert (await client.request("ping"))["type"] == "pong"


async def test_bids_have_an_allowance_of_their_own(hot: Hot, launch: Launch, connect: Connect) -> None:
    process = await launch("one", Limits(bids_per_s=NEVER, bid_burst=3))
    anna, bert = new_id(), new_id()
    auction = (await load(hot, [anna, bert])).auction_id
    annas = [await connect(process.url, anna) for _ in range(2)]

    replies = [
        await client.request("bid", ref=f"b{number}", auction=str(auction), amount=1_000 + 100 * number)
        for number, client in enumerate(annas * 2)
    ]

    assert [reply["type"] for reply in replies] == ["accepted"] * 3 + ["error"]
    assert replies[3]["code"] == "rate_limited"
    assert replies[3]["retry_after_ms"] > 0
    assert await hot.client.hget(keys_of(auction).auction, "seq") == b"3"
    for client in annas:
        assert (await client.request("ping"))["type"] == "pong", "other messages go on"
    rival = await connect(process.url, bert)
    assert (await rival.request("bid", auction=str(auction), amount=2_000))["type"] == "accepted"


async def test_reconnecting_gives_no_new_allowance(hot: Hot, launch: Launch, connect: Connect) -> None:
    process = await launch("one", Limits(bids_per_s=NEVER, bid_burst=1))
    anna = new_id()
    auction = (await load(hot, [anna])).auction_id
    before = await connect(process.url, anna)
    assert (await before.request("bid", auction=str(auction), amount=1_000))["type"] == "accepted"
    await before.leave()
    hub = process.realtime._live.hub
    await until(lambda: not hub.viewers)
    hub.sweep()

    after = await connect(process.url, anna)

    assert (await after.request("bid", auction=str(auction), amount=2_000))["code"] == "rate_limited"


async def test_signing_in_as_somebody_else_gives_back_no_allowance(
    hot: Hot, launch: Launch, connect: Connect
) -> None:
    process = await launch("one", Limits(bids_per_s=NEVER, bid_burst=1))
    anna, bert = new_id(), new_id()
    auction = (await load(hot, [anna, bert])).auction_id
    client = await connect(process.url, anna)
    codes: list[str] = []
    for user in (anna, bert, anna):
        await sign_in(hot, client, user)
        reply = await client.request("bid", auction=str(auction), amount=1_000 + 1_000 * len(codes))
        codes.append(str(reply.get("code", reply["type"])))
    assert codes == ["accepted", "accepted", "rate_limited"]


async def sign_in(hot: Hot, client: Client, user: UUID) -> str:
    """The code of the refusal, or "authenticated"."""
    reply = await client.request("authenticate", ticket=await hot.run(put_ticket(user, new_id())))
    return str(reply.get("code", reply["type"]))


async def test_an_account_is_signed_in_on_a_bounded_number_of_sockets(
    hot: Hot, launch: Launch, connect: Connect
) -> None:
    process = await launch("one", Limits(account_sockets=2))
    anna, bert = new_id(), new_id()
    first, second = [await connect(process.url, anna) for _ in range(2)]
    third = await connect(process.url)

    assert await sign_in(hot, third, anna) == "too_many_sockets"
    reply = await third.request("bid", auction=str(new_id()), amount=1)
    assert reply["code"] == "authentication_required", "it is still nobody's"
    assert await sign_in(hot, first, anna) == "authenticated", "a new ticket for the same socket"

    assert await sign_in(hot, first, bert) == "authenticated"
    assert await sign_in(hot, third, anna) == "authenticated"
    await second.leave()
    hub = process.realtime._live.hub
    await until(lambda: len(hub.viewers) == 2)
    assert await sign_in(hot, first, anna) == "authenticated"


async def test_each_process_counts_by_itself(hot: Hot, launch: Launch, connect: Connect) -> None:
    limits = Limits(messages_per_s=NEVER, message_burst=1, account_sockets=1)
    anna = new_id()
    for name in ("one", "two"):
        process = await launch(name, limits)
        assert (await (await connect(process.url, anna)).request("ping"))["type"] == "pong"


async def test_an_account_is_forgotten_when_it_is_gone_and_rested(launch: Launch, connect: Connect) -> None:
    process: Process = await launch("one", Limits())
    hub = process.realtime._live.hub
    client = await connect(process.url, new_id())
    await client.request("ping")
    await client.leave()
    await until(lambda: not hub.viewers)
    [account] = hub._accounts.values()
    account.messages._filled_at -= 3600
    await until(lambda: not hub._accounts)
