"""An application with workflows and an executor beside it, and clients who start, look up and operate them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx

from flowlet.engine.arrivals import Arrivals
from flowlet.engine.executor import Executor
from flowlet.operations import Operations
from flowlet.settings import ExecutorSettings
from flowlet.web.app import create_app
from tests.engine.running import seen
from tests.operations.desk import families, orders
from tests.web.probe import Probe, opened_probe

__all__ = ["WAIT_SECONDS", "Office", "opened_office"]

WAIT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Office:
    """Who asks as an operator, and the application that answers."""

    probe: Probe
    client: httpx.AsyncClient

    async def post(self, path: str, json: Any = None, *, status: int = 200) -> Any:
        """Send a body as an operator, and return the answer's."""
        return told(await self.client.post(path, json=json), status)

    async def get(self, path: str, *, status: int = 200) -> Any:
        """Ask as an operator, and return the answer's body."""
        return told(await self.client.get(path), status)

    async def create(self, way: str = "charge", **values: Any) -> int:
        """Create an instance of Orders and return its id."""
        body = {"workflowType": "Orders", "stateVars": {"way": way}, **values}
        id: int = (await self.post("/api/workflows", body, status=201))["id"]
        return id

    async def reach(self, state: str, way: str, **values: Any) -> Any:
        """Create an instance of Orders and return it when it has reached a state."""
        request = {"workflowType": "Orders", "stateVars": {"way": way}, **values}
        body = {"createWorkflowRequest": request, "waitSeconds": WAIT_SECONDS, "waitForStates": [state]}
        return await self.post("/api/createAndWait", body)


def told(answer: httpx.Response, status: int) -> Any:
    """Return the body of an answer that has to have this status."""
    assert answer.status_code == status, answer.text
    return answer.json()


@asynccontextmanager
async def opened_office(url: str, *, executes: bool) -> AsyncIterator[Office]:
    """Open a database and an application with Orders and Families, with a running executor or without."""
    async with opened_probe(url, max_body=100_000) as still:
        bare = still.services
        bare.registry.add(orders())
        bare.registry.add(families())
        arrivals = Arrivals(bare.store, bare.store.clock)
        settings = ExecutorSettings(slots=4, poll=timedelta(hours=1))
        executor = Executor(bare.store, bare.registry, bare.registry.provided, settings, arrivals=arrivals)
        operations = Operations(bare.store, bare.registry, wake=executor.wake, on_changed=arrivals.changed)
        services = replace(bare, operations=operations, arrivals=arrivals, executor=executor)
        probe = Probe(create_app(services), services, still.keys, still.session)
        async with _running(executor if executes else None), probe.client("operator") as client:
            try:
                yield Office(probe, client)
            finally:
                await arrivals.close()


@asynccontextmanager
async def _running(executor: Executor | None) -> AsyncIterator[None]:
    if executor is None:
        yield
        return
    task = asyncio.create_task(executor.run())
    try:
        await seen(executor.is_ready.wait())
        yield
    finally:
        executor.stop()
        executor.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await task
