"""Schedules over HTTP: their fields and faults, and what each operation answers."""

from __future__ import annotations

from typing import Any

from tests.web.api.api_harness import ApiHarness

NIGHTLY: dict[str, Any] = {
    "workflowType": "Orders",
    "name": "every night",
    "cron": "30 2 * * *",
    "timezone": "Europe/Berlin",
    "overlap": "skip",
    "vars": {"way": "review"},
}
PATH = "/api/schedules/every%20night"


async def test_a_schedule_is_created_shown_edited_and_deleted(idle_api_harness: ApiHarness) -> None:
    client = idle_api_harness.client
    made = await client.post("/api/schedules", json=NIGHTLY)
    shown = await idle_api_harness.get(PATH)
    edit = {"every": "15 minutes", "jitter": "1 minute", "expectedVersion": 1}
    edited = await client.put(PATH, json=edit)
    stale = await client.put(PATH, json=edit)
    deleted = await client.delete(PATH, params={"expectedVersion": 2})

    assert (made.status_code, made.headers["Location"]) == (201, PATH)
    assert shown == made.json()
    assert {name: shown[name] for name in ("workflowType", "source", "cron", "every", "catchUp", "createdBy")} == {
        "workflowType": "Orders",
        "source": "api",
        "cron": "30 2 * * *",
        "every": None,
        "catchUp": "last",
        "createdBy": "ada",
    }
    body = edited.json()
    assert (body["every"], body["jitterSeconds"], body["version"]) == ("15 minutes", 60.0, 2)
    assert (stale.status_code, deleted.status_code) == (409, 204)
    assert (await idle_api_harness.get(PATH, status=404))["detail"] == "no schedule is called 'every night'"


async def test_faults_name_the_fields_of_the_body(sqlite_api_harness: ApiHarness) -> None:
    async def read_faults(path: str = "/api/schedules", **changes: Any) -> dict[str, str]:
        problem = await sqlite_api_harness.post(path, {**NIGHTLY, **changes}, status=400)
        return {fault["field"]: fault["message"] for fault in problem["errors"]}

    assert (await read_faults(cron="30 2 * *")).keys() == {"cron"}
    assert (await read_faults(vars={"amount": "many"})).keys() == {"vars.amount"}
    assert (await read_faults(workflowType="Order"))["workflowType"].startswith("no workflow is called 'Order'.")
    faults = await read_faults("/api/schedules/preview", timezone="Europe/Berln", name="a/b", catchUp="some")
    assert faults.keys() == {"catchUp"}
    faults = await read_faults("/api/schedules/preview", timezone="Europe/Berln", name="a/b")
    assert faults.keys() == {"timezone", "name"}


async def test_the_next_times_are_shown_before_and_after_it_is_saved(sqlite_api_harness: ApiHarness) -> None:
    preview = await sqlite_api_harness.post("/api/schedules/preview", NIGHTLY)
    assert await sqlite_api_harness.get("/api/schedules") == []
    await sqlite_api_harness.post("/api/schedules", NIGHTLY, status=201)

    times = await sqlite_api_harness.get(f"{PATH}/times?count=3")

    assert (len(preview), times) == (10, preview[:3])
    assert preview[0].keys() == {"time", "fire", "local"}
    assert [one["name"] for one in await sqlite_api_harness.get("/api/schedules?workflowType=Orders")] == [
        "every night"
    ]


async def test_a_schedule_is_paused_resumed_fired_and_backfilled(idle_api_harness: ApiHarness) -> None:
    await idle_api_harness.post("/api/schedules", NIGHTLY, status=201)

    paused = await idle_api_harness.post(f"{PATH}/pause", {"reason": "holidays"})
    again = await idle_api_harness.post(f"{PATH}/pause", status=409)
    resumed = await idle_api_harness.post(f"{PATH}/resume")
    fired = await idle_api_harness.post(f"{PATH}/fire", status=201)
    running = await idle_api_harness.post(f"{PATH}/fire", status=409)
    span = {"from": "2026-03-28T00:00:00Z", "to": "2026-03-30T00:00:00Z"}
    filled = await idle_api_harness.post(f"{PATH}/backfill", span)
    repeated = await idle_api_harness.post(f"{PATH}/backfill", span)

    assert (paused["pausedBy"], paused["pausedReason"], paused["nextFire"]) == ("ada", "holidays", None)
    assert (again["permitted"], resumed["paused"]) == (["resume"], None)
    assert (await idle_api_harness.get(f"/api/workflows/{fired['id']}"))["businessKey"] == "every night"
    assert "has not ended, and overlap is skip" in running["detail"]
    assert [one["externalId"] for one in filled["workflows"]] == [
        "every night@2026-03-28T02:30+01:00",
        "every night@2026-03-29T03:00+02:00",
    ]
    assert (filled["createdCount"], repeated["createdCount"]) == (2, 0)
