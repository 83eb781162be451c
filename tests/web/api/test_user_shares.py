"""The shares of users: no user holds every place, and reads by a key do not wait for all scans."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from flowlet.store.search.page import search_instances
from flowlet.store.search.query import SearchQuery, VariableFilter
from flowlet.web.problems import ProblemError
from flowlet.web.user_shares import EVENT_STREAMS, SCANNING_SEARCHES, WAITS, UserShares
from tests.web.api.api_harness import ApiHarness
from tests.web.http_server import serve_app

SCAN = SearchQuery(variables=[VariableFilter("way", "none")])


def test_a_user_beyond_the_share_is_refused_and_another_is_not() -> None:
    shares, share = UserShares(), replace(WAITS, limit=1)

    with shares.hold(share, "ada"), shares.hold(share, "grace"):
        with pytest.raises(ProblemError, match="'ada' has 1 waits open already") as refused:
            shares.check(share, "ada")
        assert (refused.value.problem.status, refused.value.problem.headers) == (429, {"Retry-After": "10"})

    shares.check(share, "ada")


async def test_a_stream_gives_its_place_back(sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowlet.web.api.events.EVENT_STREAMS", replace(EVENT_STREAMS, limit=1))
    async with serve_app(sqlite_api_harness.app_harness.app) as client:
        client.headers["X-API-Key"] = sqlite_api_harness.app_harness.keys["viewer"]
        async with client.stream("GET", "/api/events") as stream:
            await anext(stream.aiter_lines())

            assert (await client.get("/api/events")).status_code == 429

        while (await client.head("/api/events")).status_code == 429:
            pass


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 200), ({"id": 1}, 200), ({"externalId": "a"}, 200), ({"stateVars": {"way": "charge"}}, 429)],
)
async def test_scans_have_a_share_and_searches_by_an_index_have_none(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], status: int
) -> None:
    monkeypatch.setattr("flowlet.web.user_shares.SCANNING_SEARCHES", replace(SCANNING_SEARCHES, limit=0))

    await sqlite_api_harness.post("/api/workflows/search", body, status=status)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/workflows.csv?variable=way=charge", 429),
        ("/workflows.json?reason=x", 429),
        ("/workflows.csv?status=NEW", 200),
        ("/workflows/bulk?operation=pause&filters=state%3Dcheck", 429),
        ("/workflows/bulk?operation=pause&filters=status%3DNEW", 200),
    ],
)
async def test_files_and_previews_count_as_scans(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch, path: str, status: int
) -> None:
    monkeypatch.setattr("flowlet.web.user_shares.SCANNING_SEARCHES", replace(SCANNING_SEARCHES, limit=0))
    async with sqlite_api_harness.app_harness.open_admin_browser() as browser:
        assert (await browser.get(path)).status_code == status


async def test_a_file_that_has_begun_is_sent_to_its_end(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.bulk.PAGE_SIZE", 1)
    for _ in range(3):
        await sqlite_api_harness.create("later")
    shares = sqlite_api_harness.app_harness.services.user_shares
    held: list[Any] = []

    async def search_counted(*given: Any) -> Any:
        held.append(dict(shares._counts))
        return await search_instances(*given)

    monkeypatch.setattr("flowlet.store.queries.search_instances", search_counted)
    async with sqlite_api_harness.app_harness.open_admin_browser() as browser:
        answer = await browser.get("/workflows.csv?variable=way=later")

    assert answer.text.count("\r\n") == 4
    assert held == [{(SCANNING_SEARCHES, "ada"): 1}] * 3
    assert not shares._counts


async def test_a_wait_beyond_the_share_creates_nothing(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowlet.web.api.waiting.WAITS", replace(WAITS, limit=0))
    create = {"workflowType": "Orders", "stateVars": {"way": "charge"}}

    await sqlite_api_harness.post("/api/createAndWait", {"createWorkflowRequest": create, "waitSeconds": 1}, status=429)

    assert (await sqlite_api_harness.post("/api/workflows/search", {}))["total"] == 0


async def test_a_read_by_a_key_waits_for_one_scan_at_most(
    sqlite_api_harness: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = sqlite_api_harness.app_harness.services.store.queries
    ended: list[str] = []
    may_scan = asyncio.Event()

    async def scan_when_permitted(session: Any, query: SearchQuery, names: Any) -> Any:
        found = await search_instances(session, query, names)
        if query is SCAN:
            await may_scan.wait()
            ended.append("scan")
        return found

    monkeypatch.setattr("flowlet.store.queries.search_instances", scan_when_permitted)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(reads.search(SCAN))
        await reads.search(SearchQuery(id=1))
        ended.append("read")
        may_scan.set()

    assert ended == ["read", "scan", "scan", "scan"]
