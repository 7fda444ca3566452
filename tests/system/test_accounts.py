"""Log-ins that go on and log-ins that end, against the running system."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from server.client import Api, LiveSocket, Problem
from server.settings import REPO
from store.models import Role
from tests.support.system import Person, System


async def test_a_client_goes_on_when_its_access_token_is_over(system: System) -> None:
    api, email = Api(system.url), f"{uuid4().hex}@example.org"
    await api.post("/auth/register", {"email": email, "password": "correct horse", "display_name": "Ann"})
    await api.log_in(email, "correct horse")
    for _ in range(2):
        # What an expired token is answered like; two requests at once must not use up the refresh token twice.
        api.access_token = "over"
        first, second = await asyncio.gather(api.get("/me"), api.get("/me"))
        assert first["email"] == second["email"] == email


async def ban_by_the_api(system: System, person: Person) -> None:
    moderator = system.person(role=Role.MODERATOR)
    await moderator.api.post(f"/admin/users/{person.id}/ban", {"reason": "A reason"})


async def ban_by_the_command(system: System, person: Person) -> None:
    email = (await person.api.get("/me"))["email"]
    banning = await asyncio.create_subprocess_exec(REPO / "neighborbid", "admin", "ban", email, "A reason")
    assert await banning.wait() == 0


@pytest.mark.parametrize("ban", [ban_by_the_api, ban_by_the_command])
async def test_a_ban_closes_the_open_sockets_of_every_process(
    system: System, ban: Callable[[System, Person], Awaitable[None]]
) -> None:
    person = system.person()
    sockets = []
    for url in [*system.realtime_urls, system.url]:
        socket = await LiveSocket.open(url, lambda message: None)
        ticket = (await person.api.post("/ws-tickets"))["ticket"]
        assert (await socket.request("authenticate", ticket=ticket))["type"] == "authenticated"
        sockets.append(socket)

    await ban(system, person)

    async with asyncio.timeout(1):
        assert [await socket.closed for socket in sockets] == [4401] * len(sockets)
    with pytest.raises(Problem, match="unauthenticated"):
        await person.api.get("/me")
