"""The stop of a server: what waits is answered at once, on Flowlet's own server and on others."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest

from flowlet.accounts.roles import Role
from flowlet.auth.users import Users
from flowlet.store.opening import open_store
from flowlet.web.problems import ProblemError
from tests.engine.activation.activation_harness import build_single_state, build_workflow_module
from tests.engine.executor_harness import GatedHandler, wait_for
from tests.web.api.api_harness import ApiHarness, open_api_harness
from tests.web.http_server import serve_app
from tests.web.test_server import StartFlowlet, build_app, open_process_client, start_flowlet

__all__ = ["start_flowlet"]

WAIT_COUNT = 50


@pytest.fixture
async def sqlite_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor."""
    async with open_api_harness(sqlite_url, has_executor=False) as harness:
        yield harness


async def create_key(url: str) -> str:
    """Return an API key of the admin that the first start created."""
    async with open_store(url) as store:
        return (await Users(store).keys.create("test", username="admin", role=Role.OPERATOR, actor="test")).text


async def create_and_wait(client: httpx.AsyncClient, type: str, **create: Any) -> httpx.Response:
    body = {"createWorkflowRequest": {"workflowType": type, **create}, "waitSeconds": 60}
    return await client.post("/api/createAndWait", json=body, timeout=30)


async def wait_for_instances(client: httpx.AsyncClient, count: int) -> set[int]:
    """Wait until so many workflows exist, and return their ids."""
    while True:
        found = (await client.post("/api/workflows/search", json={"limit": 100})).json()["workflows"]
        if len(found) == count:
            return {one["id"] for one in found}


async def test_waits_at_sigterm_are_answered_at_once_and_hold_the_process_no_longer(
    start_flowlet: StartFlowlet, sqlite_url: str
) -> None:
    process = await start_flowlet("serve", "slow.py", "--port", "0", database_url=sqlite_url, grace="1s")
    async with open_process_client(process) as client:
        client.headers["X-API-Key"] = await create_key(sqlite_url)
        async with asyncio.TaskGroup() as group:
            waits = [group.create_task(create_and_wait(client, "SlowWorkflow")) for _ in range(WAIT_COUNT)]
            ids = await wait_for(wait_for_instances(client, WAIT_COUNT))
            process.send_signal(signal.SIGTERM)
        answers = [wait.result() for wait in waits]
        await process.wait_for_lines("has stopped")

        async with asyncio.timeout(2):
            assert await process.wait_for_exit() == 0

    assert {(one.status_code, one.headers["connection"], one.headers["retry-after"]) for one in answers} == {
        (503, "close", "2")
    }
    assert {one.json()["workflowId"] for one in answers} == ids
    assert not process.find_lines("error    ]")
    assert not process.find_lines("Traceback")


async def test_a_wait_under_another_server_is_answered_at_its_sigterm(sqlite_url: str) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        gate = GatedHandler()
        app = build_app(sqlite_url, build_workflow_module(**build_single_state(gate.build_module().check)))
        async with serve_app(app) as client:
            assert (await client.get("/healthz")).status_code == 200
            client.headers["X-API-Key"] = await create_key(sqlite_url)
            waiting = asyncio.create_task(create_and_wait(client, "Orders"))
            await wait_for(gate.started.wait())

            signal.raise_signal(signal.SIGTERM)
            answer = await wait_for(waiting)
            refused = await create_and_wait(client, "Orders")
            gate.may_finish.set()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert (answer.status_code, answer.json()["workflowId"], answer.headers["connection"]) == (503, 1, "close")
    assert (refused.status_code, "workflowId" in refused.json()) == (503, False)
    assert received == [signal.SIGTERM]


async def test_a_bulk_operation_at_a_stop_says_what_it_has_done(sqlite_api_harness: ApiHarness) -> None:
    runs, has_begun = sqlite_api_harness.app_harness.services.bulk_runs, asyncio.Event()

    async def pause_first(id: int) -> Any:
        if id > 1:
            has_begun.set()
            await asyncio.Event().wait()

    async def list_ids() -> AsyncIterator[Sequence[int]]:
        yield [1]
        yield [2]

    run = runs.start(pause_first, list_ids(), subject="bulk pause")
    await wait_for(has_begun.wait())

    runs.stop()
    with pytest.raises(ProblemError) as stopped:
        await run.wait(10)
    body = {"operation": "pause", "filter": {"workflowType": "Orders"}}
    refused = await sqlite_api_harness.client.post("/api/workflows/bulk", json=body)

    assert stopped.value.problem.status == 503
    assert stopped.value.problem.extensions == {"runId": run.id, "matched": 1, "done": 1}
    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
