"""A hall of workflows: an application where none runs, and browsers in which a viewer or an operator is logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from flowlet.instances import Action, Instance
from flowlet.roles import Role
from tests.operations.desk import families, orders
from tests.web.pages.door import PASSWORD, Door, log_in, opened_door, token_of

__all__ = ["Hall", "opened_hall"]


@dataclass(frozen=True, slots=True)
class Hall:
    """Who looks at workflows, and who operates them.

    Attributes:
        viewer: A browser in which grace is logged in.
        operator: A browser in which hedy is.
    """

    door: Door
    viewer: httpx.AsyncClient
    operator: httpx.AsyncClient

    async def create(self, way: str = "charge", **values: Any) -> int:
        """Create an instance of Orders and return its id."""
        operations = self.door.probe.services.operations
        made = await operations.create("Orders", vars={"way": way}, username="ada", **values)
        return made.id

    async def fail(self, id: int, reason: str) -> None:
        """Move an instance to an error state."""
        operations = self.door.probe.services.operations
        await operations.move(id, "unpaid", force=True, reason=reason, username="ada")

    async def instance(self, id: int) -> Instance:
        """Return an instance as it is now."""
        return await self.door.probe.services.store.reads.get(id)

    async def last(self, id: int) -> Action:
        """Return the last line of an instance's history."""
        return (await self.door.probe.services.store.reads.history(id))[-1]

    async def statuses(self) -> list[str]:
        """Return the status of every instance, by id."""
        found = await self.operator.get("/workflows.json", params={"sort": "id"})
        return [one["status"] for one in found.json()]

    async def preview(self, operation: str, *ids: int, fits: str = "") -> httpx.Response:
        """Return the page that shows what an operation would be done to: to these ids, or to all that fit."""
        which = {"which": "ticked", "id": [str(id) for id in ids]} if ids else {"which": "all"}
        return await self.operator.get("/workflows/bulk", params={"operation": operation, "fits": fits, **which})

    async def operate(
        self, operation: str, *ids: int, fits: str = "", other: Mapping[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Send the form of the preview, with further fields, or with other values than the preview has."""
        page = await self.preview(operation, *ids, fits=fits)
        assert page.status_code == 200, page.text
        which = {"which": "ticked", "ids": ",".join(map(str, ids))} if ids else {}
        before = page.text.partition('name="before" value="')[2].partition('"')[0]
        sent = {"token": token_of(page), "operation": operation, "fits": fits, "before": before}
        return await self.operator.post("/workflows/bulk", data={**sent, **which, **fields, **(other or {})})


@asynccontextmanager
async def opened_hall(url: str) -> AsyncIterator[Hall]:
    """Open a database and an application with Orders and Families, in which nothing runs."""
    async with opened_door(url, max_body=100_000) as door:
        for module in (orders(), families()):
            door.probe.services.registry.add(module)
        await door.probe.services.users.create("hedy", PASSWORD, Role.OPERATOR, by="test")
        operator = door.browser()
        assert (await log_in(operator, username="hedy")).status_code == 303
        yield Hall(door, await door.logged_in(), operator)
