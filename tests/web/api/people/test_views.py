"""Saved views over HTTP: whose they are, who may share one, and what their address may hold."""

from __future__ import annotations

from typing import Any

from flowlet.accounts.roles import Role
from tests.web.api.api_harness import ApiHarness

FAILED = "status=FAILED&sort=-modified"


async def test_a_user_saves_changes_and_deletes_a_view(idle_api_harness: ApiHarness) -> None:
    made = await idle_api_harness.post(
        "/api/views", {"name": "Failed", "address": f"/workflows?{FAILED}&view=3", "isDefault": True}, status=201
    )
    again = await idle_api_harness.post("/api/views", {"name": "FAILED", "address": ""}, status=409)
    path, client = f"/api/views/{made['id']}", idle_api_harness.client
    renamed = await client.put(path, json={"name": "Broken", "expectedVersion": 1})
    stale = await client.put(path, json={"address": "", "expectedVersion": 1})

    assert (made["address"], made["isDefault"], made["isShared"], made["version"]) == (FAILED, True, False, 1)
    assert "there is a view 'FAILED' already" in again["detail"]
    assert renamed.json() == {**made, "name": "Broken", "version": 2, "modified": renamed.json()["modified"]}
    assert (stale.status_code, "version" in stale.json()["detail"]) == (409, True)
    assert await idle_api_harness.get("/api/views") == [renamed.json()] == [await idle_api_harness.get(path)]
    assert [(await client.delete(path, params={"expectedVersion": 2})).status_code for _ in range(2)] == [204, 404]


async def test_only_operators_share_views_and_nobody_sees_the_views_of_another(idle_api_harness: ApiHarness) -> None:
    app = idle_api_harness.app_harness
    own = await idle_api_harness.post("/api/views", {"name": "Mine", "address": ""}, status=201)
    shared = await idle_api_harness.post("/api/views", {"name": "Ours", "address": "", "isShared": True}, status=201)
    ids = [f"/api/views/{one['id']}" for one in (own, shared)]
    await app.services.users.create("vic", "four words make one", Role.VIEWER, actor="ada")
    key = await app.services.users.keys.create("vic", username="vic", role=Role.VIEWER, actor="ada")

    async with app.open_client(**{"X-API-Key": key.text}) as viewer:
        seen = (await viewer.get("/api/views")).json()
        statuses = [
            [
                (await viewer.get(path)).status_code,
                (await viewer.put(path, json={"name": "x"})).status_code,
                (await viewer.delete(path)).status_code,
            ]
            for path in ids
        ]
        sharing = await viewer.post("/api/views", json={"name": "x", "address": "", "isShared": True})
        private = await viewer.post("/api/views", json={"name": "x", "address": ""})

    assert [one["name"] for one in seen] == ["Ours"]
    assert statuses == [[404, 404, 404], [200, 403, 403]]
    assert (sharing.status_code, "operator" in sharing.json()["detail"], private.status_code) == (403, True, 201)


async def test_an_address_that_the_list_does_not_understand_is_refused(idle_api_harness: ApiHarness) -> None:
    async def refuse(**more: Any) -> Any:
        answer = await idle_api_harness.client.post("/api/views", json={"name": "x", "address": "", **more})
        assert answer.status_code == 400, answer.text
        return answer.text

    assert "colour: is no filter" in await refuse(address="colour=red")
    assert "address" in await refuse(address="x" * 1_901)
    assert "a shared view cannot be a default" in await refuse(isShared=True, isDefault=True)
    assert "cannot be a view's name" in await refuse(name=" x")
    assert await idle_api_harness.get("/api/views") == []
