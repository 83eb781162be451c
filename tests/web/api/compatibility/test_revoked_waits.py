"""A wait ends when the key that waits is revoked, as an event stream does."""

from __future__ import annotations

import asyncio

import pytest

from flowlet.accounts.roles import Role
from tests.engine.executor_harness import wait_for
from tests.web.api.api_harness import ApiHarness


async def test_a_wait_whose_key_is_revoked_ends_with_401(
    idle_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.api.waiting.REAUTHORIZATION_SECONDS", 0.02)
    services = idle_api_harness.app_harness.services
    key = await services.users.keys.create("till", username="ada", role=Role.OPERATOR, actor="test")
    body = {"createWorkflowRequest": {"workflowType": "Orders", "externalId": "order-1"}, "waitSeconds": 3600}
    client = idle_api_harness.app_harness.open_client(**{"X-API-Key": key.text})
    waiting = asyncio.create_task(client.post("/api/createAndWait", json=body))
    await wait_for(wait_for_waiter(idle_api_harness))

    await services.users.keys.revoke(key.text, actor="test")

    answer = await wait_for(waiting)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert services.waiters.waiter_count == 0
    assert (await idle_api_harness.get("/api/workflowByExternalId/order-1"))["status"] == "NEW"


async def wait_for_waiter(office: ApiHarness) -> None:
    """Wait until the workflow exists."""
    while True:
        if (await office.client.get("/api/workflowByExternalId/order-1")).status_code == 200:
            return
