"""Teams and assignments over HTTP: who may, and what each operation answers."""

from __future__ import annotations

from tests.web.api.api_harness import ApiHarness


async def test_a_team_is_made_changed_and_deleted_by_admins_only(idle_api_harness: ApiHarness) -> None:
    operator, path = idle_api_harness.client, "/api/teams/finance"
    async with idle_api_harness.app_harness.open_client("admin") as admin:
        made = await admin.put(path, json={"members": ["ADA"], "expectedVersion": 0})
        again = await admin.put(path, json={"members": ["ada"], "expectedVersion": 0})
        same = await admin.put(path, json={"members": ["ada", "Ada"]})
        unknown = await admin.put(path, json={"members": ["ada", "nobody"]})
        badly_named = await admin.put("/api/teams/Finance%20%22", json={"members": []})
        forbidden = await operator.put(path, json={"members": []})
        shown = await idle_api_harness.get("/api/teams")
        gone = [(await admin.delete(path, params={"expectedVersion": 1})).status_code for _ in range(2)]

    assert (made.status_code, made.json()["members"], made.json()["modifiedBy"]) == (200, ["ada"], "ada")
    assert (again.status_code, same.json(), shown) == (409, made.json(), [made.json()])
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "there is no user 'nobody'")
    assert badly_named.status_code == 400
    assert "lower-case letters" in badly_named.text
    assert forbidden.status_code == 403
    assert gone == [204, 404]


async def test_a_question_is_assigned_and_what_asks_nothing_is_not(api_harness: ApiHarness) -> None:
    waiting = (await api_harness.create_and_wait("review", "review"))["id"]
    ended = (await api_harness.create_and_wait("delivered", "charge"))["id"]

    assigned = await api_harness.post(f"/api/workflows/{waiting}/assign", {"assignee": "ADA"})
    stale = await api_harness.post(
        f"/api/workflows/{waiting}/assign", {"assignee": None, "expectedVersion": 0}, status=409
    )
    refused = await api_harness.post(f"/api/workflows/{ended}/assign", {"assignee": "ada"}, status=409)
    lines = await api_harness.get(f"/api/actions/byWorkflowId/{waiting}")

    assert assigned["workflow"]["status"] == "WAITING"
    assert "version" in stale["detail"]
    assert "does not wait for a person" in refused["detail"]
    assert [line["text"] for line in lines if line["type"] == "ASSIGNED"] == ["to ada"]
