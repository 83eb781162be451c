"""An application with cheap password hashes, and clients that behave as browsers do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from flowlet.accounts.roles import Role
from flowlet.auth.login_limiter import LoginLimiter
from flowlet.clock import VirtualClock
from flowlet.web.auth import SESSION_COOKIE
from tests.accounts.password_hashes import CheapHashes
from tests.web.app_harness import BASE_URL, AppHarness, borrow_app, open_app_services
from tests.web.stored_users import PASSWORD

__all__ = ["HTML_ACCEPT", "PASSWORD", "ConsoleHarness", "open_console", "read_csrf_token", "submit_login"]

HTML_ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass(frozen=True, slots=True)
class ConsoleHarness:
    """An application with the user grace, a viewer.

    Attributes:
        hashes: What verifies passwords, and counts.
        clock: What the limits of logging in go by.
        sessions: The tokens of sessions that are open from the beginning, by username.
    """

    app_harness: AppHarness
    hashes: CheapHashes
    clock: VirtualClock
    sessions: Mapping[str, str]

    def open_browser(self, **headers: str) -> httpx.AsyncClient:
        """Return a browser on the console's own pages, without a login; it keeps cookies."""
        return self.app_harness.open_client(**{"accept": HTML_ACCEPT, "origin": BASE_URL, **headers})

    def open_session_browser(self, username: str) -> httpx.AsyncClient:
        """Return a browser with the session of a user who is logged in from the beginning."""
        browser = self.open_browser()
        browser.cookies.set(SESSION_COOKIE, self.sessions[username], domain=httpx.URL(BASE_URL).host)
        return browser

    async def open_logged_in_browser(self) -> httpx.AsyncClient:
        """Return a browser in which grace is logged in."""
        browser = self.open_browser()
        assert (await submit_login(browser)).status_code == 303
        return browser


async def submit_login(browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    """Send the login's form, with grace's name and password where no others are given."""
    return await browser.post("/login", data={"username": "grace", "password": PASSWORD, **fields})


def read_csrf_token(page: httpx.Response) -> str:
    """Return the token that the forms of a page carry."""
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@asynccontextmanager
async def open_console(
    url: str, *, roles: Mapping[str, Role] | None = None, logged_in: Collection[str] = (), **settings: Any
) -> AsyncIterator[ConsoleHarness]:
    """Open a database with users, as ``store_users`` does, and an application on it, with some settings changed."""
    hashes, clock = CheapHashes(), VirtualClock()
    all_roles = {"grace": Role.VIEWER, **(roles or {})}
    async with open_app_services(url, passwords=hashes, roles=all_roles, logged_in=logged_in) as behind:
        changed = behind.services.settings.model_copy(update=settings)
        services = replace(behind.services, login_limiter=LoginLimiter(clock), settings=changed)
        with borrow_app(services) as app:
            app_harness = AppHarness(app, services, behind.keys, behind.sessions["ada"])
            yield ConsoleHarness(app_harness, hashes, clock, behind.sessions)
