"""Bulk operations over HTTP."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from flowlet.web.services import EXTENSION_NAME
from tests.web.api.api_harness import ApiHarness, open_api_harness


async def run_bulk(
    api_harness: ApiHarness, operation: str, search_filter: dict[str, Any] | None = None, **values: Any
) -> Any:
    """Run a bulk operation."""
    return await api_harness.post(
        "/api/workflows/bulk", {"filter": search_filter or {}, "operation": operation, **values}
    )


async def read_statuses(api_harness: ApiHarness) -> list[str]:
    """Return the status of every instance, by id."""
    found = await api_harness.post("/api/workflows/search", {"descending": False})
    return [one["status"] for one in found["workflows"]]


async def test_a_preview_counts_and_changes_nothing(idle_api_harness: ApiHarness) -> None:
    ids = [await idle_api_harness.create(executorGroup="night") for _ in range(12)]
    await idle_api_harness.create()

    found = await run_bulk(idle_api_harness, "cancel", {"executorGroup": "night"}, preview=True)

    counts = {"matched": 12, "matchedIsAtLeast": False, "examined": 12, "possible": 12}
    assert found == {**counts, "ids": ids[:10], "refusals": []}
    assert await read_statuses(idle_api_harness) == ["NEW"] * 13


async def test_an_operation_is_done_with_all_that_fit_over_all_pages(
    idle_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 2)
    for _ in range(5):
        await idle_api_harness.create("later")
    await idle_api_harness.create("charge")

    # What it is found by changes with each operation: no page may skip any.
    paused = await run_bulk(
        idle_api_harness, "pause", {"status": "NEW", "stateVars": {"way": "later"}}, reason="stock-taking"
    )

    assert paused.pop("runId")
    counts = {"matched": 5, "done": 5, "refused": [], "refusedTotal": 0, "limitReached": False}
    assert paused == {"isRunning": False, "problem": None, **counts}
    assert await read_statuses(idle_api_harness) == ["PAUSED"] * 5 + ["NEW"]
    history = await idle_api_harness.get("/api/actions/byWorkflowId/1")
    assert (history[0]["type"], history[0]["text"], history[0]["username"]) == ("PAUSED", "stock-taking", "ada")


async def test_those_that_refuse_are_told_and_hold_up_no_other(idle_api_harness: ApiHarness) -> None:
    one, two, three = [await idle_api_harness.create() for _ in range(3)]
    await idle_api_harness.post(f"/api/workflows/{two}/pause")

    found = await run_bulk(idle_api_harness, "resume")

    assert (found["matched"], found["done"], found["refusedTotal"]) == (3, 1, 2)
    assert [refusal["id"] for refusal in found["refused"]] == [one, three]
    problem = found["refused"][0]["problem"]
    assert (problem["type"], problem["status"]) == ("/problems/refused", 409)
    assert problem["permitted"] == ["move", "edit", "pause", "cancel"]


async def test_refusals_are_counted_beyond_those_that_are_told(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.bulk_runs.MAX_REFUSALS", 2)
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 3)
    for _ in range(5):
        await sqlite_api_harness.create()

    found = await run_bulk(sqlite_api_harness, "retry")

    assert (len(found["refused"]), found["refusedTotal"], found["done"]) == (2, 5, 0)


async def test_a_preview_counts_what_can_be_done_and_why_the_rest_cannot(sqlite_api_harness: ApiHarness) -> None:
    one, two, _ = [await sqlite_api_harness.create() for _ in range(3)]
    await sqlite_api_harness.post(f"/api/workflows/{one}/cancel")
    await sqlite_api_harness.post(f"/api/workflows/{two}/pause")

    moved = await run_bulk(sqlite_api_harness, "move", state="charge", preview=True)
    retried = await run_bulk(sqlite_api_harness, "retry", preview=True)

    assert (moved["examined"], moved["possible"]) == (3, 2)
    assert moved["refusals"] == [{"reason": "it has ended as CANCELLED", "count": 1}]
    assert retried["possible"] == 0


async def test_a_limit_bounds_the_work(sqlite_api_harness: ApiHarness) -> None:
    for _ in range(4):
        await sqlite_api_harness.create()

    found = await run_bulk(sqlite_api_harness, "cancel", limit=3)

    assert (found["matched"], found["done"], found["limitReached"]) == (3, 3, True)
    assert await read_statuses(sqlite_api_harness) == ["CANCELLED"] * 3 + ["NEW"]


async def test_a_group_of_errors_is_found_and_operated_by_its_fingerprint(idle_api_harness: ApiHarness) -> None:
    for group in ("early", "late", "late"):
        await idle_api_harness.create(executorGroup=group)
    await run_bulk(idle_api_harness, "move", state="charge")
    await run_bulk(idle_api_harness, "move", {"executorGroup": "late"}, state="unpaid", reason="The card has expired.")
    await run_bulk(idle_api_harness, "move", {"executorGroup": "early"}, state="unpaid")

    path = "/api/workflows/{}"
    one, two, three = [(await idle_api_harness.get(path.format(id)))["fingerprint"] for id in (1, 2, 3)]
    found = await idle_api_harness.post("/api/workflows/search", {"fingerprint": two, "descending": False})
    preview = await run_bulk(idle_api_harness, "retry", {"fingerprint": two}, preview=True)

    assert one
    assert one != two
    assert two == three
    assert [instance["id"] for instance in found["workflows"]] == preview["ids"] == [2, 3]
    assert (preview["examined"], preview["possible"], preview["refusals"]) == (2, 2, [])
    assert (await idle_api_harness.get(path.format(await idle_api_harness.create())))["fingerprint"] is None


async def test_a_move_goes_along_transitions_and_names_what_is_unknown(sqlite_api_harness: ApiHarness) -> None:
    await sqlite_api_harness.create()
    await sqlite_api_harness.post("/api/workflows", {"workflowType": "Families", "stateVars": {}}, status=201)

    found = await run_bulk(sqlite_api_harness, "move", state="charge", reason="skip the check")
    wakes = await run_bulk(sqlite_api_harness, "wake", {"state": "charge"})

    assert (found["done"], [one["problem"]["status"] for one in found["refused"]]) == (1, [404])
    assert wakes["refusedTotal"] == 1


FAULTY_REQUESTS: list[tuple[dict[str, Any], str]] = [
    ({"operation": "delete"}, "operation"),
    ({"operation": None}, "operation"),
    ({"filter": None}, "filter"),
    ({"filter": {"limit": 5}}, "filter.limit"),
    ({"filter": {"cursor": "x"}}, "filter.cursor"),
    ({"filter": {"status": "OPEN"}}, "filter.status"),
    ({"limit": 0}, "limit"),
    ({"limit": 10_001}, "limit"),
    ({"operation": "move"}, "state"),
    ({"state": "charge"}, "state"),
    ({"operation": "resume", "reason": "because"}, "reason"),
    ({"withChildren": True}, "withChildren"),
    ({"force": True}, "force"),
]


async def test_a_request_that_cannot_be_says_which_field_is_wrong(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    await sqlite_api_harness.create()

    for values, field in FAULTY_REQUESTS:
        with subtests.test(str(values)):
            body = {"filter": {}, "operation": "pause", **values}
            problem = await sqlite_api_harness.post("/api/workflows/bulk", body, status=400)

            assert [fault["field"] for fault in problem["errors"]] == [field]
            assert await read_statuses(sqlite_api_harness) == ["NEW"]


EMPTY_FILTERS: list[dict[str, Any]] = [
    {"externalId": ""},
    {"externalId": None},
    {"id": 0},
    {"businessKey": "", "workflowType": "Orders"},
    {"status": []},
    {"status": ""},
    {"stateVars": {}},
    {"createdFrom": None},
]


async def test_a_filter_by_nothing_does_not_stand_for_all(
    sqlite_api_harness: ApiHarness, subtests: pytest.Subtests
) -> None:
    id = await sqlite_api_harness.create("later")

    for given in EMPTY_FILTERS:
        with subtests.test(str(given)):
            problem = await sqlite_api_harness.post(
                "/api/workflows/bulk", {"operation": "cancel", "filter": given}, status=400
            )

            assert [fault["field"] for fault in problem["errors"]] == [f"filter.{next(iter(given))}"]
            assert (await sqlite_api_harness.get(f"/api/workflows/{id}"))["status"] != "CANCELLED"


async def test_an_operation_that_outlasts_its_request_goes_on_and_reports(sqlite_url: str) -> None:
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        services = office.app_harness.services
        settings = services.settings.model_copy(update={"request_timeout": timedelta(seconds=1)})
        office.app_harness.app.extensions[EXTENSION_NAME] = replace(services, settings=settings)
        id = await office.create("later")
        body = {"filter": {"id": id}, "operation": "pause"}
        with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")  # no other connection can write

            started = await office.post("/api/workflows/bulk", body, status=202)
            progress = await office.get(f"/api/bulkRuns/{started['runId']}")

        run = services.bulk_runs.find(started["runId"])
        assert run
        await run.wait(20)
        result = await office.get(f"/api/bulkRuns/{started['runId']}")
        assert (started["isRunning"], started["matched"]) == (True, 0)
        assert progress == started
        assert (result["isRunning"], result["matched"], result["done"], result["problem"]) == (False, 1, 1, None)
        assert await read_statuses(office) == ["PAUSED"]
        await office.get("/api/bulkRuns/unknown", status=404)
