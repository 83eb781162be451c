"""An application without an executor, and browsers in which a viewer and an operator are logged in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from flowlet.accounts.roles import Role
from flowlet.instance.action import Action
from flowlet.instance.instance import Instance
from tests.operations.operations_harness import build_families_module, build_orders_module
from tests.web.console.console_harness import ConsoleHarness, open_console, read_csrf_token

__all__ = ["WorkflowConsole", "open_workflow_console"]


@dataclass(frozen=True, slots=True)
class WorkflowConsole:
    """A viewer and an operator.

    Attributes:
        viewer: The browser in which grace is logged in.
        operator: The browser in which hedy is logged in.
    """

    console: ConsoleHarness
    viewer: httpx.AsyncClient
    operator: httpx.AsyncClient

    async def create_instance(self, way: str = "charge", **values: Any) -> int:
        """Create an instance of Orders and return its id."""
        operations = self.console.app_harness.services.operations
        made = await operations.create("Orders", vars={"way": way}, username="ada", **values)
        return made.id

    async def fail_instance(self, id: int, reason: str) -> None:
        """Move an instance to an error state."""
        operations = self.console.app_harness.services.operations
        await operations.move(id, "unpaid", force=True, reason=reason, username="ada")

    async def get_instance(self, id: int) -> Instance:
        """Return an instance as it is now."""
        return await self.console.app_harness.services.store.queries.get(id)

    async def read_last_action(self, id: int) -> Action:
        """Return the last line of an instance's history."""
        return (await self.console.app_harness.services.store.queries.read_history(id))[-1]

    async def read_statuses(self) -> list[str]:
        """Return the status of every instance, by id."""
        found = await self.operator.get("/workflows.json", params={"sort": "id"})
        return [one["status"] for one in found.json()]

    async def preview_bulk(self, operation: str, *ids: int, filter_query: str = "") -> httpx.Response:
        """Return the preview of an operation on these ids, or on all matching workflows."""
        which = {"scope": "selected", "id": [str(id) for id in ids]} if ids else {"scope": "all"}
        return await self.operator.get(
            "/workflows/bulk", params={"operation": operation, "filters": filter_query, **which}
        )

    async def submit_bulk(
        self,
        operation: str,
        *ids: int,
        filter_query: str = "",
        overrides: Mapping[str, str] | None = None,
        **fields: str,
    ) -> httpx.Response:
        """Send the form of the preview, with further fields, or with other values than the preview has."""
        page = await self.preview_bulk(operation, *ids, filter_query=filter_query)
        assert page.status_code == 200, page.text
        which = {"scope": "selected", "ids": ",".join(map(str, ids))} if ids else {}
        before = page.text.partition('name="created_before" value="')[2].partition('"')[0]
        sent = {
            "token": read_csrf_token(page),
            "operation": operation,
            "filters": filter_query,
            "created_before": before,
        }
        return await self.operator.post("/workflows/bulk", data={**sent, **which, **fields, **(overrides or {})})


@asynccontextmanager
async def open_workflow_console(url: str) -> AsyncIterator[WorkflowConsole]:
    """Open a database and an application with Orders and Families, in which nothing runs."""
    async with open_console(
        url, roles={"hedy": Role.OPERATOR}, logged_in=("grace", "hedy"), max_body=100_000
    ) as harness:
        for module in (build_orders_module(), build_families_module()):
            harness.app_harness.services.registry.add(module)
        yield WorkflowConsole(harness, harness.open_session_browser("grace"), harness.open_session_browser("hedy"))
