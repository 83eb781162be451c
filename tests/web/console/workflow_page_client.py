"""A logged-in user on the workflow pages, and operations that bring instances into each status."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

from flowlet.accounts.roles import Role
from flowlet.instance.instance import Instance
from tests.engine.manual_executor import EngineHarness
from tests.operations.operations_harness import OperationsHarness, build_families_module, build_orders_module
from tests.web.console.console_harness import ConsoleHarness, open_console, read_csrf_token

__all__ = ["ATTACK_TEXT", "WorkflowPageClient", "open_workflow_page_client"]

ATTACK_TEXT = "<script>alert(1)</script>\"'&\u202e"


@dataclass(frozen=True, slots=True)
class WorkflowPageClient:
    """A logged-in user, on a database with instances."""

    operations: OperationsHarness
    console: ConsoleHarness
    browser: httpx.AsyncClient

    async def get_page(self, id: int | str, tab: str = "history") -> httpx.Response:
        """Return the page of a workflow, which has to be there."""
        answer = await self.browser.get(f"/workflows/{id}?tab={tab}")
        assert answer.status_code == 200, answer.text
        return answer

    async def submit_form(self, instance: Instance, operation: str, **fields: Any) -> httpx.Response:
        """Send a form of a workflow's page, as of the version that is given."""
        token = read_csrf_token(await self.browser.get("/account"))
        values = {"token": token, "version": str(instance.version), **fields}
        return await self.browser.post(f"/workflows/{instance.id}/{operation}", data=values)

    async def read_notice(self, answer: httpx.Response) -> str:
        """Return the notice on the page after a form."""
        assert answer.status_code == 303, answer.text
        followed = await self.browser.get(answer.headers["location"])
        found = re.search(r'<p class="notice (\w+)" role="\w+">(.*?)</p>', followed.text, re.DOTALL)
        assert found, followed.text
        return f"{found[1]}: {unescape(found[2])}"


@asynccontextmanager
async def open_workflow_page_client(url: str, role: Role) -> AsyncIterator[WorkflowPageClient]:
    """Open a database with Orders and Families, and log in a user with a role."""
    async with open_console(url, roles={"olga": role}, logged_in=["olga"]) as harness:
        here = harness.app_harness.services
        here.registry.add(build_orders_module())
        here.registry.add(build_families_module())
        clock: Any = here.store.clock  # which nothing here moves
        hands = EngineHarness(here.store, here.registry, clock)
        operations = OperationsHarness(hands, await hands.add_executor())
        yield WorkflowPageClient(operations, harness, harness.open_session_browser("olga"))
