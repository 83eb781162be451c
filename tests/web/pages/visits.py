"""A visit to the pages of workflows: somebody of a role, on a database with instances that a desk moves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

from flowlet.instances import Instance
from flowlet.roles import Role
from tests.engine.hands import Hands
from tests.operations.desk import Desk, families, orders
from tests.web.pages.door import PASSWORD, Door, log_in, opened_door, token_of

__all__ = ["ATTACK", "Visit", "opened_visit"]

ATTACK = "<script>alert(1)</script>\"'&\u202e"


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who is logged in, on a database with instances that a desk moves."""

    desk: Desk
    door: Door
    browser: httpx.AsyncClient

    async def page(self, id: int | str, tab: str = "history") -> httpx.Response:
        """Return the page of a workflow, which has to be there."""
        answer = await self.browser.get(f"/workflows/{id}?tab={tab}")
        assert answer.status_code == 200, answer.text
        return answer

    async def send(self, instance: Instance, operation: str, **fields: Any) -> httpx.Response:
        """Send a form of a workflow's page, as of the version that is given."""
        token = token_of(await self.browser.get("/docs"))
        values = {"token": token, "version": str(instance.version), **fields}
        return await self.browser.post(f"/workflows/{instance.id}/{operation}", data=values)

    async def told(self, answer: httpx.Response) -> str:
        """Return what the page after a form says of it."""
        assert answer.status_code == 303, answer.text
        followed = await self.browser.get(answer.headers["location"])
        found = re.search(r'<p class="notice (\w+)" role="\w+">(.*?)</p>', followed.text, re.DOTALL)
        assert found, followed.text
        return f"{found[1]}: {unescape(found[2])}"


@asynccontextmanager
async def opened_visit(url: str, role: Role) -> AsyncIterator[Visit]:
    """Open a database with Orders and Families, and let somebody of a role log in."""
    async with opened_door(url) as door:
        here = door.probe.services
        here.registry.add(orders())
        here.registry.add(families())
        clock: Any = here.store.clock  # which nothing here moves
        hands = Hands(here.store, here.registry, clock)
        await here.users.create("olga", PASSWORD, role, by="test")
        browser = door.browser()
        assert (await log_in(browser, username="olga")).status_code == 303
        yield Visit(Desk(hands, await hands.hand()), door, browser)
