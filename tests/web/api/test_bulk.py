"""One operation on all workflows that a search finds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.api.office import Office, opened_office


@pytest.fixture
async def office(database_url: str) -> AsyncIterator[Office]:
    """An application where nothing runs, on each of the three databases."""
    async with opened_office(database_url, executes=False) as office:
        yield office


@pytest.fixture
async def sqlite_office(sqlite_url: str) -> AsyncIterator[Office]:
    """An application where nothing runs, on SQLite."""
    async with opened_office(sqlite_url, executes=False) as office:
        yield office


async def bulk(office: Office, operation: str, fits: dict[str, Any] | None = None, **values: Any) -> Any:
    """Do an operation with all that fit."""
    return await office.post("/api/workflows/bulk", {"filter": fits or {}, "operation": operation, **values})


async def statuses(office: Office) -> list[str]:
    """Return the status of every instance, by id."""
    found = await office.post("/api/workflows/search", {"descending": False})
    return [one["status"] for one in found["workflows"]]


async def test_a_preview_counts_and_changes_nothing(office: Office) -> None:
    ids = [await office.create(executorGroup="night") for _ in range(12)]
    await office.create()

    found = await bulk(office, "cancel", {"executorGroup": "night"}, preview=True)

    assert found == {"matched": 12, "matchedIsAtLeast": False, "ids": ids[:10]}
    assert await statuses(office) == ["NEW"] * 13


async def test_an_operation_is_done_with_all_that_fit_over_all_pages(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.bulk.PAGE", 2)
    for _ in range(5):
        await office.create("later")
    await office.create("charge")

    # What it is found by changes with each operation: no page may skip any.
    paused = await bulk(office, "pause", {"status": "NEW", "stateVars": {"way": "later"}}, reason="stock-taking")

    assert paused == {"matched": 5, "done": 5, "refused": [], "refusedTotal": 0, "limitReached": False}
    assert await statuses(office) == ["PAUSED"] * 5 + ["NEW"]
    history = await office.get("/api/actions/byWorkflowId/1")
    assert (history[0]["type"], history[0]["text"], history[0]["username"]) == ("PAUSED", "stock-taking", "ada")


async def test_those_that_refuse_are_told_and_hold_up_no_other(office: Office) -> None:
    one, two, three = [await office.create() for _ in range(3)]
    await office.post(f"/api/workflows/{two}/pause")

    found = await bulk(office, "resume")

    assert (found["matched"], found["done"], found["refusedTotal"]) == (3, 1, 2)
    assert [refusal["id"] for refusal in found["refused"]] == [one, three]
    problem = found["refused"][0]["problem"]
    assert (problem["type"], problem["status"]) == ("/problems/refused", 409)
    assert problem["permitted"] == ["move", "edit", "pause", "cancel"]


async def test_refusals_are_counted_beyond_those_that_are_told(
    sqlite_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.api.bulk.REFUSALS_SHOWN", 2)
    monkeypatch.setattr("flowlet.web.bulk.PAGE", 3)
    for _ in range(5):
        await sqlite_office.create()

    found = await bulk(sqlite_office, "retry")

    assert (len(found["refused"]), found["refusedTotal"], found["done"]) == (2, 5, 0)


async def test_a_limit_bounds_the_work(office: Office) -> None:
    for _ in range(4):
        await office.create()

    found = await bulk(office, "cancel", limit=3)

    assert (found["matched"], found["done"], found["limitReached"]) == (3, 3, True)
    assert await statuses(office) == ["CANCELLED"] * 3 + ["NEW"]


async def test_a_group_of_errors_is_found_and_operated_by_its_fingerprint(office: Office) -> None:
    for group in ("early", "late", "late"):
        await office.create(executorGroup=group)
    await bulk(office, "move", state="charge")
    await bulk(office, "move", {"executorGroup": "late"}, state="unpaid", reason="The card has expired.")
    await bulk(office, "move", {"executorGroup": "early"}, state="unpaid")

    path = "/api/workflows/{}"
    one, two, three = [(await office.get(path.format(id)))["fingerprint"] for id in (1, 2, 3)]
    found = await office.post("/api/workflows/search", {"fingerprint": two, "descending": False})
    preview = await bulk(office, "retry", {"fingerprint": two}, preview=True)

    assert one
    assert one != two
    assert two == three
    assert [instance["id"] for instance in found["workflows"]] == preview["ids"] == [2, 3]
    assert (await office.get(path.format(await office.create())))["fingerprint"] is None


async def test_a_move_goes_along_transitions_and_names_what_is_unknown(office: Office) -> None:
    await office.create()
    await office.post("/api/workflows", {"workflowType": "Families", "stateVars": {}}, status=201)

    found = await bulk(office, "move", state="charge", reason="skip the check")
    wakes = await bulk(office, "wake", {"state": "charge"})

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
    sqlite_office: Office, values: dict[str, Any], field: str
) -> None:
    await sqlite_office.create()

    body = {"filter": {}, "operation": "pause", **values}
    problem = await sqlite_office.post("/api/workflows/bulk", body, status=400)

    assert [fault["field"] for fault in problem["errors"]] == [field]
    assert await statuses(sqlite_office) == ["NEW"]


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
async def test_a_filter_by_nothing_does_not_stand_for_all(office: Office, given: dict[str, Any]) -> None:
    id = await office.create("later")

    problem = await office.post("/api/workflows/bulk", {"operation": "cancel", "filter": given}, status=400)

    assert [fault["field"] for fault in problem["errors"]] == [f"filter.{next(iter(given))}"]
    assert (await office.get(f"/api/workflows/{id}"))["status"] != "CANCELLED"
