"""A browser at the door: an application whose hashes cost nothing, and clients that behave as browsers do."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from flowlet.clock import VirtualClock
from flowlet.logins import LoginLimiter
from flowlet.roles import Role
from flowlet.web.app import create_app
from tests.users.hashes import CheapHashes
from tests.web.probe import HOST, Probe, opened_probe

__all__ = ["HTML", "PASSWORD", "Door", "log_in", "opened_door", "token_of"]

PASSWORD = "a very good password"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@dataclass(frozen=True, slots=True)
class Door:
    """An application with the user grace, a viewer.

    Attributes:
        hashes: What verifies passwords, and counts.
        clock: What the limits of logging in go by.
    """

    probe: Probe
    hashes: CheapHashes
    clock: VirtualClock

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """Return a browser on the console's own pages, with nobody logged in; it keeps cookies."""
        return self.probe.client(**{"accept": HTML, "origin": HOST, **headers})

    async def logged_in(self) -> httpx.AsyncClient:
        """Return a browser in which grace is logged in."""
        browser = self.browser()
        assert (await log_in(browser)).status_code == 303
        return browser


async def log_in(browser: httpx.AsyncClient, **fields: str) -> httpx.Response:
    """Send the login's form, with grace's name and password where no others are given."""
    return await browser.post("/login", data={"username": "grace", "password": PASSWORD, **fields})


def token_of(page: httpx.Response) -> str:
    """Return the token that the forms of a page carry."""
    found = re.search(r'name="token" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@asynccontextmanager
async def opened_door(url: str, **settings: Any) -> AsyncIterator[Door]:
    """Open a database and an application on it, with some settings changed."""
    hashes, clock = CheapHashes(), VirtualClock()
    async with opened_probe(url, passwords=hashes) as probe:
        await probe.services.users.create("grace", PASSWORD, Role.VIEWER, by="test")
        hashes.verified = 0
        changed = probe.services.settings.model_copy(update=settings)
        services = replace(probe.services, logins=LoginLimiter(clock), settings=changed)
        yield Door(replace(probe, app=create_app(services), services=services), hashes, clock)
