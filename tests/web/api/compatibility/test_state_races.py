"""A move with conditions and variables is one transaction: another client's move in between is seen, or comes later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flowlet.store.queries import InstanceQueries
from tests.web.api.api_harness import ApiHarness


@pytest.fixture
def run_before_change(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[Any]]], None]:
    """Run something once after a request has read its workflow, and before it locks the row."""
    read = InstanceQueries.read_positions_with_last_action

    def arrange(interfere: Callable[[], Awaitable[Any]]) -> None:
        async def interfere_and_read(self: InstanceQueries, ids: Any) -> Any:
            monkeypatch.setattr(InstanceQueries, "read_positions_with_last_action", read)
            await interfere()
            return await read(self, ids)

        monkeypatch.setattr(InstanceQueries, "read_positions_with_last_action", interfere_and_read)

    return arrange


async def move(office: ApiHarness, id: int, state: str) -> None:
    """Move a workflow as an admin, from wherever it is."""
    client = office.app_harness.open_client("admin")
    answer = await client.post(f"/api/workflows/{id}/state", json={"state": state, "force": True, "reason": "test"})
    assert answer.status_code == 200, answer.text


def build_body(state: str, **more: Any) -> dict[str, Any]:
    request = {"updateWorkflowStateRequest": {"state": state}, "waitSeconds": 0.1, "waitForStates": [state]}
    return {**request, "updateStateVarRequest": {"key": "amount", "value": 7}, **more}


async def test_a_state_to_come_from_is_the_state_in_which_the_move_finds_it(
    idle_api_harness: ApiHarness, run_before_change: Any
) -> None:
    office = idle_api_harness
    id = await office.create()
    run_before_change(lambda: move(office, id, "review"))

    problem = await office.post(
        f"/api/workflows/{id}/stateAndWait", build_body("charge", fromStates=["check"]), status=409
    )

    found = await office.get(f"/api/workflows/{id}")
    assert "its state is 'review', and none of the expected 'check'" in problem["detail"]
    assert (found["state"], found["stateVars"]["amount"]) == ("review", 1)


async def test_variables_are_not_set_where_the_move_is_refused_in_the_end(
    idle_api_harness: ApiHarness, run_before_change: Any
) -> None:
    office = idle_api_harness
    id = await office.create()
    run_before_change(lambda: move(office, id, "charge"))

    problem = await office.post(f"/api/workflows/{id}/stateAndWait", build_body("review"), status=409)

    found = await office.get(f"/api/workflows/{id}")
    assert "no transition leads from 'charge' to 'review'" in problem["detail"]
    assert (found["state"], found["stateVars"]["amount"]) == ("charge", 1)


async def test_variables_and_move_are_one_version(idle_api_harness: ApiHarness) -> None:
    id = await idle_api_harness.create()
    version = (await idle_api_harness.get(f"/api/workflows/{id}"))["version"]

    found = await idle_api_harness.post(f"/api/workflows/{id}/stateAndWait", build_body("charge"))

    kinds = [line["type"] for line in await idle_api_harness.get(f"/api/actions/byWorkflowId/{id}")]
    assert (found["version"], found["stateVars"]["amount"]) == (version + 1, 7)
    assert kinds == ["MOVED", "EDITED", "CREATED"]


async def test_a_form_and_variables_are_checked_together(idle_api_harness: ApiHarness) -> None:
    body = {**build_body("charge"), "updateStateVarRequest": {"key": "amount", "value": "many"}}
    id = await idle_api_harness.create()

    problem = await idle_api_harness.post(f"/api/workflows/{id}/stateAndWait", body, status=400)

    assert [fault["field"] for fault in problem["errors"]] == ["stateVars.amount"]
    assert (await idle_api_harness.get(f"/api/workflows/{id}"))["state"] == "check"
