"""The client that demo, bench and these tests use, against the running system."""

import asyncio
from uuid import uuid4

from server.client import Api
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
