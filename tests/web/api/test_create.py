"""Creating a workflow over HTTP: what is stored, what is filled in, and what is refused."""

from __future__ import annotations

import pytest

from flowlet.web.schemas import format_rfc3339
from tests.web.api.api_harness import ApiHarness


async def test_what_is_created_is_found_by_id_and_by_external_id(idle_api_harness: ApiHarness) -> None:
    body = {
        "WorkflowType": "Orders",
        "externalId": "order/Ω 7",
        "BusinessKey": "customer-1",
        "executorGroup": "night",
        "priority": 3,
        "stateVars": {"way": "later", "amount": 5},
    }

    answer = await idle_api_harness.client.post("/api/workflows", json=body)

    id = answer.json()["id"]
    assert (answer.status_code, answer.json()) == (201, {"id": id, "externalId": "order/Ω 7", "pruned": False})
    assert answer.headers["location"] == f"/api/workflows/{id}"
    found = await idle_api_harness.get(answer.headers["location"])
    assert found == await idle_api_harness.get("/api/workflowByExternalId/order%2F%CE%A9%207")
    assert found["stateVars"] == {"way": "later", "amount": 5}
    shown = {name: found[name] for name in ("workflowType", "businessKey", "executorGroup", "priority", "createdBy")}
    assert list(shown.values()) == ["Orders", "customer-1", "night", 3, "ada"]
    assert (found["status"], found["state"], found["started"], found["executionCount"]) == ("NEW", "check", None, 1)


async def test_a_known_external_id_gives_the_known_workflow_unchanged(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create("later", externalId="order-1")

    again = await idle_api_harness.client.post(
        "/api/workflows", json={"workflowType": "Orders", "externalId": "order-1", "stateVars": {"way": "fail"}}
    )

    assert (again.status_code, again.json()) == (200, {"id": id, "externalId": "order-1", "pruned": False})
    assert (await idle_api_harness.get(f"/api/workflows/{id}"))["stateVars"]["way"] == "later"


async def test_what_a_create_leaves_out_is_filled_in(sqlite_api_harness: ApiHarness) -> None:
    body = {"workflowType": "Orders", "externalId": "", "businessKey": "", "executorGroup": "", "stateVars": None}

    created = await sqlite_api_harness.post("/api/workflows", body, status=201)

    found = await sqlite_api_harness.get(f"/api/workflows/{created['externalId']}")
    assert found["businessKey"] == found["externalId"] == created["externalId"]
    assert (found["executorGroup"], found["stateVars"]) == ("default", {"way": "charge", "amount": 1})


async def test_a_first_activation_may_be_later(api_harness: ApiHarness) -> None:
    later = format_rfc3339(api_harness.app_harness.services.store.clock.now() + 3_600_000_000)
    at = await api_harness.create(nextActivation=later)
    after = await api_harness.create(nextActivationOffset="1h")
    past = await api_harness.create_and_wait("delivered", "charge", nextActivation="0001-01-01T00:00:00Z")

    found = [await api_harness.get(f"/api/workflows/{id}") for id in (at, after)]

    assert [one["status"] for one in (*found, past)] == ["NEW", "NEW", "FINISHED"]
    assert found[0]["nextActivation"] == later
    assert found[1]["nextActivation"] > found[0]["created"]


CREATE_FAULTS = [
    ({}, "workflowType"),
    ({"workflowType": "Ordres"}, "workflowType"),
    ({"workflowType": "Orders", "stateVars": {"amount": "many"}}, "stateVars.amount"),
    ({"workflowType": "Orders", "stateVars": [1]}, "stateVars"),
    ({"workflowType": "Orders", "externalId": "x" * 256}, "externalId"),
    ({"workflowType": "Orders", "externalId": "x "}, "externalId"),
    ({"workflowType": "Orders", "businessKey": " x"}, "businessKey"),
    ({"workflowType": "Orders", "executorGroup": "a\x00"}, "executorGroup"),
    ({"workflowType": "Orders", "priority": 10}, "priority"),
    ({"workflowType": "Orders", "nextActivation": "tomorrow"}, "nextActivation"),
    ({"workflowType": "Orders", "nextActivationOffset": "zzz"}, "nextActivationOffset"),
    ({"workflowType": "Orders", "nextActivationOffset": "1h", "nextActivation": "2030-01-01T00:00:00Z"}, "nextAct"),
    ({"workflowType": "Orders", "colour": "red"}, "colour"),
]


async def test_a_create_that_cannot_be_says_which_field_is_wrong(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    for body, field in CREATE_FAULTS:
        with subtests.test(str(body)):
            problem = await sqlite_api_harness.post("/api/workflows", body, status=400)

            assert problem["type"] == "/problems/faulty"
            assert [fault["field"].startswith(field) for fault in problem["errors"]] == [True]
