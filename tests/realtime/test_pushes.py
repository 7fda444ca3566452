"""What is published for a user reaches all open sockets of that user, in every process, and nobody else's."""

import msgspec
import pytest

from realtime.protocol import decode_outgoing
from store.ids import new_id
from store.redis.clients import Hot
from store.redis.pushes import (
    MessagePush,
    NotificationPush,
    OrderPush,
    Push,
    UnreadPush,
    publish,
)
from store.redis.tickets import put_ticket
from tests.support.live_client import Client, listening
from tests.support.realtime import Connect, Process
from tests.support.waiting import until

ORDER = new_id()
NOTIFICATION = NotificationPush(
    id=new_id(),
    event="won",
    title="낙찰되었습니다: “자전거”",
    body="가격: ₩5",
    path=f"/#/orders/{ORDER}",
    auction=new_id(),
    order=ORDER,
    data={"title": "자전거", "price": 5},
    created_at=1,
    unread=3,
)


def a_push(number: int = 1) -> MessagePush:
    return MessagePush(order=ORDER, id=new_id(), number=number, by="buyer", text="안녕", created_at=1)


async def heard(client: Client) -> list[int]:
    """The numbers of the messages that have come."""
    await client.in_order()
    return [message["number"] for message in client.of_type("message")]


async def test_a_push_reaches_all_sockets_of_its_users_and_no_others(
    processes: tuple[Process, Process], connect: Connect, hot: Hot
) -> None:
    ann, bob, eve = new_id(), new_id(), new_id()
    one, two = (process.url for process in processes)
    first, second, third = await connect(one, ann), await connect(one, ann), await connect(two, ann)
    other, stranger, guest = await connect(two, bob), await connect(one, eve), await connect(one)

    async def both_processes() -> bool:
        reply = await hot.client.execute_command("PUBSUB", "SHARDNUMSUB", f"user:{ann}")
        return bool(reply[1] == 2)

    await until(both_processes)
    await listening(hot, bob, eve)
    push = a_push()
    await hot.run(publish([(user, push) for user in (ann, bob)]))

    for client in (first, second, third, other):
        message = await client.push("message")
        assert message == {
            "type": "message",
            "order": str(ORDER),
            "id": str(push.id),
            "number": 1,
            "by": "buyer",
            "text": "안녕",
            "created_at": 1,
        }
    await hot.run(publish([(eve, a_push(2))]))
    await stranger.push("message", number=2)
    assert await heard(stranger) == [2]
    assert await heard(guest) == []


async def test_a_socket_hears_its_present_user_only(url: str, connect: Connect, hot: Hot) -> None:
    ann, bob = new_id(), new_id()
    client = await connect(url, ann)
    await listening(hot, ann)
    await client.request("authenticate", ticket=await hot.run(put_ticket(bob, new_id())))
    await listening(hot, bob)
    await hot.run(publish([(user, a_push(1)) for user in (ann, bob)]))
    await hot.run(publish([(ann, a_push(2))]))
    await hot.run(publish([(bob, a_push(3))]))
    await client.push("message", number=3)
    assert await heard(client) == [1, 3]


async def test_nobody_listens_for_a_user_who_has_left(url: str, connect: Connect, hot: Hot) -> None:
    ann = new_id()
    stays, goes = await connect(url, ann), await connect(url, ann)
    await listening(hot, ann)
    await goes.leave()
    await hot.run(publish([(ann, a_push())]))
    await stays.push("message")
    await stays.leave()

    async def nobody() -> bool:
        reply = await hot.client.execute_command("PUBSUB", "SHARDNUMSUB", f"user:{ann}")
        return bool(reply[1] == 0)

    await until(nobody)


@pytest.mark.parametrize(
    "push",
    [a_push(), OrderPush(order=ORDER, action="ship", state="shipped"), NOTIFICATION, UnreadPush(unread=2)],
    ids=["message", "order", "notification", "unread"],
)
async def test_every_push_is_a_message_of_the_protocol(
    url: str, connect: Connect, hot: Hot, push: Push
) -> None:
    ann = new_id()
    client = await connect(url, ann)
    await listening(hot, ann)
    await hot.run(publish([(ann, push)]))
    kind = str(push.__struct_config__.tag)
    came = await client.push(kind)
    assert decode_outgoing(msgspec.json.encode(came)) == push
