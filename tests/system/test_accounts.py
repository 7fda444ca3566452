"""Log-ins that go on and log-ins that end, against the running system."""

import asyncio
from uuid import uuid4

import pytest

from server.client import Api, LiveSocket, Problem
from server.settings import REPO
from tests.system.conftest import System


async def test_a_client_goes_on_when_its_access_token_is_over(system: System) -> None:
    api, email = Api(system.url), f"{uuid4().hex}@example.org"
    await api.post("/auth/register", {"email": email, "password": "correct horse", "display_name": "Ann"})
    await api.log_in(email, "correct horse")
    for _ in range(2):
        # What an expired token is answered like; two requests at once must not use up the refresh token twice.
        api.access_token = "over"
        first, second = await asyncio.gather(api.get("/me"), api.get("/me"))
        assert first["email"] == second["email"] == email


async def test_a_ban_closes_the_open_sockets_of_every_process(system: System) -> None:
    person = system.person()
    sockets = []
    for url in [*system.realtime_urls, system.url]:
        socket = await LiveSocket.open(url, lambda message: None)
        ticket = (await person.api.post("/ws-tickets"))["ticket"]
        assert (await socket.request("authenticate", ticket=ticket))["type"] == "authenticated"
        sockets.append(socket)
    email = (await person.api.get("/me"))["email"]

    banning = await asyncio.create_subprocess_exec(REPO / "neighborbid", "ban", email)
    assert await banning.wait() == 0

    for socket in sockets:
        assert await asyncio.wait_for(socket.closed, 10) == 4401
    with pytest.raises(Problem, match="unauthenticated"):
        await person.api.get("/me")
