"""Logged-in users of each role, and the forms that they send to the pages of users, API keys and the account."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape

import httpx

from flowlet.accounts.models import User
from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from tests.web.console.console_harness import PASSWORD, ConsoleHarness, open_console, read_csrf_token, submit_login

__all__ = ["ConsoleClient", "ConsoleClients", "open_console_clients"]


@dataclass(frozen=True, slots=True)
class ConsoleClient:
    """A logged-in user."""

    browser: httpx.AsyncClient
    user: User

    async def read_page(self, path: str) -> str:
        """Return a page, which has to be there."""
        answer = await self.browser.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    async def submit_form(self, path: str, **fields: str) -> httpx.Response:
        """Send a form with its token."""
        token = read_csrf_token(await self.browser.get("/account"))
        return await self.browser.post(path, data={"token": token, **fields})

    async def read_notice(self, answer: httpx.Response) -> str:
        """Return the notice on the page after a form."""
        assert answer.status_code == 303, answer.text
        followed = await self.browser.get(answer.headers["location"])
        found = re.search(r'<p class="notice (\w+)" role="\w+">(.*?)</p>', followed.text, re.DOTALL)
        assert found, followed.text
        return f"{found[1]}: {unescape(found[2])}"


@dataclass(frozen=True, slots=True)
class ConsoleClients:
    """A user of each role; ada, whom the app harness creates, is an admin too."""

    console: ConsoleHarness
    admin: ConsoleClient
    operator: ConsoleClient
    viewer: ConsoleClient

    @property
    def users(self) -> Users:
        """The users behind it."""
        return self.console.app_harness.services.users

    async def log_in(self, username: str, password: str = PASSWORD) -> httpx.Response:
        """Return the answer to a login in a browser of its own."""
        return await submit_login(self.console.open_browser(), username=username, password=password)


@asynccontextmanager
async def open_console_clients(url: str) -> AsyncIterator[ConsoleClients]:
    """Open a database with an admin, an operator and a viewer, called rita, olga and vera."""
    roles = dict(zip(("vera", "olga", "rita"), Role, strict=True))
    async with open_console(url, roles=roles, logged_in=roles) as harness:
        users = await harness.app_harness.services.users.list_users()
        clients = {
            user.username: ConsoleClient(harness.open_session_browser(user.username), user)
            for user in users
            if user.username in roles
        }
        yield ConsoleClients(harness, clients["rita"], clients["olga"], clients["vera"])
