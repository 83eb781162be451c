"""One rule for every path with ``{id}``: a number is the id of the workflow that has it, all else an external id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.web.api.api_harness import ApiHarness, open_api_harness

OPERATIONS: Mapping[str, tuple[str, Any]] = {
    "show": ("GET /api/workflows/{}", None),
    "history": ("GET /api/actions/byWorkflowId/{}", None),
    "state": ("POST /api/workflows/{}/state", {"state": "charge"}),
    "state and wait": (
        "POST /api/workflows/{}/stateAndWait",
        {"updateWorkflowStateRequest": {"state": "charge"}, "waitSeconds": 5, "waitForStates": ["charge"]},
    ),
    "variables": ("POST /api/workflows/{}/statevars", {"key": "amount", "value": 7}),
    "pause": ("POST /api/workflows/{}/pause", None),
    "cancel": ("POST /api/workflows/{}/cancel", None),
}


async def call(office: ApiHarness, operation: str, reference: str) -> int:
    """Send a request for a workflow that is named so, and return the id of the one that it was about."""
    line, body = OPERATIONS[operation]
    method, path = line.format(reference).split()
    answer = await office.client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    if operation == "history":
        return int(found[0]["workflowId"])
    return int(found.get("workflow", found)["id"])


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_number_is_an_id_if_there_is_one_and_else_an_external_id(sqlite_url: str, operation: str) -> None:
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        first = await office.create()
        impostor = await office.create(externalId=str(first))
        numbered = await office.create(externalId="4711")

        found = [await call(office, operation, name) for name in (str(first), "4711")]

        by_external_id = [
            (await office.get(f"/api/workflowByExternalId/{name}"))["id"] for name in (str(first), "4711")
        ]
        await office.get(f"/api/workflowByExternalId/{numbered}", status=404)

    assert found == [first, numbered]
    assert by_external_id == [impostor, numbered]


@pytest.mark.parametrize("number", ["0", "99999999999999999999", "1" + "0" * 5_000])
async def test_a_number_that_is_no_id_is_an_unknown_workflow(sqlite_api_harness: ApiHarness, number: str) -> None:
    problem = await sqlite_api_harness.get(f"/api/workflows/{number}", status=404)

    assert problem["detail"].startswith(f"no workflow has the id {number[:100]}")
