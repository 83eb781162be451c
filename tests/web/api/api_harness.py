"""An application with workflows and an executor, and clients of its API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx

from flowlet.assembly import build_engine, run_executor
from flowlet.settings import ExecutorSettings
from tests.operations.operations_harness import build_families_module, build_orders_module
from tests.web.app_harness import AppHarness, borrow_app, open_app_services

__all__ = ["WAIT_SECONDS", "ApiHarness", "open_api_harness"]

WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class ApiHarness:
    """A client with the role operator, and its application."""

    app_harness: AppHarness
    client: httpx.AsyncClient

    async def post(self, path: str, json: Any = None, *, status: int = 200) -> Any:
        """POST a body as an operator, and return the response's body."""
        return check_json(await self.client.post(path, json=json), status)

    async def get(self, path: str, *, status: int = 200) -> Any:
        """GET a path as an operator, and return the response's body."""
        return check_json(await self.client.get(path), status)

    async def create(self, way: str = "charge", **values: Any) -> int:
        """Create an instance of Orders and return its id."""
        body = {"workflowType": "Orders", "stateVars": {"way": way}, **values}
        id: int = (await self.post("/api/workflows", body, status=201))["id"]
        return id

    async def create_and_wait(self, state: str, way: str, **values: Any) -> Any:
        """Create an instance of Orders and return it when it has reached a state."""
        request = {"workflowType": "Orders", "stateVars": {"way": way}, **values}
        body = {"createWorkflowRequest": request, "waitSeconds": WAIT_SECONDS, "waitForStates": [state]}
        return await self.post("/api/createAndWait", body)


def check_json(answer: httpx.Response, status: int) -> Any:
    """Return the body of a response that must have this status."""
    assert answer.status_code == status, answer.text
    return answer.json()


@asynccontextmanager
async def open_api_harness(url: str, *, has_executor: bool) -> AsyncIterator[ApiHarness]:
    """Open a database and an application with Orders and Families, with a running executor or without."""
    async with open_app_services(url, max_body_bytes=100_000) as behind:
        bare = behind.services
        bare.registry.add(build_orders_module())
        bare.registry.add(build_families_module())
        settings = ExecutorSettings(slots=4, poll_interval=timedelta(hours=1))
        engine = build_engine(bare.store, bare.registry, settings)
        services = replace(bare, operations=engine.operations, waiters=engine.waiters, executor=engine.executor)
        async with AsyncExitStack() as stack:
            app = stack.enter_context(borrow_app(services))
            probe = AppHarness(app, services, behind.keys, behind.sessions["ada"])
            stack.push_async_callback(engine.close)
            if has_executor and engine.executor is not None:
                await stack.enter_async_context(run_executor(engine.executor))
                stack.callback(engine.executor.stop)  # before ``run_executor`` stops it a second time: at once
            yield ApiHarness(probe, await stack.enter_async_context(probe.open_client("operator")))
