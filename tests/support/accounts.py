"""Registered users who log in through the API."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt

from handlers.http.cookies import HEADER
from tests.support.client import Answer, Client

PASSWORD = "correct horse"

OWN = {HEADER: "1"}


@dataclass
class Account:
    """A registered user."""

    guest: Client
    email: str

    async def attempt(self, password: str = PASSWORD, transport: str = "body", **headers: str) -> Answer:
        """Try to log in."""
        body = {"email": self.email, "password": password, "transport": transport}
        return await self.guest.call("POST", "/auth/login", body, headers=OWN | headers)

    async def log_in(self) -> Any:
        """The tokens of a new session."""
        answer = await self.attempt()
        assert answer.status == 201, answer.body
        return answer.body

    async def log_in_by_cookie(self) -> str:
        """The Cookie header of a new session."""
        answer = await self.attempt(transport="cookie")
        assert answer.body["refresh_token"] is None
        return answer.headers["Set-Cookie"].partition(";")[0]


async def refresh(guest: Client, token: str) -> Answer:
    return await guest.call("POST", "/auth/refresh", {"refresh_token": token})


def session_of(token: str) -> UUID:
    return UUID(jwt.decode(token, options={"verify_signature": False})["sid"])
