"""``expectedVersion`` over the API: a request that names another version changes nothing, and is answered by 409."""

from __future__ import annotations

from typing import Any

import pytest

from flowlet.accounts.roles import Role
from tests.web.api.api_harness import ApiHarness
from tests.web.api.api_users import create_api_user
from tests.web.app_harness import AppHarness

WORKFLOW_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "state": ("state", {"state": "charge"}),
    "statevars": ("statevars", {"key": "amount", "value": 4}),
    "pause": ("pause", {"reason": "stocktaking"}),
    "cancel": ("cancel", {}),
}
USER_REQUESTS: dict[str, dict[str, Any]] = {
    "password": {"password": "another horse"},
    "role": {"role": "operator"},
    "disable": {},
    "enable": {},
}


@pytest.mark.parametrize("name", WORKFLOW_REQUESTS)
async def test_a_workflow_is_changed_only_in_the_expected_version(sqlite_api_harness: ApiHarness, name: str) -> None:
    id = await sqlite_api_harness.create()
    path, body = WORKFLOW_REQUESTS[name]
    before = await sqlite_api_harness.get(f"/api/workflows/{id}")

    stale = await sqlite_api_harness.post(f"/api/workflows/{id}/{path}", {**body, "expectedVersion": 7}, status=409)
    after_stale = await sqlite_api_harness.get(f"/api/workflows/{id}")
    changed = await sqlite_api_harness.post(
        f"/api/workflows/{id}/{path}", {**body, "expectedVersion": before["version"]}
    )

    assert stale["type"] == "/problems/refused"
    assert "was changed in the meantime: it has version 0 now, but version 7 was expected" in stale["detail"]
    assert after_stale == before
    assert changed["workflow"]["version"] == before["version"] + 1


@pytest.mark.parametrize("operation", ["resume", "retry", "wake"])
async def test_an_operation_without_further_fields_takes_the_expected_version(
    sqlite_api_harness: ApiHarness, operation: str
) -> None:
    id = await sqlite_api_harness.create()

    stale = await sqlite_api_harness.post(f"/api/workflows/{id}/{operation}", {"expectedVersion": 7}, status=409)

    assert "but version 7 was expected" in stale["detail"]


@pytest.mark.parametrize("place", ["updateWorkflowStateRequest", "updateStateVarRequest"])
@pytest.mark.parametrize(("version", "status"), [(0, 504), (7, 409)])
async def test_a_change_of_variables_and_state_takes_the_version_before_both(
    sqlite_api_harness: ApiHarness, place: str, version: int, status: int
) -> None:
    id = await sqlite_api_harness.create()
    body: dict[str, Any] = {
        "updateWorkflowStateRequest": {"state": "charge"},
        "updateStateVarRequest": {"key": "amount", "value": 4},
        "waitForStates": ["delivered"],
        "waitSeconds": 0,
    }
    body[place] = {**body[place], "expectedVersion": version}

    await sqlite_api_harness.post(f"/api/workflows/{id}/stateAndWait", body, status=status)

    after = await sqlite_api_harness.get(f"/api/workflows/{id}")
    assert (after["state"], after["version"]) == (("charge", 1) if status == 504 else ("check", 0))


@pytest.mark.parametrize("operation", USER_REQUESTS)
async def test_a_user_is_changed_only_in_the_expected_version(app_harness: AppHarness, operation: str) -> None:
    grace = await create_api_user(app_harness, "grace", Role.VIEWER)
    admin = app_harness.open_client("admin")
    path, body = f"/api/users/{grace.id}", USER_REQUESTS[operation]
    before = (await admin.get(path)).json()

    stale = await admin.post(f"{path}/{operation}", json={**body, "expectedVersion": 7})
    after_stale = (await admin.get(path)).json()
    changed = await admin.post(f"{path}/{operation}", json={**body, "expectedVersion": before["version"]})

    assert (stale.status_code, stale.json()["type"]) == (409, "/problems/refused")
    assert stale.json()["detail"].startswith("the user 'grace' was changed by 'test' in the meantime")
    assert after_stale == before
    assert (changed.status_code, changed.json()["version"]) == (200, before["version"] + 1)


async def test_a_user_is_deleted_only_in_the_expected_version(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.VIEWER)
    admin = app_harness.open_client("admin")

    ends = [(await admin.delete(f"/api/users/{grace.id}?expectedVersion={text}")).status_code for text in ("7", "x")]
    deleted = await admin.delete(f"/api/users/{grace.id}?expectedVersion=1")

    assert (ends, deleted.status_code) == ([409, 400], 204)


async def test_a_key_is_revoked_only_in_the_expected_version(app_harness: AppHarness) -> None:
    grace = await create_api_user(app_harness, "grace", Role.VIEWER)
    (key,) = (await grace.open_browser().get("/api/keys")).json()

    stale = await grace.open_browser().delete(f"/api/keys/{key['id']}?expectedVersion=7")
    revoked = await grace.open_browser().delete(f"/api/keys/{key['id']}?expectedVersion={key['version']}")

    assert (stale.status_code, revoked.status_code) == (409, 204)
