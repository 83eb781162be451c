"""Bulk operations over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.api.api_harness import ApiHarness, open_api_harness


@pytest.fixture
async def api_harness(database_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on each of the three databases."""
    async with open_api_harness(database_url, has_executor=False) as office:
        yield office


@pytest.fixture
async def sqlite_api_harness(sqlite_url: str) -> AsyncIterator[ApiHarness]:
    """An application without an executor, on SQLite."""
    async with open_api_harness(sqlite_url, has_executor=False) as office:
        yield office


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


async def test_a_preview_counts_and_changes_nothing(api_harness: ApiHarness) -> None:
    ids = [await api_harness.create(executorGroup="night") for _ in range(12)]
    await api_harness.create()

    found = await run_bulk(api_harness, "cancel", {"executorGroup": "night"}, preview=True)

    assert found == {"matched": 12, "matchedIsAtLeast": False, "ids": ids[:10]}
    assert await read_statuses(api_harness) == ["NEW"] * 13


async def test_an_operation_is_done_with_all_that_fit_over_all_pages(
    api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 2)
    for _ in range(5):
        await api_harness.create("later")
    await api_harness.create("charge")

    # What it is found by changes with each operation: no page may skip any.
    paused = await run_bulk(
        api_harness, "pause", {"status": "NEW", "stateVars": {"way": "later"}}, reason="stock-taking"
    )

    assert paused == {"matched": 5, "done": 5, "refused": [], "refusedTotal": 0, "limitReached": False}
    assert await read_statuses(api_harness) == ["PAUSED"] * 5 + ["NEW"]
    history = await api_harness.get("/api/actions/byWorkflowId/1")
    assert (history[0]["type"], history[0]["text"], history[0]["username"]) == ("PAUSED", "stock-taking", "ada")


async def test_those_that_refuse_are_told_and_hold_up_no_other(api_harness: ApiHarness) -> None:
    one, two, three = [await api_harness.create() for _ in range(3)]
    await api_harness.post(f"/api/workflows/{two}/pause")

    found = await run_bulk(api_harness, "resume")

    assert (found["matched"], found["done"], found["refusedTotal"]) == (3, 1, 2)
    assert [refusal["id"] for refusal in found["refused"]] == [one, three]
    problem = found["refused"][0]["problem"]
    assert (problem["type"], problem["status"]) == ("/problems/refused", 409)
    assert problem["permitted"] == ["move", "edit", "pause", "cancel"]


async def test_refusals_are_counted_beyond_those_that_are_told(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.api.bulk.MAX_REFUSALS", 2)
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 3)
    for _ in range(5):
        await sqlite_api_harness.create()

    found = await run_bulk(sqlite_api_harness, "retry")

    assert (len(found["refused"]), found["refusedTotal"], found["done"]) == (2, 5, 0)


async def test_a_limit_bounds_the_work(api_harness: ApiHarness) -> None:
    for _ in range(4):
        await api_harness.create()

    found = await run_bulk(api_harness, "cancel", limit=3)

    assert (found["matched"], found["done"], found["limitReached"]) == (3, 3, True)
    assert await read_statuses(api_harness) == ["CANCELLED"] * 3 + ["NEW"]


async def test_a_group_of_errors_is_found_and_operated_by_its_fingerprint(api_harness: ApiHarness) -> None:
    for group in ("early", "late", "late"):
        await api_harness.create(executorGroup=group)
    await run_bulk(api_harness, "move", state="charge")
    await run_bulk(api_harness, "move", {"executorGroup": "late"}, state="unpaid", reason="The card has expired.")
    await run_bulk(api_harness, "move", {"executorGroup": "early"}, state="unpaid")

    path = "/api/workflows/{}"
    one, two, three = [(await api_harness.get(path.format(id)))["fingerprint"] for id in (1, 2, 3)]
    found = await api_harness.post("/api/workflows/search", {"fingerprint": two, "descending": False})
    preview = await run_bulk(api_harness, "retry", {"fingerprint": two}, preview=True)

    assert one
    assert one != two
    assert two == three
    assert [instance["id"] for instance in found["workflows"]] == preview["ids"] == [2, 3]
    assert (await api_harness.get(path.format(await api_harness.create())))["fingerprint"] is None


async def test_a_move_goes_along_transitions_and_names_what_is_unknown(api_harness: ApiHarness) -> None:
    await api_harness.create()
    await api_harness.post("/api/workflows", {"workflowType": "Families", "stateVars": {}}, status=201)

    found = await run_bulk(api_harness, "move", state="charge", reason="skip the check")
    wakes = await run_bulk(api_harness, "wake", {"state": "charge"})

    assert (found["done"], [one["problem"]["status"] for one in found["refused"]]) == (1, [404])
    assert wakes["refusedTotal"] == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
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
    ],
    ids=str,
)
async def test_a_request_that_cannot_be_says_which_field_is_wrong(
    sqlite_api_harness: ApiHarness, values: dict[str, Any], field: str
) -> None:
    await sqlite_api_harness.create()

    body = {"filter": {}, "operation": "pause", **values}
    problem = await sqlite_api_harness.post("/api/workflows/bulk", body, status=400)

    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert await read_statuses(sqlite_api_harness) == ["NEW"]


@pytest.mark.parametrize(
    "given",
    [
        {"externalId": ""},
        {"externalId": None},
        {"id": 0},
        {"businessKey": "", "workflowType": "Orders"},
        {"status": []},
        {"status": ""},
        {"stateVars": {}},
        {"createdFrom": None},
    ],
    ids=str,
)
async def test_a_filter_by_nothing_does_not_stand_for_all(api_harness: ApiHarness, given: dict[str, Any]) -> None:
    id = await api_harness.create("later")

    problem = await api_harness.post("/api/workflows/bulk", {"operation": "cancel", "filter": given}, status=400)

    assert [fault["field"] for fault in problem["errors"]] == [f"filter.{next(iter(given))}"]
    assert (await api_harness.get(f"/api/workflows/{id}"))["status"] != "CANCELLED"
