"""Creating or moving a workflow, and waiting for it, in one request."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from flowlet.engine.waiters import Waiters
from tests.engine.executor_harness import wait_for
from tests.web.api.api_harness import WAIT_SECONDS, ApiHarness


def build_create_body(way: str = "charge", **values: Any) -> dict[str, Any]:
    """Return the body of a create with a wait."""
    request = {"workflowType": "Orders", "stateVars": {"way": way}}
    return {"createWorkflowRequest": request, "waitSeconds": WAIT_SECONDS, "checkSeconds": 5, **values}


def build_change_body(state: str, **values: Any) -> dict[str, Any]:
    """Return the body of a move with a wait."""
    return {"updateWorkflowStateRequest": {"state": state}, "waitSeconds": WAIT_SECONDS, **values}


async def test_a_wait_ends_when_the_state_is_reached(api_harness: ApiHarness) -> None:
    found = await api_harness.post(
        "/api/createAndWait", build_create_body("review", waitForStates=["review", "delivered"])
    )

    assert (found["state"], found["status"]) == ("review", "WAITING")


async def test_a_state_that_was_left_again_counts(api_harness: ApiHarness) -> None:
    found = await api_harness.post("/api/createAndWait", build_create_body(waitForStates=["charge"]))

    assert found["state"] in ("charge", "delivered")


async def test_without_states_a_wait_is_for_the_end(sqlite_executing_api_harness: ApiHarness) -> None:
    one = await sqlite_executing_api_harness.post("/api/createAndWait", build_create_body())
    other = await sqlite_executing_api_harness.post(
        "/api/createAndWait", build_create_body(waitForStates=[], checkSeconds="x")
    )

    assert [one["status"], other["status"]] == ["FINISHED", "FINISHED"]


async def test_a_known_external_id_is_waited_for_as_it_is(sqlite_executing_api_harness: ApiHarness) -> None:
    body = build_create_body()
    body["createWorkflowRequest"]["externalId"] = "order-1"

    first = await sqlite_executing_api_harness.post("/api/createAndWait", body)
    second = await sqlite_executing_api_harness.post("/api/createAndWait", body)

    assert first == second


async def test_what_is_not_reached_in_time_is_told_with_where_it_stands(
    sqlite_executing_api_harness: ApiHarness,
) -> None:
    problem = await sqlite_executing_api_harness.post(
        "/api/createAndWait", build_create_body("review", waitSeconds=0.2), status=504
    )

    assert problem["type"] == "/problems/wait-timeout"
    assert problem["workflow"]["id"] == problem["workflowId"]
    assert (await sqlite_executing_api_harness.get(f"/api/workflows/{problem['workflowId']}"))[
        "workflowType"
    ] == "Orders"


async def test_a_change_of_state_is_waited_for(sqlite_executing_api_harness: ApiHarness) -> None:
    waiting = await sqlite_executing_api_harness.create_and_wait("review", "review", externalId="order-1")
    body = build_change_body(
        "charge",
        waitForStates=["delivered"],
        fromStates=["check", "review"],
        updateStateVarRequest={"key": "amount", "value": 7},
    )

    found = await sqlite_executing_api_harness.post("/api/workflows/order-1/stateAndWait", body)

    assert (found["id"], found["state"], found["stateVars"]["amount"]) == (waiting["id"], "delivered", 7)


async def test_a_state_passed_before_the_change_does_not_count(sqlite_executing_api_harness: ApiHarness) -> None:
    waiting = await sqlite_executing_api_harness.create_and_wait("review", "review")
    body = build_change_body("charge", waitForStates=["check"])

    found = await sqlite_executing_api_harness.post(f"/api/workflows/{waiting['id']}/stateAndWait", body)

    assert found["status"] == "FINISHED"


async def test_a_wrong_state_to_come_from_is_named_and_nothing_changes(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create(externalId="order-1")
    body = build_change_body(
        "charge", fromStates=["review", "sign"], updateStateVarRequest={"key": "amount", "value": 7}
    )

    problem = await sqlite_api_harness.post("/api/workflows/order-1/stateAndWait", body, status=409)

    assert "its state is 'check', and none of the expected 'review', 'sign'" in problem["detail"]
    assert problem["permitted"] == ["review", "charge"]
    found = await sqlite_api_harness.get(f"/api/workflows/{id}")
    assert (found["state"], found["stateVars"]["amount"]) == ("check", 1)


async def test_where_the_state_is_refused_the_variables_stay(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create()
    body = build_change_body("delivered", updateStateVarRequest={"key": "amount", "value": 7})

    problem = await sqlite_api_harness.post(f"/api/workflows/{id}/stateAndWait", body, status=409)

    assert problem["permitted"] == ["review", "charge"]
    assert (await sqlite_api_harness.get(f"/api/workflows/{id}"))["stateVars"]["amount"] == 1


async def test_an_empty_request_for_a_variable_sets_none(sqlite_api_harness: ApiHarness) -> None:
    id = await sqlite_api_harness.create()
    body = build_change_body("charge", waitForStates=["charge"], updateStateVarRequest={"key": "", "value": ""})

    found = await sqlite_api_harness.post(f"/api/workflows/{id}/stateAndWait", body)

    assert (found["state"], found["stateVars"]) == ("charge", {"way": "charge", "amount": 1})


WAIT_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"waitSeconds": -1}, "waitSeconds"),
    ({"waitSeconds": 3601}, "waitSeconds"),
    ({"waitSeconds": "1"}, "waitSeconds"),
    ({"waitForStates": ["charge", "delivred"]}, "waitForStates.1"),
    ({"waitForStates": "charge"}, "waitForStates"),
    ({"waitForStates": ["charge"] * 101}, "waitForStates"),
    ({"createWorkflowRequest": {"workflowType": "Ordres"}}, "createWorkflowRequest.workflowType"),
    ({"createWorkflowRequest": {"colour": 1, "workflowType": "Orders"}}, "createWorkflowRequest.colour"),
    ({"createWorkflowRequest": None}, "createWorkflowRequest"),
]


async def test_a_wait_that_cannot_be_says_why_and_creates_nothing(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    for values, field in WAIT_FAULTS:
        with subtests.test(str(values)):
            problem = await sqlite_api_harness.post("/api/createAndWait", build_create_body(**values), status=400)

            assert [fault["field"] for fault in problem["errors"]] == [field]
            assert (await sqlite_api_harness.post("/api/workflows/search", {}))["total"] == 0


async def test_too_many_who_wait_are_asked_to_come_back(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.api.waiting.MAX_WAITERS", 0)

    answer = await sqlite_api_harness.client.post("/api/createAndWait", json=build_create_body())

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    assert (await sqlite_api_harness.post("/api/workflows/search", {}))["total"] == 0


async def test_a_client_that_goes_away_waits_no_longer(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    wait = Waiters._wait_for_instance

    async def get_and_count(self: Waiters, id: int, *args: Any, **more: Any) -> Any:
        begun.set()
        return await wait(self, id, *args, **more)

    async def receive_body() -> dict[str, Any]:
        if not messages:
            await begun.wait()
            return {"type": "http.disconnect"}
        return messages.pop()

    monkeypatch.setattr(Waiters, "_wait_for_instance", get_and_count)
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": orjson.dumps(build_create_body()), "more_body": False}
    ]
    probe = sqlite_api_harness.app_harness
    app: Any = probe.app  # its own types of ASGI are narrower than what a test sends

    await wait_for(app(build_scope("/api/createAndWait", key=probe.keys["operator"]), receive_body, refuse_send))

    assert begun.is_set()
    assert probe.services.waiters.waiter_count == 0


def build_scope(path: str, *, key: str) -> dict[str, Any]:
    """Return the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"flowlet.test"), (b"x-api-key", key.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("flowlet.test", 80),
    }


async def refuse_send(message: dict[str, Any]) -> None:
    raise AssertionError(f"unexpected message: {message['type']}")
