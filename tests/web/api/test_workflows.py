"""The endpoints of workflows: their history, and what all of them share: unknown ids, unreadable bodies, roles."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.clock import to_datetime
from tests.web.api.api_harness import ApiHarness

HOSTILE_IDS = ["abc", "-1", "0", "1.5", "9" * 30, "9" * 5000, "9223372036854775808", "%27%20OR%201=1", "%F0%9F%92%A9"]
HOSTILE_IDS += ["%ff", "%ed%a0%80", "x" * 2000, "..%2f..", "1%20", "null", "²"]


async def test_an_id_that_nobody_has_is_not_found_anywhere(
    idle_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    for id in HOSTILE_IDS:
        with subtests.test(id[:20]):
            paths = [f"/api/workflows/{id}", f"/api/workflowByExternalId/{id}", f"/api/actions/byWorkflowId/{id}"]
            paths += [f"/api/workflows/{id}/{name}" for name in ("children", "children/counts", "permitted")]
            names = ("pause", "resume", "cancel", "retry", "wake")
            operations: list[tuple[str, Any]] = [(f"/api/workflows/{id}/{name}", None) for name in names]
            operations += [(f"/api/workflows/{id}/state", {"state": "charge"})]
            operations += [(f"/api/workflows/{id}/statevars", {"key": "amount", "value": 1})]

            gets = [(await idle_api_harness.client.get(path)).status_code for path in paths]
            posts = [(await idle_api_harness.client.post(path, json=body)).status_code for path, body in operations]

            assert {*gets, *posts} == {404}


async def test_a_history_is_told_with_its_newest_line_first(api_harness: ApiHarness) -> None:
    waiting = await api_harness.create_and_wait("review", "review")
    await api_harness.post(f"/api/workflows/{waiting['id']}/pause", {"reason": "lunch"})

    history = await api_harness.get(f"/api/actions/byWorkflowId/{waiting['id']}")

    assert [(line["type"], line["name"], line["executionCount"]) for line in history] == [
        ("PAUSED", "review", 2),
        ("TRANSITION", "review", 2),
        ("CREATED", "check", 1),
    ]
    assert (history[0]["text"], history[0]["username"], history[0]["workflowId"]) == ("lunch", "ada", waiting["id"])
    assert history[0]["dateTime"].endswith("Z")
    assert to_datetime(api_harness.app_harness.services.store.clock.now()).year == int(history[0]["dateTime"][:4])


UNREADABLE_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff",
    b'"state"',
    b'{"state": null, "key": 5, "reason": []}',
    b'{"state": "%s", "key": "%s", "reason": "%s"}' % (b"x" * 9_000, b"x" * 9_000, b"x" * 9_000),
    b'{"state": "\\u0000", "key": "\\ud800"}',
    '{"state": "check", "reason": "😀 Ω"}'.encode(),
    '{"key": "😀\'\\"$.x[0]", "value": [1e308, -0.0, {"": null}]}'.encode(),
    b'{"key": "n", "value": 9223372036854775807}',
    b'{"key": "n", "value": 99999999999999999999}',
    b'{"values": {"": 1}, "unset": [""]}',
    b'{"state": "gather", "nextActivation": "9999-12-31T23:59:59Z"}',
    b'{"state": "gather", "nextActivation": "9999-12-31T23:59:59-12:00"}',
    b'{"id": -1, "status": ["x"], "cursor": "AAAA", "offset": 1e9}',
    b'{"stateVars": {"%_\'--": "x", "children": null}, "reasonContains": "%!_"}',
    b'{"createdFrom": "0001-01-01T00:00:00Z", "createdTo": "9999-12-31T23:59:59Z"}',
    b'{"workflowType": "Families", "stateVars": {"deep": ' + b"[" * 60 + b"]" * 60 + b"}}",
    b'{"workflowType": "Families", "stateVars": {"deep": ' + b"[" * 500 + b"]" * 500 + b"}}",
    b'{"workflowType": "Families", "externalId": "search"}',
    b'{"workflowType": "Families", "nextActivationOffset": "99999999999999h"}',
    b'{"filter": {}, "operation": "move", "state": "gather"}',
    b'{"createWorkflowRequest": {"workflowType": "Families"}, "waitSeconds": 0.01, "waitForStates": ["gather"]}',
    b'{"updateWorkflowStateRequest": {"state": "gather"}, "waitSeconds": 0.01, "fromStates": [""]}',
]


async def test_no_body_is_a_fault_of_the_server(idle_api_harness: ApiHarness) -> None:
    body = {"workflowType": "Families", "stateVars": {"children": []}}
    id = (await idle_api_harness.post("/api/workflows", body, status=201))["id"]
    names = ("state", "statevars", "pause", "resume", "retry", "wake", "stateAndWait")
    paths = ["/api/workflows", "/api/workflows/search", "/api/workflows/bulk", "/api/createAndWait"]
    paths += [f"/api/workflows/{id}/{name}" for name in names]

    async with idle_api_harness.app_harness.open_client("admin") as client:
        headers = {"content-type": "application/json"}
        found = {
            (path, body): (await client.post(path, content=body, headers=headers)).status_code
            for path in paths
            for body in UNREADABLE_BODIES
        }

    assert {key: status for key, status in found.items() if status not in (200, 201, 400, 404, 409, 504)} == {}
    shown = await idle_api_harness.post("/api/workflows/search", {"limit": 1000})
    assert shown["total"] == shown["results"]


ENDPOINTS_BY_ROLE = [
    ("viewer", "GET", "/api/workflows/7"),
    ("viewer", "GET", "/api/workflowByExternalId/x"),
    ("viewer", "POST", "/api/workflows/search"),
    ("viewer", "GET", "/api/workflows/7/children"),
    ("viewer", "GET", "/api/workflows/7/children/counts"),
    ("viewer", "GET", "/api/workflows/7/permitted"),
    ("viewer", "GET", "/api/actions/byWorkflowId/7"),
    ("operator", "POST", "/api/workflows"),
    ("operator", "POST", "/api/workflows/7/state"),
    ("operator", "POST", "/api/workflows/7/statevars"),
    ("operator", "POST", "/api/workflows/7/pause"),
    ("operator", "POST", "/api/workflows/7/resume"),
    ("operator", "POST", "/api/workflows/7/cancel"),
    ("operator", "POST", "/api/workflows/7/retry"),
    ("operator", "POST", "/api/workflows/7/wake"),
    ("operator", "POST", "/api/workflows/7/acknowledge"),
    ("operator", "POST", "/api/workflows/7/abort"),
    ("operator", "POST", "/api/workflows/7/messages/payment"),
    ("operator", "POST", "/api/messages/payment"),
    ("viewer", "GET", "/api/workflows/7/messages"),
    ("operator", "POST", "/api/workflows/7/stateAndWait"),
    ("operator", "POST", "/api/createAndWait"),
    ("operator", "POST", "/api/workflows/bulk"),
]
ROLE_ORDER = ["anonymous", "viewer", "operator", "admin"]


@pytest.mark.parametrize("role", ROLE_ORDER)
async def test_each_endpoint_lets_in_whose_role_suffices(sqlite_api_harness: ApiHarness, role: str) -> None:
    async with sqlite_api_harness.app_harness.open_client(None if role == "anonymous" else role) as client:
        found = {
            (method, path): (await client.request(method, path)).status_code for _, method, path in ENDPOINTS_BY_ROLE
        }

    shut = 401 if role == "anonymous" else 403
    for needed, method, path in ENDPOINTS_BY_ROLE:
        may = ROLE_ORDER.index(role) >= ROLE_ORDER.index(needed)
        assert (found[method, path] == shut) is not may, (method, path, found[method, path])
