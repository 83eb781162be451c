"""An office: people of each role who are logged in, and what they send to the console's pages about themselves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape

import httpx

from flowlet.accounts import User
from flowlet.roles import Role
from flowlet.users import Users
from tests.web.pages.door import PASSWORD, Door, log_in, opened_door, token_of

__all__ = ["Clerk", "Office", "opened_office"]


@dataclass(frozen=True, slots=True)
class Clerk:
    """Somebody who is logged in."""

    browser: httpx.AsyncClient
    user: User

    async def page(self, path: str) -> str:
        """Return a page, which has to be there."""
        answer = await self.browser.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def send(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with its token."""
        token = token_of(await self.browser.get("/account"))
        return await self.browser.post(path, data={"token": token, **fields})

    async def told(self, answer: httpx.Response) -> str:
        """Return what the page after a form says of it."""
        assert answer.status_code == 303, answer.text
        followed = await self.browser.get(answer.headers["location"])
        found = re.search(r'<p class="notice (\w+)" role="\w+">(.*?)</p>', followed.text, re.DOTALL)
        assert found, followed.text
        return f"{found[1]}: {unescape(found[2])}"


@dataclass(frozen=True, slots=True)
class Office:
    """Who works there; ada, whom the probe has made, is an admin too."""

    door: Door
    admin: Clerk
    operator: Clerk
    viewer: Clerk

    @property
    def users(self) -> Users:
        """The users behind it."""
        return self.door.probe.services.users

    async def log_in(self, username: str, password: str = PASSWORD) -> httpx.Response:
        """Return the answer to a login in a browser of its own."""
        return await log_in(self.door.browser(), username=username, password=password)


@asynccontextmanager
async def opened_office(url: str) -> AsyncIterator[Office]:
    """Open a database with an admin, an operator and a viewer, called rita, olga and vera."""
    async with opened_door(url) as door:
        clerks = [
            await _joined(door, f"{name}", role) for name, role in zip(("vera", "olga", "rita"), Role, strict=True)
        ]
        yield Office(door, clerks[2], clerks[1], clerks[0])


async def _joined(door: Door, username: str, role: Role) -> Clerk:
    user = await door.probe.services.users.create(username, PASSWORD, role, by="test")
    browser = door.browser()
    assert (await log_in(browser, username=username)).status_code == 303
    return Clerk(browser, user)
