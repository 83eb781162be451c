"""``reached`` says whether a wait has met one of its states, or only the end of the workflow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.api.api_harness import WAIT_SECONDS, ApiHarness


def build_create(way: str, *states: str) -> dict[str, Any]:
    request = {"workflowType": "Orders", "stateVars": {"way": way}}
    return {"createWorkflowRequest": request, "waitSeconds": WAIT_SECONDS, "waitForStates": list(states)}


@pytest.mark.parametrize(
    ("way", "states", "reached"),
    [
        ("charge", ["delivered"], True),
        ("charge", ["check"], True),
        ("charge", ["charge", "unpaid"], True),
        ("charge", [], True),
        ("charge", ["unpaid"], False),
        ("fail", ["delivered"], False),
        ("fail", ["charge"], True),
    ],
)
async def test_a_create_says_whether_a_state_was_reached(
    api_harness: ApiHarness, way: str, states: list[str], reached: bool
) -> None:
    answer = await api_harness.client.post("/api/createAndWait", json=build_create(way, *states))

    assert (answer.status_code, answer.json()["reached"]) == (200, reached)
    assert answer.headers["Flowlet-Reached"] == str(reached).lower()


@pytest.mark.parametrize(("state", "reached"), [("charge", True), ("rejected", False)])
async def test_a_move_says_whether_a_state_was_reached(api_harness: ApiHarness, state: str, reached: bool) -> None:
    waiting = await api_harness.create_and_wait("review", "review")
    body = {
        "updateWorkflowStateRequest": {"state": state},
        "waitForStates": ["delivered"],
        "waitSeconds": WAIT_SECONDS,
    }

    answer = await api_harness.client.post(f"/api/workflows/{waiting['id']}/stateAndWait", json=body)

    assert (answer.status_code, answer.json()["reached"]) == (200, reached)
    assert answer.headers["Flowlet-Reached"] == str(reached).lower()


async def test_a_known_workflow_that_has_reached_a_state_and_left_it_has_reached_it(api_harness: ApiHarness) -> None:
    body = build_create("charge", "charge")
    body["createWorkflowRequest"]["externalId"] = "order-1"
    await api_harness.post("/api/createAndWait", {**body, "waitForStates": []})

    again = await api_harness.post("/api/createAndWait", body)
    other = await api_harness.post("/api/createAndWait", {**body, "waitForStates": ["unpaid"]})

    assert [again["state"], again["reached"], other["reached"]] == ["delivered", True, False]


@pytest.mark.parametrize("given", [{}, {"waitSeconds": 0}, {"waitSeconds": None}])
async def test_a_wait_without_a_length_is_for_a_second(sqlite_api_harness: ApiHarness, given: dict[str, Any]) -> None:
    clock, body = sqlite_api_harness.app_harness.services.store.clock, build_create("charge", "charge")
    del body["waitSeconds"]
    began = clock.monotonic()

    await sqlite_api_harness.post("/api/createAndWait", {**body, **given}, status=504)

    assert 0.9 < clock.monotonic() - began < 5
