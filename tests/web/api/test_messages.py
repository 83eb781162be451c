"""Messages over HTTP: sent once for each key, to an id or to a business key, and refused with their faults."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.messages import payments
from tests.web.api.api_harness import ApiHarness


@pytest.fixture
async def api(idle_api_harness: ApiHarness) -> ApiHarness:
    """An API that knows a workflow which receives messages; nothing runs it."""
    idle_api_harness.app_harness.services.registry.add(payments)
    return idle_api_harness


async def create(api: ApiHarness, **values: Any) -> int:
    created = await api.post("/api/workflows", {"workflowType": "Payments", **values}, status=201)
    id: int = created["id"]
    return id


async def send(api: ApiHarness, path: str, body: Any, *, key: str, status: int) -> Any:
    answer = await api.client.post(path, json=body, headers={"Idempotency-Key": key})
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_a_message_is_sent_once_for_each_key(api: ApiHarness) -> None:
    id = await create(api, externalId="order-7")

    sent = await send(api, "/api/workflows/order-7/messages/payment", {"amount": 3}, key="evt_1", status=201)
    again = await send(api, f"/api/workflows/{id}/messages/payment", {"amount": 4}, key="evt_1", status=200)

    assert sent == again == {"id": sent["id"], "key": "evt_1", "workflowId": id}
    (message,) = await api.get("/api/workflows/order-7/messages")
    assert (message["name"], message["body"], message["sender"]) == ("payment", {"amount": 3}, "ada")
    shown = await api.get(f"/api/workflows/{id}")
    assert (shown["unread"], shown["awaits"]) == (1, [])


async def test_a_faulty_message_is_refused_with_its_fields(api: ApiHarness) -> None:
    path = f"/api/workflows/{await create(api)}/messages"

    faulty = await send(api, f"{path}/payment", {"amount": "much"}, key="a", status=400)
    unknown = await send(api, f"{path}/paymnet", {"amount": 1}, key="a", status=404)
    late = await send(api, f"{path}/payment?expiresOffset=soon", {"amount": 1}, key="a", status=400)
    other = await send(api, f"{path}/payment", [1], key="a", status=400)
    blank = await send(api, f"{path}/payment", {"amount": 1}, key=" ", status=400)

    assert [fault["field"] for fault in faulty["errors"]] == ["amount"]
    assert "Did you mean 'payment'?" in unknown["detail"]
    assert [fault["field"] for fault in late["errors"]] == ["expiresOffset"]
    assert "has to be an object" in other["errors"][0]["message"]
    assert [fault["field"] for fault in blank["errors"]] == ["key"]
    assert await api.get(path) == []


async def test_a_message_by_business_key_goes_to_the_only_open_workflow(api: ApiHarness) -> None:
    first = await create(api, businessKey="customer-1")
    path = "/api/messages/payment?workflowType=Payments&businessKey=customer-1"
    sent = await send(api, path, {"amount": 1}, key="a", status=201)
    await create(api, businessKey="customer-1")

    several = await send(api, path, {"amount": 1}, key="b", status=409)
    known = await send(api, path, {"amount": 1}, key="a", status=200)
    none = await send(api, path.replace("customer-1", "customer-2"), {"amount": 1}, key="a", status=404)

    assert sent["workflowId"] == known["workflowId"] == first
    assert several["detail"].startswith("2 instances of Payments with the business key 'customer-1' are open")
    assert "customer-2" in none["detail"]


async def test_a_workflow_that_has_ended_takes_only_a_message_that_it_has(api: ApiHarness) -> None:
    id = await create(api)
    path = f"/api/workflows/{id}/messages/payment"
    await send(api, path, {"amount": 1}, key="a", status=201)
    await api.post(f"/api/workflows/{id}/cancel")

    await send(api, path, {"amount": 1}, key="a", status=200)
    refused = await send(api, path, {"amount": 1}, key="b", status=409)

    assert "has ended as CANCELLED" in refused["detail"]
