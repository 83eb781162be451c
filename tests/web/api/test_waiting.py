"""Starting or moving a workflow and waiting for it, in one request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from flowlet.engine.arrivals import Arrivals
from tests.engine.running import seen
from tests.web.api.office import WAIT_SECONDS, Office, opened_office


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    """An application whose executor runs, on each of the three databases."""
    async with opened_office(database_url, executes=True) as office:
        yield office


@pytest.fixture
async def still_office(sqlite_url: str) -> AsyncIterator[Office]:
    """An application where nothing runs, on SQLite."""
    async with opened_office(sqlite_url, executes=False) as office:
        yield office


def creation(way: str = "charge", **values: Any) -> dict[str, Any]:
    """Return the body of a create that is waited for."""
    request = {"workflowType": "Orders", "stateVars": {"way": way}}
    return {"createWorkflowRequest": request, "waitSeconds": WAIT_SECONDS, "checkSeconds": 5, **values}


def change(state: str, **values: Any) -> dict[str, Any]:
    """Return the body of a change of state that is waited for."""
    return {"updateWorkflowStateRequest": {"state": state}, "waitSeconds": WAIT_SECONDS, **values}


async def test_a_wait_ends_when_the_state_is_reached(office: Office) -> None:
    found = await office.post("/api/createAndWait", creation("review", waitForStates=["review", "delivered"]))

    assert (found["state"], found["status"]) == ("review", "WAITING")


async def test_a_state_that_was_left_again_counts(office: Office) -> None:
    found = await office.post("/api/createAndWait", creation(waitForStates=["charge"]))

    assert found["state"] in ("charge", "delivered")


async def test_without_states_a_wait_is_for_the_end(office: Office) -> None:
    one = await office.post("/api/createAndWait", creation())
    other = await office.post("/api/createAndWait", creation(waitForStates=[], checkSeconds="x"))

    assert [one["status"], other["status"]] == ["FINISHED", "FINISHED"]


async def test_a_known_external_id_is_waited_for_as_it_is(office: Office) -> None:
    body = creation()
    body["createWorkflowRequest"]["externalId"] = "order-1"

    first = await office.post("/api/createAndWait", body)
    second = await office.post("/api/createAndWait", body)

    assert first == second


async def test_what_is_not_reached_in_time_is_told_with_where_it_stands(office: Office) -> None:
    problem = await office.post("/api/createAndWait", creation("review", waitSeconds=0.2), status=504)

    assert problem["type"] == "/problems/wait-timeout"
    assert problem["workflow"]["id"] == problem["workflowId"]
    assert (await office.get(f"/api/workflows/{problem['workflowId']}"))["workflowType"] == "Orders"


async def test_a_change_of_state_is_waited_for(office: Office) -> None:
    waiting = await office.reach("review", "review", externalId="order-1")
    body = change(
        "charge",
        waitForStates=["delivered"],
        fromStates=["check", "review"],
        updateStateVarRequest={"key": "amount", "value": 7},
    )

    found = await office.post("/api/workflows/order-1/stateAndWait", body)

    assert (found["id"], found["state"], found["stateVars"]["amount"]) == (waiting["id"], "delivered", 7)


async def test_a_state_passed_before_the_change_does_not_count(office: Office) -> None:
    waiting = await office.reach("review", "review")
    body = change("charge", waitForStates=["check"])

    found = await office.post(f"/api/workflows/{waiting['id']}/stateAndWait", body)

    assert found["status"] == "FINISHED"


async def test_a_wrong_state_to_come_from_is_named_and_nothing_changes(still_office: Office) -> None:
    id = await still_office.create(externalId="order-1")
    body = change("charge", fromStates=["review", "sign"], updateStateVarRequest={"key": "amount", "value": 7})

    problem = await still_office.post("/api/workflows/order-1/stateAndWait", body, status=409)

    assert "its state is 'check', and none of the expected 'review', 'sign'" in problem["detail"]
    assert problem["permitted"] == ["review", "charge"]
    found = await still_office.get(f"/api/workflows/{id}")
    assert (found["state"], found["stateVars"]["amount"]) == ("check", 1)


async def test_where_the_state_is_refused_the_variables_stay(still_office: Office) -> None:
    id = await still_office.create()
    body = change("delivered", updateStateVarRequest={"key": "amount", "value": 7})

    problem = await still_office.post(f"/api/workflows/{id}/stateAndWait", body, status=409)

    assert problem["permitted"] == ["review", "charge"]
    assert (await still_office.get(f"/api/workflows/{id}"))["stateVars"]["amount"] == 1


async def test_an_empty_request_for_a_variable_sets_none(still_office: Office) -> None:
    id = await still_office.create()
    body = change("charge", waitForStates=["charge"], updateStateVarRequest={"key": "", "value": ""})

    found = await still_office.post(f"/api/workflows/{id}/stateAndWait", body)

    assert (found["state"], found["stateVars"]) == ("charge", {"way": "charge", "amount": 1})


async def test_the_external_id_comes_first_even_where_it_is_a_number(still_office: Office) -> None:
    first = await still_office.create()
    second = await still_office.create(externalId=str(first))
    third = await still_office.create()
    body = change("charge", waitForStates=["charge"])

    by_external_id = await still_office.post(f"/api/workflows/{first}/stateAndWait", body)
    by_id = await still_office.post(f"/api/workflows/{third}/stateAndWait", body)

    assert (by_external_id["id"], by_id["id"]) == (second, third)


FAULTS = [
    ({"waitSeconds": -1}, "waitSeconds"),
    ({"waitSeconds": 3601}, "waitSeconds"),
    ({"waitSeconds": None}, "waitSeconds"),
    ({"waitForStates": ["charge", "delivred"]}, "waitForStates.1"),
    ({"waitForStates": "charge"}, "waitForStates"),
    ({"waitForStates": ["charge"] * 101}, "waitForStates"),
    ({"createWorkflowRequest": {"workflowType": "Ordres"}}, "createWorkflowRequest.workflowType"),
    ({"createWorkflowRequest": {"colour": 1, "workflowType": "Orders"}}, "createWorkflowRequest.colour"),
    ({"createWorkflowRequest": None}, "createWorkflowRequest"),
]


@pytest.mark.parametrize(("values", "field"), FAULTS, ids=str)
async def test_a_wait_that_cannot_be_says_why_and_creates_nothing(
    still_office: Office, values: dict[str, Any], field: str
) -> None:
    problem = await still_office.post("/api/createAndWait", creation(**values), status=400)

    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert (await still_office.post("/api/workflows/search", {}))["total"] == 0


async def test_too_many_who_wait_are_asked_to_come_back(still_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowlet.web.api.waiting.MOST_WAITERS", 0)

    answer = await still_office.client.post("/api/createAndWait", json=creation())

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")
    assert (await still_office.post("/api/workflows/search", {}))["total"] == 0


async def test_a_client_that_goes_away_waits_no_longer(still_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()
    wait = Arrivals._wait

    async def watched(self: Arrivals, id: int, *args: Any, **more: Any) -> Any:
        begun.set()
        return await wait(self, id, *args, **more)

    async def receive() -> dict[str, Any]:
        if not messages:
            await begun.wait()
            return {"type": "http.disconnect"}
        return messages.pop()

    monkeypatch.setattr(Arrivals, "_wait", watched)
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": orjson.dumps(creation()), "more_body": False}]
    probe = still_office.probe
    app: Any = probe.app  # its own types of ASGI are narrower than what a test sends

    await seen(app(request_to("/api/createAndWait", key=probe.keys["operator"]), receive, nobody_there))

    assert begun.is_set()
    assert probe.services.arrivals.waiting == 0


def request_to(path: str, *, key: str) -> dict[str, Any]:
    """Return the scope of a request, as a server gives it to an application."""
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


async def nobody_there(message: dict[str, Any]) -> None:
    raise AssertionError(f"there is nobody to answer: {message['type']}")
